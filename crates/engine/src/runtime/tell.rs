//! What happens in a hub, as metrics and as lines of the log.
//!
//! The log's words are those of the Durable Task framework (`event`) and of Durable Functions (`state`), so
//! that searches carry over. What users said or computed stands there only if the node was told to show it.

use std::sync::Arc;

use strandline_model::{
    EntityId, EventKind, ExecutionCompleted, ExecutionId, ExecutionStarted, HistoryEvent, InstanceId,
    RuntimeStatus,
};
use tracing::Level;

use super::running::Running;
use crate::pipeline::{ActivityDispatch, EntityDispatch, Fact, Happening, Note, Payload, Watch};
use crate::worker::Turn;

/// The target of these lines, for filters: what becomes of instances is `info`, each step is `debug`.
pub const LIFECYCLE: &str = "strandline::lifecycle";

/// The error type of executions whose code parted from its history.
const NONDETERMINISM: [&str; 2] = ["NonDeterminismError", "Nondeterminism"];

impl Running {
    /// How much partitions are to tell now.
    pub(crate) fn watch(&self) -> Watch {
        let payloads = self.log_payloads();
        if tracing::enabled!(target: LIFECYCLE, Level::DEBUG) {
            Watch::Told { all: true, payloads }
        } else if tracing::enabled!(target: LIFECYCLE, Level::INFO) {
            Watch::Told { all: false, payloads }
        } else {
            Watch::Counts
        }
    }

    /// Counts a fact, and notes it in the log.
    pub(crate) fn tell(&self, fact: Fact) {
        let Fact { id, started, what } = fact;
        let started = started.as_deref().and_then(start);
        let name = started.map_or("", |started| started.name.as_str());
        match what {
            Happening::Started => {
                self.metrics.orchestrations.of(name).started.add(1);
                if tracing::enabled!(target: LIFECYCLE, Level::INFO) {
                    let input = started.and_then(|started| started.input.as_deref());
                    let payload = input.map(|input| Payload::of(input, self.log_payloads()));
                    let note = Note {
                        event: "SchedulingOrchestration",
                        state: Some("Scheduled"),
                        payload,
                        ..Note::default()
                    };
                    self.line(&id, started, None, &note, true);
                }
            }
            Happening::Ended { status, created, at, ended } => {
                let of = self.metrics.orchestrations.of(name);
                of.ended(status, at.saturating_since(created));
                let end = ended.as_deref().and_then(end);
                let failure = end.and_then(|end| end.failure.as_ref());
                if failure.is_some_and(|failure| NONDETERMINISM.contains(&failure.error_type.as_str())) {
                    of.nondeterminism.add(1);
                }
                if tracing::enabled!(target: LIFECYCLE, Level::INFO) {
                    let show = |text: &str| Payload::of(text, self.log_payloads());
                    let note = Note {
                        event: "OrchestrationCompleted",
                        state: Some(if status == RuntimeStatus::ContinuedAsNew {
                            "Completed"
                        } else {
                            status.name()
                        }),
                        reason: failure.map(|f| show(&format!("{}: {}", f.error_type, f.message))),
                        payload: end.and_then(|end| end.result.as_deref()).map(show),
                        ..Note::default()
                    };
                    self.line(&id, started, Some(status), &note, true);
                }
            }
            Happening::TimersFired(late) => {
                for millis in late {
                    self.metrics.timer_lateness.observe(millis.saturating_mul(1_000_000));
                }
            }
            Happening::Operations { completed, failed } => {
                if let Ok(entity) = EntityId::parse(id.as_str()) {
                    let of = self.metrics.entities.of(entity.name());
                    of.completed.add(completed);
                    of.failed.add(failed);
                }
            }
            Happening::Locked { waited } => {
                self.metrics.lock_wait.observe_time(waited);
                let note =
                    Note { event: "EntityLockAcquired", state: Some("LockAcquired"), ..Note::default() };
                self.line(&id, started, None, &note, false);
            }
            Happening::Noted(note) => self.line(&id, started, None, &note, note.is_lifecycle),
        }
    }

    /// An activity begins, here or with a worker elsewhere.
    pub(crate) fn tell_of_start(&self, dispatch: &ActivityDispatch, worker: Option<&str>) {
        let EventKind::TaskScheduled(task) = dispatch.scheduled.kind() else { return };
        tracing::debug!(
            target: LIFECYCLE,
            event = "TaskActivityStarting",
            state = "Started",
            hub = self.info.name,
            partition = dispatch.at.partition,
            instance_id = dispatch.instance.as_str(),
            execution_id = %dispatch.execution,
            task_id = dispatch.task_id,
            name = task.name,
            version = task.version,
            worker_id = worker,
            trace_id = task.trace.as_ref().and_then(|trace| trace_of(&trace.parent)).map(|(trace, _)| trace),
            span_id = task.trace.as_ref().and_then(|trace| trace_of(&trace.parent)).map(|(_, span)| span),
        );
    }

    /// A turn of an orchestrator begins in this process.
    pub(crate) fn tell_of_turn(&self, turn: &Turn) {
        tracing::debug!(
            target: LIFECYCLE,
            event = "OrchestrationExecuting",
            state = "Started",
            hub = self.info.name,
            partition = self.partition_of(&turn.instance),
            instance_id = turn.instance.as_str(),
            execution_id = %turn.execution,
            name = turn.name,
            version = turn.version,
            count = turn.new.len(),
        );
    }

    /// Operations of an entity begin in this process.
    pub(crate) fn tell_of_operations(&self, dispatch: &EntityDispatch) {
        tracing::debug!(
            target: LIFECYCLE,
            event = "EntityBatchExecuting",
            state = "Started",
            hub = self.info.name,
            partition = dispatch.at.partition,
            instance_id = dispatch.id.as_str(),
            count = dispatch.batch.operations.len(),
        );
    }

    /// Nobody waits any more for an activity that runs in this process.
    pub(crate) fn tell_of_abort(&self, instance: &InstanceId, execution: ExecutionId, task_id: i32) {
        tracing::debug!(
            target: LIFECYCLE,
            event = "TaskActivityAborted",
            hub = self.info.name,
            partition = self.partition_of(instance),
            instance_id = instance.as_str(),
            execution_id = %execution,
            task_id,
        );
    }

    fn partition_of(&self, id: &InstanceId) -> u16 {
        strandline_model::partition_of(id.as_str(), self.info.partitions)
    }

    fn line(
        &self,
        id: &InstanceId,
        started: Option<&ExecutionStarted>,
        status: Option<RuntimeStatus>,
        note: &Note,
        is_lifecycle: bool,
    ) {
        let trace = started.and_then(|started| trace_of(started.trace_parent.as_deref()?));
        let reason = note.reason.as_ref().map(Payload::to_string);
        let payload = note.payload.as_ref().map(Payload::to_string);
        let execution = started.map(execution_id);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: LIFECYCLE,
                    event = note.event,
                    state = note.state,
                    hub = self.info.name,
                    partition = self.partition_of(id),
                    instance_id = id.as_str(),
                    execution_id = execution,
                    name = started.map(|started| started.name.as_str()),
                    version = started.and_then(|started| started.version.as_deref()),
                    status = status.map(RuntimeStatus::name),
                    task_id = note.task_id,
                    target_name = note.target,
                    target_version = note.version,
                    count = note.count,
                    reason = reason,
                    payload = payload,
                    trace_id = trace.map(|(trace, _)| trace),
                    span_id = trace.map(|(_, span)| span),
                )
            };
        }
        if is_lifecycle { line!(info) } else { line!(debug) }
    }
}

fn start(event: &HistoryEvent) -> Option<&ExecutionStarted> {
    match event.kind() {
        EventKind::ExecutionStarted(started) => Some(started),
        _ => None,
    }
}

fn end(event: &HistoryEvent) -> Option<&ExecutionCompleted> {
    match event.kind() {
        EventKind::ExecutionCompleted(ended) => Some(ended),
        _ => None,
    }
}

fn execution_id(started: &ExecutionStarted) -> String {
    let bytes = <[u8; 16]>::try_from(started.execution_id.as_slice()).unwrap_or_default();
    ExecutionId(u128::from_be_bytes(bytes)).to_string()
}

/// The ids in a W3C `traceparent`.
fn trace_of(parent: &str) -> Option<(&str, &str)> {
    let mut parts = parent.split('-').skip(1);
    let (trace, span) = (parts.next()?, parts.next()?);
    (trace.len() == 32 && span.len() == 16).then_some((trace, span))
}

/// When the oldest of what a turn was given could have been worked on.
pub(crate) fn ready_since(new: &[Arc<HistoryEvent>]) -> Option<strandline_model::Timestamp> {
    // The first is the turn's own.
    let event = new.get(1)?;
    let scheduled = start(event).and_then(|started| started.scheduled_start);
    Some(scheduled.map_or(event.timestamp, |at| at.max(event.timestamp)))
}
