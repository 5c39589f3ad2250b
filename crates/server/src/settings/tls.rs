//! What connections are encrypted with.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Section `tls`: both files or none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate and those it is signed by.
    pub certificate: Option<PathBuf>,
    /// PEM file with the certificate's key.
    pub key: Option<PathBuf>,
    /// PEM file with the certificates that callers' own must be signed by; without it callers need none.
    pub client_ca: Option<PathBuf>,
}
