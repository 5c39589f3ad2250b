//! Where the values of settings come from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Where a value was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nowhere.
    Default,
    /// On the command line, with this flag.
    Flag(String),
    /// In this variable of the environment.
    Environment(String),
    /// In a configuration file, on this line.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// In a `host.json` of Azure Functions, under this key.
    HostJson {
        /// The file as it was named.
        path: PathBuf,
        /// Below `extensions.durableTask`.
        key: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Flag(flag) => f.write_str(flag),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::HostJson { path, key } => write!(f, "{}: {key}", path.display()),
        }
    }
}

/// Where each setting was said, by its key: `hub.name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(BTreeMap<String, Source>);

impl Sources {
    /// Of one setting.
    pub fn of(&self, key: &str) -> &Source {
        self.0.get(key).unwrap_or(&Source::Default)
    }
}

impl FromIterator<(String, Source)> for Sources {
    fn from_iter<I: IntoIterator<Item = (String, Source)>>(sources: I) -> Self {
        Self(sources.into_iter().collect())
    }
}
