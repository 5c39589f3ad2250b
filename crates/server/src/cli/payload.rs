//! Payloads: JSON text that goes in and comes out.

use std::io::{self, Read};

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::error::Error;

/// Most bytes read from a file or stdin; servers take no more either.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Reads what a flag says: the text itself, `@file`, or `-` for stdin. What is not JSON is refused unless
/// `raw`.
pub(super) fn read(flag: &'static str, text: &str, raw: bool) -> Result<String, Error> {
    let unreadable = |path: &str, cause| Error::Unreadable { flag, path: path.to_owned(), cause };
    let text = match (text, text.strip_prefix('@')) {
        ("-", _) => limited(flag, &mut io::stdin().lock())?.map_err(|cause| unreadable("stdin", cause))?,
        (_, Some(path)) => {
            let mut file = std::fs::File::open(path).map_err(|cause| unreadable(path, cause))?;
            limited(flag, &mut file)?.map_err(|cause| unreadable(path, cause))?
        }
        (text, None) => text.to_owned(),
    };
    if raw {
        return Ok(text);
    }
    let text = text.trim();
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(cause) => {
            // A hint shows a word, not a document.
            let text = text.chars().take(40).collect();
            Err(Error::NotJson { flag, text, cause })
        }
    }
}

/// The outer error: too much; the inner one: it can't be read.
fn limited(flag: &'static str, source: &mut impl Read) -> Result<io::Result<String>, Error> {
    let mut text = String::new();
    match source.take(BYTES_MAX as u64 + 1).read_to_string(&mut text) {
        Ok(_) if text.len() > BYTES_MAX => Err(Error::TooLarge { flag, limit: BYTES_MAX }),
        Ok(_) => Ok(Ok(text)),
        Err(error) => Ok(Err(error)),
    }
}

/// A payload within JSON: as it is, or as a string if it is no JSON itself.
#[derive(Debug)]
pub(super) struct Payload(Result<Box<RawValue>, String>);

impl Payload {
    pub(super) fn new(text: String) -> Self {
        // A line break within would break JSON lines.
        if text.contains('\n') {
            if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
                return Self(RawValue::from_string(value.to_string()).map_err(|_| text));
            }
            return Self(Err(text));
        }
        Self(RawValue::from_string(text.clone()).map_err(|_| text))
    }

    pub(super) fn text(&self) -> &str {
        match &self.0 {
            Ok(json) => json.get(),
            Err(text) => text,
        }
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Ok(json) => json.serialize(serializer),
            Err(text) => text.serialize(serializer),
        }
    }
}
