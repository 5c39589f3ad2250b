//! Who calls, and whether they may.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri, header};
use strandline_engine::runtime::Hub;

use super::App;
use super::query::Query;
use crate::access::{AccessError, Caller};
use crate::hubs::{DEFAULT_HUB, HubsError};
use crate::keys::{HubScope, Permission};
use crate::serve::listen::Peer;

/// What a request is about to do, as access is judged by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    /// How a refusal calls it.
    pub(crate) what: &'static str,
    pub(crate) permission: Permission,
    /// The hub it names; without a name that of the key, or the default one.
    pub(crate) hub: Option<&'a str>,
    /// The one instance it is about, if it is about one.
    pub(crate) instance: Option<&'a str>,
    /// The function it starts or signals, if it does.
    pub(crate) function: Option<&'a str>,
}

/// Why a request goes no further. Each API says it in its own way.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Denied {
    /// 401, 403 or 404: see [`Denied::status`].
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Hub(#[from] HubsError),
}

impl Denied {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Access(AccessError::NoKey | AccessError::WrongKey | AccessError::Expired(_)) => {
                StatusCode::UNAUTHORIZED
            }
            Self::Access(AccessError::Denied { .. }) => StatusCode::FORBIDDEN,
            Self::Access(AccessError::NoHub(_) | AccessError::NoMethod(_)) => StatusCode::NOT_FOUND,
            Self::Access(AccessError::HubName) => StatusCode::BAD_REQUEST,
            Self::Hub(HubsError::NotFound(_)) => StatusCode::NOT_FOUND,
            Self::Hub(HubsError::Name(_)) => StatusCode::BAD_REQUEST,
            Self::Hub(HubsError::Exists(_)) => StatusCode::CONFLICT,
            Self::Hub(HubsError::Failed(_)) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Tells who calls, by `?code=`, `x-functions-key` or a bearer token; whoever can't be told goes no further.
/// A handler finds the [`Caller`] among the request's extensions.
pub(super) async fn identify(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().map(|peer| peer.address);
    let key = key(request.headers(), request.uri());
    match app.access.identify(key.as_deref(), request.uri().path(), peer) {
        Ok(caller) => {
            request.headers_mut().remove(header::AUTHORIZATION);
            request.headers_mut().remove("x-functions-key");
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(_) => StatusCode::UNAUTHORIZED.into_response(),
    }
}

fn key(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let bearer = || {
        let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim().to_owned())
    };
    let functions = || Some(headers.get("x-functions-key")?.to_str().ok()?.trim().to_owned());
    bearer().or_else(functions).or_else(|| Query::of(uri).text("code"))
}

impl App {
    /// The hub of a request, if who calls may do there what the request is about to.
    pub(crate) async fn admit(&self, caller: &Caller, wish: Wish<'_>) -> Result<Hub, Denied> {
        let principal = caller.principal();
        let hub = match (wish.hub.filter(|name| !name.is_empty()), principal.scope()) {
            (Some(name), _) => name,
            (None, HubScope::One(name)) => name,
            (None, HubScope::All) => DEFAULT_HUB,
        };
        // What one can't see is not there, whatever one wanted to do with it.
        if !principal.sees(hub) {
            return Err(AccessError::NoHub(hub.chars().take(100).collect()).into());
        }
        principal.require(wish.permission, wish.what)?;
        Ok(self.hubs.get(hub).await?)
    }
}
