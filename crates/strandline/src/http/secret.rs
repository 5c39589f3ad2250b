//! Secrets that requests name and the sender knows.

use std::fmt;
use std::path::PathBuf;

use super::error::failed;
use crate::error::Result;

/// Longest value of a secret in bytes.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// Where a secret is read from, each time it is used. It shows its value nowhere.
#[derive(Clone)]
pub struct Secret {
    place: Place,
}

#[derive(Clone)]
enum Place {
    Environment(String),
    File(PathBuf),
    Text(String),
}

impl Secret {
    /// A variable of the environment.
    pub fn env(variable: impl Into<String>) -> Self {
        Self { place: Place::Environment(variable.into()) }
    }

    /// A file. White space around its content does not count.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { place: Place::File(path.into()) }
    }

    /// The value itself.
    pub fn text(value: impl Into<String>) -> Self {
        Self { place: Place::Text(value.into()) }
    }

    /// The value now. Where it is and what is wrong with it are for the log of whoever sends.
    pub(super) fn read(&self) -> Result<String> {
        let value = match &self.place {
            Place::Environment(variable) => std::env::var(variable).map_err(|error| error.to_string()),
            Place::File(path) => std::fs::read_to_string(path).map_err(|error| error.to_string()),
            Place::Text(value) => Ok(value.clone()),
        };
        let wrong = match value.as_ref().map(|value| value.trim()) {
            Ok(value) if (1..=SECRET_BYTES_MAX).contains(&value.len()) => return Ok(value.to_owned()),
            Ok(_) => format!("a secret has 1 to {SECRET_BYTES_MAX} bytes"),
            Err(error) => error.clone(),
        };
        tracing::warn!(secret = ?self, error = wrong, "a secret that a request needs can't be read");
        Err(failed("a secret that the request needs can't be read: the log of its sender says more"))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Environment(variable) => write!(f, "the secret in the variable {variable}"),
            Place::File(path) => write!(f, "the secret in the file {}", path.display()),
            Place::Text(_) => f.write_str("a secret"),
        }
    }
}
