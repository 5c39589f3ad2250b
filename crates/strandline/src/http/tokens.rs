//! Tokens for the header `Authorization`, fetched when a request is sent.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::caller::{read_body, tls};
use super::error::{failed, invalid, refused};
use super::secret::Secret;
use super::target::Origin;
use super::token_source::{ManagedIdentityOptions, TokenSource, scope_of};
use crate::error::{Context as _, Error, Result};

/// A token that is good for a while. It shows itself nowhere.
#[derive(Clone)]
pub struct AccessToken {
    token: String,
    lifetime: Option<Duration>,
}

impl AccessToken {
    /// A token that is good for one request.
    pub fn new(token: impl Into<String>) -> Self {
        Self { token: token.into(), lifetime: None }
    }

    /// A token that is good for this long from now.
    pub fn lasting(token: impl Into<String>, lifetime: Duration) -> Self {
        Self { token: token.into(), lifetime: Some(lifetime) }
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// What a token is for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenRequest {
    /// The scope or audience: one of those the provider is allowed.
    pub resource: String,
    /// What the request says of a managed identity.
    pub options: Option<ManagedIdentityOptions>,
}

/// What a [`TokenProvider`] gives, later.
pub type TokenResult<'a> = Pin<Box<dyn Future<Output = Result<AccessToken>> + Send + 'a>>;

/// Gets tokens from somewhere. Those with a lifetime are kept until shortly before they expire, unless the
/// request has options: which tokens fit them only the provider knows.
///
/// What is wrong is told in the history of the orchestration that asked: errors must not hold secrets.
pub trait TokenProvider: Send + Sync + 'static {
    /// A token for a resource.
    fn token(&self, request: TokenRequest) -> TokenResult<'_>;
}

/// A token that somebody else keeps fresh: in a file, or in the environment.
impl TokenProvider for Secret {
    fn token(&self, _: TokenRequest) -> TokenResult<'_> {
        Box::pin(async { self.read().map(AccessToken::new) })
    }
}

/// A provider with what its tokens may be used for.
pub(super) struct Grant {
    provider: Arc<dyn TokenProvider>,
    resources: Vec<String>,
    origins: Vec<Origin>,
    /// By resource; as many as there are resources.
    kept: Mutex<BTreeMap<String, (AccessToken, Instant)>>,
}

impl Grant {
    pub(super) fn new(
        provider: Arc<dyn TokenProvider>,
        resources: Vec<String>,
        origins: Vec<Origin>,
    ) -> Self {
        let resources = resources.iter().map(|resource| scope_of(resource)).collect();
        Self { provider, resources, origins, kept: Mutex::default() }
    }

    fn may_go_to(&self, url: &Url) -> bool {
        self.origins.iter().any(|origin| origin.has(url))
    }

    /// A token, kept or new. One at a time is fetched, but for requests with options.
    async fn token(&self, request: TokenRequest) -> Result<String> {
        // Another tenant or authority has other tokens, and requests may name any number of them.
        if request.options.is_some() {
            return Ok(self.provider.token(request).await?.token);
        }
        let mut kept = self.kept.lock().await;
        if let Some((token, until)) = kept.get(&request.resource)
            && Instant::now() < *until
        {
            return Ok(token.token.clone());
        }
        let resource = request.resource.clone();
        let token = self.provider.token(request).await?;
        // It must still be good when it arrives.
        let useful = token.lifetime.map(|lifetime| lifetime.saturating_sub(EARLY.max(lifetime / 10)));
        let until = useful.and_then(|useful| Instant::now().checked_add(useful.min(KEPT_MAX)));
        match until {
            Some(until) => kept.insert(resource, (token.clone(), until)),
            None => kept.remove(&resource),
        };
        Ok(token.token)
    }
}

/// How long before its end a token is fetched anew.
const EARLY: Duration = Duration::from_secs(60);
/// No token is kept longer, whatever it says.
const KEPT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The token that a request asks for, if it may go there.
pub(super) async fn token_for(
    grants: &BTreeMap<String, Grant>,
    source: &TokenSource,
    url: &Url,
) -> Result<String> {
    let (grant, resource, options) = match source {
        TokenSource::AzureManagedIdentity { resource, options } => {
            let resource = scope_of(resource);
            let mut fitting = grants.values().filter(|grant| grant.resources.contains(&resource));
            let first = fitting.clone().next().ok_or_else(|| no_resource(&resource))?;
            // Where none may go there, the first is refused below.
            let grant = fitting.find(|grant| grant.may_go_to(url)).unwrap_or(first);
            (grant, resource, options.clone())
        }
        TokenSource::Named { name, resource } => {
            let grant = grants.get(name).ok_or_else(|| {
                refused(format_args!(
                    "no token provider is named {name:?}: HttpPolicy::token_provider, or call_http.tokens of a server"
                ))
            })?;
            // An empty one names none.
            let resource = resource.as_ref().filter(|resource| !resource.is_empty());
            let resource = match (resource, &grant.resources[..]) {
                (Some(resource), _) => scope_of(resource),
                (None, [only]) => only.clone(),
                (None, []) => String::new(),
                (None, _) => {
                    return Err(invalid(format_args!("say for which resource the token of {name:?} is")));
                }
            };
            let needs_none = grant.resources.is_empty() && resource.is_empty();
            if !(needs_none || grant.resources.contains(&resource)) {
                return Err(no_resource(&resource));
            }
            (grant, resource, None)
        }
    };
    if !grant.may_go_to(url) {
        let origin = url.origin().ascii_serialization();
        return Err(refused(format_args!(
            "the token must not be sent to {origin}: name it among the provider's origins"
        )));
    }
    grant.token(TokenRequest { resource, options }).await
}

fn no_resource(resource: &str) -> Error {
    refused(format_args!(
        "no token provider may get tokens for {resource:?}: HttpPolicy::token_provider, or call_http.tokens of a server"
    ))
}

/// Gets tokens by the client credentials of OAuth 2.0, as OpenID providers issue them.
///
/// Its endpoint decides on authority and tenant: what a request says of them in
/// [`ManagedIdentityOptions`] has no effect.
pub struct ClientCredentials {
    endpoint: Url,
    client_id: String,
    client_secret: Secret,
    asks_audience: bool,
    client: reqwest::Client,
}

/// Most bytes of the answer of a token endpoint.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

impl ClientCredentials {
    /// Asks the token endpoint, as this client. Resources are asked for as `scope`.
    ///
    /// # Errors
    /// When the endpoint is no `http` or `https` URL.
    pub fn new(
        endpoint: impl AsRef<str>,
        client_id: impl Into<String>,
        client_secret: Secret,
    ) -> Result<Self> {
        Self::trusting(endpoint, client_id, client_secret, "")
    }

    /// Like [`new`](Self::new), trusting certificates of one's own besides the system's. They are PEM.
    ///
    /// # Errors
    /// When the endpoint is no `http` or `https` URL, or the certificates can't be read.
    pub fn trusting(
        endpoint: impl AsRef<str>,
        client_id: impl Into<String>,
        client_secret: Secret,
        certificates: &str,
    ) -> Result<Self> {
        let endpoint = Url::parse(endpoint.as_ref()).context("the token endpoint")?;
        if !matches!(endpoint.scheme(), "http" | "https") {
            return Err(Error::msg("the token endpoint is neither http nor https"));
        }
        // Its address is the operator's word: it may be anywhere.
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWER_WITHIN)
            .tls_backend_preconfigured(tls(certificates)?)
            .build()
            .context("the client of the token endpoint")?;
        Ok(Self { endpoint, client_id: client_id.into(), client_secret, asks_audience: false, client })
    }

    /// Asks for resources as `audience` instead of `scope`, as some providers want it.
    #[must_use]
    pub fn as_audience(mut self) -> Self {
        self.asks_audience = true;
        self
    }

    fn form(&self, resource: &str) -> Result<String> {
        let secret = self.client_secret.read()?;
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        form.append_pair("client_id", &self.client_id).append_pair("client_secret", &secret);
        if !resource.is_empty() {
            form.append_pair(if self.asks_audience { "audience" } else { "scope" }, resource);
        }
        Ok(form.finish())
    }

    async fn fetch(&self, resource: &str) -> Result<AccessToken> {
        let form = self.form(resource)?;
        let sent = self
            .client
            .post(self.endpoint.clone())
            .header("Content-Type", "application/x-www-form-urlencoded")
            .header("Accept", "application/json")
            .body(form)
            .send()
            .await;
        let at = self.endpoint.origin().ascii_serialization();
        let unreachable = |_| failed(format_args!("the token endpoint at {at} could not be reached"));
        let response = sent.map_err(unreachable)?;
        let status = response.status();
        let body = read_body(response, ANSWER_BYTES_MAX).await?;
        let answer = serde_json::from_slice::<Answer>(&body).unwrap_or_default();
        if !status.is_success() {
            // A code of the protocol, or nothing: other texts may repeat what was sent.
            let is_code =
                |code: &String| code.len() <= 64 && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            let code = answer.error.filter(is_code).unwrap_or_default();
            let error = failed(format_args!("the token endpoint at {at} answers {} {code}", status.as_u16()));
            let passes = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
            return Err(if passes { error } else { error.non_retriable() });
        }
        let token = answer.access_token.filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| failed(format_args!("the token endpoint at {at} gives no token")))?;
        Ok(AccessToken { token, lifetime: answer.expires_in.map(Duration::from_secs) })
    }
}

#[derive(Default, Deserialize)]
struct Answer {
    access_token: Option<String>,
    expires_in: Option<u64>,
    error: Option<String>,
}

impl TokenProvider for ClientCredentials {
    fn token(&self, request: TokenRequest) -> TokenResult<'_> {
        Box::pin(async move { self.fetch(&request.resource).await })
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("endpoint", &self.endpoint.origin().ascii_serialization())
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}
