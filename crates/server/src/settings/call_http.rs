//! The durable HTTP calls a server makes for workers.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Section `call_http`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CallHttp {
    /// Whether the server makes calls at all.
    pub enabled: bool,
    /// Hosts that are called though they are inside the network, such as `build.internal` or `10.0.0.7`.
    pub allowed_hosts: Vec<String>,
    /// How long a call waits before it asks again after a 202 that does not say it.
    #[serde(with = "super::duration")]
    pub default_async_request_sleep: Duration,
}

impl Default for CallHttp {
    fn default() -> Self {
        Self {
            enabled: false,
            allowed_hosts: Vec::new(),
            default_async_request_sleep: Duration::from_secs(30),
        }
    }
}
