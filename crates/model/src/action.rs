use std::collections::BTreeMap;
use std::time::Duration;

use crate::{
    EntityLockRequested, EntityOperationCalled, EntityOperationSignaled, EntityUnlockSent, EventKind,
    EventSent, FailureDetails, HistoryEvent, SubOrchestrationCreated, TaskScheduled, TimerCreated, Timestamp,
    TraceContext,
};

/// What a turn decided. Actions are never stored: the hub turns them into history events.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// The sequence id: from one counter per execution, starting at 0, in the order of the calls.
    /// `-1` for [`ActionKind::Cancel`] and [`ActionKind::Part`].
    pub id: i32,
    pub kind: ActionKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ActionKind {
    ScheduleTask {
        name: String,
        version: Option<String>,
        input: Option<String>,
        tags: BTreeMap<String, String>,
        /// Fails the task with `TimeoutError` when one dispatch takes longer.
        timeout: Option<Duration>,
        trace: Option<Box<TraceContext>>,
    },
    CreateTimer {
        fire_at: Timestamp,
    },
    CreateSubOrchestration {
        instance_id: String,
        name: String,
        version: Option<String>,
        input: Option<String>,
        tags: BTreeMap<String, String>,
        /// The parent neither waits for it nor hears of its end.
        fire_and_forget: bool,
        trace: Option<Box<TraceContext>>,
    },
    SendEvent {
        instance_id: String,
        name: String,
        input: Option<String>,
    },
    /// Sends an operation to an entity, one-way.
    SignalEntity {
        /// `@name@key`.
        target: String,
        /// A GUID.
        request_id: String,
        operation: String,
        input: Option<String>,
        /// Not before then.
        scheduled_time: Option<Timestamp>,
    },
    /// Sends an operation to an entity and waits for its result.
    CallEntity {
        target: String,
        request_id: String,
        operation: String,
        input: Option<String>,
        scheduled_time: Option<Timestamp>,
    },
    /// Asks for a critical section over these entities (`@name@key`, sorted, each once).
    LockEntities {
        section_id: String,
        lock_set: Vec<String>,
    },
    /// Gives the lock of one entity of a section back.
    UnlockEntity {
        section_id: String,
        target: String,
    },
    /// Terminates another instance; leaves no event of its own.
    Terminate {
        instance_id: String,
        reason: Option<String>,
        /// Also its running sub-orchestrations, and theirs.
        recursive: bool,
    },
    /// The result of task `target` is no longer wanted. Idempotent; ignored for finished tasks.
    /// A timer leaves the timer index; an activity's cancellation token fires; a sub-orchestration
    /// is terminated.
    Cancel {
        target: i32,
    },
    /// Alone, in the first turn after a rewind: the code parts from the history at this sequence id. What
    /// is recorded under it and later ones goes, and the turn is run again.
    Part {
        from: i32,
    },
    /// The last action of an execution.
    Complete(Completion),
}

impl ActionKind {
    /// A history event of its own records it, under its sequence id. [`ActionKind::into_event`] makes it.
    pub fn leaves_event(&self) -> bool {
        !matches!(self, Self::Terminate { .. } | Self::Cancel { .. } | Self::Part { .. } | Self::Complete(_))
    }

    /// The history event that records the action. Gives back what leaves no event of its own: a
    /// termination, a cancellation, a parting or a completion.
    pub fn into_event(self) -> Result<EventKind, Box<Self>> {
        Ok(match self {
            Self::ScheduleTask { name, version, input, tags, timeout, trace } => {
                let timeout_nanos = timeout.map(|t| u64::try_from(t.as_nanos()).unwrap_or(u64::MAX));
                EventKind::TaskScheduled(TaskScheduled { name, version, input, tags, timeout_nanos, trace })
            }
            Self::CreateTimer { fire_at } => EventKind::TimerCreated(TimerCreated { fire_at }),
            Self::CreateSubOrchestration {
                instance_id,
                name,
                version,
                input,
                tags,
                fire_and_forget,
                trace,
            } => {
                let created = SubOrchestrationCreated {
                    instance_id,
                    name,
                    version,
                    input,
                    tags,
                    fire_and_forget,
                    trace,
                };
                EventKind::SubOrchestrationCreated(created)
            }
            Self::SendEvent { instance_id, name, input } => {
                EventKind::EventSent(EventSent { instance_id, name, input })
            }
            Self::SignalEntity { target, request_id, operation, input, scheduled_time } => {
                EventKind::EntityOperationSignaled(EntityOperationSignaled {
                    target,
                    request_id,
                    operation,
                    input,
                    scheduled_time,
                })
            }
            Self::CallEntity { target, request_id, operation, input, scheduled_time } => {
                EventKind::EntityOperationCalled(EntityOperationCalled {
                    target,
                    request_id,
                    operation,
                    input,
                    scheduled_time,
                })
            }
            Self::LockEntities { section_id, lock_set } => {
                EventKind::EntityLockRequested(EntityLockRequested { section_id, lock_set })
            }
            Self::UnlockEntity { section_id, target } => {
                EventKind::EntityUnlockSent(EntityUnlockSent { section_id, target })
            }
            Self::Terminate { .. } | Self::Cancel { .. } | Self::Part { .. } | Self::Complete(_) => {
                return Err(Box::new(self));
            }
        })
    }
}

/// How an execution ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Completion {
    Completed {
        result: Option<String>,
    },
    Failed {
        failure: FailureDetails,
        origin: Origin,
    },
    ContinuedAsNew {
        input: Option<String>,
        /// `None` keeps the version.
        version: Option<String>,
        /// `EventRaised` events that reached the code but no waiter, in order of arrival.
        carryover: Vec<HistoryEvent>,
    },
}

/// Where the failure of an execution came from. A rewind does that part again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The worker does not say.
    #[default]
    Unknown,
    /// The orchestrator's own code.
    Code,
    /// This task: an activity, a sub-orchestration or an entity call.
    Task(i32),
}

impl Origin {
    /// As it is stored in [`ExecutionCompleted`](crate::ExecutionCompleted).
    pub fn stored(self) -> Option<i32> {
        match self {
            Self::Unknown => None,
            Self::Code => Some(-1),
            Self::Task(id) => Some(id),
        }
    }

    pub fn from_stored(origin: Option<i32>) -> Self {
        match origin {
            None => Self::Unknown,
            Some(id) if id < 0 => Self::Code,
            Some(id) => Self::Task(id),
        }
    }
}
