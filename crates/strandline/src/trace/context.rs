//! Trace contexts as texts, in the form of W3C Trace Context.

use std::str::FromStr;

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use strandline_model::TraceContext;

/// Reads a context; `None` when there is no valid one.
pub(super) fn read(trace: &TraceContext) -> Option<SpanContext> {
    let mut parts = trace.parent.split('-');
    let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version.len() != 2 || version == "ff" || trace_id.len() != 32 || span_id.len() != 16 {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    let state = trace.state.as_deref().and_then(|state| TraceState::from_str(state).ok());
    let (trace_id, span_id) = (TraceId::from_hex(trace_id).ok()?, SpanId::from_hex(span_id).ok()?);
    let context = SpanContext::new(trace_id, span_id, flags, true, state.unwrap_or_default());
    context.is_valid().then_some(context)
}

pub(super) fn write(context: &SpanContext) -> TraceContext {
    let (trace, span) = (context.trace_id(), context.span_id());
    let state = context.trace_state().header();
    TraceContext {
        parent: format!("00-{trace}-{span}-{:02x}", context.trace_flags().to_u8()),
        state: (!state.is_empty()).then_some(state),
    }
}

/// Another span of the same trace.
pub(super) fn sibling(of: &SpanContext, span: SpanId) -> SpanContext {
    SpanContext::new(of.trace_id(), span, of.trace_flags(), true, of.trace_state().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_survive() {
        let trace = TraceContext {
            parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
            state: Some("a=1".to_owned()),
        };
        assert_eq!(write(&read(&trace).unwrap()), trace);
        for wrong in ["", "00", "00-0-0-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01"] {
            assert!(read(&TraceContext { parent: wrong.to_owned(), state: None }).is_none(), "{wrong}");
        }
    }
}
