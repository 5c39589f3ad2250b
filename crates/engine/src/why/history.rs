//! What a history tells of open tasks, of events that arrived, and of attempts that failed.

use std::collections::{BTreeMap, BTreeSet};

use strandline_model::{EventKind, FailureDetails, HistoryEvent, Timestamp};

use super::evidence::{Arrived, Retry, Suspension};

/// Characters of an error that are told.
const ERROR_MAX: usize = 500;

/// What a diagnosis keeps of one event: no payloads.
#[derive(Clone, Debug)]
pub struct Brief {
    id: i32,
    time: Timestamp,
    kind: BriefKind,
}

#[derive(Clone, Debug)]
enum BriefKind {
    Begins,
    TurnBegins,
    TurnEnds,
    /// An action of this name, if it has one; an activity also in a version.
    Action {
        name: Option<String>,
        version: Option<String>,
    },
    Raised(String),
    /// A task that came to an end; with its error, if it failed.
    Ended {
        task_id: i32,
        error: Option<String>,
    },
    Suspended(Option<String>),
    Resumed,
    Other,
}

impl Brief {
    pub fn of(event: &HistoryEvent) -> Self {
        let action = |name: Option<&String>, version: Option<&String>| BriefKind::Action {
            name: name.cloned(),
            version: version.cloned(),
        };
        let ended = |task_id: i32, failure: Option<&FailureDetails>| BriefKind::Ended {
            task_id,
            error: failure.map(error_line),
        };
        let kind = match event.kind() {
            EventKind::ExecutionStarted(_) => BriefKind::Begins,
            EventKind::OrchestratorStarted(_) => BriefKind::TurnBegins,
            EventKind::OrchestratorCompleted(_) => BriefKind::TurnEnds,
            EventKind::TaskScheduled(e) => action(Some(&e.name), e.version.as_ref()),
            EventKind::SubOrchestrationCreated(e) => action(Some(&e.name), e.version.as_ref()),
            EventKind::EntityOperationCalled(e) => action(Some(&e.operation), None),
            EventKind::TimerCreated(_)
            | EventKind::EventSent(_)
            | EventKind::EntityOperationSignaled(_)
            | EventKind::EntityLockRequested(_)
            | EventKind::EntityUnlockSent(_) => action(None, None),
            EventKind::EventRaised(e) => BriefKind::Raised(e.name.clone()),
            EventKind::TaskCompleted(e) => ended(e.task_id, None),
            EventKind::TaskFailed(e) => ended(e.task_id, Some(&e.failure)),
            EventKind::SubOrchestrationCompleted(e) => ended(e.task_id, None),
            EventKind::SubOrchestrationFailed(e) => ended(e.task_id, Some(&e.failure)),
            EventKind::EntityOperationCompleted(e) => ended(e.task_id, None),
            EventKind::EntityOperationFailed(e) => ended(e.task_id, Some(&e.failure)),
            EventKind::TimerFired(e) => ended(e.timer_id, None),
            EventKind::ExecutionSuspended(e) => BriefKind::Suspended(e.input.clone()),
            EventKind::ExecutionResumed(_) => BriefKind::Resumed,
            _ => BriefKind::Other,
        };
        Self { id: event.id, time: event.timestamp, kind }
    }

    /// The sequence id of the action it records, or -1.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// It says since when an instance is suspended.
    pub fn is_suspension(&self) -> bool {
        matches!(self.kind, BriefKind::Suspended(_))
    }
}

/// A failure on one line.
pub(crate) fn error_line(failure: &FailureDetails) -> String {
    failure.to_string().chars().take(ERROR_MAX).collect()
}

/// What was scheduled under an id.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduled {
    pub since: Timestamp,
    pub name: Option<String>,
    pub version: Option<String>,
}

/// What events of a history, in order, tell. The first of them need not be the history's first.
#[derive(Clone, Debug, Default)]
pub struct Projection {
    /// Open tasks by id.
    pub scheduled: BTreeMap<i32, Scheduled>,
    pub arrived: BTreeMap<String, Arrived>,
    pub suspension: Option<Suspension>,
    /// When the code began, or a turn ended in which it did something but look at events that came.
    pub acted: Option<Timestamp>,
    /// What timers wait to do again, by the timers' ids.
    pub retries: BTreeMap<i32, Retry>,
}

/// A turn as it is read.
#[derive(Default)]
struct Turn {
    raised: Vec<String>,
    failed: Option<(i32, String)>,
    is_more: bool,
}

impl Projection {
    /// Reads events, of which those of `open` tasks are of interest.
    pub fn of(events: &[Brief], open: &BTreeSet<i32>) -> Self {
        let mut read = Self::default();
        let mut names: BTreeMap<i32, &str> = BTreeMap::new();
        let mut failures: BTreeMap<&str, u32> = BTreeMap::new();
        let mut turn = Turn::default();
        for event in events {
            match &event.kind {
                BriefKind::Begins => read.acted = Some(event.time),
                BriefKind::TurnBegins => turn = Turn::default(),
                BriefKind::TurnEnds => {
                    // Nothing but events came, and the code did nothing about them.
                    if turn.is_more {
                        read.acted = Some(event.time);
                    } else {
                        for name in std::mem::take(&mut turn.raised) {
                            read.arrived.entry(name).or_default().unused += 1;
                        }
                    }
                }
                BriefKind::Action { name, version } => {
                    turn.is_more = true;
                    if let Some(name) = name {
                        names.insert(event.id, name);
                    }
                    if open.contains(&event.id) {
                        let (name, version) = (name.clone(), version.clone());
                        read.scheduled.insert(event.id, Scheduled { since: event.time, name, version });
                        if let (None, Some((task, error))) = (names.get(&event.id), &turn.failed)
                            && let Some(name) = names.get(task)
                        {
                            let failures = failures.get(name).copied().unwrap_or(1);
                            let retry = Retry { name: (*name).to_owned(), failures, error: error.clone() };
                            read.retries.insert(event.id, retry);
                        }
                    }
                }
                BriefKind::Raised(name) => {
                    let arrived = read.arrived.entry(name.clone()).or_default();
                    arrived.count += 1;
                    arrived.last = Some(event.time);
                    turn.raised.push(name.clone());
                }
                BriefKind::Ended { task_id, error } => {
                    turn.is_more = true;
                    let name = names.get(task_id).copied();
                    match (error, name) {
                        (Some(error), name) => {
                            *failures.entry(name.unwrap_or_default()).or_default() += 1;
                            turn.failed = Some((*task_id, error.clone()));
                        }
                        // It went well in the end.
                        (None, Some(name)) => drop(failures.remove(name)),
                        (None, None) => {}
                    }
                }
                BriefKind::Suspended(reason) => {
                    let (since, reason) = (Some(event.time), reason.clone());
                    read.suspension = Some(Suspension { since, reason });
                }
                BriefKind::Resumed => read.suspension = None,
                BriefKind::Other => {}
            }
        }
        read
    }
}
