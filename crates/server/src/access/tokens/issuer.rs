//! The public keys of an issuer, as last fetched.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use url::Url;

use super::{TokensError, secure};
use crate::settings::Jwt;

/// Most keys that are kept.
const KEYS_MAX: usize = 100;
/// Largest answer that is read, in bytes.
const ANSWER_MAX: usize = 512 * 1024;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A public key.
#[derive(Clone)]
pub(super) struct PublicKey {
    pub(super) algorithm: Algorithm,
    pub(super) decoding: Arc<DecodingKey>,
}

/// An issuer of tokens.
#[derive(Clone)]
pub(super) struct Issuer(Arc<Inner>);

struct Inner {
    name: String,
    /// `None`: where its OpenID configuration says.
    jwks: Option<Url>,
    refresh_after: Duration,
    refresh_pause: Duration,
    client: reqwest::Client,
    state: Mutex<State>,
    /// Held by the one that asks for all.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    keys: HashMap<String, PublicKey>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

/// Why there are no new keys.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("{0}")]
    Request(#[from] reqwest::Error),
    #[error("the answer is {0}")]
    Status(http::StatusCode),
    #[error("the answer has more than {ANSWER_MAX} bytes")]
    TooLarge,
    #[error("the answer is not what it should be: {0}")]
    Content(#[from] serde_json::Error),
    #[error("its OpenID configuration is of another issuer: {0:?}")]
    OtherIssuer(String),
    #[error("it is no URL")]
    NoUrl,
    #[error("{0}")]
    Insecure(#[from] TokensError),
    #[error("it names no key for RS256, ES256 or EdDSA")]
    NoKeys,
}

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: Url,
}

#[derive(Deserialize)]
struct Keys {
    /// One that can't be read is left out, not all.
    keys: Vec<serde_json::Value>,
}

impl Issuer {
    pub(super) fn new(name: &str, settings: &Jwt) -> Result<Self, TokensError> {
        // Somebody may have been here before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(ANSWER_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(TokensError::Client)?;
        let Jwt { jwks_url: jwks, refresh_after, refresh_pause, .. } = settings.clone();
        let (name, state, asking) = (name.to_owned(), Mutex::default(), tokio::sync::Mutex::default());
        Ok(Self(Arc::new(Inner { name, jwks, refresh_after, refresh_pause, client, state, asking })))
    }

    /// The key a token names, or the only one there is for its algorithm.
    pub(super) async fn key(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<PublicKey> {
        if let Some(key) = self.known(kid, algorithm) {
            let stale = self.0.state.lock().fetched.is_none_or(|at| at.elapsed() >= self.0.refresh_after);
            if stale && self.may_ask() {
                // What is known is good meanwhile.
                let issuer = self.clone();
                tokio::spawn(async move { issuer.refresh().await });
            }
            return Some(key);
        }
        if self.may_ask() || self.0.asking.try_lock().is_err() {
            self.refresh().await;
        }
        self.known(kid, algorithm)
    }

    fn known(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<PublicKey> {
        let state = self.0.state.lock();
        let key = match kid {
            Some(kid) => state.keys.get(kid)?,
            None => {
                let mut fitting = state.keys.values().filter(|key| key.algorithm == algorithm);
                match (fitting.next(), fitting.next()) {
                    (Some(only), None) => only,
                    _ => return None,
                }
            }
        };
        (key.algorithm == algorithm).then(|| key.clone())
    }

    fn may_ask(&self) -> bool {
        self.0.state.lock().tried.is_none_or(|at| at.elapsed() >= self.0.refresh_pause)
    }

    /// Fetches the keys anew, unless somebody just did. What can't be fetched changes nothing.
    async fn refresh(&self) {
        let _asking = self.0.asking.lock().await;
        if !self.may_ask() {
            return;
        }
        self.0.state.lock().tried = Some(Instant::now());
        let fetched = self.fetch().await;
        // An issuer that hangs takes longer than the pause: those who waited meanwhile must not ask, too.
        self.0.state.lock().tried = Some(Instant::now());
        match fetched {
            Ok(keys) => {
                tracing::debug!(issuer = self.0.name, keys = keys.len(), "the issuer's keys were fetched");
                let mut state = self.0.state.lock();
                state.keys = keys;
                state.fetched = Some(Instant::now());
            }
            Err(error) => {
                let issuer = &self.0.name;
                tracing::warn!(issuer, %error, "the issuer's keys can't be fetched; those known stay good");
            }
        }
    }

    async fn fetch(&self) -> Result<HashMap<String, PublicKey>, FetchError> {
        let url = match &self.0.jwks {
            Some(url) => url.clone(),
            None => {
                let place = format!("{}/.well-known/openid-configuration", self.0.name.trim_end_matches('/'));
                let place = Url::parse(&place).map_err(|_| FetchError::NoUrl)?;
                let found: Configuration = self.get(place).await?;
                if found.issuer != self.0.name {
                    return Err(FetchError::OtherIssuer(found.issuer.chars().take(200).collect()));
                }
                secure("jwks_uri", &found.jwks_uri)?;
                found.jwks_uri
            }
        };
        let found: Keys = self.get(url).await?;
        let keys = found.keys.into_iter().filter_map(|key| read(serde_json::from_value(key).ok()?));
        let keys: HashMap<_, _> = keys.take(KEYS_MAX).collect();
        if keys.is_empty() { Err(FetchError::NoKeys) } else { Ok(keys) }
    }

    async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<T, FetchError> {
        let mut answer = self.0.client.get(url).send().await?;
        if !answer.status().is_success() {
            return Err(FetchError::Status(answer.status()));
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await? {
            if body.len() + part.len() > ANSWER_MAX {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&part);
        }
        Ok(serde_json::from_slice(&body)?)
    }
}

/// A key that signatures can be checked with, by its id.
fn read(key: Jwk) -> Option<(String, PublicKey)> {
    if key.common.public_key_use.as_ref().is_some_and(|said| *said != PublicKeyUse::Signature) {
        return None;
    }
    let (algorithm, said) = match &key.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    if key.common.key_algorithm.is_some_and(|other| other != said) {
        return None;
    }
    let decoding = Arc::new(DecodingKey::from_jwk(&key).ok()?);
    Some((key.common.key_id.unwrap_or_default(), PublicKey { algorithm, decoding }))
}
