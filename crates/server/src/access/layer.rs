//! Judges every call before it reaches a gRPC service.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{Extensions, HeaderName, HeaderValue, Request, Response};
use tonic::Status;
use tower::{Layer, Service};

use super::methods::{Need, need};
use super::{Access, AccessError, Wish, carriers};

/// Names the hub of a call.
const TASK_HUB: HeaderName = HeaderName::from_static("taskhub");

/// Finds among a request's extensions where it comes from.
pub type FindPeer = fn(&Extensions) -> Option<SocketAddr>;

/// Lets calls through to a gRPC service that [`Access`] admits.
#[derive(Clone, Debug)]
pub struct AccessLayer {
    access: Access,
    peer: FindPeer,
}

/// A gRPC service behind an [`AccessLayer`].
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    layer: AccessLayer,
    service: S,
}

impl<S> Layer<S> for AccessLayer {
    type Service = Guarded<S>;

    fn layer(&self, service: S) -> Guarded<S> {
        Guarded { layer: self.clone(), service }
    }
}

impl<S, A, B> Service<Request<A>> for Guarded<S>
where
    S: Service<Request<A>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    A: Send + 'static,
    B: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let AccessLayer { access, peer } = self.layer.clone();
        let peer = peer(&parts.extensions);
        // The one that is ready is the one that is called.
        let next = self.service.clone();
        let mut service = std::mem::replace(&mut self.service, next);
        Box::pin(async move {
            match access.admit(&mut parts, peer).await {
                Ok(()) => service.call(Request::from_parts(parts, body)).await,
                Err(error) => Ok(Status::from(error).into_http()),
            }
        })
    }
}

impl Access {
    /// For the server that offers gRPC services. `peer` is for the log.
    pub fn layer(&self, peer: FindPeer) -> AccessLayer {
        AccessLayer { access: self.clone(), peer }
    }

    /// Admits a call of gRPC, or refuses it. An admitted call has its [`Caller`] among its extensions,
    /// exactly one `taskhub`, which is the hub that was judged, and no key any more.
    async fn admit(&self, call: &mut Parts, peer: Option<SocketAddr>) -> Result<(), AccessError> {
        let need = need(call.uri.path());
        if need == Some(Need::Nothing) {
            carriers::take(call);
            return Ok(());
        }
        let caller = self.identify(call, peer).await?;
        let path = call.uri.path();
        let need = need.ok_or_else(|| AccessError::no_method(path))?;
        let what = path.rsplit('/').next().unwrap_or(path);
        match need {
            Need::Nothing => {}
            Need::InServer(permission) => caller.principal().require(permission, what)?,
            Need::InHub(permission) => {
                let named = match call.headers.get(TASK_HUB) {
                    Some(value) => Some(value.to_str().map_err(|_| AccessError::HubName)?),
                    None => None,
                };
                // Which function it is about, messages say: methods look themselves.
                let wish = Wish { what, permission, hub: named, instance: None, function: None };
                let hub = caller.admit(&wish)?;
                let hub = HeaderValue::from_str(hub).map_err(|_| AccessError::HubName)?;
                call.headers.insert(TASK_HUB, hub);
            }
        }
        call.extensions.insert(caller);
        Ok(())
    }
}
