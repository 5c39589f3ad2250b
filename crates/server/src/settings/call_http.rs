//! The durable HTTP calls a server makes for workers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Section `call_http`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CallHttp {
    /// Whether the server makes calls at all.
    pub enabled: bool,
    /// Hosts that are called though they are not public, or not on the usual ports: `build.internal`,
    /// `build.internal:8443`, `10.0.0.7`, `10.0.0.0/8`, `[fd00::1]:8443`. Names are whole, without `*`.
    pub allowed_hosts: Vec<String>,
    /// The ports that are called on every host.
    pub allowed_ports: Vec<u16>,
    /// How long a call may take in all, redirects and the wait for others included.
    #[serde(with = "super::duration")]
    pub timeout: Duration,
    /// Most bytes of the content of a request.
    pub content_bytes_max: usize,
    /// Most bytes of the content of a response.
    pub response_bytes_max: usize,
    /// How many redirects are followed; one more is the response.
    pub redirects_max: usize,
    /// How many calls are under way at the same time. Others wait.
    pub requests_max: usize,
    /// How long a call waits before it asks again after a 202 that does not say it in seconds; in whole
    /// seconds, from 1 s to 1 h.
    #[serde(with = "super::duration")]
    pub default_async_request_sleep: Duration,
    /// A file with certificates to trust besides the system's, in PEM.
    pub certificates_file: Option<PathBuf>,
    /// Secrets that headers of requests may name, in all hubs of the server.
    pub secrets: BTreeMap<String, CallHttpSecret>,
    /// Where tokens for requests come from, in all hubs of the server.
    pub tokens: BTreeMap<String, CallHttpTokens>,
}

impl Default for CallHttp {
    fn default() -> Self {
        Self {
            enabled: false,
            allowed_hosts: Vec::new(),
            allowed_ports: vec![80, 443],
            timeout: Duration::from_secs(100),
            content_bytes_max: 4 * 1024 * 1024,
            response_bytes_max: 4 * 1024 * 1024,
            redirects_max: 5,
            requests_max: 64,
            default_async_request_sleep: Duration::from_secs(30),
            certificates_file: None,
            secrets: BTreeMap::new(),
            tokens: BTreeMap::new(),
        }
    }
}

/// Where a secret is read from, each time it is used: a file or a variable of the environment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SecretPlace {
    /// The file. White space around its content does not count.
    pub file: Option<PathBuf>,
    /// The variable.
    pub env: Option<String>,
}

/// A secret that headers may name. All hubs of the server share it: whoever may start instances in any of
/// them can have it sent. Only the origins limit where to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CallHttpSecret {
    /// Where its value is.
    pub value: SecretPlace,
    /// What it may be sent to: `https://api.example`, `https://*.api.example`.
    pub origins: Vec<String>,
}

/// Where tokens come from. All hubs of the server share them: whoever may start instances in any of them
/// can have them sent. Only the origins limit where to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum CallHttpTokens {
    /// From a file or a variable that somebody else keeps fresh.
    Static {
        /// Where the token is.
        value: SecretPlace,
        /// The scopes or audiences that requests may name.
        #[serde(default)]
        resources: Vec<String>,
        /// What it may be sent to: `https://api.example`, `https://*.api.example`.
        origins: Vec<String>,
    },
    /// From a token endpoint, by the client credentials of OAuth 2.0. The endpoint decides on authority and
    /// tenant: what requests say of them has no effect.
    ClientCredentials {
        /// The URL of the token endpoint.
        endpoint: String,
        /// Who the server is there.
        client_id: String,
        /// Where the client's secret is.
        client_secret: SecretPlace,
        /// Whether resources are asked for as `audience` or as `scope`.
        #[serde(default)]
        asks_for: AsksFor,
        /// The scopes or audiences that requests may name.
        #[serde(default)]
        resources: Vec<String>,
        /// What tokens may be sent to: `https://api.example`, `https://*.api.example`.
        origins: Vec<String>,
    },
}

/// The name under which a token endpoint is told what a token is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AsksFor {
    /// As OAuth 2.0 has it.
    #[default]
    Scope,
    /// As some providers want it.
    Audience,
}
