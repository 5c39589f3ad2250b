use std::collections::BTreeMap;
use std::time::Duration;

use crate::{FailureDetails, HistoryEvent, Timestamp};

/// What a turn decided. Actions are never stored: the hub turns them into history events.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// The sequence id: from one counter per execution, starting at 0, in the order of the calls.
    /// `-1` for actions that leave no event of their own ([`ActionKind::Cancel`]).
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
    },
    SendEvent {
        instance_id: String,
        name: String,
        input: Option<String>,
    },
    /// The result of task `target` is no longer wanted. Idempotent; ignored for finished tasks.
    /// A timer leaves the timer index; an activity's cancellation token fires; a sub-orchestration
    /// is terminated.
    Cancel {
        target: i32,
    },
    /// The last action of an execution.
    Complete(Completion),
}

/// How an execution ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Completion {
    Completed {
        result: Option<String>,
    },
    Failed {
        failure: FailureDetails,
        /// The task whose failure this is, when the error came from one; rewind needs it.
        origin: Option<i32>,
    },
    ContinuedAsNew {
        input: Option<String>,
        /// `None` keeps the version.
        version: Option<String>,
        /// `EventRaised` events that reached the code but no waiter, in order of arrival.
        carryover: Vec<HistoryEvent>,
    },
}
