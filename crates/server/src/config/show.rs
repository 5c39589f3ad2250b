//! Settings as people and programs look at them.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::keys::{Key, Keys};
use crate::settings::Settings;

/// A setting as it is, and where that was said.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    /// Such as `hub.name`.
    pub(crate) key: String,
    /// `null`: there is none.
    pub(crate) value: Value,
    /// Such as `default` or `strandline.toml:3`.
    pub(crate) source: String,
}

/// All settings.
pub(crate) fn shown(settings: &Settings) -> Vec<Shown> {
    let values = serde_json::to_value(settings).unwrap_or_default();
    let show = |key: &Key| {
        let value = key.path.split('.').try_fold(&values, |value, level| value.get(level));
        Shown {
            key: key.path.clone(),
            value: value.cloned().unwrap_or_default(),
            source: settings.sources.of(&key.path).to_string(),
        }
    };
    Keys::all().keys.iter().map(show).collect()
}

/// Whether a file says where its values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origins {
    Silent,
    Told,
}

/// As a configuration file.
pub(super) fn toml(settings: &Settings, origins: Origins) -> String {
    let mut file = String::new();
    let mut section = "";
    let shown = shown(settings);
    for Shown { key, value, source } in &shown {
        let (of, name) = key.rsplit_once('.').unwrap_or(("", key));
        if of != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            let _ = writeln!(file, "{gap}[{of}]");
            section = of;
        }
        let line = line(name, value);
        let _ = match origins {
            Origins::Told => writeln!(file, "{line}  # {source}"),
            Origins::Silent => writeln!(file, "{line}"),
        };
    }
    file
}

/// A file with all settings as they are when nothing is said, and what they mean.
pub(super) fn example() -> String {
    const WIDTH: usize = 98;
    let mut file = String::from(
        "# Configuration of a Strandline server: `strandline serve --config FILE`, or put it where it is looked\n\
         # for, ./strandline.toml or /etc/strandline/strandline.toml. A line without its # says something else\n\
         # than the default. Environment variables like STRANDLINE__HUB__NAME and flags go before files.\n\
         # `strandline config show --sources` tells what is in force, and why.\n",
    );
    let keys = Keys::all();
    for section in &keys.sections {
        let _ = write!(file, "\n{}[{}]\n", wrapped(&section.about, WIDTH), section.path);
        let of = |key: &&Key| key.path.rsplit_once('.').is_some_and(|(of, _)| of == section.path);
        for key in keys.keys.iter().filter(of) {
            let name = key.path.rsplit('.').next().unwrap_or_default();
            let line = line(name, &key.default);
            let mark = if line.starts_with('#') { "" } else { "#" };
            let about = format!("{} ({})", key.about, key.expected());
            let _ = write!(file, "\n{}{mark}{line}\n", wrapped(&about, WIDTH));
        }
    }
    file
}

fn line(name: &str, value: &Value) -> String {
    match value {
        Value::Null => format!("# {name} is not set"),
        value => match toml::Value::try_from(value) {
            Ok(value) => format!("{name} = {value}"),
            Err(error) => format!("# {name}: {error}"),
        },
    }
}

/// As comments, in lines that are not too long.
fn wrapped(text: &str, width: usize) -> String {
    let mut lines = String::new();
    for paragraph in text.split("\n\n") {
        let mut line = "#".to_owned();
        for word in paragraph.split_whitespace() {
            if line.len() + 1 + word.len() > width {
                let _ = writeln!(lines, "{line}");
                line = "#".to_owned();
            }
            line.push(' ');
            line.push_str(word);
        }
        let _ = writeln!(lines, "{line}");
    }
    lines
}
