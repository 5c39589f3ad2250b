//! Trace contexts and the spans of orchestrations.

use strandline_model::{OrchestrationSpan, TraceContext};

use crate::{time, wire};

pub fn to_wire(trace: &TraceContext) -> wire::TraceContext {
    from_parts(&trace.parent, trace.state.as_deref())
}

pub fn from_wire(trace: wire::TraceContext) -> TraceContext {
    // The span id is within `traceparent`.
    TraceContext { parent: trace.trace_parent, state: trace.trace_state }
}

/// From a `traceparent` and a `tracestate`.
pub fn from_parts(parent: &str, state: Option<&str>) -> wire::TraceContext {
    wire::TraceContext {
        trace_parent: parent.to_owned(),
        span_id: parent.split('-').nth(2).unwrap_or_default().to_owned(),
        trace_state: state.map(str::to_owned),
    }
}

pub fn span_to_wire(span: &OrchestrationSpan) -> wire::OrchestrationTraceContext {
    wire::OrchestrationTraceContext {
        span_id: span.span_id.clone(),
        span_start_time: span.started.map(time::to_wire),
    }
}

pub fn span_from_wire(span: wire::OrchestrationTraceContext) -> OrchestrationSpan {
    OrchestrationSpan { span_id: span.span_id, started: span.span_start_time.map(time::from_wire) }
}

pub(crate) fn boxed_to_wire(trace: Option<&TraceContext>) -> Option<Box<wire::TraceContext>> {
    trace.map(|trace| Box::new(to_wire(trace)))
}

pub(crate) fn boxed_from_wire(trace: Option<Box<wire::TraceContext>>) -> Option<Box<TraceContext>> {
    trace.map(|trace| Box::new(from_wire(*trace)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_span_id_is_that_of_the_parent() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = TraceContext { parent: parent.to_owned(), state: None };
        assert_eq!(to_wire(&trace).span_id, "00f067aa0ba902b7");
        assert_eq!(from_wire(to_wire(&trace)), trace);
        assert_eq!(from_parts("nonsense", None).span_id, "");
    }
}
