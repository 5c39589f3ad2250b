//! Bearer tokens (JWT) of an identity provider.
//!
//! A token is signed by a key of its issuer with RS256, ES256 or EdDSA, which the key decides and not the
//! token. It is good for who it was made for, between its `nbf` and `exp`, give or take a minute.

mod claims;
mod issuer;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use url::Url;

use super::AccessError;
use super::ring::Reason;
use crate::keys::{HubScope, Permission, Roles};
use crate::settings::Jwt;

use claims::{Claims, Reading};
use issuer::Issuer;

/// How far clocks may be apart.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);
/// Longest token that is looked at.
const TEXT_MAX: usize = 12 * 1024;

/// Why tokens can't be taken as the settings say.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// Tokens made for anybody would be taken.
    #[error("auth.jwt.audiences: say at least one; tokens made for other services must not be good here")]
    NoAudience,
    /// Whoever is in between could give keys of their own.
    #[error("{field}: {url} is no https:// address; http:// is for an issuer on this machine only")]
    Insecure {
        /// What says it.
        field: &'static str,
        /// The address.
        url: String,
    },
    /// It is no address.
    #[error("auth.jwt.issuer: {0} is no URL, so its keys can't be found: say auth.jwt.jwks_url")]
    NoUrl(String),
    /// The client can't be made.
    #[error("nothing can be asked of auth.jwt.issuer: {0}")]
    Client(reqwest::Error),
}

/// Takes the tokens of one issuer.
#[derive(Clone)]
pub(super) struct Tokens(Arc<Inner>);

struct Inner {
    issuer: Issuer,
    name: String,
    audiences: Vec<String>,
    reading: Reading,
}

/// What a token is good for.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// Who has it, as the issuer calls them; for logs.
    pub(super) subject: String,
    /// `None` if it says none that there is.
    pub(super) roles: Option<Roles>,
    pub(super) hubs: Vec<HubScope>,
    /// With the leeway.
    pub(super) expires: Timestamp,
}

impl Tokens {
    /// `None` if there is no issuer.
    pub(super) fn open(settings: &Jwt) -> Result<Option<Self>, TokensError> {
        let Some(name) = settings.issuer.clone() else { return Ok(None) };
        check(settings)?;
        let issuer = Issuer::new(&name, settings)?;
        let (audiences, reading) = (settings.audiences.clone(), Reading::new(settings));
        Ok(Some(Self(Arc::new(Inner { issuer, name, audiences, reading }))))
    }

    /// Whether a text can be a token at all: keys have no dots.
    pub(super) fn looks_like_one(text: &str) -> bool {
        text.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// Who has this token.
    pub(super) async fn identify(&self, text: &str, now: Timestamp) -> Result<Token, (Reason, AccessError)> {
        let wrong = |reason| (reason, AccessError::WrongToken);
        if text.len() > TEXT_MAX {
            return Err(wrong(Reason::Malformed));
        }
        let header = decode_header(text).map_err(|_| wrong(Reason::Malformed))?;
        if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA) {
            return Err(wrong(Reason::Algorithm));
        }
        // What must be understood to judge the token, and is not.
        if header.crit.is_some() {
            return Err(wrong(Reason::Malformed));
        }
        let key = self.0.issuer.key(header.kid.as_deref(), header.alg).await;
        let key = key.ok_or_else(|| wrong(Reason::UnknownIssuerKey))?;
        // The key's algorithm, not the token's: a public key is no secret to sign with.
        let mut validation = Validation::new(key.algorithm);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&self.0.name]);
        validation.set_audience(&self.0.audiences);
        // By the clock that everything else goes by.
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        let claims: Claims =
            decode(text, &key.decoding, &validation).map_err(|_| wrong(Reason::WrongToken))?.claims;
        let expires = claims.expires().ok_or_else(|| wrong(Reason::Malformed))?;
        let until = expires.checked_add(LEEWAY).unwrap_or(expires);
        if until <= now {
            return Err((Reason::Expired, AccessError::TokenExpired(expires)));
        }
        let begins = claims.begins().ok_or_else(|| wrong(Reason::Malformed))?;
        if begins > now.checked_add(LEEWAY).unwrap_or(now) {
            return Err((Reason::NotYet, AccessError::WrongToken));
        }
        let (roles, hubs) = self.0.reading.of(&claims);
        Ok(Token { subject: claims.subject(), roles, hubs, expires: until })
    }
}

impl Token {
    pub(super) fn allows(&self, permission: Permission) -> bool {
        self.roles.as_ref().is_some_and(|roles| roles.allow(permission))
    }

    pub(super) fn in_time(&self, now: Timestamp) -> Result<(), AccessError> {
        if self.expires <= now { Err(AccessError::TokenExpired(self.expires)) } else { Ok(()) }
    }

    pub(super) fn sees(&self, hub: &str) -> bool {
        self.hubs.iter().any(|scope| scope.contains(hub))
    }
}

/// Whether only whom the settings mean could be let in by them.
pub(crate) fn check(settings: &Jwt) -> Result<(), TokensError> {
    let Some(name) = &settings.issuer else { return Ok(()) };
    if settings.audiences.is_empty() {
        return Err(TokensError::NoAudience);
    }
    match &settings.jwks_url {
        Some(url) => secure("auth.jwt.jwks_url", url),
        None => {
            let url = Url::parse(name).map_err(|_| TokensError::NoUrl(name.clone()))?;
            secure("auth.jwt.issuer", &url)
        }
    }
}

/// What comes over the network in the clear can be anybody's.
fn secure(field: &'static str, url: &Url) -> Result<(), TokensError> {
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        _ => Err(TokensError::Insecure { field, url: url.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(issuer: &str) -> Jwt {
        Jwt { issuer: Some(issuer.to_owned()), audiences: vec!["strandline".to_owned()], ..Jwt::default() }
    }

    #[test]
    fn settings_that_would_let_anybody_in_are_refused() {
        assert!(Tokens::open(&Jwt::default()).unwrap().is_none());
        assert!(Tokens::open(&jwt("https://id.example.org/realm")).unwrap().is_some());
        assert!(Tokens::open(&jwt("http://127.0.0.1:80")).unwrap().is_some());
        let no_audience = Jwt { audiences: Vec::new(), ..jwt("https://id.example.org") };
        assert!(matches!(Tokens::open(&no_audience), Err(TokensError::NoAudience)));
        let plain = Tokens::open(&jwt("http://id.example.org"));
        assert!(matches!(plain, Err(TokensError::Insecure { field: "auth.jwt.issuer", .. })));
        assert!(matches!(Tokens::open(&jwt("accounts.example.org")), Err(TokensError::NoUrl(_))));
        let url = Some(Url::parse("http://id.example.org/keys").unwrap());
        let plain_keys = Jwt { jwks_url: url, ..jwt("anything") };
        assert!(matches!(Tokens::open(&plain_keys), Err(TokensError::Insecure { .. })));
    }
}
