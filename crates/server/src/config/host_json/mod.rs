//! What a `host.json` of Azure Functions says of Durable Functions, and what of it means something here.

mod json;
mod names;

use std::fmt;
use std::path::Path;

use serde_json::{Map, Value};

use self::names::{Meaning, meaning};
use super::fault::{DidYouMean, What};
use super::keys::Keys;
use super::{Fault, Layer, Said};
use crate::settings::Source;

/// What became of a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is a setting here, with this value.
    Honoured { setting: &'static str, value: toml::Value },
    /// It means nothing here, for this reason.
    NotUsed(String),
    /// Durable Functions does not know it either.
    Unknown { nearest: Option<String> },
}

/// A key as it was written, below `extensions.durableTask` unless it stands elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding {
    pub(super) key: String,
    pub(super) verdict: Verdict,
}

/// What is in a `host.json`, key by key. Values stand in it only where they are honoured: others may be
/// secrets.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    pub(super) findings: Vec<Finding>,
    pub(super) faults: Vec<Fault>,
}

/// What a `host.json` says as settings, and what is wrong with it. What means nothing here is no fault.
pub(super) fn layer(path: &Path, text: &str) -> (Layer, Vec<Fault>) {
    let Report { findings, faults } = report(path, text, &|name| std::env::var(name).ok());
    for Finding { key, verdict } in &findings {
        if let Verdict::Unknown { nearest } = verdict {
            tracing::warn!(file = %path.display(), key, ?nearest, "Durable Functions has no such setting");
        }
    }
    let layer = findings.into_iter().filter_map(|Finding { key, verdict }| match verdict {
        Verdict::Honoured { setting, value } => {
            let source = Source::HostJson { path: path.to_owned(), key };
            Some((setting.to_owned(), Said { value, source }))
        }
        _ => None,
    });
    (layer.collect(), faults)
}

/// Looks at every key. `app_setting` knows what `%NAME%` in the hub's name stands for.
pub(super) fn report(path: &Path, text: &str, app_setting: &dyn Fn(&str) -> Option<String>) -> Report {
    let mut reader = Reader { path, app_setting, report: Report::default() };
    match json::parse(text) {
        Ok(Value::Object(root)) => reader.root(&root),
        Ok(_) => reader.fault_at(1, "a host.json is an object".to_owned()),
        Err(error) => {
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            reader.fault_at(error.line(), message.to_owned());
        }
    }
    reader.report
}

/// In which words keys are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// All on one level.
    One,
    Two,
}

struct Reader<'a> {
    path: &'a Path,
    app_setting: &'a dyn Fn(&str) -> Option<String>,
    report: Report,
}

impl Reader<'_> {
    fn root(&mut self, root: &Map<String, Value>) {
        let is = |name: &str, other: &str| name.eq_ignore_ascii_case(other);
        for (name, value) in root {
            match value {
                Value::Object(extensions) if is(name, "extensions") => {
                    for (extension, value) in extensions {
                        match value {
                            Value::Object(task) if is(extension, "durableTask") => {
                                self.durable_task(task, Version::Two);
                            }
                            _ => self.foreign(format!("{name}.{extension}")),
                        }
                    }
                }
                Value::Object(task) if is(name, "durableTask") => self.durable_task(task, Version::One),
                _ => self.foreign(name.clone()),
            }
        }
    }

    /// What is not about Durable Functions.
    fn foreign(&mut self, key: String) {
        let why = "it is for the Azure Functions host, not for Durable Functions";
        self.found(key, Verdict::NotUsed(why.to_owned()));
    }

    fn durable_task(&mut self, task: &Map<String, Value>, version: Version) {
        let provider = names::child(task, "storageProvider").and_then(Value::as_object);
        let provider = provider.and_then(|provider| names::child(provider, "type")).and_then(Value::as_str);
        let mut leaves = Vec::new();
        collect("", task, &mut leaves);
        for (key, value) in leaves {
            let verdict = match meaning(&key, version) {
                Some(meaning) => match self.judge(&key, value, meaning) {
                    Some(verdict) => verdict,
                    None => continue,
                },
                None if key.to_ascii_lowercase().starts_with("storageprovider.") => {
                    let provider = provider.map_or_else(|| "its".to_owned(), |name| format!("the {name}"));
                    Verdict::NotUsed(format!(
                        "it is for {provider} storage provider; hubs have a store of their own here"
                    ))
                }
                None => Verdict::Unknown { nearest: names::nearest(&key) },
            };
            self.found(key, verdict);
        }
    }

    fn found(&mut self, key: String, verdict: Verdict) {
        self.report.findings.push(Finding { key, verdict });
    }

    fn fault_at(&mut self, line: usize, message: String) {
        let source_of_it = Source::File { path: self.path.to_owned(), line };
        self.report.faults.push(Fault { source_of_it, what: What::Syntax(message) });
    }

    /// `None`: the value is wrong, and that has been said.
    fn judge(&mut self, key: &str, value: &Value, meaning: Meaning) -> Option<Verdict> {
        let text = text_of(value);
        let (setting, value) = match meaning {
            Meaning::None(why) => return Some(Verdict::NotUsed(why.to_owned())),
            Meaning::Same(setting) => (setting, Keys::all().key(setting)?.read(&text)),
            Meaning::Milliseconds(setting) => match text.parse() {
                Ok(millis) => {
                    let time = humantime::format_duration(std::time::Duration::from_millis(millis));
                    (setting, toml::Value::String(time.to_string()))
                }
                Err(_) => return self.wrong(key, value, "a number of milliseconds"),
            },
            Meaning::States(setting) => {
                let states = [("NonRunningStates", "non-running"), ("AnyState", "any")];
                let named = |(name, _): &&(&str, &str)| text.eq_ignore_ascii_case(name);
                match states.iter().find(named) {
                    Some((_, state)) => (setting, toml::Value::String((*state).to_owned())),
                    None => return self.wrong(key, value, "\"NonRunningStates\" or \"AnyState\""),
                }
            }
            Meaning::Connection(setting) => {
                // In URLs the extension calls its default connection so.
                let name = if text.eq_ignore_ascii_case("AzureWebJobsStorage") { "Storage" } else { &text };
                (setting, toml::Value::String(name.to_owned()))
            }
            Meaning::HubName(setting) => match self.resolve(&text) {
                Ok(name) => (setting, toml::Value::String(name)),
                Err(why) => return Some(Verdict::NotUsed(why)),
            },
        };
        if let Some((expected, found)) = Keys::all().key(setting)?.misfit(&value) {
            let source_of_it = Source::HostJson { path: self.path.to_owned(), key: key.to_owned() };
            let what = What::Form { key: key.to_owned(), expected, found };
            self.report.faults.push(Fault { source_of_it, what });
            return None;
        }
        Some(Verdict::Honoured { setting, value })
    }

    fn wrong(&mut self, key: &str, value: &Value, expected: &str) -> Option<Verdict> {
        let source_of_it = Source::HostJson { path: self.path.to_owned(), key: key.to_owned() };
        let (expected, found) = (expected.to_owned(), value.to_string());
        let what = What::Form { key: key.to_owned(), expected, found };
        self.report.faults.push(Fault { source_of_it, what });
        None
    }

    /// `%NAME%` stands for an app setting, which is a variable of the environment.
    fn resolve(&self, text: &str) -> Result<String, String> {
        let mut resolved = String::new();
        let mut parts = text.split('%');
        resolved.push_str(parts.next().unwrap_or_default());
        while let Some(name) = parts.next() {
            let Some(after) = parts.next() else { return Err(format!("{text:?} has a % that never ends")) };
            match (self.app_setting)(name) {
                Some(value) => resolved.push_str(&value),
                None => {
                    return Err(format!(
                        "it names the app setting {name}, which the environment does not have"
                    ));
                }
            }
            resolved.push_str(after);
        }
        Ok(resolved)
    }
}

/// The values below an object, by dotted names.
fn collect<'a>(path: &str, object: &'a Map<String, Value>, leaves: &mut Vec<(String, &'a Value)>) {
    for (name, value) in object {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value {
            Value::Object(inner) => collect(&path, inner, leaves),
            value => leaves.push((path, value)),
        }
    }
}

/// Numbers and switches may be written as texts.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Bool(switch) => switch.to_string(),
        other => other.to_string(),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        type IsMeant = fn(&Verdict) -> bool;
        let groups: [(&str, IsMeant); 3] = [
            ("honoured:", |verdict| matches!(verdict, Verdict::Honoured { .. })),
            ("not used:", |verdict| matches!(verdict, Verdict::NotUsed(_))),
            ("unknown to Durable Functions:", |verdict| matches!(verdict, Verdict::Unknown { .. })),
        ];
        for (title, is_meant) in groups {
            let mut meant = self.findings.iter().filter(|finding| is_meant(&finding.verdict)).peekable();
            if meant.peek().is_some() {
                writeln!(f, "{title}")?;
            }
            for Finding { key, verdict } in meant {
                match verdict {
                    Verdict::Honoured { setting, value } => writeln!(f, "  {key}: {setting} = {value}")?,
                    Verdict::NotUsed(why) => writeln!(f, "  {key}: {why}")?,
                    Verdict::Unknown { nearest } => writeln!(f, "  {key}{}", DidYouMean(nearest.as_deref()))?,
                }
            }
        }
        Ok(())
    }
}
