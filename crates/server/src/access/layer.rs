//! Judges every call before it reaches a gRPC service.

use std::net::SocketAddr;
use std::task::{Context, Poll};

use futures::future::{Either, Ready, ready};
use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Response};
use tonic::Status;
use tower::{Layer, Service};

use super::methods::{Need, need};
use super::{Access, AccessError, Caller};
use crate::hubs::DEFAULT_HUB;

/// Names the hub of a call.
const TASK_HUB: HeaderName = HeaderName::from_static("taskhub");
/// Where Azure Functions has a key.
const FUNCTIONS_KEY: HeaderName = HeaderName::from_static("x-functions-key");

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
    S: Service<Request<A>, Response = Response<B>>,
    B: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<B>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let AccessLayer { access, peer } = &self.layer;
        let peer = peer(&parts.extensions);
        match access.admit(parts.uri.path(), &mut parts.headers, &mut parts.extensions, peer) {
            Ok(()) => Either::Left(self.service.call(Request::from_parts(parts, body))),
            Err(error) => Either::Right(ready(Ok(Status::from(error).into_http()))),
        }
    }
}

impl Access {
    /// For the server that offers gRPC services. `peer` is for the log.
    pub fn layer(&self, peer: FindPeer) -> AccessLayer {
        AccessLayer { access: self.clone(), peer }
    }

    /// Admits a call of the method at `path`, or refuses it. An admitted call has its [`Caller`] among its
    /// extensions, exactly one `taskhub`, which is the hub that was judged, and no key any more.
    fn admit(
        &self,
        path: &str,
        headers: &mut HeaderMap,
        extensions: &mut Extensions,
        peer: Option<SocketAddr>,
    ) -> Result<(), AccessError> {
        let need = need(path);
        if need == Some(Need::Nothing) {
            remove_key(headers);
            return Ok(());
        }
        let caller = self.identify(key(headers), path, peer);
        remove_key(headers);
        let caller = caller?;
        let need = need.ok_or_else(|| AccessError::no_method(path))?;
        let method = path.rsplit('/').next().unwrap_or(path);
        match need {
            Need::Nothing => {}
            Need::InServer(permission) => caller.principal().require(permission, method)?,
            Need::InHub(permission) => {
                let hub = hub(headers, &caller)?;
                // What one can't see is not there, whatever one wanted to do with it.
                if !caller.principal().sees(&hub) {
                    return Err(AccessError::no_hub(&hub));
                }
                caller.principal().require(permission, method)?;
                let hub = HeaderValue::from_str(&hub).map_err(|_| AccessError::HubName)?;
                headers.insert(TASK_HUB, hub);
            }
        }
        extensions.insert(caller);
        Ok(())
    }
}

/// The hub a call names; without a name that of the key, if the key is for one only.
fn hub(headers: &HeaderMap, caller: &Caller) -> Result<String, AccessError> {
    let named = match headers.get(TASK_HUB) {
        Some(value) => value.to_str().map_err(|_| AccessError::HubName)?,
        None => "",
    };
    if !named.is_empty() {
        return Ok(named.to_owned());
    }
    Ok(match caller.principal().scope() {
        crate::keys::HubScope::One(hub) => hub.clone(),
        crate::keys::HubScope::All => DEFAULT_HUB.to_owned(),
    })
}

/// The key among the metadata. What is no text is no key.
fn key(headers: &HeaderMap) -> Option<&str> {
    let bearer = || {
        let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    };
    bearer().or_else(|| Some(headers.get(FUNCTIONS_KEY)?.to_str().ok()?.trim()))
}

/// Nothing behind the layer needs it, so nothing can log it.
fn remove_key(headers: &mut HeaderMap) {
    headers.remove(AUTHORIZATION);
    headers.remove(FUNCTIONS_KEY);
}
