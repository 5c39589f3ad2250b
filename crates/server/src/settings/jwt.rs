//! Tokens of an identity provider.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::keys::{HubScope, Role};

/// Section `auth.jwt`: with an issuer, callers may come with its tokens instead of keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Jwt {
    /// Who makes the tokens, exactly as their claim `iss` says it; without it, no tokens are taken.
    pub issuer: Option<String>,
    /// Whom the tokens are made for: the claim `aud` must hold one of these. At least one is needed.
    pub audiences: Vec<String>,
    /// Where the issuer's public keys stand; without it, where the issuer's OpenID configuration says.
    #[schemars(with = "Option<String>", extend("format" = "uri"))]
    pub jwks_url: Option<Url>,
    /// How long the issuer's keys are used before they are fetched again, so that those it took back end.
    #[serde(with = "super::duration")]
    pub refresh_after: Duration,
    /// The shortest time between two attempts to fetch them, whatever keys tokens name.
    #[serde(with = "super::duration")]
    pub refresh_pause: Duration,
    /// The claim with the roles, with dots for claims within claims: `realm_access.roles`.
    pub roles_claim: String,
    /// Which role a value of that claim stands for. Without any, values are the names of roles themselves.
    pub roles: BTreeMap<String, Role>,
    /// The claim with the task hubs a token is good for; `*` for all.
    pub hubs_claim: String,
    /// The hubs of tokens without that claim; none, unless said here.
    #[schemars(with = "Vec<String>")]
    pub default_hubs: Vec<HubScope>,
}

impl Default for Jwt {
    fn default() -> Self {
        Self {
            issuer: None,
            audiences: Vec::new(),
            jwks_url: None,
            refresh_after: Duration::from_secs(10 * 60),
            refresh_pause: Duration::from_secs(10),
            roles_claim: "roles".to_owned(),
            roles: BTreeMap::new(),
            hubs_claim: "hubs".to_owned(),
            default_hubs: Vec::new(),
        }
    }
}
