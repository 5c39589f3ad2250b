//! How a command ends.

use std::process::ExitCode;

use serde::Serialize;

/// What a script needs to know of how it went. The numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It is done, and what was waited for completed.
    Ok = 0,
    /// Something else.
    Error = 1,
    /// The command makes no sense as it was given.
    Usage = 2,
    /// The orchestration that was waited for failed.
    Failed = 3,
    /// The orchestration that was waited for was terminated or canceled.
    Terminated = 4,
    /// What was waited for did not happen in time.
    Timeout = 5,
    /// What is named is not there.
    NotFound = 6,
    /// It does not fit what is there.
    Conflict = 7,
    /// No server answers.
    Unreachable = 8,
    /// Somebody interrupted it.
    Interrupted = 130,
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub struct Failure {
    /// For scripts.
    pub exit: Exit,
    /// For people.
    pub error: anyhow::Error,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(Exit::Error, error)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
