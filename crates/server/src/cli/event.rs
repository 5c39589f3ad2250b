//! History events, as they are shown.

use comfy_table::Cell;
use jiff::Timestamp;
use serde::Serialize;
use strandline_proto::wire;
use strandline_proto::wire::history_event::Kind;

use super::instance::{Failure, RuntimeStatus};
use super::output::{Item, clean, preview};
use super::payload::Payload;
use super::time::{self, TimeStyle};

/// Characters of a payload in a row.
const PAYLOAD_SHOWN: usize = 60;

/// One event, with those of its fields that have a meaning for its type.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    /// Its place in the history, from 0.
    index: u32,
    event_id: i32,
    timestamp: Option<Timestamp>,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// The event id of what this is the answer to.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_scheduled_id: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lock_set: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fire_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orchestration_status: Option<RuntimeStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_details: Option<Failure>,
    #[serde(skip)]
    id: String,
}

impl Event {
    pub(super) fn new(index: u32, event: wire::HistoryEvent) -> Self {
        let base = match event.kind {
            Some(kind) => described(kind),
            None => Self { kind: "Unknown", ..Self::default() },
        };
        Self {
            index,
            event_id: event.event_id,
            timestamp: time::from_wire(event.timestamp),
            id: index.to_string(),
            ..base
        }
    }

    /// It says that something went wrong.
    pub(super) fn is_failure(&self) -> bool {
        let status = self.orchestration_status.is_some_and(|status| {
            matches!(status, RuntimeStatus::Failed | RuntimeStatus::Terminated | RuntimeStatus::Canceled)
        });
        self.failure_details.is_some() || status || self.kind == "ExecutionTerminated"
    }

    /// What matters most about it, on one line.
    fn summary(&self, style: TimeStyle) -> String {
        let mut parts = Vec::new();
        parts.extend(self.orchestration_status.map(|status| status.to_string()));
        parts.extend(self.instance_id.as_deref().map(clean));
        parts.extend(self.fire_at.map(|at| style.show(at)));
        if !self.lock_set.is_empty() {
            parts.push(clean(&self.lock_set.join(" ")));
        }
        parts
            .extend(self.failure_details.as_ref().map(|failure| preview(&failure.line(), 2 * PAYLOAD_SHOWN)));
        parts.extend(self.reason.as_deref().map(|reason| preview(reason, PAYLOAD_SHOWN)));
        let payloads = [self.input.as_ref(), self.result.as_ref()];
        parts.extend(payloads.into_iter().flatten().map(|payload| preview(payload.text(), PAYLOAD_SHOWN)));
        parts.join("  ")
    }
}

impl Item for Event {
    const COLUMNS: &'static [&'static str] = &["#", "TIME", "EVENT", "TASK", "NAME", "DETAIL"];
    const WIDE_FROM: usize = 6;

    fn id(&self) -> &str {
        &self.id
    }

    fn row(&self, style: TimeStyle) -> Vec<Cell> {
        let task = match (self.task_scheduled_id, self.event_id) {
            (Some(id), _) => id.to_string(),
            (None, id) if id >= 0 => id.to_string(),
            (None, _) => String::new(),
        };
        let name = self.name.as_deref().or(self.operation.as_deref()).unwrap_or_default();
        vec![
            Cell::new(self.index),
            Cell::new(self.timestamp.map(|t| style.show(t)).unwrap_or_default()),
            Cell::new(self.kind),
            Cell::new(task),
            Cell::new(clean(name)),
            Cell::new(self.summary(style)),
        ]
    }
}

/// What a kind of event says.
fn described(kind: Kind) -> Event {
    let none = Event::default;
    let payload = |text: Option<String>| text.map(Payload::new);
    let failure = |details: Option<wire::TaskFailureDetails>| details.map(Failure::new);
    match kind {
        Kind::ExecutionStarted(e) => Event {
            kind: "ExecutionStarted",
            name: Some(e.name),
            version: e.version,
            input: payload(e.input),
            ..none()
        },
        Kind::ExecutionCompleted(e) => {
            let status = e.orchestration_status;
            let state = wire::OrchestrationState { orchestration_status: status, ..Default::default() };
            Event {
                kind: "ExecutionCompleted",
                orchestration_status: Some(RuntimeStatus::of(&state)),
                result: payload(e.result),
                failure_details: failure(e.failure_details),
                ..none()
            }
        }
        Kind::ExecutionTerminated(e) => Event { kind: "ExecutionTerminated", reason: e.input, ..none() },
        Kind::TaskScheduled(e) => Event {
            kind: "TaskScheduled",
            name: Some(e.name),
            version: e.version,
            input: payload(e.input),
            ..none()
        },
        Kind::TaskCompleted(e) => Event {
            kind: "TaskCompleted",
            task_scheduled_id: Some(e.task_scheduled_id),
            result: payload(e.result),
            ..none()
        },
        Kind::TaskFailed(e) => Event {
            kind: "TaskFailed",
            task_scheduled_id: Some(e.task_scheduled_id),
            failure_details: failure(e.failure_details),
            ..none()
        },
        Kind::SubOrchestrationInstanceCreated(e) => Event {
            kind: "SubOrchestrationInstanceCreated",
            name: Some(e.name),
            version: e.version,
            instance_id: Some(e.instance_id),
            input: payload(e.input),
            ..none()
        },
        Kind::SubOrchestrationInstanceCompleted(e) => Event {
            kind: "SubOrchestrationInstanceCompleted",
            task_scheduled_id: Some(e.task_scheduled_id),
            result: payload(e.result),
            ..none()
        },
        Kind::SubOrchestrationInstanceFailed(e) => Event {
            kind: "SubOrchestrationInstanceFailed",
            task_scheduled_id: Some(e.task_scheduled_id),
            failure_details: failure(e.failure_details),
            ..none()
        },
        Kind::TimerCreated(e) => {
            Event { kind: "TimerCreated", fire_at: time::from_wire(e.fire_at), ..none() }
        }
        Kind::TimerFired(e) => Event {
            kind: "TimerFired",
            task_scheduled_id: Some(e.timer_id),
            fire_at: time::from_wire(e.fire_at),
            ..none()
        },
        Kind::OrchestratorStarted(_) => Event { kind: "OrchestratorStarted", ..none() },
        Kind::OrchestratorCompleted(_) => Event { kind: "OrchestratorCompleted", ..none() },
        Kind::EventSent(e) => Event {
            kind: "EventSent",
            name: Some(e.name),
            instance_id: Some(e.instance_id),
            input: payload(e.input),
            ..none()
        },
        Kind::EventRaised(e) => {
            Event { kind: "EventRaised", name: Some(e.name), input: payload(e.input), ..none() }
        }
        Kind::GenericEvent(e) => Event { kind: "GenericEvent", input: payload(e.data), ..none() },
        Kind::HistoryState(_) => Event { kind: "HistoryState", ..none() },
        Kind::ContinueAsNew(e) => Event { kind: "ContinueAsNew", input: payload(e.input), ..none() },
        Kind::ExecutionSuspended(e) => Event { kind: "ExecutionSuspended", reason: e.input, ..none() },
        Kind::ExecutionResumed(e) => Event { kind: "ExecutionResumed", reason: e.input, ..none() },
        Kind::ExecutionRewound(e) => Event { kind: "ExecutionRewound", reason: e.reason, ..none() },
        entity => of_entity(entity),
    }
}

/// What an event between an orchestration and entities says.
fn of_entity(kind: Kind) -> Event {
    let none = Event::default;
    let payload = |text: Option<String>| text.map(Payload::new);
    match kind {
        Kind::EntityOperationSignaled(e) => Event {
            kind: "EntityOperationSignaled",
            operation: Some(e.operation),
            request_id: Some(e.request_id),
            instance_id: e.target_instance_id,
            fire_at: time::from_wire(e.scheduled_time),
            input: payload(e.input),
            ..none()
        },
        Kind::EntityOperationCalled(e) => Event {
            kind: "EntityOperationCalled",
            operation: Some(e.operation),
            request_id: Some(e.request_id),
            instance_id: e.target_instance_id,
            fire_at: time::from_wire(e.scheduled_time),
            input: payload(e.input),
            ..none()
        },
        Kind::EntityOperationCompleted(e) => Event {
            kind: "EntityOperationCompleted",
            task_scheduled_id: e.task_id,
            request_id: Some(e.request_id),
            result: payload(e.output),
            ..none()
        },
        Kind::EntityOperationFailed(e) => Event {
            kind: "EntityOperationFailed",
            task_scheduled_id: e.task_id,
            request_id: Some(e.request_id),
            failure_details: e.failure_details.map(Failure::new),
            ..none()
        },
        Kind::EntityLockRequested(e) => Event {
            kind: "EntityLockRequested",
            request_id: Some(e.critical_section_id),
            lock_set: e.lock_set,
            ..none()
        },
        Kind::EntityLockGranted(e) => Event {
            kind: "EntityLockGranted",
            task_scheduled_id: e.task_id,
            request_id: Some(e.critical_section_id),
            ..none()
        },
        Kind::EntityUnlockSent(e) => Event {
            kind: "EntityUnlockSent",
            request_id: Some(e.critical_section_id),
            instance_id: e.target_instance_id,
            ..none()
        },
        _ => Event { kind: "Unknown", ..none() },
    }
}
