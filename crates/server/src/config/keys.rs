//! Which settings there are, as their schema tells.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::settings::Settings;

/// A setting.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// Such as `hub.name`.
    pub(super) path: String,
    /// Its documentation.
    pub(super) about: String,
    /// `null` if it has none.
    pub(super) default: Value,
    /// What it must be.
    pub(super) schema: Value,
}

/// A section and what it is about.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) path: String,
    pub(super) about: String,
}

/// All settings and sections.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) keys: Vec<Key>,
    pub(super) sections: Vec<Section>,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let mut keys = Keys::default();
    keys.collect("", &schema());
    keys
});

/// The JSON schema of a configuration file.
pub(super) fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Settings>();
    schema.insert("title".to_owned(), "Configuration of a Strandline server".into());
    schema.to_value()
}

impl Keys {
    pub(super) fn all() -> &'static Self {
        &KEYS
    }

    fn collect(&mut self, path: &str, schema: &Value) {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
        for (name, property) in properties {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let text = |name: &str| property.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let about = text("description");
            // One that needs something in it is given whole or not at all.
            if property.get("properties").is_some() && property.get("required").is_none() {
                self.sections.push(Section { path: path.clone(), about });
                self.collect(&path, property);
            } else {
                let default = property.get("default").cloned().unwrap_or_default();
                self.keys.push(Key { path, about, default, schema: property.clone() });
            }
        }
    }

    pub(super) fn key(&self, path: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.path == path)
    }

    pub(super) fn is_section(&self, path: &str) -> bool {
        self.sections.iter().any(|section| section.path == path)
    }

    /// What was probably meant by a key that is not there: one beside it, or the same elsewhere.
    pub(super) fn nearest(&self, path: &str) -> Option<&str> {
        let paths = || {
            let sections = self.sections.iter().map(|section| section.path.as_str());
            self.keys.iter().map(|key| key.path.as_str()).chain(sections)
        };
        let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
        let elsewhere = || paths().find(|known| last(known) == last(path));
        // A shared section makes everything in it look alike.
        let section = path.rsplit_once('.').map(|(section, _)| section);
        let beside = || {
            let beside =
                paths().filter(|known| known.rsplit_once('.').map(|(section, _)| section) == section);
            let names: Vec<_> = beside.map(|known| (last(known), known)).collect();
            let nearest =
                strandline_engine::nearest(&last(path), names.iter().map(|(name, _)| name.as_str()))?;
            names.iter().find(|(name, _)| name == nearest).map(|(_, known)| *known)
        };
        beside().or_else(elsewhere).or_else(|| strandline_engine::nearest(path, paths()))
    }
}

impl Key {
    /// The value a text stands for, as far as that can be told; a wrong one is found later.
    pub(super) fn read(&self, text: &str) -> toml::Value {
        read(&self.schema, text)
    }

    /// What it must be, in words.
    pub(super) fn expected(&self) -> String {
        expected(&self.schema)
    }

    /// Why a value does not have the form it must have.
    pub(super) fn misfit(&self, value: &toml::Value) -> Option<(String, String)> {
        let fits = fits(&self.schema, value);
        (!fits).then(|| (self.expected(), found(value)))
    }
}

/// What a schema asks for is any of these.
fn alternatives(schema: &Value) -> Vec<&Value> {
    let lists = ["anyOf", "oneOf"].into_iter().filter_map(|name| schema.get(name)?.as_array());
    let inner: Vec<_> = lists.flatten().flat_map(alternatives).collect();
    if inner.is_empty() { vec![schema] } else { inner }
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ if schema.get("enum").is_some() || schema.get("const").is_some() => vec!["string"],
        _ => Vec::new(),
    }
}

fn read(schema: &Value, text: &str) -> toml::Value {
    let as_text = || toml::Value::String(text.to_owned());
    let as_toml = || text.trim().parse().unwrap_or_else(|_| as_text());
    let alternatives = alternatives(schema);
    let takes = |name| alternatives.iter().any(|schema| types(schema).contains(&name));
    let list = alternatives.iter().find(|schema| types(schema).contains(&"array"));
    match list.and_then(|schema| schema.get("items")) {
        _ if takes("string") => as_text(),
        Some(items) if !text.trim_start().starts_with('[') => {
            let items_of = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            toml::Value::Array(items_of.map(|item| read(items, item)).collect())
        }
        _ => as_toml(),
    }
}

/// Whether the type and range are right; the rest is for the type itself to say.
fn fits(schema: &Value, value: &toml::Value) -> bool {
    alternatives(schema).into_iter().any(|schema| {
        let types = types(schema);
        let takes = |name| types.is_empty() || types.contains(&name);
        match value {
            toml::Value::String(_) => takes("string"),
            toml::Value::Integer(number) => {
                let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
                let within = bound("minimum").is_none_or(|least| *number as f64 >= least)
                    && bound("maximum").is_none_or(|most| *number as f64 <= most);
                (takes("integer") && within) || takes("number")
            }
            toml::Value::Float(_) => takes("number"),
            toml::Value::Boolean(_) => takes("boolean"),
            toml::Value::Array(items) => {
                let of = schema.get("items");
                takes("array") && items.iter().all(|item| of.is_none_or(|of| fits(of, item)))
            }
            toml::Value::Table(_) => takes("object"),
            toml::Value::Datetime(_) => types.is_empty(),
        }
    })
}

/// What must be given, in words.
fn expected(schema: &Value) -> String {
    let mut forms: Vec<String> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    for schema in alternatives(schema) {
        let constant = schema.get("const").into_iter();
        let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
        words.extend(constant.chain(listed).filter_map(|word| Some(format!("{:?}", word.as_str()?))));
        if let Some(form) = schema.get("x-form").and_then(Value::as_str) {
            forms.push(form.to_owned());
            continue;
        }
        for name in types(schema) {
            let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
            forms.push(match (name, bound("minimum"), bound("maximum")) {
                ("integer", Some(least), Some(most)) => format!("a whole number from {least} to {most}"),
                ("integer", Some(least), None) => format!("a whole number, at least {least}"),
                ("integer", ..) => "a whole number".to_owned(),
                ("number", ..) => "a number".to_owned(),
                ("boolean", ..) => "true or false".to_owned(),
                ("array", ..) => {
                    let items = schema.get("items").map_or_else(|| "values".to_owned(), expected);
                    format!("a list, each item {items}")
                }
                ("object", ..) => "a table".to_owned(),
                ("string", ..) if words.is_empty() => "a text".to_owned(),
                _ => continue,
            });
        }
    }
    if !words.is_empty() {
        forms.push(words.join(" or "));
    }
    forms.dedup();
    forms.join(" or ")
}

fn found(value: &toml::Value) -> String {
    const SHOWN_MAX: usize = 60;
    match value {
        toml::Value::Array(_) => "a list".to_owned(),
        toml::Value::Table(_) => "a table".to_owned(),
        value if value.to_string().len() > SHOWN_MAX => format!("a longer {}", value.type_str()),
        value => value.to_string(),
    }
}
