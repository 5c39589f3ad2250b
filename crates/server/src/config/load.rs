//! From all that is said to settings.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::fault::What;
use super::keys::Keys;
use super::{ConfigError, Fault, Layer, Said, environment, file, host_json};
use crate::settings::{Settings, Source};

/// Everything that may say something, the strongest first.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    /// Flags of the command line, by setting, with how each was written.
    pub(crate) flags: Vec<Flag>,
    /// The environment.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// A configuration file that must be there.
    pub(crate) file: Option<PathBuf>,
    /// A `host.json` that must be there.
    pub(crate) host_json: Option<PathBuf>,
    /// Configuration files that may be there.
    pub(crate) places: Vec<PathBuf>,
}

/// A setting on the command line.
#[derive(Clone, Debug)]
pub(crate) struct Flag {
    /// How it was written: `--dir`.
    pub(crate) flag: String,
    /// Of which setting.
    pub(crate) key: String,
    pub(crate) value: FlagValue,
}

/// What a flag says.
#[derive(Clone, Debug)]
pub(crate) enum FlagValue {
    /// A text that is still to be read.
    Text(String),
    /// As it is.
    Value(toml::Value),
}

/// The settings that all these make.
///
/// # Errors
/// Everything that is wrong, not just the first of it.
pub(crate) fn load(inputs: Inputs) -> Result<Settings, ConfigError> {
    let Inputs { flags, environment, file, host_json, places } = inputs;
    let mut layers = vec![flag_layer(flags), environment::layer(environment)];
    if let Some(path) = file {
        layers.push(file::layer(&path, &file::text(&path)?));
    }
    if let Some(path) = host_json {
        layers.push(host_json::layer(&path, &file::text(&path)?));
    }
    for path in places {
        if let Some(text) = file::text_if_there(&path)? {
            layers.push(file::layer(&path, &text));
        }
    }
    settle(layers)
}

/// The settings that one file makes, with the defaults.
pub(super) fn load_alone(path: &Path) -> Result<Settings, ConfigError> {
    settle(vec![file::layer(path, &file::text(path)?)])
}

fn flag_layer(flags: Vec<Flag>) -> (Layer, Vec<Fault>) {
    let (mut layer, mut faults) = (Layer::new(), Vec::new());
    let keys = Keys::all();
    for Flag { flag, key: path, value } in flags {
        let source = Source::Flag(flag);
        let Some(key) = keys.key(&path) else {
            let nearest = keys.nearest(&path).map(str::to_owned);
            faults.push(Fault { source_of_it: source, what: What::Unknown { key: path, nearest } });
            continue;
        };
        let value = match value {
            FlagValue::Text(text) => key.read(&text),
            FlagValue::Value(value) => value,
        };
        if let Some(Said { source: other, .. }) = layer.get(&path) {
            let what = What::Twice { key: path, other: other.clone() };
            faults.push(Fault { source_of_it: source, what });
        } else {
            layer.insert(path, Said { value, source });
        }
    }
    (layer, faults)
}

/// Puts layers on top of each other, the first on top, and reads what that gives.
fn settle(layers: Vec<(Layer, Vec<Fault>)>) -> Result<Settings, ConfigError> {
    let (mut merged, mut faults) = (Layer::new(), Vec::new());
    for (layer, mut wrong) in layers {
        // What is covered must be right, too: it may be uncovered one day.
        wrong.extend(layer.iter().filter_map(|(key, said)| misfit(key, said)));
        wrong.sort_by_key(|fault| match fault.source_of_it {
            Source::File { line, .. } => line,
            _ => 0,
        });
        faults.extend(wrong);
        for (key, said) in layer {
            merged.entry(key).or_insert(said);
        }
    }
    if !faults.is_empty() {
        return Err(ConfigError::Faults(faults));
    }
    let mut settings = read(merged.iter()).map_err(ConfigError::Faults)?;
    settings.sources = merged.iter().map(|(key, said)| (key.clone(), said.source.clone())).collect();
    let impossible = settings.check().into_iter().map(|wrong| {
        let reason = wrong.must;
        let key = wrong.key.to_owned();
        Fault { source_of_it: settings.sources.of(&key).clone(), what: What::Value { key, reason } }
    });
    let faults: Vec<_> = impossible.collect();
    if faults.is_empty() { Ok(settings) } else { Err(ConfigError::Faults(faults)) }
}

/// What is wrong with one value by itself.
fn misfit(path: &str, said: &Said) -> Option<Fault> {
    let fault = |what| Some(Fault { source_of_it: said.source.clone(), what });
    if let Some((expected, found)) = Keys::all().key(path).and_then(|key| key.misfit(&said.value)) {
        let found = if is_near_secrets(path) { format!("a {}", said.value.type_str()) } else { found };
        return fault(What::Form { key: path.to_owned(), expected, found });
    }
    read(std::iter::once((&path.to_owned(), said))).err().and_then(|faults| faults.into_iter().next())
}

/// The settings that these make, over the defaults.
fn read<'a>(said: impl Iterator<Item = (&'a String, &'a Said)> + Clone) -> Result<Settings, Vec<Fault>> {
    let mut tree = toml::Table::new();
    for (path, said) in said.clone() {
        let mut levels: Vec<_> = path.split('.').collect();
        let Some(name) = levels.pop() else { continue };
        let table = levels.into_iter().try_fold(&mut tree, |table, level| {
            table.entry(level).or_insert_with(|| toml::Table::new().into()).as_table_mut()
        });
        if let Some(table) = table {
            table.insert(name.to_owned(), said.value.clone());
        }
    }
    serde_path_to_error::deserialize(toml::Value::Table(tree)).map_err(|error| {
        let at = error.path().to_string();
        let within =
            |path: &str| at == path || at.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '[']));
        let found = said.clone().find(|(path, _)| within(path));
        let source_of_it = found.map_or(Source::Default, |(_, said)| said.source.clone());
        let reason = error.into_inner().message().trim_end().to_owned();
        let what = match found.filter(|(path, _)| is_near_secrets(path)) {
            Some((path, said)) => near_secrets(path, &said.value, within, &reason),
            None => What::Value { key: at.clone(), reason },
        };
        vec![Fault { source_of_it, what }]
    })
}

/// Whether somebody may have written a secret here, where the place of it belongs.
fn is_near_secrets(path: &str) -> bool {
    ["call_http.secrets", "call_http.tokens"].contains(&path)
}

/// What is wrong there, without anything that was written but the name of an entry.
fn near_secrets(path: &str, said: &toml::Value, within: impl Fn(&str) -> bool, reason: &str) -> What {
    let entries = said.as_table().into_iter().flatten();
    // What stands for no table may be a name that was written for a secret, and the other way round.
    let mut names = entries.filter(|(_, entry)| entry.is_table()).map(|(name, _)| format!("{path}.{name}"));
    let key = names.find(|path| within(path)).unwrap_or_else(|| path.to_owned());
    let reason = match reason {
        // Of ours.
        missing if missing.starts_with("missing field ") => missing.to_owned(),
        _ => {
            "this is not what `strandline config schema` says; it is not shown, it may be a secret".to_owned()
        }
    };
    What::Value { key, reason }
}
