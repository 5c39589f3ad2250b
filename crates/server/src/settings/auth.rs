//! Whom a server lets in.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Jwt;

/// Section `auth`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// What the management URLs of an answer are opened by.
    pub management_urls: ManagementUrls,
    /// How long a signed management URL is good.
    #[serde(with = "super::duration")]
    pub signed_url_lifetime: Duration,
    /// Tokens of an identity provider.
    pub jwt: Jwt,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            management_urls: ManagementUrls::Signed,
            signed_url_lifetime: Duration::from_secs(7 * 24 * 60 * 60),
            jwt: Jwt::default(),
        }
    }
}

/// What management URLs carry on a server that asks for keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ManagementUrls {
    /// A signature that is good for this one instance, until it expires.
    Signed,
    /// The key of the one who called, as Azure Functions does.
    CallersKey,
}
