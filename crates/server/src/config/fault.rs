//! What can be wrong with a configuration.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::exit::{Exit, Failure};
use crate::settings::Source;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{} can't be read: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{}", Lines(.0))]
    Faults(Vec<Fault>),
}

impl ConfigError {
    /// How a command ends with it.
    pub(crate) fn into_failure(self) -> Failure {
        let exit = match &self {
            Self::Unreadable { error, .. } if error.kind() == io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Error,
        };
        Failure::new(exit, self)
    }
}

impl From<Fault> for ConfigError {
    fn from(fault: Fault) -> Self {
        Self::Faults(vec![fault])
    }
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{source_of_it}: {what}")]
pub(crate) struct Fault {
    pub(crate) source_of_it: Source,
    pub(crate) what: What,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum What {
    #[error("there is no setting {key}{}", DidYouMean(nearest.as_deref()))]
    Unknown { key: String, nearest: Option<String> },
    #[error("{0} is a section: its settings are written below it, as in [{0}]")]
    Section(String),
    #[error("{key} must be {expected}, not {found}")]
    Form { key: String, expected: String, found: String },
    #[error("{key}: {reason}")]
    Value { key: String, reason: String },
    #[error("{key} is said by {other}, too: leave one of them out")]
    Twice { key: String, other: Source },
    #[error("{0}")]
    Syntax(String),
    #[error("the value is not UTF-8")]
    NotText,
}

/// One below the other.
struct Lines<'a>(&'a [Fault]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.0.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

pub(super) struct DidYouMean<'a>(pub(super) Option<&'a str>);

impl fmt::Display for DidYouMean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(nearest) => write!(f, "; did you mean {nearest}?"),
            None => Ok(()),
        }
    }
}
