//! What happens in a partition, for metrics and the log. Told like everything else that leaves it: once it
//! is durable.

use std::sync::Arc;
use std::time::Duration;

use strandline_hub::record::{Arrived, Committed, EntityInput, Record};
use strandline_hub::row::TimerKey;
use strandline_hub::{Discard, Instance};
use strandline_model::{EventKind, HistoryEvent, InstanceId, RuntimeStatus, Timestamp};

use super::{Pipeline, Release, Ticket};

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    Nothing,
    /// What is counted.
    Counts,
    /// That, and [notes](Note) for the log: of what becomes of instances, or of `all`. They hold what
    /// `payloads` say only if asked for.
    Told {
        all: bool,
        payloads: bool,
    },
}

/// Something happened to an instance or an entity, durably.
#[derive(Clone, Debug)]
pub struct Fact {
    /// Of an instance or an entity; empty when it is about the partition.
    pub id: InstanceId,
    /// The `ExecutionStarted` of the instance.
    pub started: Option<Arc<HistoryEvent>>,
    pub what: Happening,
}

#[derive(Clone, Debug)]
pub enum Happening {
    Started,
    Ended {
        status: RuntimeStatus,
        /// When the instance was created.
        created: Timestamp,
        at: Timestamp,
        /// Its `ExecutionCompleted`, unless it goes on as new.
        ended: Option<Arc<HistoryEvent>>,
    },
    /// How long after their times, in milliseconds.
    TimersFired(Vec<u64>),
    /// Operations of an entity were carried out.
    Operations {
        completed: u64,
        failed: u64,
    },
    /// An orchestration has all the locks it asked for.
    Locked {
        waited: Duration,
    },
    Noted(Box<Note>),
}

/// Something for the log alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Note {
    /// As the Durable Task framework calls it.
    pub event: &'static str,
    /// As Durable Functions calls what it is then.
    pub state: Option<&'static str>,
    /// Part of what becomes of an instance, not one of the many steps on its way.
    pub is_lifecycle: bool,
    pub task_id: Option<i32>,
    /// The activity, event or entity it is about.
    pub target: Option<String>,
    pub version: Option<String>,
    /// Why, as somebody said, or what failed.
    pub reason: Option<Payload>,
    pub payload: Option<Payload>,
    /// How many.
    pub count: Option<usize>,
}

/// A text of users in a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// So many characters that are not shown.
    Redacted(usize),
    /// The beginning of it.
    Shown(String),
}

/// Bytes of a text that are shown.
const SHOWN_BYTES_MAX: usize = 4096;

impl Payload {
    /// What may be told of a text.
    pub fn of(text: &str, shown: bool) -> Self {
        if shown {
            Self::Shown(text.get(..text.floor_char_boundary(SHOWN_BYTES_MAX)).unwrap_or(text).to_owned())
        } else {
            Self::Redacted(text.chars().count())
        }
    }
}

impl std::fmt::Display for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Redacted(characters) => write!(f, "(Redacted {characters} characters)"),
            Self::Shown(text) => f.write_str(text),
        }
    }
}

/// What a record is about to do, seen before it does.
#[derive(Default)]
pub(super) struct Seen {
    /// Events it brings into a history.
    pub(super) events: u64,
    id: Option<InstanceId>,
    started: Option<Arc<HistoryEvent>>,
    then: Then,
    notes: Vec<Note>,
}

#[derive(Default)]
enum Then {
    #[default]
    Nothing,
    Starts,
    Ends,
    GoesOn {
        created: Timestamp,
        at: Timestamp,
    },
    Granted {
        asked: Timestamp,
    },
    Operated {
        completed: u64,
        failed: u64,
    },
}

impl<T: Ticket> Pipeline<T> {
    /// How much is told from now on, as [`Release::Fact`].
    pub fn watch(&mut self, watch: Watch) {
        self.watch = watch;
    }

    fn tell_fact(&mut self, id: InstanceId, started: Option<Arc<HistoryEvent>>, what: Happening) {
        self.release(Release::Fact(Fact { id, started, what }));
    }

    pub(super) fn tell_of_timers(&mut self, due: &[TimerKey]) {
        if self.watch == Watch::Nothing {
            return;
        }
        let now = self.now;
        let late = due.iter().map(|timer| now.saturating_since(Timestamp::from_millis(timer.due_millis)));
        let late = late.map(|late| u64::try_from(late.as_millis()).unwrap_or(u64::MAX)).collect();
        self.tell_fact(InstanceId::trusted(""), None, Happening::TimersFired(late));
    }

    pub(super) fn tell_of_discarded(&mut self, id: Option<&InstanceId>, discard: Discard) {
        let (Watch::Told { all: true, .. }, Some(id)) = (self.watch, id) else { return };
        let started = self.partition.instance(id.as_str()).map(|i| i.started.clone());
        let reason = Some(Payload::Shown(format!("{discard:?}")));
        let note = Note { event: "DiscardingMessage", reason, ..Note::default() };
        self.tell_fact(id.clone(), started, Happening::Noted(Box::new(note)));
    }

    pub(super) fn look_at(&self, record: &Record) -> Seen {
        let events = match record {
            Record::Created(_) | Record::Arrived(_) | Record::Rewound(_) => 1,
            Record::Committed(c) => {
                c.events.len() as u64
                    + 2 * u64::from(c.turn)
                    + u64::from(c.ended.is_some())
                    + u64::from(c.next.is_some())
            }
            _ => 0,
        };
        if self.watch == Watch::Nothing {
            return Seen { events, ..Seen::default() };
        }
        let then = self.follows(record);
        let (all, payloads) = match self.watch {
            Watch::Told { all, payloads } => (all, payloads),
            _ if matches!(then, Then::Nothing) => return Seen { events, ..Seen::default() },
            _ => return self.seen(record, events, then, Vec::new()),
        };
        let mut notes = notes(record, payloads);
        notes.retain(|note| all || note.is_lifecycle);
        self.seen(record, events, then, notes)
    }

    fn seen(&self, record: &Record, events: u64, then: Then, notes: Vec<Note>) -> Seen {
        let id = record.key();
        // Before it is gone, or another one.
        let instance = id.as_ref().and_then(|id| self.partition.instance(id.as_str()));
        Seen { events, started: instance.map(|i| i.started.clone()), id, then, notes }
    }

    fn follows(&self, record: &Record) -> Then {
        match record {
            Record::Created(_) => Then::Starts,
            Record::Committed(c) if c.ended.is_some() => Then::Ends,
            Record::Committed(c) if c.next.is_some() => match self.partition.instance(&c.id) {
                Some(instance) => Then::GoesOn { created: instance.created, at: c.time },
                None => Then::Nothing,
            },
            Record::SectionGranted(granted) => {
                let instance = self.partition.instance(&granted.id);
                let asked = instance.and_then(|instance| asked_for(instance, &granted.section_id));
                asked.map_or(Then::Nothing, |asked| Then::Granted { asked })
            }
            Record::EntityCommitted(c) if !c.done.is_empty() => {
                let failed = c.done.iter().filter(|done| done.failure.is_some()).count() as u64;
                Then::Operated { completed: c.done.len() as u64 - failed, failed }
            }
            _ => Then::Nothing,
        }
    }

    /// Tells what a record did.
    pub(super) fn tell(&mut self, seen: Seen) {
        let Seen { id: Some(id), started, then, notes, .. } = seen else { return };
        for note in notes {
            self.tell_fact(id.clone(), started.clone(), Happening::Noted(Box::new(note)));
        }
        let instance = self.partition.instance(id.as_str());
        let what = match then {
            Then::Nothing => return,
            Then::Starts => {
                let started = instance.map(|i| i.started.clone());
                return self.tell_fact(id, started, Happening::Started);
            }
            Then::Ends => {
                let Some(instance) = instance else { return };
                let (status, created, at) = (instance.status(), instance.created, instance.updated);
                Happening::Ended { status, created, at, ended: instance.ended.clone() }
            }
            Then::GoesOn { created, at } => {
                Happening::Ended { status: RuntimeStatus::ContinuedAsNew, created, at, ended: None }
            }
            Then::Granted { asked } => {
                let granted = instance.and_then(|i| i.inbox.back()).filter(|e| is_grant(e));
                let Some(event) = granted else { return };
                Happening::Locked { waited: event.timestamp.saturating_since(asked) }
            }
            Then::Operated { completed, failed } => Happening::Operations { completed, failed },
        };
        self.tell_fact(id, started, what);
    }
}

fn is_grant(event: &HistoryEvent) -> bool {
    matches!(event.kind(), EventKind::EntityLockGranted(_))
}

/// When an instance asked for the locks of a section, if that is in memory.
fn asked_for(instance: &Instance, section: &str) -> Option<Timestamp> {
    let task_id = instance.sections.get(section)?.task_id;
    let mut newest = instance.history.in_memory().iter().rev();
    let asked = newest
        .find(|event| event.id == task_id && matches!(event.kind(), EventKind::EntityLockRequested(_)))?;
    Some(asked.timestamp)
}

fn notes(record: &Record, payloads: bool) -> Vec<Note> {
    let payload = |text: &Option<String>| text.as_deref().map(|text| Payload::of(text, payloads));
    let lifecycle = |event, state| Note { event, state, is_lifecycle: true, ..Note::default() };
    match record {
        Record::Arrived(arrived) => arrival(arrived, payloads).into_iter().collect(),
        Record::Committed(committed) => steps(committed, payloads),
        Record::Rewound(rewound) => {
            let reason = match rewound.event.kind() {
                EventKind::ExecutionRewound(event) => payload(&event.reason),
                _ => None,
            };
            vec![Note { reason, ..lifecycle("RewindingInstance", Some("Rewound")) }]
        }
        Record::Purged(_) => vec![lifecycle("PurgingInstance", None)],
        Record::EntityArrived(arrived) => match &arrived.input {
            Some(EntityInput::Operation(operation)) => vec![Note {
                event: "EntityOperationScheduled",
                state: Some("Scheduled"),
                target: Some(operation.name.clone()),
                payload: payload(&operation.input),
                ..Note::default()
            }],
            _ => Vec::new(),
        },
        Record::LockReleased(_) => {
            vec![Note { event: "EntityLockReleased", state: Some("LockReleased"), ..Note::default() }]
        }
        Record::EntityCommitted(committed) => {
            let count = Some(committed.done.len());
            vec![Note { event: "EntityBatchExecuted", state: Some("EntityBatch"), count, ..Note::default() }]
        }
        _ => Vec::new(),
    }
}

/// What an event that comes in is called.
fn arrival(arrived: &Arrived, payloads: bool) -> Option<Note> {
    let payload = |text: &Option<String>| text.as_deref().map(|text| Payload::of(text, payloads));
    let failure = |failure: &strandline_model::FailureDetails| {
        Some(Payload::of(&format!("{}: {}", failure.error_type, failure.message), payloads))
    };
    let note = |event, state| Note { event, state: Some(state), ..Note::default() };
    let task = |event, state, task: i32| Note { task_id: Some(task), ..note(event, state) };
    Some(match arrived.event.kind() {
        EventKind::ExecutionSuspended(e) => {
            Note { is_lifecycle: true, reason: payload(&e.input), ..note("SuspendingInstance", "Suspended") }
        }
        EventKind::ExecutionResumed(e) => {
            Note { is_lifecycle: true, reason: payload(&e.input), ..note("ResumingInstance", "Scheduled") }
        }
        EventKind::EventRaised(e) => Note {
            is_lifecycle: true,
            target: Some(e.name.clone()),
            payload: payload(&e.input),
            ..note("RaisingEvent", "ExternalEventRaised")
        },
        EventKind::TaskCompleted(e) => {
            Note { payload: payload(&e.result), ..task("TaskActivityCompleted", "Completed", e.task_id) }
        }
        EventKind::TaskFailed(e) => {
            Note { reason: failure(&e.failure), ..task("TaskActivityFailure", "Failed", e.task_id) }
        }
        EventKind::SubOrchestrationCompleted(e) => {
            Note { payload: payload(&e.result), ..task("SubOrchestrationCompleted", "Completed", e.task_id) }
        }
        EventKind::SubOrchestrationFailed(e) => {
            Note { reason: failure(&e.failure), ..task("SubOrchestrationFailed", "Failed", e.task_id) }
        }
        EventKind::EntityOperationCompleted(e) => {
            Note { payload: payload(&e.output), ..task("EntityOperationCompleted", "Completed", e.task_id) }
        }
        EventKind::EntityOperationFailed(e) => {
            Note { reason: failure(&e.failure), ..task("EntityOperationFailed", "Failed", e.task_id) }
        }
        EventKind::TimerFired(e) => task("TimerFired", "TimerExpired", e.timer_id),
        _ => return None,
    })
}

/// What a turn decided, or what ended an execution from outside.
fn steps(committed: &Committed, payloads: bool) -> Vec<Note> {
    let payload = |text: &Option<String>| text.as_deref().map(|text| Payload::of(text, payloads));
    let mut notes = Vec::new();
    for event in &committed.events {
        let note = |name, state| Note {
            event: name,
            state: Some(state),
            task_id: (event.id >= 0).then_some(event.id),
            ..Note::default()
        };
        notes.push(match event.kind() {
            EventKind::TaskScheduled(e) => Note {
                target: Some(e.name.clone()),
                version: e.version.clone(),
                payload: payload(&e.input),
                ..note("SchedulingActivity", "Scheduled")
            },
            EventKind::TimerCreated(_) => note("CreatingTimer", "Listening"),
            EventKind::SubOrchestrationCreated(e) => Note {
                target: Some(e.name.clone()),
                version: e.version.clone(),
                payload: payload(&e.input),
                ..note("SchedulingSubOrchestration", "Scheduled")
            },
            EventKind::EventSent(e) => Note {
                target: Some(e.name.clone()),
                payload: payload(&e.input),
                ..note("SendingEvent", "ExternalEventRaised")
            },
            EventKind::EntityOperationCalled(e) => Note {
                target: Some(e.target.clone()),
                payload: payload(&e.input),
                ..note("CallingEntity", "Scheduled")
            },
            EventKind::EntityOperationSignaled(e) => Note {
                target: Some(e.target.clone()),
                payload: payload(&e.input),
                ..note("SignalingEntity", "Scheduled")
            },
            EventKind::ExecutionTerminated(e) => Note {
                is_lifecycle: true,
                reason: payload(&e.input),
                ..note("TerminatingInstance", "Terminated")
            },
            _ => continue,
        });
    }
    if committed.turn {
        let count = Some(committed.events.len());
        notes.push(Note { event: "OrchestrationExecuted", state: Some("Awaited"), count, ..Note::default() });
    }
    notes
}
