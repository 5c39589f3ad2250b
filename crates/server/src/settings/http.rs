//! What a server is called by.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

/// Section `http`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// What its URLs begin with. Without it, the host a request names if that is loopback or allowed.
    #[schemars(with = "Option<String>", extend("format" = "uri"))]
    pub public_url: Option<Url>,
    /// Hosts, with or without port, that requests may name and URLs then carry.
    pub allowed_hosts: Vec<String>,
    /// Whether `X-Forwarded-Host` and `X-Forwarded-Proto` say what a request named.
    pub use_forwarded_host: bool,
    /// What the query parameter `connection` of management URLs says; nothing else is accepted there.
    pub connection_name: String,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            public_url: None,
            allowed_hosts: Vec::new(),
            use_forwarded_host: false,
            connection_name: "Storage".to_owned(),
        }
    }
}
