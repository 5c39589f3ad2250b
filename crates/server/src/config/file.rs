//! Configuration files.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::fault::What;
use super::keys::Keys;
use super::{ConfigError, Fault, Layer, Said};
use crate::settings::Source;

/// Bytes of a file; what is longer is no configuration.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The text of a file that must be there.
pub(super) fn text(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |error| ConfigError::Unreadable { path: path.to_owned(), error };
    let length = fs::metadata(path).map_err(unreadable)?.len();
    if length > FILE_BYTES_MAX {
        let error = io::Error::other(format!("it has {length} bytes, more than {FILE_BYTES_MAX}"));
        return Err(unreadable(error));
    }
    fs::read_to_string(path).map_err(unreadable)
}

/// The text of a file, if there is one.
pub(super) fn text_if_there(path: &Path) -> Result<Option<String>, ConfigError> {
    match text(path) {
        Err(ConfigError::Unreadable { error, .. }) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => text.map(Some),
    }
}

/// What a configuration file says, and what is wrong with it.
pub(super) fn layer(path: &Path, text: &str) -> (Layer, Vec<Fault>) {
    let mut reader = Reader { path, text, layer: Layer::new(), faults: Vec::new() };
    match DeTable::parse(text) {
        Ok(table) => reader.table("", table.get_ref()),
        Err(error) => {
            // Not the line itself, as the parser would show it: there may be a secret in it.
            let source = reader.at(&error.span().unwrap_or_default());
            reader.fault(source, What::Syntax(error.message().to_owned()));
        }
    }
    (reader.layer, reader.faults)
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    layer: Layer,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn table(&mut self, path: &str, table: &DeTable<'_>) {
        let keys = Keys::all();
        for (name, value) in table {
            let path = match path {
                "" => name.get_ref().to_string(),
                path => format!("{path}.{}", name.get_ref()),
            };
            let source = self.at(&name.span());
            match value.get_ref() {
                _ if keys.key(&path).is_some() => match plain(value.get_ref()) {
                    Ok(value) => drop(self.layer.insert(path, Said { value, source })),
                    Err(reason) => self.fault(source, What::Value { key: path, reason }),
                },
                DeValue::Table(inner) if keys.is_section(&path) => self.table(&path, inner),
                _ if keys.is_section(&path) => self.fault(source, What::Section(path)),
                _ => {
                    let nearest = keys.nearest(&path).map(str::to_owned);
                    self.fault(source, What::Unknown { key: path, nearest });
                }
            }
        }
    }

    fn at(&self, span: &Range<usize>) -> Source {
        let before = self.text.as_bytes().get(..span.start).unwrap_or(self.text.as_bytes());
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Source::File { path: self.path.to_owned(), line }
    }

    fn fault(&mut self, source_of_it: Source, what: What) {
        self.faults.push(Fault { source_of_it, what });
    }
}

/// A value without the places its parts stand at.
fn plain(value: &DeValue<'_>) -> Result<toml::Value, String> {
    Ok(match value {
        DeValue::String(text) => toml::Value::String(text.to_string()),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            toml::Value::Integer(parsed.map_err(|error| error.to_string())?)
        }
        DeValue::Float(number) => {
            toml::Value::Float(number.as_str().parse().map_err(|_| "this is no number".to_owned())?)
        }
        DeValue::Boolean(value) => toml::Value::Boolean(*value),
        DeValue::Datetime(time) => toml::Value::Datetime(*time),
        DeValue::Array(items) => {
            toml::Value::Array(items.iter().map(|item| plain(item.get_ref())).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => {
            let pairs = table.iter();
            let pairs = pairs.map(|(name, value)| Ok((name.get_ref().to_string(), plain(value.get_ref())?)));
            toml::Value::Table(pairs.collect::<Result<_, String>>()?)
        }
    })
}
