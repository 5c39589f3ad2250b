//! Who calls.

use std::sync::Arc;

use crate::keys::{HubScope, KeyEntry, KeyId, Permission};

use super::AccessError;
use super::error::Has;
use super::links::Claim;
use super::tokens::Token;

/// Who calls: somebody with a key, a token or a signed URL or, on a server that needs none, anybody.
#[derive(Clone, Debug)]
pub struct Principal(Who);

#[derive(Clone, Debug)]
pub(super) enum Who {
    Anybody,
    Holder(Arc<KeyEntry>),
    Bearer(Arc<Token>),
    /// Whoever has a URL. What it says is not believed before the request's hub and instance are known.
    Visitor(Arc<Claim>),
}

impl Principal {
    pub(super) fn new(who: Who) -> Self {
        Self(who)
    }

    pub(super) fn who(&self) -> &Who {
        &self.0
    }

    /// The key, for logs; `None` on a server that needs none, and of who comes without.
    pub fn key(&self) -> Option<&KeyId> {
        match &self.0 {
            Who::Holder(entry) => Some(&entry.id),
            Who::Anybody | Who::Bearer(_) | Who::Visitor(_) => None,
        }
    }

    /// Whether a hub exists as far as the caller can know.
    pub fn sees(&self, hub: &str) -> bool {
        match &self.0 {
            Who::Anybody => true,
            Who::Holder(entry) => entry.hub.contains(hub),
            Who::Bearer(token) => token.sees(hub),
            Who::Visitor(_) => false,
        }
    }

    /// Whether the caller is let into every hub, those to come included.
    pub fn sees_all_hubs(&self) -> bool {
        match &self.0 {
            Who::Anybody => true,
            Who::Holder(entry) => entry.hub == HubScope::All,
            Who::Bearer(token) => token.hubs.contains(&HubScope::All),
            Who::Visitor(_) => false,
        }
    }

    /// The hub of a call that names none, if the caller has one of its own.
    pub fn home(&self) -> Option<&str> {
        let scopes = match &self.0 {
            Who::Holder(entry) => std::slice::from_ref(&entry.hub),
            Who::Bearer(token) => &token.hubs,
            Who::Anybody | Who::Visitor(_) => &[],
        };
        match scopes {
            [HubScope::One(hub)] => Some(hub),
            _ => None,
        }
    }

    /// Whether the caller may do this in the hubs it sees.
    pub fn may(&self, permission: Permission) -> bool {
        self.require(permission, "").is_ok()
    }

    /// Refuses what the caller may not do; `what` is how the refusal calls it.
    pub fn require(&self, permission: Permission, what: &str) -> Result<(), AccessError> {
        let has = match &self.0 {
            Who::Anybody => return Ok(()),
            Who::Holder(entry) if entry.allows(permission) => return Ok(()),
            Who::Holder(entry) if entry.functions.is_some() => Has::Functions,
            Who::Holder(entry) => Has::Key(entry.roles.clone()),
            Who::Bearer(token) if token.allows(permission) => return Ok(()),
            Who::Bearer(token) => token.roles.clone().map_or(Has::NoRole, Has::Token),
            Who::Visitor(_) => Has::Url,
        };
        Err(AccessError::Denied { what: what.to_owned(), permission, has })
    }

    /// The same for what is about the whole server: whoever has some of its hubs only may not.
    pub fn require_everywhere(&self, permission: Permission, what: &str) -> Result<(), AccessError> {
        self.require(permission, what)?;
        if self.sees_all_hubs() { Ok(()) } else { Err(AccessError::SomeHubs(what.to_owned())) }
    }

    /// Refuses a function that the caller's key is not for.
    /// What does something with a function must ask: [`require`](Self::require) knows no names.
    pub fn require_function(&self, permission: Permission, name: &str) -> Result<(), AccessError> {
        let limit = match &self.0 {
            Who::Holder(entry) => entry.functions.as_ref(),
            Who::Anybody | Who::Bearer(_) | Who::Visitor(_) => None,
        };
        match limit {
            Some(functions) if !functions.contain(permission, name) => Err(AccessError::other_function(name)),
            _ => Ok(()),
        }
    }

    /// Whether the caller's key is for some functions only.
    pub(crate) fn is_limited(&self) -> bool {
        matches!(&self.0, Who::Holder(entry) if entry.functions.is_some())
    }

    /// Who it is, for logs; `None` on a server that lets everybody in.
    pub fn name(&self) -> Option<String> {
        match &self.0 {
            Who::Anybody => None,
            Who::Holder(entry) => Some(format!("key:{}", entry.id)),
            Who::Bearer(token) => Some(format!("token:{}", token.subject)),
            Who::Visitor(_) => Some("url".to_owned()),
        }
    }
}
