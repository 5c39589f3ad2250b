//! Durations as people write them: `30s`, `5m`, `1h 30m`.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serializer, de};

/// Serde looks for functions under this name, schemars for a type.
#[expect(non_camel_case_types, reason = "stands where a module usually does")]
pub(super) enum duration {}

impl duration {
    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = |error| de::Error::custom(format!("{text:?} is no duration like 30s or 5m: {error}"));
        humantime::parse_duration(&text).map_err(wrong)
    }
}

impl JsonSchema for duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "x-form": "a duration like 30s or 5m" })
    }
}
