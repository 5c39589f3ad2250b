//! Failures with their causes and properties.
//!
//! Messages may nest about a hundred deep before their readers refuse them, so a chain of causes ends
//! after [`CAUSES_MAX`], and a property that nests too deeply travels as its JSON text.

use std::collections::BTreeMap;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::Value as Json;
use strandline_model::FailureDetails;

use crate::wire::TaskFailureDetails;
use crate::{InvalidMessage, required};

/// Causes below a failure that are kept, on either way.
pub const CAUSES_MAX: usize = 48;

/// Deepest nesting of a property's value; each level takes up to three of a message's.
const VALUE_DEPTH_MAX: usize = 10;

pub fn to_wire(failure: &FailureDetails) -> TaskFailureDetails {
    let mut links = failure.chain().take(CAUSES_MAX + 1).map(link_to_wire).collect::<Vec<_>>();
    let mut inner = None;
    while let Some(mut link) = links.pop() {
        link.inner_failure = inner.map(Box::new);
        inner = Some(link);
    }
    inner.unwrap_or_default()
}

pub fn from_wire(failure: TaskFailureDetails) -> FailureDetails {
    let mut links = Vec::new();
    let mut next = Some(failure);
    while let Some(mut link) = next.filter(|_| links.len() <= CAUSES_MAX) {
        next = link.inner_failure.take().map(|inner| *inner);
        links.push(link_from_wire(link));
    }
    let mut inner = None;
    while let Some(mut link) = links.pop() {
        link.inner_failure = inner.map(Box::new);
        inner = Some(link);
    }
    inner.unwrap_or_default()
}

pub(crate) fn required_from_wire(
    failure: Option<TaskFailureDetails>,
    field: &'static str,
) -> Result<FailureDetails, InvalidMessage> {
    required(failure, field).map(from_wire)
}

fn link_to_wire(failure: &FailureDetails) -> TaskFailureDetails {
    let mut properties = BTreeMap::new();
    let mut exact_properties = BTreeMap::new();
    for (name, text) in &failure.properties {
        let value = value_to_wire(text);
        if value_from_wire(value.clone()) != *text {
            exact_properties.insert(name.clone(), text.clone());
        }
        properties.insert(name.clone(), value);
    }
    TaskFailureDetails {
        error_type: failure.error_type.clone(),
        error_message: failure.message.clone(),
        stack_trace: failure.stack_trace.clone(),
        inner_failure: None,
        is_non_retriable: failure.is_non_retriable,
        properties,
        exact_properties,
    }
}

fn link_from_wire(failure: TaskFailureDetails) -> FailureDetails {
    let values = failure.properties.into_iter().map(|(name, value)| (name, value_from_wire(value)));
    let mut properties: BTreeMap<_, _> = values.collect();
    properties.extend(failure.exact_properties);
    FailureDetails {
        error_type: failure.error_type,
        message: failure.error_message,
        stack_trace: failure.stack_trace,
        inner_failure: None,
        is_non_retriable: failure.is_non_retriable,
        properties,
    }
}

/// JSON text as a value; what is not JSON, or nests too deeply, is a string.
fn value_to_wire(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(json) if depth(&json) <= VALUE_DEPTH_MAX => json_to_wire(json),
        _ => Value { kind: Some(Kind::StringValue(text.to_owned())) },
    }
}

/// The value as JSON text.
fn value_from_wire(value: Value) -> String {
    json_from_wire(value).to_string()
}

fn depth(json: &Json) -> usize {
    match json {
        Json::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Json::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn json_to_wire(json: Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(value),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(items) => {
            Kind::ListValue(ListValue { values: items.into_iter().map(json_to_wire).collect() })
        }
        Json::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, json_to_wire(value))).collect();
            Kind::StructValue(Struct { fields })
        }
    };
    Value { kind: Some(kind) }
}

fn json_from_wire(value: Value) -> Json {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(value)) => Json::Bool(value),
        Some(Kind::NumberValue(number)) => number_from_wire(number),
        Some(Kind::StringValue(text)) => Json::String(text),
        Some(Kind::ListValue(list)) => Json::Array(list.values.into_iter().map(json_from_wire).collect()),
        Some(Kind::StructValue(object)) => {
            let fields = object.fields.into_iter().map(|(name, value)| (name, json_from_wire(value)));
            Json::Object(fields.collect())
        }
    }
}

/// Whole numbers are written without a fraction. What JSON has no number for becomes a string, as in the
/// JSON form of protocol buffers.
fn number_from_wire(number: f64) -> Json {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let negative_zero = number == 0.0 && number.is_sign_negative();
    if number.fract() == 0.0 && number.abs() <= EXACT && !negative_zero {
        return Json::from(number as i64);
    }
    serde_json::Number::from_f64(number).map_or_else(
        || {
            Json::from(if number.is_nan() {
                "NaN"
            } else if number > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            })
        },
        Json::Number,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(text: &str) -> TaskFailureDetails {
        let mut failure = FailureDetails::new("E", "m");
        failure.properties.insert("p".to_owned(), text.to_owned());
        let wire = to_wire(&failure);
        assert_eq!(from_wire(wire.clone()), failure);
        wire
    }

    #[test]
    fn plain_properties_need_no_exact_text() {
        for text in ["null", "true", "7", "-1.5", "\"ü\"", "[1,\"a\",null]", "{\"a\":{\"b\":[]}}"] {
            assert!(through(text).exact_properties.is_empty(), "{text}");
        }
    }

    #[test]
    fn what_a_value_changes_travels_exactly() {
        let deep = format!("{}1{}", "[".repeat(50), "]".repeat(50));
        for text in ["9007199254740993", "1.0", "{ }", "{\"b\":1,\"a\":2}", "not json", "", &deep] {
            assert_eq!(through(text).exact_properties["p"], text);
        }
    }

    #[test]
    fn numbers_that_json_lacks_become_strings() {
        let number = |n| value_from_wire(Value { kind: Some(Kind::NumberValue(n)) });
        assert_eq!(number(f64::NAN), "\"NaN\"");
        assert_eq!(number(f64::INFINITY), "\"Infinity\"");
        assert_eq!(number(1e300), "1e+300");
        assert_eq!(number(3.0), "3");
    }

    #[test]
    fn long_chains_are_cut() {
        let mut failure = FailureDetails::new("Root", "");
        for _ in 0..200 {
            failure = FailureDetails::new("E", "").caused_by(failure);
        }
        let back = from_wire(to_wire(&failure));
        assert_eq!(back.chain().count(), CAUSES_MAX + 1);
    }
}
