//! The spans of an orchestration and of what it calls, over its turns.

use std::collections::BTreeMap;

use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};
use strandline_engine::worker::{Turn, TurnOutcome};
use strandline_model::{
    Action, ActionKind, Completion, EntityId, EventKind, ExecutionStarted, FailureDetails, HistoryEvent,
    OrchestrationSpan, Timestamp, TraceContext,
};

use super::spans::{Planned, attributes, event_attributes, versioned};
use super::{context, is_installed};

/// What tracing knows of an execution between its turns.
#[derive(Default)]
pub(crate) struct Execution {
    started: Option<Box<ExecutionStarted>>,
    open: BTreeMap<i32, Task>,
}

/// Something under way that gets a span at its end.
struct Task {
    what: What,
    begin: Timestamp,
    /// The context its span has; of timers and entity calls none is recorded.
    trace: Option<SpanContext>,
}

enum What {
    Activity { name: String, version: Option<String> },
    Child { name: String, version: Option<String>, instance: String },
    Timer { fire_at: Timestamp },
    EntityCall { target: String, operation: String },
}

impl Execution {
    /// From the history before a turn.
    pub(crate) fn replay<E: AsRef<HistoryEvent>>(past: &[E]) -> Self {
        let mut execution = Self::default();
        if is_installed() {
            past.iter().for_each(|event| execution.remember(event.as_ref()));
        }
        execution
    }

    fn remember(&mut self, event: &HistoryEvent) {
        let read = |trace: &Option<Box<TraceContext>>| trace.as_deref().and_then(context::read);
        let (what, trace) = match event.kind() {
            EventKind::ExecutionStarted(started) => {
                // Payloads are of no interest here.
                let started = ExecutionStarted { input: None, ..ExecutionStarted::clone(started) };
                self.started = Some(Box::new(started));
                return;
            }
            EventKind::TaskScheduled(task) => {
                let what = What::Activity { name: task.name.clone(), version: task.version.clone() };
                (what, read(&task.trace))
            }
            EventKind::SubOrchestrationCreated(child) if !child.fire_and_forget => {
                let (name, version) = (child.name.clone(), child.version.clone());
                let what = What::Child { name, version, instance: child.instance_id.clone() };
                (what, read(&child.trace))
            }
            EventKind::TimerCreated(timer) => (What::Timer { fire_at: timer.fire_at }, None),
            EventKind::EntityOperationCalled(call) => {
                let (target, operation) = (call.target.clone(), call.operation.clone());
                (What::EntityCall { target, operation }, None)
            }
            _ => {
                if let Some((id, _)) = ended(event) {
                    self.open.remove(&id);
                }
                return;
            }
        };
        self.open.insert(event.id, Task { what, begin: event.timestamp, trace });
    }

    /// Reports what ended with the turn's events, gives what its actions call a span each, and reports the
    /// orchestration itself when it ends. Without a trace to belong to nothing is reported.
    pub(crate) fn turn(&mut self, turn: &Turn, outcome: &mut TurnOutcome) {
        if !is_installed() {
            return;
        }
        let begins = turn.new.iter().find(|event| matches!(event.kind(), EventKind::ExecutionStarted(_)));
        if let Some(event) = begins {
            self.remember(event);
        }
        let Some(started) = self.started.take() else { return };
        let trace = started
            .trace_parent
            .clone()
            .map(|parent| TraceContext { parent, state: started.trace_state.clone() });
        if let Some(parent) = trace.as_ref().and_then(context::read) {
            self.report(turn, outcome, &started, &parent);
        }
        self.started = Some(started);
    }

    fn report(
        &mut self,
        turn: &Turn,
        outcome: &mut TurnOutcome,
        started: &ExecutionStarted,
        parent: &SpanContext,
    ) {
        let now = turn.new.first().map_or(Timestamp::EPOCH, |event| event.timestamp);
        let known = turn.span.as_ref().and_then(|span| SpanId::from_hex(span.span_id.as_deref()?).ok());
        let begin = turn.span.as_ref().and_then(|span| span.started).unwrap_or(now);
        let id = known.unwrap_or_else(random_id);
        if known.is_none() {
            outcome.span = Some(OrchestrationSpan { span_id: Some(id.to_string()), started: Some(begin) });
        }
        let this = context::sibling(parent, id);
        for event in &turn.new {
            if let Some((id, failure)) = ended(event)
                && let Some(task) = self.open.remove(&id)
            {
                report_task(turn, id, &task, &this, event.timestamp, failure);
            }
        }
        for action in &mut outcome.actions {
            self.give_span(turn, action, &this, now);
        }
        let Some(ActionKind::Complete(completion)) = outcome.actions.last().map(|action| &action.kind) else {
            return;
        };
        let (status, failure) = match completion {
            Completion::Completed { .. } => ("Completed", None),
            Completion::Failed { failure, .. } => ("Failed", Some(failure)),
            Completion::ContinuedAsNew { .. } => ("ContinuedAsNew", None),
        };
        let version = started.version.as_deref();
        let mut attributes = attributes("orchestration", &started.name, version, &started.instance_id);
        attributes.push(KeyValue::new("durabletask.task.execution_id", turn.execution.to_string()));
        attributes.push(KeyValue::new("durabletask.task.status", status));
        let planned = Planned {
            name: versioned("orchestration", &started.name, version),
            kind: SpanKind::Server,
            parent: Some(parent),
            id: Some(id),
            begin: Some(begin),
            attributes,
        };
        planned.ended(now, failure);
    }

    /// What is called gets the id of the span that will tell of the call.
    fn give_span(&mut self, turn: &Turn, action: &mut Action, this: &SpanContext, now: Timestamp) {
        let id = action.id;
        let instant = |name: String, attributes: Vec<KeyValue>, span: Option<SpanId>| {
            let (kind, begin) = (SpanKind::Producer, Some(now));
            Planned { name, kind, parent: Some(this), id: span, begin, attributes }.ended(now, None);
        };
        let call = || {
            let span = context::sibling(this, random_id());
            (Some(Box::new(context::write(&span))), span)
        };
        let (what, span) = match &mut action.kind {
            ActionKind::ScheduleTask { name, version, trace, .. } => {
                let (written, span) = call();
                *trace = written;
                (What::Activity { name: name.clone(), version: version.clone() }, Some(span))
            }
            ActionKind::CreateSubOrchestration {
                name, version, instance_id, fire_and_forget, trace, ..
            } => {
                let (written, span) = call();
                *trace = written;
                if *fire_and_forget {
                    let about = attributes("orchestration", name, version.as_deref(), instance_id);
                    instant(
                        versioned("orchestration", name, version.as_deref()),
                        about,
                        Some(span.span_id()),
                    );
                    return;
                }
                let (name, version) = (name.clone(), version.clone());
                (What::Child { name, version, instance: instance_id.clone() }, Some(span))
            }
            ActionKind::CreateTimer { fire_at } => (What::Timer { fire_at: *fire_at }, None),
            ActionKind::CallEntity { target, operation, .. } => {
                (What::EntityCall { target: target.clone(), operation: operation.clone() }, None)
            }
            ActionKind::SignalEntity { target, operation, .. } => {
                instant(
                    entity_name(target, operation),
                    entity_attributes(turn, target, "signal_entity"),
                    None,
                );
                return;
            }
            ActionKind::SendEvent { instance_id, name, .. } => {
                instant(format!("orchestration_event:{name}"), event_attributes(name, instance_id), None);
                return;
            }
            _ => return,
        };
        self.open.insert(id, Task { what, begin: now, trace: span });
    }
}

/// The task that an event ends, and why it failed if it did.
fn ended(event: &HistoryEvent) -> Option<(i32, Option<&FailureDetails>)> {
    match event.kind() {
        EventKind::TaskCompleted(e) => Some((e.task_id, None)),
        EventKind::TaskFailed(e) => Some((e.task_id, Some(&e.failure))),
        EventKind::SubOrchestrationCompleted(e) => Some((e.task_id, None)),
        EventKind::SubOrchestrationFailed(e) => Some((e.task_id, Some(&e.failure))),
        EventKind::TimerFired(e) => Some((e.timer_id, None)),
        EventKind::EntityOperationCompleted(e) => Some((e.task_id, None)),
        EventKind::EntityOperationFailed(e) => Some((e.task_id, Some(&e.failure))),
        _ => None,
    }
}

fn report_task(
    turn: &Turn,
    id: i32,
    task: &Task,
    this: &SpanContext,
    end: Timestamp,
    failure: Option<&FailureDetails>,
) {
    let instance = turn.instance.as_str();
    let (name, kind, mut attributes) = match &task.what {
        What::Activity { name, version } => {
            let version = version.as_deref();
            (
                versioned("activity", name, version),
                SpanKind::Client,
                attributes("activity", name, version, instance),
            )
        }
        What::Child { name, version, instance } => {
            let version = version.as_deref();
            let about = attributes("orchestration", name, version, instance);
            (versioned("orchestration", name, version), SpanKind::Client, about)
        }
        What::Timer { fire_at } => {
            let mut about = attributes("timer", &turn.name, turn.version.as_deref(), instance);
            about.push(KeyValue::new("durabletask.fire_at", fire_at.to_string()));
            (format!("orchestration:{}:timer", turn.name), SpanKind::Internal, about)
        }
        What::EntityCall { target, operation } => {
            (entity_name(target, operation), SpanKind::Client, entity_attributes(turn, target, "call_entity"))
        }
    };
    attributes.push(KeyValue::new("durabletask.task.task_id", i64::from(id)));
    let span = task.trace.as_ref().map(SpanContext::span_id);
    let planned = Planned { name, kind, parent: Some(this), id: span, begin: Some(task.begin), attributes };
    planned.ended(end, failure);
}

fn entity_name(target: &str, operation: &str) -> String {
    match EntityId::parse(target) {
        Ok(id) => format!("entity:{}:{operation}", id.name()),
        Err(_) => format!("entity:{target}:{operation}"),
    }
}

fn entity_attributes(turn: &Turn, target: &str, operation: &'static str) -> Vec<KeyValue> {
    let mut about = attributes("entity", target, None, turn.instance.as_str());
    about.push(KeyValue::new("durabletask.task.operation", operation));
    about.push(KeyValue::new("durabletask.event.target_instance_id", target.to_owned()));
    about
}

fn random_id() -> SpanId {
    RandomIdGenerator::default().new_span_id()
}
