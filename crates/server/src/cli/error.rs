//! How a command ends, and what it says when it could not do what was asked.

use std::io;
use std::time::Duration;

pub(super) use crate::exit::Exit;
use serde::Serialize;
use tonic::{Code, Status};

use super::instance::RuntimeStatus;
use super::output::Format;
use crate::shell;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{flag} is not JSON: {cause}")]
    NotJson { flag: &'static str, text: String, cause: serde_json::Error },
    #[error("{flag}: {path} can't be read: {cause}")]
    Unreadable { flag: &'static str, path: String, cause: io::Error },
    #[error("{flag}: more than {limit} bytes")]
    TooLarge { flag: &'static str, limit: usize },
    #[error("{flag}: {reason}")]
    Argument { flag: &'static str, reason: &'static str },
    #[error("--server {address}: {reason}")]
    Address { address: String, reason: String },
    #[error("more than {limit} instances match")]
    TooMany { limit: usize },
    #[error("refusing to {what} without being asked to go ahead")]
    Unconfirmed { what: String },
    #[error("nothing was done")]
    Declined,
    #[error("no server answers at {server}: {cause}")]
    Unreachable { server: String, cause: String },
    #[error("{server} did not answer within {after:?}")]
    NoAnswer { server: String, after: Duration },
    #[error("there is no instance {id:?} in task hub {hub:?}")]
    NoInstance { id: String, hub: String },
    #[error("there is no task hub {name:?}")]
    NoHub { name: String },
    #[error("instance {id:?} is over already: {status}")]
    Over { id: String, status: RuntimeStatus },
    #[error("instance {id:?} is not over: {status}")]
    NotOver { id: String, status: RuntimeStatus },
    #[error("instance {id:?} was not over within {after:?}")]
    TimedOut { id: String, after: Duration },
    #[error("the watch ended after {0:?}")]
    WatchEnded(Duration),
    #[error("{failed} of {of} could not be {done}")]
    Partly { failed: usize, of: usize, done: &'static str },
    #[error("{}", .0.message())]
    Refused(Box<Status>),
    #[error("the output can't be written: {0}")]
    Output(#[from] io::Error),
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// An answer of the server that is not what was asked for.
    pub(super) fn from_status(status: Status, server: &str) -> Self {
        if status.code() == Code::Unavailable {
            let cause = innermost(&status).unwrap_or_else(|| status.message().to_owned());
            return Self::Unreachable { server: server.to_owned(), cause };
        }
        Self::Refused(Box::new(status))
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NotJson { .. }
            | Self::Unreadable { .. }
            | Self::TooLarge { .. }
            | Self::Argument { .. }
            | Self::Address { .. }
            | Self::TooMany { .. }
            | Self::Unconfirmed { .. } => Exit::Usage,
            Self::Declined | Self::Partly { .. } => Exit::Error,
            // Whoever reads has seen enough.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
            Self::Output(_) => Exit::Error,
            Self::Unreachable { .. } | Self::NoAnswer { .. } => Exit::Unreachable,
            Self::NoInstance { .. } | Self::NoHub { .. } => Exit::NotFound,
            Self::Over { .. } | Self::NotOver { .. } => Exit::Conflict,
            Self::TimedOut { .. } | Self::WatchEnded(_) => Exit::Timeout,
            Self::Interrupted => Exit::Interrupted,
            Self::Refused(status) => match status.code() {
                Code::NotFound => Exit::NotFound,
                Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => Exit::Conflict,
                Code::InvalidArgument => Exit::Usage,
                _ => Exit::Error,
            },
        }
    }

    /// What to do about it.
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotJson { text, .. } => {
                let quoted = serde_json::Value::from(text.as_str()).to_string();
                format!(
                    "a string needs its quotes: '{}'; --raw sends the text as it is",
                    quoted.replace('\'', r"'\''")
                )
            }
            Self::TooMany { .. } => "narrow the filter, or do it in parts".to_owned(),
            Self::Unconfirmed { .. } => {
                "give -y to go ahead, or --dry-run to see what it would be".to_owned()
            }
            Self::Unreachable { .. } => {
                "start one with `strandline serve`, or name another one with --server or $STRANDLINE_SERVER"
                    .to_owned()
            }
            Self::NoAnswer { .. } => "--timeout waits longer".to_owned(),
            Self::NoInstance { .. } => {
                "`strandline list` shows what is there; --hub names another hub".to_owned()
            }
            Self::NoHub { .. } => "`strandline hub list` shows what is there".to_owned(),
            Self::TimedOut { id, .. } => {
                format!("it goes on without you: `strandline watch {}` waits again", shell::word(id))
            }
            Self::NotOver { id, .. } => {
                format!("`strandline terminate {}` ends it", shell::word(id))
            }
            Self::Refused(status) => match status.code() {
                Code::Unauthenticated | Code::PermissionDenied => {
                    "give a key with --key-file or $STRANDLINE_KEY".to_owned()
                }
                Code::Unimplemented => "the server is older than this command: update it".to_owned(),
                _ => return None,
            },
            _ => return None,
        })
    }

    /// Tells the user, on stderr.
    pub(super) fn report(&self, format: Format) {
        // Who stopped reading or waiting knows.
        if matches!(self.exit(), Exit::Ok | Exit::Interrupted) {
            return;
        }
        let (exit, message, hint) = (self.exit(), self.to_string(), self.hint());
        match format {
            Format::Json | Format::Jsonl => {
                let error = Report { code: exit, exit_code: exit as u8, message, hint };
                let text = serde_json::to_string(&Reported { error }).unwrap_or_default();
                eprintln!("{text}");
            }
            Format::Table | Format::Wide | Format::Id => {
                eprintln!("error: {message}");
                if let Some(hint) = hint {
                    eprintln!("hint: {hint}");
                }
            }
        }
    }
}

#[derive(Serialize)]
struct Reported {
    error: Report,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    code: Exit,
    exit_code: u8,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// The last cause of an error, which says most: `Connection refused`.
pub(super) fn innermost(error: &dyn std::error::Error) -> Option<String> {
    let mut cause = error.source()?;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Some(cause.to_string())
}
