//! What a server takes at most.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Section `limits`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of an HTTP request's body.
    pub body_bytes_max: usize,
    /// How long a body may take to arrive.
    #[serde(with = "super::duration")]
    pub body_timeout: Duration,
    /// Bytes of a request's headers.
    pub header_bytes_max: u32,
    /// How long headers may take to arrive, and before them the handshake of TLS.
    #[serde(with = "super::duration")]
    pub header_timeout: Duration,
    /// Bytes of a request's path and query.
    pub path_bytes_max: usize,
    /// Levels of nesting in JSON.
    pub json_depth_max: usize,
    /// Connections at a time, over all ports.
    pub connections_max: usize,
    /// Streams at a time on one connection.
    pub streams_max: u32,
    /// HTTP requests that wait for an instance at the same time.
    pub waits_max: usize,
    /// Bytes of a gRPC message: workers return large turns.
    pub message_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 16 << 20,
            body_timeout: Duration::from_secs(30),
            header_bytes_max: 16 << 10,
            header_timeout: Duration::from_secs(10),
            path_bytes_max: 8 << 10,
            json_depth_max: 128,
            connections_max: 10_000,
            streams_max: 256,
            waits_max: 10_000,
            message_bytes_max: 64 << 20,
        }
    }
}
