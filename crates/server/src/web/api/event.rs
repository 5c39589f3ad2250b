//! History events, as answers show them.

use std::collections::BTreeMap;

use serde::Serialize;
use strandline_model::{EventKind, ExecutionId, HistoryEvent, RuntimeStatus};
use utoipa::ToSchema;

use super::instance::{Failure, Status};
use super::payload::{Payload, not_json};
use super::time::Time;

/// One event, with those of its fields that mean something for its type.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    /// Its place in the history, from 0.
    index: u64,
    /// The number of the action it records, or -1.
    event_id: i32,
    #[schema(required = true, value_type = Time)]
    timestamp: Option<Time>,
    /// As Durable Task names it: `TaskScheduled`, `TimerFired` and so on.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Of an orchestrator, activity or external event.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// The event id of what this is the answer to.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_scheduled_id: Option<i32>,
    /// An instance or an entity that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_instance_id: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    tags: BTreeMap<String, String>,
    /// Nobody waits for the end of what was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    fire_and_forget: Option<bool>,
    /// Of an entity.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// The critical section.
    #[serde(skip_serializing_if = "Option::is_none")]
    section_id: Option<String>,
    /// The entities of a critical section.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    lock_set: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fire_at: Option<Time>,
    /// Not before then.
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orchestration_status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Sub-orchestrations are ended, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    recursive: Option<bool>,
    /// It arrived, but the execution ended before any turn saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    undelivered: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Payload, required = false)]
    input: Option<Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Payload, required = false)]
    result: Option<Payload>,
    /// Those of the payloads that are not JSON and stand here as strings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    not_json: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_details: Option<Failure>,
}

impl Event {
    pub(super) fn new(index: u64, event: &HistoryEvent) -> Self {
        let base = described(event.kind());
        Self {
            index,
            event_id: event.id,
            timestamp: Some(Time(event.timestamp)),
            kind: event.kind().name(),
            not_json: not_json(&[("input", &base.input), ("result", &base.result)]),
            ..base
        }
    }

    pub(super) fn index(&self) -> u64 {
        self.index
    }

    /// About how many bytes it takes in an answer.
    pub(super) fn bytes(&self) -> usize {
        const ALL_ELSE: usize = 300;
        let payloads = [&self.input, &self.result].into_iter().flatten().map(Payload::bytes);
        let tags = self.tags.iter().map(|(key, value)| key.len() + value.len());
        ALL_ELSE
            + payloads.sum::<usize>()
            + tags.sum::<usize>()
            + self.lock_set.iter().map(String::len).sum::<usize>()
            + self.reason.as_ref().map_or(0, String::len)
            + self.failure_details.as_ref().map_or(0, Failure::bytes)
    }
}

/// What a kind of event says.
fn described(kind: &EventKind) -> Event {
    let none = Event::default;
    let payload = |text: &Option<String>| text.as_deref().map(Payload::new);
    let some = |text: &String| Some(text.clone());
    let set = |flag: bool| flag.then_some(true);
    match kind {
        EventKind::ExecutionStarted(e) => Event {
            name: some(&e.name),
            version: e.version.clone(),
            instance_id: some(&e.instance_id),
            execution_id: execution(&e.execution_id),
            parent_instance_id: e.parent.as_ref().map(|parent| parent.instance_id.clone()),
            tags: e.tags.clone(),
            scheduled_time: e.scheduled_start.map(Time),
            input: payload(&e.input),
            ..none()
        },
        EventKind::ExecutionCompleted(e) => Event {
            orchestration_status: Some(
                RuntimeStatus::try_from(e.status).unwrap_or(RuntimeStatus::Failed).into(),
            ),
            result: payload(&e.result),
            failure_details: e.failure.as_ref().map(Failure::new),
            ..none()
        },
        EventKind::ExecutionTerminated(e) => {
            // A reason becomes the output, so it is JSON, most often a string.
            let text = |json: &String| serde_json::from_str(json).unwrap_or_else(|_| json.clone());
            Event { reason: e.input.as_ref().map(text), recursive: Some(e.recurse), ..none() }
        }
        EventKind::TaskScheduled(e) => Event {
            name: some(&e.name),
            version: e.version.clone(),
            tags: e.tags.clone(),
            input: payload(&e.input),
            ..none()
        },
        EventKind::TaskCompleted(e) => {
            Event { task_scheduled_id: Some(e.task_id), result: payload(&e.result), ..none() }
        }
        EventKind::TaskFailed(e) => Event {
            task_scheduled_id: Some(e.task_id),
            failure_details: Some(Failure::new(&e.failure)),
            ..none()
        },
        EventKind::SubOrchestrationCreated(e) => Event {
            name: some(&e.name),
            version: e.version.clone(),
            instance_id: some(&e.instance_id),
            tags: e.tags.clone(),
            fire_and_forget: set(e.fire_and_forget),
            input: payload(&e.input),
            ..none()
        },
        EventKind::SubOrchestrationCompleted(e) => {
            Event { task_scheduled_id: Some(e.task_id), result: payload(&e.result), ..none() }
        }
        EventKind::SubOrchestrationFailed(e) => Event {
            task_scheduled_id: Some(e.task_id),
            failure_details: Some(Failure::new(&e.failure)),
            ..none()
        },
        EventKind::TimerCreated(e) => Event { fire_at: Some(Time(e.fire_at)), ..none() },
        EventKind::TimerFired(e) => {
            Event { task_scheduled_id: Some(e.timer_id), fire_at: Some(Time(e.fire_at)), ..none() }
        }
        EventKind::OrchestratorStarted(_) | EventKind::OrchestratorCompleted(_) => none(),
        EventKind::EventSent(e) => Event {
            name: some(&e.name),
            instance_id: some(&e.instance_id),
            input: payload(&e.input),
            ..none()
        },
        EventKind::EventRaised(e) => {
            Event { name: some(&e.name), input: payload(&e.input), undelivered: set(e.undelivered), ..none() }
        }
        EventKind::Generic(e) => Event { input: payload(&e.data), ..none() },
        EventKind::ContinueAsNew(e) => Event { input: payload(&e.input), ..none() },
        EventKind::ExecutionSuspended(e) => Event { reason: e.input.clone(), ..none() },
        EventKind::ExecutionResumed(e) => Event { reason: e.input.clone(), ..none() },
        EventKind::ExecutionRewound(e) => Event { reason: e.reason.clone(), ..none() },
        EventKind::EntityOperationSignaled(e) => Event {
            instance_id: some(&e.target),
            operation: some(&e.operation),
            request_id: some(&e.request_id),
            scheduled_time: e.scheduled_time.map(Time),
            input: payload(&e.input),
            ..none()
        },
        EventKind::EntityOperationCalled(e) => Event {
            instance_id: some(&e.target),
            operation: some(&e.operation),
            request_id: some(&e.request_id),
            scheduled_time: e.scheduled_time.map(Time),
            input: payload(&e.input),
            ..none()
        },
        EventKind::EntityOperationCompleted(e) => Event {
            task_scheduled_id: Some(e.task_id),
            request_id: some(&e.request_id),
            result: payload(&e.output),
            ..none()
        },
        EventKind::EntityOperationFailed(e) => Event {
            task_scheduled_id: Some(e.task_id),
            request_id: some(&e.request_id),
            failure_details: Some(Failure::new(&e.failure)),
            ..none()
        },
        EventKind::EntityLockRequested(e) => {
            Event { section_id: some(&e.section_id), lock_set: e.lock_set.clone(), ..none() }
        }
        EventKind::EntityLockGranted(e) => {
            Event { task_scheduled_id: Some(e.task_id), section_id: some(&e.section_id), ..none() }
        }
        EventKind::EntityUnlockSent(e) => {
            Event { section_id: some(&e.section_id), instance_id: some(&e.target), ..none() }
        }
    }
}

/// The id that stands in a record as 16 bytes.
pub(super) fn execution(bytes: &[u8]) -> Option<String> {
    Some(ExecutionId(u128::from_be_bytes(bytes.try_into().ok()?)).to_string())
}
