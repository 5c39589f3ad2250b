//! Who calls.

use std::sync::Arc;

use crate::keys::{HubScope, KeyEntry, KeyId, Permission, Role, Roles};

use super::AccessError;

/// Who calls: somebody with a key or, on a server that needs none, anybody.
#[derive(Clone, Debug)]
pub struct Principal(Who);

#[derive(Clone, Debug)]
enum Who {
    Anybody,
    Holder(Arc<KeyEntry>),
}

impl Principal {
    pub(super) fn anybody() -> Self {
        Self(Who::Anybody)
    }

    pub(super) fn holder(entry: Arc<KeyEntry>) -> Self {
        Self(Who::Holder(entry))
    }

    pub(super) fn entry(&self) -> Option<&Arc<KeyEntry>> {
        match &self.0 {
            Who::Anybody => None,
            Who::Holder(entry) => Some(entry),
        }
    }

    /// The key, for logs; `None` on a server that needs none.
    pub fn key(&self) -> Option<&KeyId> {
        self.entry().map(|entry| &entry.id)
    }

    /// What the caller is.
    pub fn roles(&self) -> Roles {
        self.entry().map_or(Role::Admin.into(), |entry| entry.roles.clone())
    }

    /// Where.
    pub fn scope(&self) -> &HubScope {
        self.entry().map_or(&HubScope::All, |entry| &entry.hub)
    }

    /// Whether a hub exists as far as the caller can know.
    pub fn sees(&self, hub: &str) -> bool {
        self.scope().contains(hub)
    }

    /// Whether the caller may do this in the hubs it sees.
    pub fn may(&self, permission: Permission) -> bool {
        self.entry().is_none_or(|entry| entry.roles.allow(permission))
    }

    /// Refuses what the caller may not do; `what` is how the refusal calls it.
    pub fn require(&self, permission: Permission, what: &str) -> Result<(), AccessError> {
        if self.may(permission) {
            Ok(())
        } else {
            Err(AccessError::Denied { what: what.to_owned(), permission, has: self.roles() })
        }
    }
}
