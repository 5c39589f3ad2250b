//! How settings are said: on the command line, in the environment, in files, and where nothing is said.
//!
//! Whatever says something becomes a [`Layer`]; [`load`] puts the layers on top of each other. Which settings
//! there are is known from their schema, so a setting is declared once, in [`crate::settings`].

mod args;
pub(crate) mod command;
mod environment;
mod fault;
mod file;
mod host_json;
mod keys;
mod load;
mod show;

use std::collections::BTreeMap;

use crate::settings::Source;

pub(crate) use args::{ConfigArgs, Scope, ServerFlags};
pub(crate) use fault::ConfigError;
use fault::Fault;
use load::load;
pub(crate) use show::{Shown, shown};

/// What one place says, by the settings' keys.
type Layer = BTreeMap<String, Said>;

/// A value, and where it stands.
#[derive(Clone, Debug)]
struct Said {
    value: toml::Value,
    source: Source,
}
