//! Why a call is turned away, as callers are told.

use jiff::Timestamp;
use tonic::Status;

use crate::keys::{Permission, Role, Roles};

/// Longest part of what a caller sent that it is told again, in characters.
const ECHO_MAX: usize = 100;

/// Why a call is turned away. None of these holds a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// There is none.
    #[error(
        "this server needs an access key: send it as metadata `authorization: Bearer KEY` or \
         `x-functions-key: KEY`; `strandline keys create` makes one"
    )]
    NoKey,
    /// It is none, none of this server, or no longer one. Which of these is for the server's log only.
    #[error(
        "the access key is not valid: it is mistyped, of another server, or was revoked; \
         `strandline keys list` shows the keys there are"
    )]
    WrongKey,
    /// It was right.
    #[error("the access key expired at {0}: `strandline keys create` makes a new one")]
    Expired(Timestamp),
    /// The hub is not there, or not for this key: it can't tell.
    #[error("there is no task hub {0:?}: create it with `strandline hub create`, or name another one")]
    NoHub(String),
    /// The key is right but not for this.
    #[error("{what} needs a key with the role {}; this key has {has}", needed(*.permission))]
    Denied {
        /// The method.
        what: String,
        /// What it needs.
        permission: Permission,
        /// What the key has.
        has: Roles,
    },
    /// The name of the hub is no text.
    #[error("metadata `taskhub` has characters that no name of a task hub has")]
    HubName,
    /// Nobody may call it, for it is not there.
    #[error("this server has no method {0}")]
    NoMethod(String),
}

impl AccessError {
    pub(super) fn no_hub(name: &str) -> Self {
        Self::NoHub(echo(name))
    }

    pub(super) fn no_method(path: &str) -> Self {
        Self::NoMethod(echo(path))
    }
}

impl From<AccessError> for Status {
    fn from(error: AccessError) -> Self {
        let text = error.to_string();
        match error {
            AccessError::NoKey | AccessError::WrongKey | AccessError::Expired(_) => {
                Self::unauthenticated(text)
            }
            AccessError::NoHub(_) => Self::not_found(text),
            AccessError::Denied { .. } => Self::permission_denied(text),
            AccessError::HubName => Self::invalid_argument(text),
            AccessError::NoMethod(_) => Self::unimplemented(text),
        }
    }
}

fn echo(text: &str) -> String {
    text.chars().take(ECHO_MAX).collect()
}

/// The roles that suffice.
fn needed(permission: Permission) -> String {
    let roles = Role::ALL.iter().filter(|role| role.allows(permission));
    roles.map(Role::to_string).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_names_the_roles_that_suffice() {
        let denied = |permission, has: Role| {
            let what = "StartInstance".to_owned();
            AccessError::Denied { what, permission, has: has.into() }.to_string()
        };
        assert_eq!(
            denied(Permission::Operate, Role::Worker),
            "StartInstance needs a key with the role client or admin; this key has worker"
        );
        let administer = denied(Permission::Administer, Role::Client);
        assert!(administer.contains("with the role admin; this key has client"), "{administer}");
    }

    #[test]
    fn what_a_caller_sent_is_told_in_part() {
        let told = AccessError::no_hub(&"x\n".repeat(10_000)).to_string();
        assert!(told.len() < 400 && !told.contains('\n'), "{told}");
    }
}
