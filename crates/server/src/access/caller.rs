//! Somebody who was let in.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use futures::future::{self, Either};
use futures::stream::{self, Stream, StreamExt};
use http::Extensions;
use tonic::Status;
use zeroize::Zeroizing;

use super::links::{SIGNATURE, Target};
use super::principal::Who;
use super::ring::Reason;
use super::{Access, AccessError, KEY, Principal};
use crate::keys::Permission;
use crate::settings::ManagementUrls;

/// Somebody who was let in, and may be turned away later.
#[derive(Clone, Debug)]
pub struct Caller {
    access: Access,
    principal: Principal,
    /// What the caller showed, where URLs carry it.
    key: Option<Shown>,
}

/// A key that the caller sent. Not printed, wiped from memory when dropped.
#[derive(Clone)]
struct Shown(Arc<Zeroizing<String>>);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

/// What a call is about to do, as it is judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    /// How a refusal calls it.
    pub(crate) what: &'a str,
    pub(crate) permission: Permission,
    /// The hub it names; without a name that of the key, or the default one.
    pub(crate) hub: Option<&'a str>,
    /// The one instance it is about, if it is about one.
    pub(crate) instance: Option<&'a str>,
    /// The function it starts or signals, if it does.
    pub(crate) function: Option<&'a str>,
}

/// A query parameter that lets whoever has the URL in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credential {
    pub(crate) name: &'static str,
    /// As it is, not encoded for URLs.
    pub(crate) value: Zeroizing<String>,
}

impl Caller {
    pub(super) fn new(access: Access, principal: Principal, key: Option<&str>) -> Self {
        let keep = access.0.links.as_ref().is_some_and(|links| links.urls == ManagementUrls::CallersKey);
        // A key that is for some functions opens no management URL: a signature does.
        let held = matches!(principal.who(), Who::Holder(entry) if entry.functions.is_none());
        let key = key.filter(|_| keep && held).map(|key| Shown(Arc::new(Zeroizing::new(key.to_owned()))));
        Self { access, principal, key }
    }

    /// The hub of a call, if who calls may do there what the call is about to. Whether the hub exists is not
    /// looked at.
    pub(crate) fn admit<'a>(&'a self, wish: &Wish<'a>) -> Result<&'a str, AccessError> {
        let principal = &self.principal;
        let hub = wish
            .hub
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| principal.home().unwrap_or(&self.access.1));
        if let Who::Visitor(claim) = principal.who() {
            let (Some(instance), Some(links)) = (wish.instance, &self.access.0.links) else {
                return Err(AccessError::WrongSignature);
            };
            let target = Target { hub, instance, permission: wish.permission };
            let judged = links.verify(claim, target, wish.what, self.access.now());
            if judged == Err(AccessError::WrongSignature) {
                self.access.0.attempts.failed(Reason::WrongSecret, wish.what, None, None);
            }
            return judged.map(|()| hub);
        }
        // What one can't see is not there, whatever one wanted to do with it.
        if !principal.sees(hub) {
            return Err(AccessError::no_hub(hub));
        }
        principal.require(wish.permission, wish.what)?;
        if let Some(function) = wish.function {
            principal.require_function(wish.permission, function)?;
        }
        Ok(hub)
    }

    /// What the URL carries that does this to an instance: a signature that is good for this alone or, where
    /// the server is set so, the caller's key. `None` on a server that needs no keys.
    pub(crate) fn credential(&self, hub: &str, instance: &str, permission: Permission) -> Option<Credential> {
        if matches!(self.principal.who(), Who::Anybody) {
            return None;
        }
        if let Some(Shown(key)) = &self.key {
            return Some(Credential { name: KEY, value: Zeroizing::clone(key) });
        }
        let target = Target { hub, instance, permission };
        let until = match self.principal.who() {
            // Who was let in by a URL gets no other right by it, nor for longer.
            Who::Visitor(claim) if !claim.leads_to(permission) => return None,
            Who::Visitor(claim) => Some(claim.expires),
            Who::Bearer(token) => Some(token.expires),
            Who::Anybody | Who::Holder(_) => None,
        };
        let links = self.access.0.links.as_ref()?;
        let value = Zeroizing::new(links.sign(target, self.access.now(), until)?);
        Some(Credential { name: SIGNATURE, value })
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
