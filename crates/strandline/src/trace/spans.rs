//! One span at a time.

use std::time::{Duration, SystemTime};

use opentelemetry::context::FutureExt as _;
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::Span;
use strandline_engine::worker::{ActivityResult, ActivityWork};
use strandline_model::{EntityId, EntityOperation, FailureDetails, Timestamp, TraceContext};

use super::{NEXT, context, tracer};

/// A span before it begins.
pub(super) struct Planned<'a> {
    pub(super) name: String,
    pub(super) kind: SpanKind,
    /// `None`: whatever is current.
    pub(super) parent: Option<&'a SpanContext>,
    /// `None`: a random one.
    pub(super) id: Option<SpanId>,
    pub(super) begin: Option<Timestamp>,
    pub(super) attributes: Vec<KeyValue>,
}

impl Planned<'_> {
    pub(super) fn begin(self) -> Option<Span> {
        let tracer = tracer()?;
        let around = match self.parent {
            Some(parent) => Context::new().with_remote_span_context(parent.clone()),
            None => Context::current(),
        };
        let mut builder =
            SpanBuilder::from_name(self.name).with_kind(self.kind).with_attributes(self.attributes);
        if let Some(begin) = self.begin {
            builder = builder.with_start_time(system_time(begin));
        }
        NEXT.set(self.id);
        let span = builder.start_with_context(&tracer, &around);
        NEXT.set(None);
        Some(span)
    }

    /// A span that is over.
    pub(super) fn ended(self, end: Timestamp, failure: Option<&FailureDetails>) {
        if let Some(mut span) = self.begin() {
            tell_failure(&mut span, failure);
            span.end_with_timestamp(system_time(end));
        }
    }
}

fn tell_failure(span: &mut Span, failure: Option<&FailureDetails>) {
    if let Some(failure) = failure {
        span.set_status(Status::error(failure.to_string()));
    }
}

fn system_time(time: Timestamp) -> SystemTime {
    let nanos = u64::try_from(time.as_nanos().max(0)).unwrap_or(u64::MAX);
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
}

/// `name`, or `name@(version)`.
pub(super) fn versioned(kind: &str, name: &str, version: Option<&str>) -> String {
    match version.filter(|version| !version.is_empty()) {
        Some(version) => format!("{kind}:{name}@({version})"),
        None => format!("{kind}:{name}"),
    }
}

/// The attributes of every span.
pub(super) fn attributes(
    kind: &'static str,
    name: &str,
    version: Option<&str>,
    instance: &str,
) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("durabletask.type", kind),
        KeyValue::new("durabletask.task.name", name.to_owned()),
        KeyValue::new("durabletask.task.instance_id", instance.to_owned()),
    ];
    if let Some(version) = version.filter(|version| !version.is_empty()) {
        attributes.push(KeyValue::new("durabletask.task.version", version.to_owned()));
    }
    attributes
}

/// A client starts an orchestration, which belongs to the trace that is returned.
pub(crate) fn start(name: &str, version: Option<&str>, instance: &str) -> Option<TraceContext> {
    let planned = Planned {
        name: versioned("create_orchestration", name, version),
        kind: SpanKind::Producer,
        parent: None,
        id: None,
        begin: None,
        attributes: attributes("orchestration", name, version, instance),
    };
    let mut span = planned.begin()?;
    let trace = context::write(span.span_context());
    span.end();
    Some(trace)
}

/// A client raises an event.
pub(crate) fn raise(event: &str, instance: &str) {
    let planned = Planned {
        name: format!("orchestration_event:{event}"),
        kind: SpanKind::Producer,
        parent: None,
        id: None,
        begin: None,
        attributes: event_attributes(event, instance),
    };
    drop(planned.begin());
}

pub(super) fn event_attributes(event: &str, target: &str) -> Vec<KeyValue> {
    vec![
        KeyValue::new("durabletask.type", "event"),
        KeyValue::new("durabletask.task.name", event.to_owned()),
        KeyValue::new("durabletask.event.target_instance_id", target.to_owned()),
    ]
}

/// What the span of a running activity says.
pub(crate) struct Activity {
    name: String,
    parent: Option<SpanContext>,
    attributes: Vec<KeyValue>,
}

impl Activity {
    pub(crate) fn of(work: &ActivityWork) -> Self {
        let version = work.version.as_deref();
        let mut attributes = attributes("activity", &work.name, version, work.instance.as_str());
        attributes.push(KeyValue::new("durabletask.task.task_id", i64::from(work.task_id)));
        let parent = work.trace.as_ref().and_then(context::read);
        Self { name: versioned("activity", &work.name, version), parent, attributes }
    }
}

/// Runs an activity in its span, which is the current one for the activity's own spans.
pub(crate) async fn activity<F>(activity: &Activity, run: F) -> ActivityResult
where
    F: Future<Output = ActivityResult>,
{
    // One that nobody traces from its start on has no trace to belong to.
    let Some(parent) = &activity.parent else { return run.await };
    let planned = Planned {
        name: activity.name.clone(),
        kind: SpanKind::Server,
        parent: Some(parent),
        id: None,
        begin: None,
        attributes: activity.attributes.clone(),
    };
    let Some(span) = planned.begin() else { return run.await };
    let around = Context::current_with_span(span);
    let result = run.with_context(around.clone()).await;
    if let Err(failure) = &result {
        around.span().set_status(Status::error(failure.to_string()));
    }
    around.span().end();
    result
}

/// An operation that an entity carries out.
pub(crate) struct Operation {
    span: Option<Span>,
}

impl Operation {
    pub(crate) fn begin(entity: &EntityId, operation: &EntityOperation) -> Self {
        let Some(parent) = operation.trace.as_deref().and_then(context::read) else {
            return Self { span: None };
        };
        let (kind, what) = match operation.caller {
            Some(_) => (SpanKind::Server, "call_entity"),
            None => (SpanKind::Consumer, "signal_entity"),
        };
        let mut attributes = attributes("entity", entity.name(), None, &entity.to_string());
        attributes.push(KeyValue::new("durabletask.task.operation", what));
        let planned = Planned {
            name: format!("entity:{}:{}", entity.name(), operation.name),
            kind,
            parent: Some(&parent),
            id: None,
            begin: None,
            attributes,
        };
        Self { span: planned.begin() }
    }

    pub(crate) fn end(self, result: &Result<Option<String>, FailureDetails>) {
        let Some(mut span) = self.span else { return };
        if let Err(failure) = result {
            span.set_attribute(KeyValue::new("durabletask.entity.error_message", failure.message.clone()));
            tell_failure(&mut span, Some(failure));
        }
        span.end();
    }
}
