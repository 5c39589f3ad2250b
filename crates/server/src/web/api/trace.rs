//! Whose work a request is part of, by W3C Trace Context.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;

/// Longest `tracestate`, in bytes: what everybody must pass on.
const STATE_BYTES_MAX: usize = 512;

/// The headers `traceparent` and `tracestate`. What is none is as if it were not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trace {
    pub(super) parent: Option<String>,
    pub(super) state: Option<String>,
}

impl Trace {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let Some(parent) = text("traceparent").filter(|text| is_parent(text)) else { return Self::default() };
        let state = text("tracestate").filter(|text| (1..=STATE_BYTES_MAX).contains(&text.len()));
        Self { parent: Some(parent.to_owned()), state: state.map(str::to_owned) }
    }
}

impl<S: Sync> FromRequestParts<S> for Trace {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

/// Version, trace, span and flags, in lower-case hex digits.
fn is_parent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let some = |part: &str| part.bytes().any(|b| b != b'0');
    match parts[..] {
        [version, trace, span, flags] => {
            [version.len(), trace.len(), span.len(), flags.len()] == [2, 32, 16, 2]
                && parts.iter().all(|part| hex(part))
                && version != "ff"
                && some(trace)
                && some(span)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_a_trace_is_passed_on() {
        let of = |parent: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", parent.parse().unwrap());
            headers.insert("tracestate", "a=b".parse().unwrap());
            Trace::of(&headers)
        };
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(of(good), Trace { parent: Some(good.to_owned()), state: Some("a=b".to_owned()) });
        for wrong in ["", "00-0-0-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01"] {
            assert_eq!(of(wrong), Trace::default(), "{wrong}");
        }
    }
}
