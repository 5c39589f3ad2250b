//! One event at a time: pure, and tested as such.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::{Serialize, Serializer};
use strandline_model::{
    EventKind, ExecutionCompleted, FailureDetails, HistoryEvent, RuntimeStatus, Timestamp,
};

use crate::web::durable::payload::Payload;

/// Which payloads are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web::durable) struct Show {
    /// Inputs of orchestrations, tasks and events.
    pub(in crate::web::durable) input: bool,
    /// Results of orchestrations and tasks. Why something failed is shown anyway.
    pub(in crate::web::durable) output: bool,
}

/// An event as it is shown: its type first, then what it has by name.
#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Shown<'a> {
    event_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Payload<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_details: Option<Option<Box<Failure<'a>>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fire_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Payload<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock_set: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orchestration_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Payload<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_time: Option<Moment>,
    timestamp: Moment,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Failure<'a> {
    error_type: &'a str,
    error_message: &'a str,
    stack_trace: Option<&'a str>,
    inner_failure: Option<Box<Failure<'a>>>,
    is_non_retriable: bool,
    properties: Option<BTreeMap<&'a str, Payload<'a>>>,
}

impl<'a> Failure<'a> {
    fn of(failure: &'a FailureDetails) -> Box<Self> {
        let properties = failure.properties.iter().map(|(name, value)| (name.as_str(), Payload(Some(value))));
        Box::new(Self {
            error_type: &failure.error_type,
            error_message: &failure.message,
            stack_trace: failure.stack_trace.as_deref(),
            inner_failure: failure.inner_failure.as_deref().map(Self::of),
            is_non_retriable: failure.is_non_retriable,
            properties: (!failure.properties.is_empty()).then(|| properties.collect()),
        })
    }
}

/// ISO 8601 in UTC to a ten-millionth of a second, without zeros at the end.
#[derive(Clone, Copy, Default)]
struct Moment(Timestamp);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.format(7);
        let digits = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
        serializer.collect_str(&format_args!("{digits}Z"))
    }
}

impl<'a> Shown<'a> {
    /// An event on its own; `None` for one that is never shown.
    fn alone(event: &'a HistoryEvent, show: Show) -> Option<Self> {
        let input = |text: &'a Option<String>| show.input.then_some(Payload(text.as_deref()));
        let result = |text: &'a Option<String>| show.output.then_some(Payload(text.as_deref()));
        let base =
            Self { event_type: event.kind().name(), timestamp: Moment(event.timestamp), ..Self::default() };
        Some(match event.kind() {
            EventKind::OrchestratorStarted(_) | EventKind::OrchestratorCompleted(_) => return None,
            EventKind::ExecutionStarted(start) => {
                Self { function_name: Some(&start.name), input: input(&start.input), ..base }
            }
            EventKind::ExecutionCompleted(end) => Self {
                failure_details: Some(end.failure.as_ref().map(Failure::of)),
                orchestration_status: Some(status(end)),
                result: show.output.then(|| {
                    let message = end.failure.as_ref().map(|failure| failure.message.as_str());
                    Payload(end.result.as_deref().or(message))
                }),
                ..base
            },
            EventKind::ExecutionTerminated(terminated) => Self { input: input(&terminated.input), ..base },
            EventKind::ExecutionSuspended(suspended) => {
                Self { reason: Some(suspended.input.as_deref()), ..base }
            }
            EventKind::ExecutionResumed(resumed) => Self { reason: Some(resumed.input.as_deref()), ..base },
            EventKind::ExecutionRewound(rewound) => Self { reason: Some(rewound.reason.as_deref()), ..base },
            EventKind::ContinueAsNew(next) => Self { result: result(&next.input), ..base },
            EventKind::TaskScheduled(task) => {
                Self { input: input(&task.input), name: Some(&task.name), ..base }
            }
            EventKind::TaskCompleted(task) => Self { result: result(&task.result), ..base },
            EventKind::TaskFailed(task) => base.failed(&task.failure),
            EventKind::SubOrchestrationCreated(child) => Self {
                input: input(&child.input),
                instance_id: Some(&child.instance_id),
                name: Some(&child.name),
                ..base
            },
            EventKind::SubOrchestrationCompleted(child) => Self { result: result(&child.result), ..base },
            EventKind::SubOrchestrationFailed(child) => base.failed(&child.failure),
            EventKind::TimerCreated(timer) => Self { fire_at: Some(Moment(timer.fire_at)), ..base },
            EventKind::TimerFired(timer) => Self { fire_at: Some(Moment(timer.fire_at)), ..base },
            EventKind::EventSent(sent) => Self {
                input: input(&sent.input),
                instance_id: Some(&sent.instance_id),
                name: Some(&sent.name),
                ..base
            },
            EventKind::EventRaised(raised) => {
                Self { input: input(&raised.input), name: Some(&raised.name), ..base }
            }
            EventKind::Generic(generic) => Self { data: Some(Payload(generic.data.as_deref())), ..base },
            EventKind::EntityOperationSignaled(signal) => Self {
                input: input(&signal.input),
                instance_id: Some(&signal.target),
                operation: Some(&signal.operation),
                scheduled_time: signal.scheduled_time.map(Moment),
                ..base
            },
            EventKind::EntityOperationCalled(call) => Self {
                input: input(&call.input),
                instance_id: Some(&call.target),
                operation: Some(&call.operation),
                ..base
            },
            EventKind::EntityOperationCompleted(done) => Self { result: result(&done.output), ..base },
            EventKind::EntityOperationFailed(failed) => base.failed(&failed.failure),
            EventKind::EntityLockRequested(request) => Self { lock_set: Some(&request.lock_set), ..base },
            EventKind::EntityLockGranted(_) => base,
            EventKind::EntityUnlockSent(unlock) => Self { instance_id: Some(&unlock.target), ..base },
        })
    }

    fn failed(self, failure: &'a FailureDetails) -> Self {
        Self {
            details: Some(failure.to_string()),
            failure_details: Some(Some(Failure::of(failure))),
            reason: Some(Some(&failure.message)),
            ..self
        }
    }

    /// The result says what was scheduled, and when.
    fn scheduled_by(self, scheduling: &'a HistoryEvent, show: Show) -> Self {
        let Some(what) = Self::alone(scheduling, show) else { return self };
        Self {
            function_name: what.name,
            input: what.input,
            // The id of a sub-orchestration is told by what scheduled it only.
            instance_id: what.operation.and(what.instance_id),
            lock_set: what.lock_set,
            operation: what.operation,
            scheduled_time: Some(what.timestamp),
            ..self
        }
    }
}

fn status(end: &ExecutionCompleted) -> &'static str {
    RuntimeStatus::try_from(end.status).map_or("Unknown", RuntimeStatus::name)
}

/// The action whose result this is.
fn result_of(event: &HistoryEvent) -> Option<i32> {
    match event.kind() {
        EventKind::TaskCompleted(task) => Some(task.task_id),
        EventKind::TaskFailed(task) => Some(task.task_id),
        EventKind::SubOrchestrationCompleted(child) => Some(child.task_id),
        EventKind::SubOrchestrationFailed(child) => Some(child.task_id),
        EventKind::EntityOperationCompleted(call) => Some(call.task_id),
        EventKind::EntityOperationFailed(call) => Some(call.task_id),
        EventKind::EntityLockGranted(lock) => Some(lock.task_id),
        _ => None,
    }
}

/// Whether this schedules something that has a result, and about how many bytes it takes.
fn schedules(event: &HistoryEvent) -> Option<usize> {
    let bytes = |input: &Option<String>| 100 + input.as_ref().map_or(0, String::len);
    match event.kind() {
        EventKind::TaskScheduled(task) => Some(bytes(&task.input)),
        EventKind::SubOrchestrationCreated(child) => Some(bytes(&child.input)),
        EventKind::EntityOperationCalled(call) => Some(bytes(&call.input)),
        EventKind::EntityLockRequested(request) => {
            Some(request.lock_set.iter().map(|entity| 100 + entity.len()).sum())
        }
        _ => None,
    }
}

/// Brings what was scheduled together with its result.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    /// Actions that have a result.
    ended: HashSet<i32>,
    /// What scheduled them, from there until the result.
    open: HashMap<i32, Scheduling>,
    held_bytes: usize,
    /// Something is shown already.
    begun: bool,
}

#[derive(Debug)]
enum Scheduling {
    Held(Arc<HistoryEvent>),
    /// Too much is held already: this is its number in the history.
    At(usize),
}

/// Bytes of scheduling events one answer holds at most: what a wide fan-out has more is read again.
const HELD_BYTES_MAX: usize = 8 << 20;

impl Joiner {
    /// What the first reading learns.
    pub(super) fn note(&mut self, event: &HistoryEvent) {
        self.ended.extend(result_of(event));
    }

    /// The number of the event that must be [provided](Self::provide) before this one is shown.
    pub(super) fn lacks(&self, event: &HistoryEvent) -> Option<usize> {
        match self.open.get(&result_of(event)?) {
            Some(Scheduling::At(number)) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn provide(&mut self, scheduling: Arc<HistoryEvent>) {
        self.held_bytes += schedules(&scheduling).unwrap_or_default();
        self.open.insert(scheduling.id, Scheduling::Held(scheduling));
    }

    /// Appends the event with this number to the text of a list, if it is shown. Events come in order.
    pub(super) fn show(&mut self, number: usize, event: &Arc<HistoryEvent>, show: Show, list: &mut Vec<u8>) {
        if let Some(bytes) = schedules(event)
            && self.ended.contains(&event.id)
        {
            if self.held_bytes + bytes <= HELD_BYTES_MAX {
                self.provide(event.clone());
            } else {
                self.open.insert(event.id, Scheduling::At(number));
            }
            return;
        }
        let Some(mut shown) = Shown::alone(event, show) else { return };
        let scheduling = result_of(event).and_then(|task| self.open.remove(&task));
        if let Some(Scheduling::Held(scheduling)) = &scheduling {
            self.held_bytes -= schedules(scheduling).unwrap_or_default();
            shown = shown.scheduled_by(scheduling, show);
        }
        if std::mem::replace(&mut self.begun, true) {
            list.push(b',');
        }
        // Writing to memory does not fail, and all keys are text.
        let _ = serde_json::to_writer(list, &shown);
    }
}

#[cfg(test)]
mod tests;
