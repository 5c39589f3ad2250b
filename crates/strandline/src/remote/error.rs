//! What a server answers instead, in the words of an embedded hub.

use std::error::Error as _;

use strandline_model::InstanceId;
use tonic::{Code, ConnectError, Status};

use crate::error::Error;

/// Metadata in which a server of ours names the type of an error, on an answer or on a failed call: codes
/// can't tell all apart.
pub(super) const ERROR_TYPE: &str = "strandline-error";
/// Its text, where the answer has no place for one.
pub(super) const ERROR_TEXT: &str = "strandline-error-text";

/// What a call is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    Hub,
    Instance(&'a InstanceId),
    Entity(&'a strandline_model::EntityId),
}

/// A failed call.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) status: Status,
    /// An attempt before may have been carried out.
    pub(super) in_doubt: bool,
}

/// The server can't be reached, or not now: another attempt may do better.
pub(super) fn is_passing(status: &Status) -> bool {
    // What comes from a server has no source.
    status.code() == Code::Unavailable || status.source().is_some_and(|_| status.code() != Code::OutOfRange)
}

/// The call never got as far as the server.
pub(super) fn was_not_sent(status: &Status) -> bool {
    std::iter::successors(status.source(), |source| (*source).source())
        .any(|source| source.is::<ConnectError>())
}

impl Failed {
    /// `precondition`: the type of the error when the subject is not in the state that the call needs.
    pub(super) fn into_error(self, subject: Subject<'_>, precondition: &str, address: &str) -> Error {
        let Self { status, in_doubt } = self;
        let told = status.metadata().get(ERROR_TYPE).and_then(|value| value.to_str().ok());
        if let Some(error_type) = told {
            return Error::new(error_type, about(subject, status.message()));
        }
        if is_passing(&status) {
            let why = reason(&status);
            if in_doubt {
                let text = format!(
                    "the server at {address} was lost before it could answer ({why}): the outcome is unknown; ask for the status, or repeat the call if that is safe"
                );
                return Error::new("OutcomeUnknown", about(subject, &text));
            }
            let text = format!("the server at {address} can't be reached ({why}): try again later");
            return Error::new("ServerUnavailable", text);
        }
        let error_type = match status.code() {
            Code::AlreadyExists => "InstanceExists",
            Code::NotFound if matches!(subject, Subject::Hub) => "HubNotFound",
            Code::NotFound => "InstanceNotFound",
            Code::FailedPrecondition => precondition,
            Code::InvalidArgument | Code::OutOfRange => "InvalidRequest",
            Code::ResourceExhausted => "HubOverloaded",
            Code::Aborted => "HistoryChanged",
            Code::Unauthenticated => {
                let text = format!(
                    "the server at {address} does not accept the key, or wants one: give a valid one with `.key(..)` ({})",
                    status.message()
                );
                return Error::new("Unauthenticated", text);
            }
            Code::PermissionDenied => "PermissionDenied",
            Code::Unimplemented => {
                let text = format!("the server at {address} can't do this: {}", status.message());
                return Error::new("NotSupported", text);
            }
            _ => "HubError",
        };
        Error::new(error_type, about(subject, status.message()))
    }
}

/// As an embedded hub says it.
fn about(subject: Subject<'_>, text: &str) -> String {
    match subject {
        Subject::Hub => text.to_owned(),
        Subject::Instance(id) => format!("instance '{id}': {text}"),
        Subject::Entity(id) => format!("entity '{id}': {text}"),
    }
}

/// The innermost cause says most: the others are transports and services.
fn reason(status: &Status) -> String {
    let sources = std::iter::successors(status.source(), |source| (*source).source());
    sources.last().map_or_else(|| status.message().to_owned(), ToString::to_string)
}

/// An answer that is not what the protocol says.
pub(super) fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::new("HubError", format_args!("the server's answer can't be read: {error}"))
}
