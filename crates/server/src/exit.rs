//! How a command ends that did not do what it was asked for.

use std::process::ExitCode;

/// What went wrong, as far as a script needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Something else.
    Error = 1,
    /// The command makes no sense as it was given.
    Usage = 2,
    /// What is named is not there.
    NotFound = 6,
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
