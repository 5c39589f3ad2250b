//! What is asked for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::invalid;
use super::headers::{HttpHeader, HttpHeaders};
use super::retry::HttpRetryOptions;
use super::span;
use super::token_source::TokenSource;
use crate::error::Result;
use crate::json;

/// An HTTP request for [`call_http`](crate::OrchestrationContext::call_http).
///
/// ```
/// use strandline::prelude::*;
///
/// #[derive(Serialize)]
/// struct Job { pages: u32 }
///
/// # fn f() -> Result<HttpRequest> {
/// let request = HttpRequest::post("https://print.example/jobs")
///     .json(&Job { pages: 3 })?
///     .header("Accept", "application/json")
///     .secret_header("X-Api-Key", "print-key")
///     .timeout(secs(20))
///     .retry(HttpRetryOptions::new(secs(1), 5));
/// # Ok(request) }
/// ```
///
/// Everything in it stands in the history, but not the values of secrets and tokens that it names.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRequest {
    /// The method, such as `GET`.
    #[serde(alias = "Method", default = "get")]
    pub method: String,
    /// The URL.
    #[serde(alias = "Uri")]
    pub uri: String,
    /// The headers.
    #[serde(alias = "Headers", default)]
    pub headers: HttpHeaders,
    /// The body; `text/plain` unless a header `Content-Type` says otherwise.
    #[serde(alias = "Content", default)]
    pub content: Option<String>,
    /// Where the sender gets the token for `Authorization` from.
    #[serde(alias = "TokenSource", default)]
    pub token_source: Option<TokenSource>,
    /// Whether an answer `202 Accepted` is followed to its `Location`.
    #[serde(alias = "AsynchronousPatternEnabled", default = "yes")]
    pub asynchronous_pattern_enabled: bool,
    /// When it is sent again.
    #[serde(alias = "RetryOptions", default)]
    pub retry_options: Option<HttpRetryOptions>,
    /// How long one request may take.
    #[serde(alias = "Timeout", default, with = "span::optional")]
    pub timeout: Option<Duration>,
    /// Origins besides its own that a `Location` may lead to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub location_origins: Vec<String>,
}

fn get() -> String {
    "GET".to_owned()
}

fn yes() -> bool {
    true
}

/// Headers that are somebody's credentials.
const CREDENTIALS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", FUNCTIONS_KEY];
/// The key of one function of an Azure Functions app, which opens no other.
const FUNCTIONS_KEY: &str = "x-functions-key";

impl HttpRequest {
    /// A request with any method.
    pub fn new(method: impl Into<String>, uri: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            uri: uri.into(),
            headers: HttpHeaders::new(),
            content: None,
            token_source: None,
            asynchronous_pattern_enabled: true,
            retry_options: None,
            timeout: None,
            location_origins: Vec::new(),
        }
    }

    /// A `GET`.
    pub fn get(uri: impl Into<String>) -> Self {
        Self::new("GET", uri)
    }

    /// A `POST`.
    pub fn post(uri: impl Into<String>) -> Self {
        Self::new("POST", uri)
    }

    /// A `PUT`.
    pub fn put(uri: impl Into<String>) -> Self {
        Self::new("PUT", uri)
    }

    /// A `PATCH`.
    pub fn patch(uri: impl Into<String>) -> Self {
        Self::new("PATCH", uri)
    }

    /// A `DELETE`.
    pub fn delete(uri: impl Into<String>) -> Self {
        Self::new("DELETE", uri)
    }

    /// Adds a header. Its value stands in the history; for secrets there is
    /// [`secret_header`](Self::secret_header).
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.append(name, HttpHeader::Text(value.into()));
        self
    }

    /// Adds a header whose value is a secret that the sender knows by a name.
    #[must_use]
    pub fn secret_header(mut self, name: impl Into<String>, secret: impl Into<String>) -> Self {
        self.headers.append(name, HttpHeader::Secret { secret_ref: secret.into() });
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn content(mut self, content: impl Into<String>) -> Self {
        self.content = Some(content.into());
        self
    }

    /// Sets the body to JSON, with its content type.
    ///
    /// # Errors
    /// When the value cannot be written as JSON.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Result<Self> {
        self.content = json::encode(value, || "the content of an HTTP request".to_owned())?;
        self.headers.remove("Content-Type");
        Ok(self.header("Content-Type", "application/json"))
    }

    /// Sends a token in the header `Authorization`, which the sender fetches then.
    #[must_use]
    pub fn token(mut self, source: TokenSource) -> Self {
        self.token_source = Some(source);
        self
    }

    /// Takes an answer `202 Accepted` as the response, instead of following it to its `Location`.
    #[must_use]
    pub fn without_polling(mut self) -> Self {
        self.asynchronous_pattern_enabled = false;
        self
    }

    /// Lets a `Location` lead to this origin too, such as `https://status.example`, and not only to where
    /// the request went. Credentials stay behind: `Authorization`, cookies, the token and secrets.
    #[must_use]
    pub fn location_origin(mut self, origin: impl Into<String>) -> Self {
        self.location_origins.push(origin.into());
        self
    }

    /// Sends it again after failures.
    #[must_use]
    pub fn retry(mut self, options: HttpRetryOptions) -> Self {
        self.retry_options = Some(options);
        self
    }

    /// Fails one request with a [`TimeoutError`](crate::TimeoutError) when it takes longer.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Refuses what can't be sent, whoever sends it.
    pub(crate) fn check(&self) -> Result<()> {
        let multipart = |content_type: &str| content_type.to_ascii_lowercase().contains("multipart");
        if self.headers.all("Content-Type").any(multipart) {
            return Err(invalid("Multipart content is not supported with CallHttpAsync."));
        }
        Ok(())
    }

    /// The request after this one, when its answer was `202 Accepted`.
    pub(crate) fn poll_at(&self, location: String, same_origin: bool) -> Self {
        let mut next = Self { method: get(), uri: location, content: None, ..self.clone() };
        next.headers.remove(FUNCTIONS_KEY);
        next.remove_content_headers();
        if !same_origin {
            next.remove_credentials();
        }
        next
    }

    pub(crate) fn remove_content_headers(&mut self) {
        for name in ["Content-Type", "Content-Encoding", "Content-Language", "Content-Location"] {
            self.headers.remove(name);
        }
    }

    /// Another origin must not learn them.
    pub(crate) fn remove_credentials(&mut self) {
        for name in CREDENTIALS {
            self.headers.remove(name);
        }
        self.headers.remove_secrets();
        self.token_source = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durations::secs;

    #[test]
    fn is_written_as_durable_functions_does() {
        let plain = serde_json::to_string(&HttpRequest::get("https://example.com/a")).unwrap();
        assert_eq!(
            plain,
            r#"{"method":"GET","uri":"https://example.com/a","headers":{},"content":null,"tokenSource":null,"asynchronousPatternEnabled":true,"retryOptions":null,"timeout":null}"#
        );
        let full = HttpRequest::post("https://example.com/a").header("A", "b").content("c").timeout(secs(90));
        let full = serde_json::to_string(&full.without_polling()).unwrap();
        assert_eq!(
            full,
            r#"{"method":"POST","uri":"https://example.com/a","headers":{"A":"b"},"content":"c","tokenSource":null,"asynchronousPatternEnabled":false,"retryOptions":null,"timeout":"00:01:30"}"#
        );
    }

    #[test]
    fn is_read_with_what_is_missing() {
        let read: HttpRequest = serde_json::from_str(r#"{"uri":"https://example.com/"}"#).unwrap();
        assert_eq!((read.method.as_str(), read.asynchronous_pattern_enabled), ("GET", true));
        assert!(serde_json::from_str::<HttpRequest>(r#"{"method":"GET"}"#).is_err(), "no URL");
    }

    #[test]
    fn leaves_its_credentials_at_its_origin() {
        let request = HttpRequest::post("https://a.example/")
            .header("authorization", "Bearer x")
            .header("COOKIE", "a=b")
            .header("x-functions-key", "k")
            .header("Accept", "text/plain")
            .header("Content-Type", "application/json")
            .secret_header("X-Key", "k")
            .content("{}")
            .token(TokenSource::named("t"));
        let names = |request: &HttpRequest| {
            request.headers.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        };
        let same = request.poll_at("https://a.example/s".to_owned(), true);
        assert_eq!(names(&same), ["authorization", "COOKIE", "Accept", "X-Key"]);
        assert_eq!((same.method.as_str(), &same.content), ("GET", &None));
        assert!(same.token_source.is_some());
        let other = request.poll_at("https://b.example/s".to_owned(), false);
        assert_eq!(names(&other), ["Accept"]);
        assert!(other.token_source.is_none());
    }
}
