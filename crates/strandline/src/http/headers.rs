//! Headers: names in any case, each with one value or several.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most headers that are read, each value counting as one: more than any request or response has.
const READ_MAX: usize = 1000;

/// The headers of a request or a response, in order. Names are compared ignoring ASCII case.
///
/// In JSON it is an object, whose values are texts, or arrays of texts where a header comes more than once.
/// At most 1000 headers are read, each value counting as one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpHeaders {
    entries: Vec<(String, Vec<HttpHeader>)>,
}

/// The value of a header.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HttpHeader {
    /// The value itself, as it stands in the history.
    Text(String),
    /// The name of a secret, whose value is put in when the request is sent.
    Secret {
        /// The name under which the sender knows it.
        #[serde(rename = "secretRef")]
        secret_ref: String,
    },
}

impl HttpHeaders {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value, behind those of the same name.
    pub fn append(&mut self, name: impl Into<String>, value: HttpHeader) {
        let name = name.into();
        match self.entries.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            Some((_, values)) => values.push(value),
            None => self.entries.push((name, vec![value])),
        }
    }

    /// The first value of a header that is no secret.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut named = self.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.find_map(|(_, value)| value.text())
    }

    /// All values of a header but secrets.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        named.filter_map(|(_, value)| value.text())
    }

    /// Takes a header away.
    pub fn remove(&mut self, name: &str) {
        self.entries.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    pub(crate) fn remove_secrets(&mut self) {
        for (_, values) in &mut self.entries {
            values.retain(|value| matches!(value, HttpHeader::Text(_)));
        }
        self.entries.retain(|(_, values)| !values.is_empty());
    }

    /// Each value with its name, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &HttpHeader)> {
        self.entries.iter().flat_map(|(name, values)| values.iter().map(move |value| (name.as_str(), value)))
    }
}

impl HttpHeader {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Secret { .. } => None,
        }
    }
}

impl fmt::Debug for HttpHeader {
    /// Without the value, which may be a secret though it should not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "({} bytes)", text.len()),
            Self::Secret { secret_ref } => write!(f, "(secret {secret_ref:?})"),
        }
    }
}

impl Serialize for HttpHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.entries.len()))?;
        for (name, values) in &self.entries {
            match &values[..] {
                [single] => map.serialize_entry(name, single)?,
                several => map.serialize_entry(name, several)?,
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for HttpHeaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Values {
            One(HttpHeader),
            Several(Vec<HttpHeader>),
            None(()),
        }

        impl<'de> Visitor<'de> for Entries {
            type Value = HttpHeaders;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("headers: an object of texts, or arrays of texts, by name")
            }

            fn visit_unit<E: de::Error>(self) -> Result<HttpHeaders, E> {
                Ok(HttpHeaders::new())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HttpHeaders, A::Error> {
                let mut headers = HttpHeaders::new();
                let mut count = 0;
                while let Some((name, values)) = map.next_entry::<String, Values>()? {
                    let values = match values {
                        Values::One(value) => vec![value],
                        Values::Several(values) => values,
                        Values::None(()) => Vec::new(),
                    };
                    // Before they are looked up among those before, which takes longer with each. One without
                    // values counts too.
                    count += values.len().max(1);
                    if count > READ_MAX {
                        return Err(de::Error::custom(format_args!(
                            "there are more than {READ_MAX} headers"
                        )));
                    }
                    for value in values {
                        headers.append(name.clone(), value);
                    }
                }
                Ok(headers)
            }
        }

        deserializer.deserialize_any(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_read_and_written_as_durable_functions_does() {
        let text = r#"{"Accept":"text/html","X-Key":{"secretRef":"k"},"Set-Cookie":["a=1","b=2"]}"#;
        let headers: HttpHeaders = serde_json::from_str(text).unwrap();
        assert_eq!(headers.get("accept"), Some("text/html"));
        assert_eq!(headers.all("SET-COOKIE").collect::<Vec<_>>(), ["a=1", "b=2"]);
        assert_eq!(headers.get("x-key"), None);
        assert_eq!(serde_json::to_string(&headers).unwrap(), text);
        assert_eq!(serde_json::from_str::<HttpHeaders>("null").unwrap(), HttpHeaders::new());
        assert!(serde_json::from_str::<HttpHeaders>(r#"{"a":1}"#).is_err());
    }

    #[test]
    fn are_read_up_to_a_limit() {
        let read = |text: String| serde_json::from_str::<HttpHeaders>(&text);
        let names = |count: usize| {
            let entries: Vec<_> = (0..count).map(|n| format!(r#""a{n}":"b""#)).collect();
            format!("{{{}}}", entries.join(","))
        };
        let values = |count: usize| format!(r#"{{"a":[{}]}}"#, vec![r#""b""#; count].join(","));
        let nulls = |count: usize| format!("{{{}}}", vec![r#""a":null"#; count].join(","));
        for text in [names(READ_MAX), values(READ_MAX), nulls(READ_MAX)] {
            assert!(read(text).is_ok());
        }
        for text in [names(READ_MAX + 1), values(READ_MAX + 1), nulls(READ_MAX + 1)] {
            assert!(read(text).unwrap_err().to_string().contains("more than 1000 headers"));
        }
    }

    #[test]
    fn do_not_tell_their_values() {
        let mut headers = HttpHeaders::new();
        headers.append("Authorization", HttpHeader::Text("Bearer abc".to_owned()));
        assert!(!format!("{headers:?}").contains("abc"));
    }
}
