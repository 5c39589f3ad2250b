//! Payloads inside answers.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A stored payload: JSON as it is, byte for byte, and any other text as a JSON string. None is `null`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Payload<'a>(pub(super) Option<&'a str>);

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(text) = self.0 else { return serializer.serialize_none() };
        match serde_json::from_str::<&RawValue>(text) {
            Ok(json) => json.serialize(serializer),
            Err(_) => serializer.serialize_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_json_and_text_becomes_a_string() {
        let shown = |text| serde_json::to_string(&Payload(text)).unwrap();
        assert_eq!(shown(None), "null");
        assert_eq!(shown(Some("")), r#""""#);
        assert_eq!(shown(Some("null")), "null");
        assert_eq!(shown(Some(r#"{"b": 1.0, "a": [1e400]}"#)), r#"{"b": 1.0, "a": [1e400]}"#);
        assert_eq!(shown(Some("Hello \"Tokyo\"!")), r#""Hello \"Tokyo\"!""#);
        assert_eq!(shown(Some("[1")), r#""[1""#);
        assert_eq!(shown(Some("1 2")), r#""1 2""#);
    }
}
