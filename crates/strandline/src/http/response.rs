//! What came back.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::headers::{HttpHeader, HttpHeaders};
use crate::error::Result;
use crate::json;

/// The answer to an [`HttpRequest`](super::HttpRequest). It stands in the history as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpResponse {
    /// The status, such as 200.
    #[serde(alias = "StatusCode")]
    pub status_code: u16,
    /// The headers.
    #[serde(default, alias = "Headers")]
    pub headers: HttpHeaders,
    /// The body as text; bytes that are no UTF-8 are replaced.
    #[serde(default, alias = "Content", deserialize_with = "text_or_null")]
    pub content: String,
}

impl HttpResponse {
    /// A response without headers and content, as tests make them.
    pub fn new(status_code: u16) -> Self {
        Self { status_code, ..Self::default() }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.append(name, HttpHeader::Text(value.into()));
        self
    }

    /// Sets the content.
    #[must_use]
    pub fn with_content(mut self, content: impl Into<String>) -> Self {
        self.content = content.into();
        self
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// Whether the status is `2xx`.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status_code)
    }

    /// The content, read as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.content)
            .map_err(|error| json::unreadable::<T>("the content of an HTTP response", &error))
    }
}

fn text_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}
