//! Why a call is turned away, as callers are told.

use std::fmt;

use http::StatusCode;
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
    /// It is none, or not made by whom, for whom, with what or when it should be. Which of these is for the
    /// server's log only.
    #[error("the bearer token is not valid: it must be a current one of the issuer, made for this server")]
    WrongToken,
    /// It was right.
    #[error("the bearer token expired at {0}: get a new one of its issuer")]
    TokenExpired(Timestamp),
    /// The hub is not there, or not for this key: it can't tell.
    #[error("there is no task hub {0:?}: create it with `strandline hub create`, or name another one")]
    NoHub(String),
    /// The key is right but not for this.
    #[error("{what} needs a key with the role {}; {has}", needed(*.permission))]
    Denied {
        /// The method.
        what: String,
        /// What it needs.
        permission: Permission,
        /// What the caller has instead.
        has: Has,
    },
    /// The key is for some hubs, and this is about the server.
    #[error("{0} is for those only who are let into all task hubs")]
    SomeHubs(String),
    /// The key is for other functions.
    #[error("this key is for some functions only, and {0:?} is none of them")]
    OtherFunction(String),
    /// A signed URL was changed, is of another server, or of secrets that were replaced.
    #[error("the signature of the URL is not valid: ask for the status of the instance with an access key")]
    WrongSignature,
    /// It was right.
    #[error("the signature of the URL expired at {0}: ask for the status of the instance with an access key")]
    SignatureExpired(Timestamp),
    /// The URL was made for something else on the same instance.
    #[error("{what} needs another URL: this one is signed for the operation {signed}")]
    OtherOperation {
        /// The method.
        what: String,
        /// What it is signed for.
        signed: &'static str,
    },
    /// The name of the hub is no text.
    #[error("metadata `taskhub` has characters that no name of a task hub has")]
    HubName,
    /// Nobody may call it, for it is not there.
    #[error("this server has no method {0}")]
    NoMethod(String),
}

/// What a caller has who may not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Has {
    /// A key with these roles.
    Key(Roles),
    /// A key for starting and signalling some functions.
    Functions,
    /// A token with these roles.
    Token(Roles),
    /// A token that says no role.
    NoRole,
    /// A signed URL, which is good for one operation on one instance.
    Url,
}

impl fmt::Display for Has {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(roles) => write!(f, "this key has {roles}"),
            Self::Token(roles) => write!(f, "this token has {roles}"),
            Self::NoRole => f.write_str("this token says no role"),
            Self::Functions => f.write_str("this key only starts and signals some functions"),
            Self::Url => f.write_str("this URL is signed for one operation on one instance"),
        }
    }
}

impl AccessError {
    /// What HTTP calls it.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoKey
            | Self::WrongKey
            | Self::Expired(_)
            | Self::WrongToken
            | Self::TokenExpired(_)
            | Self::WrongSignature
            | Self::SignatureExpired(_) => StatusCode::UNAUTHORIZED,
            Self::Denied { .. }
            | Self::SomeHubs(_)
            | Self::OtherFunction(_)
            | Self::OtherOperation { .. } => StatusCode::FORBIDDEN,
            Self::NoHub(_) | Self::NoMethod(_) => StatusCode::NOT_FOUND,
            Self::HubName => StatusCode::BAD_REQUEST,
        }
    }

    pub(super) fn other_function(name: &str) -> Self {
        Self::OtherFunction(echo(name))
    }

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
            AccessError::NoKey
            | AccessError::WrongKey
            | AccessError::Expired(_)
            | AccessError::WrongToken
            | AccessError::TokenExpired(_)
            | AccessError::WrongSignature
            | AccessError::SignatureExpired(_) => Self::unauthenticated(text),
            AccessError::NoHub(_) => Self::not_found(text),
            AccessError::Denied { .. }
            | AccessError::SomeHubs(_)
            | AccessError::OtherFunction(_)
            | AccessError::OtherOperation { .. } => Self::permission_denied(text),
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
            AccessError::Denied { what, permission, has: Has::Key(has.into()) }.to_string()
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
