//! Who calls.

use std::sync::Arc;

use crate::hubs::DEFAULT_HUB;
use crate::keys::{HubScope, KeyEntry, KeyId, Permission};

use super::AccessError;
use super::error::Has;
use super::links::Claim;

/// Who calls: somebody with a key or a signed URL or, on a server that needs none, anybody.
#[derive(Clone, Debug)]
pub struct Principal(Who);

#[derive(Clone, Debug)]
pub(super) enum Who {
    Anybody,
    Holder(Arc<KeyEntry>),
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
            Who::Anybody | Who::Visitor(_) => None,
        }
    }

    /// Whether a hub exists as far as the caller can know.
    pub fn sees(&self, hub: &str) -> bool {
        match &self.0 {
            Who::Anybody => true,
            Who::Holder(entry) => entry.hub.contains(hub),
            Who::Visitor(_) => false,
        }
    }

    /// The hub of a call that names none.
    pub fn home(&self) -> &str {
        match &self.0 {
            Who::Holder(entry) => match &entry.hub {
                HubScope::One(hub) => hub,
                HubScope::All => DEFAULT_HUB,
            },
            Who::Anybody | Who::Visitor(_) => DEFAULT_HUB,
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
            Who::Holder(entry) if entry.roles.allow(permission) => return Ok(()),
            Who::Holder(entry) => Has::Key(entry.roles.clone()),
            Who::Visitor(_) => Has::Url,
        };
        Err(AccessError::Denied { what: what.to_owned(), permission, has })
    }

    /// Refuses a function that the caller's key is not for.
    pub fn require_function(&self, _name: &str) -> Result<(), AccessError> {
        Ok(())
    }
}
