//! Somebody who was let in.

use std::pin::Pin;

use futures::future::{self, Either};
use futures::stream::{self, Stream, StreamExt};
use http::Extensions;
use tonic::Status;

use super::{Access, AccessError, Principal};

/// Somebody who was let in, and may be turned away later.
#[derive(Clone, Debug)]
pub struct Caller {
    access: Access,
    principal: Principal,
}

impl Caller {
    pub(super) fn new(access: Access, principal: Principal) -> Self {
        Self { access, principal }
    }

    /// The caller of a request that came through [`AccessLayer`](super::AccessLayer). Without one the
    /// request is refused: a service that stands in front of the layer is a fault of the server.
    pub fn of(extensions: &Extensions) -> Result<&Self, Status> {
        extensions.get().ok_or_else(|| Status::internal("the call was not judged: see Access::layer"))
    }

    /// Who it is.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Waits until the caller would not be let in any more: the key was revoked or changed, or expired.
    /// Costs next to nothing, however many wait. Notices within about two seconds.
    pub async fn turned_away(&self) -> AccessError {
        self.access.0.ring.turned_away(&self.principal).await
    }

    /// The same stream, which ends with UNAUTHENTICATED when the caller is turned away.
    pub fn guard<S, T>(self, items: S) -> Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>
    where
        S: Stream<Item = Result<T, Status>> + Send + 'static,
        T: Send + 'static,
    {
        let turned_away = Box::pin(async move { self.turned_away().await });
        let guarded = stream::unfold(Some((Box::pin(items), turned_away)), |open| async {
            let (mut items, turned_away) = open?;
            // The end comes first, or a busy stream would never be asked.
            match future::select(turned_away, items.next()).await {
                Either::Left((error, _)) => Some((Err(error.into()), None)),
                Either::Right((item, turned_away)) => Some((item?, Some((items, turned_away)))),
            }
        });
        Box::pin(guarded)
    }
}
