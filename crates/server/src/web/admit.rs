//! Who calls, and whether they may.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use strandline_engine::runtime::Hub;

use super::{App, api};
pub(crate) use crate::access::Wish;
use crate::access::{AccessError, Caller};
use crate::hubs::HubsError;
use crate::serve::listen::Peer;

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
            Self::Access(error) => error.status(),
            Self::Hub(HubsError::NotFound(_)) => StatusCode::NOT_FOUND,
            Self::Hub(HubsError::Name(_)) => StatusCode::BAD_REQUEST,
            Self::Hub(HubsError::Exists(_)) => StatusCode::CONFLICT,
            Self::Hub(HubsError::Failed(_)) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Tells who calls, by `?code=`, `x-functions-key`, a bearer token or a signed URL; whoever can't be told goes
/// no further. A handler finds the [`Caller`] among the request's extensions.
pub(super) async fn identify(State(app): State<App>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().map(|peer| peer.address);
    let is_ours = api::is_under(request.uri().path());
    let (mut parts, body) = request.into_parts();
    match app.access.identify(&mut parts, peer).await {
        Ok(caller) => {
            parts.extensions.insert(caller);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(error) if is_ours => api::Problem::from(error).into_response(),
        Err(error) => error.status().into_response(),
    }
}

impl App {
    /// The hub of a request, if who calls may do there what the request is about to.
    pub(crate) async fn admit(&self, caller: &Caller, wish: Wish<'_>) -> Result<Hub, Denied> {
        Ok(self.hubs.get(caller.admit(&wish)?).await?)
    }
}
