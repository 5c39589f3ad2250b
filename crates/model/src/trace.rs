//! What ties orchestrations and activities to distributed traces. The hub keeps and passes it on; it
//! never looks inside.

use crate::Timestamp;

/// Whose work this is part of, in the terms of W3C Trace Context.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TraceContext {
    /// `traceparent`.
    #[prost(string, tag = "1")]
    pub parent: String,
    /// `tracestate`.
    #[prost(string, optional, tag = "2")]
    pub state: Option<String>,
}

/// The span of an execution, which stays open over many turns: what one turn says of it, the next is told.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OrchestrationSpan {
    #[prost(string, optional, tag = "1")]
    pub span_id: Option<String>,
    /// When it began.
    #[prost(message, optional, tag = "2")]
    pub started: Option<Timestamp>,
}
