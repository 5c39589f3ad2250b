//! Which trace a request belongs to.

use http::HeaderMap;
use strandline_model::TraceContext;
use strandline_model::limits::TAG_VALUE_BYTES_MAX;

/// `traceparent` and `tracestate` of a request. As W3C Trace Context has it, what is malformed is as if not
/// given, and nothing is wrong with the request.
pub(super) fn context(headers: &HeaderMap) -> Option<TraceContext> {
    let parent = headers.get("traceparent")?.to_str().ok()?.trim();
    if !is_parent(parent) {
        return None;
    }
    let states = headers.get_all("tracestate").iter().map(|state| state.to_str().ok());
    let states = states.collect::<Option<Vec<_>>>().unwrap_or_default().join(",");
    let state = (!states.is_empty() && states.len() <= TAG_VALUE_BYTES_MAX).then_some(states);
    Some(TraceContext { parent: parent.to_owned(), state })
}

/// `version-trace-span-flags`, to which later versions may add.
fn is_parent(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut hex = |digits: usize| {
        parts.next().filter(|part| {
            part.len() == digits && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let (Some(version), Some(trace), Some(span), Some(_)) = (hex(2), hex(32), hex(16), hex(2)) else {
        return false;
    };
    let some = |digits: &str| digits.bytes().any(|b| b != b'0');
    let ends = version != "00" || parts.next().is_none();
    version != "ff" && some(trace) && some(span) && ends && text.len() <= TAG_VALUE_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(headers: &[(&'static str, &str)]) -> Option<(String, Option<String>)> {
        let header = |(name, value): &(&'static str, &str)| (name.parse().unwrap(), value.parse().unwrap());
        context(&headers.iter().map(header).collect()).map(|trace| (trace.parent, trace.state))
    }

    #[test]
    fn contexts_are_taken_as_they_come() {
        assert_eq!(of(&[("traceparent", PARENT)]), Some((PARENT.to_owned(), None)));
        let with = of(&[("traceparent", PARENT), ("tracestate", "a=1")]);
        assert_eq!(with, Some((PARENT.to_owned(), Some("a=1".to_owned()))));
        let later = PARENT.replacen("00", "01", 1) + "-more";
        assert_eq!(of(&[("traceparent", &later)]), Some((later.clone(), None)));
        let long = "x".repeat(TAG_VALUE_BYTES_MAX + 1);
        assert_eq!(of(&[("traceparent", PARENT), ("tracestate", &long)]), Some((PARENT.to_owned(), None)));
    }

    #[test]
    fn what_is_malformed_is_not_there() {
        for wrong in [
            "",
            "x",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ] {
            assert_eq!(of(&[("traceparent", wrong)]), None, "{wrong}");
        }
    }
}
