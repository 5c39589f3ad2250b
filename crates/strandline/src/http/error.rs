//! What goes wrong with requests.

use std::fmt;

use crate::error::Error;

/// A request was not sent, or its answer not taken, because a rule forbids it. The text names what was
/// refused and what allows it. Never retried. For [`Error::is`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpRefused;

/// The connection failed, or the status is one that the retry options call a failure. For [`Error::is`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpRequestError;

/// What was asked for is no HTTP request. Never retried. For [`Error::is`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidHttpRequest;

pub(crate) const REFUSED: &str = "HttpRefused";
#[cfg(any(feature = "http", test))]
const FAILED: &str = "HttpRequestError";
const INVALID: &str = "InvalidHttpRequest";
/// As .NET calls a dictionary without the key, which is how Durable Functions fails there.
pub(crate) const NO_LOCATION: &str = "KeyNotFoundException";

pub(crate) fn refused(text: impl fmt::Display) -> Error {
    Error::new(REFUSED, text).non_retriable()
}

pub(crate) fn invalid(text: impl fmt::Display) -> Error {
    Error::new(INVALID, text).non_retriable()
}

#[cfg(feature = "http")]
pub(crate) fn failed(text: impl fmt::Display) -> Error {
    Error::new(FAILED, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::type_name::short_type_name;

    #[test]
    fn errors_are_found_by_their_types() {
        assert_eq!(short_type_name::<HttpRefused>(), REFUSED);
        assert_eq!(short_type_name::<HttpRequestError>(), FAILED);
        assert_eq!(short_type_name::<InvalidHttpRequest>(), INVALID);
    }
}
