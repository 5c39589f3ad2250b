//! Payloads: JSON text.
//!
//! A value is written as its JSON; `()` and `None` are therefore `null`. An absent payload, as other
//! languages write for no value, reads as `null`.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

pub(crate) fn encode<T: Serialize + ?Sized>(
    value: &T,
    what: impl FnOnce() -> String,
) -> Result<Option<String>> {
    serde_json::to_string(value).map(Some).map_err(|error| {
        let type_name = std::any::type_name::<T>();
        let text = format!("{} cannot be written as JSON from a `{type_name}`: {error}", what());
        Error::new("SerializationError", text).non_retriable()
    })
}

pub(crate) fn decode<T: DeserializeOwned>(payload: Option<&str>) -> serde_json::Result<T> {
    serde_json::from_str(payload.unwrap_or("null"))
}

/// Says which payload is not what the code expects of it.
pub(crate) fn unreadable<T>(what: &str, error: &serde_json::Error) -> Error {
    let type_name = std::any::type_name::<T>();
    Error::new("DeserializationError", format!("{what} is not a `{type_name}`: {error}")).non_retriable()
}
