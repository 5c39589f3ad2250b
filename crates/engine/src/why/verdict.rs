//! What a diagnosis says.

use std::time::Duration;

use strandline_model::{InstanceId, Timestamp};

use super::evidence::{Retry, Subject};

/// How much somebody should care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It goes on, or is over and well.
    Ok,
    /// It waits as it was written to.
    Info,
    /// It may be that nobody means it to wait.
    Warning,
    /// It does not go on unless somebody does something.
    Error,
}

/// What an open task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitKind {
    Turn,
    EntityLock,
    EntityCall,
    Activity,
    SubOrchestration,
    ExternalEvent,
    Timer,
}

impl WaitKind {
    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Turn => "turn",
            Self::EntityLock => "entityLock",
            Self::EntityCall => "entityCall",
            Self::Activity => "activity",
            Self::SubOrchestration => "subOrchestration",
            Self::ExternalEvent => "externalEvent",
            Self::Timer => "timer",
        }
    }
}

/// Why an instance waits, or that it does not.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Completed,
    Failed {
        error: String,
    },
    Terminated {
        reason: Option<String>,
    },
    /// Nothing keeps it: it is on its way from one place to the next.
    Progressing,
    /// The store takes nothing.
    StoreStalled {
        reason: String,
    },
    Suspended {
        reason: Option<String>,
    },
    ScheduledStart {
        at: Timestamp,
    },
    /// Workers are connected, but none lists the name.
    UnknownName {
        work: Subject,
        /// The name that was perhaps meant.
        nearest: Option<String>,
        /// Other hubs with workers that take it.
        elsewhere: Vec<String>,
        workers: usize,
    },
    /// No worker is connected.
    NoWorker {
        work: Subject,
        elsewhere: Vec<String>,
    },
    /// Workers take the name, but not in this version.
    VersionMismatch {
        work: Subject,
        /// The versions they list; the empty text stands for no version. None are known of a worker that
        /// goes by rules.
        served: Vec<String>,
    },
    /// A worker has it.
    AtWorker {
        work: Subject,
        /// `None`: it runs in this process.
        worker: Option<String>,
        peer: Option<String>,
        /// Since when it has it.
        since: Option<Timestamp>,
        /// The how-manieth delivery it is.
        delivery: u32,
        /// When it is given to somebody else.
        until: Option<Timestamp>,
    },
    /// A turn takes long: it blocks or loops.
    SlowTurn {
        work: Subject,
        took: Duration,
    },
    /// It was handed out in vain, again and again.
    Poison {
        work: Subject,
        lost: u32,
        refused: u32,
        /// So many lost deliveries end it.
        limit: u32,
        /// What was wrong with the last answer.
        problem: Option<String>,
        /// When it is handed out again.
        until: Option<Timestamp>,
    },
    /// Workers that take it have no room.
    Backlog {
        work: Subject,
        ahead: usize,
        slots: usize,
        busy: usize,
        /// How much of it was done of late.
        per_second: Option<f64>,
        estimate: Option<Duration>,
    },
    ExternalEvent {
        /// The names it waits for, if its worker told.
        awaited: Vec<String>,
        /// An event that arrived, and the name that was perhaps meant.
        misspelt: Option<(String, Option<String>)>,
        /// Other names that arrived, with how often.
        others: Vec<(String, u64)>,
        /// When a timer ends the wait, perhaps.
        deadline: Option<Timestamp>,
    },
    Timer {
        fires: Timestamp,
        /// Names of events that arrived while the code did nothing about them.
        unused: Vec<(String, u64)>,
    },
    /// The pause between two attempts.
    Retrying {
        retry: Retry,
        fires: Timestamp,
    },
    /// A sub-orchestration that was not looked into.
    SubOrchestration {
        child: InstanceId,
        /// There is none of this id.
        is_missing: bool,
    },
    EntityLock {
        entity: InstanceId,
        holder: InstanceId,
        /// What the holder is about; `None`: there is no such instance any more, or it is over.
        holder_waits: Option<String>,
    },
    /// Each waits for the next, the last for the first.
    Deadlock {
        cycle: Vec<InstanceId>,
    },
    /// Much waits for the entity.
    EntityBusy {
        entity: InstanceId,
        backlog: usize,
    },
    /// The history is so long that it will be a problem, or is one.
    LongHistory {
        events: usize,
        actions: u32,
        actions_max: u32,
    },
}

impl Verdict {
    /// Its name in the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed { .. } => "failed",
            Self::Terminated { .. } => "terminated",
            Self::Progressing => "progressing",
            Self::StoreStalled { .. } => "storeStalled",
            Self::Suspended { .. } => "suspended",
            Self::ScheduledStart { .. } => "scheduledStart",
            Self::UnknownName { .. } => "unknownName",
            Self::NoWorker { .. } => "noWorker",
            Self::VersionMismatch { .. } => "versionMismatch",
            Self::AtWorker { .. } => "atWorker",
            Self::SlowTurn { .. } => "slowTurn",
            Self::Poison { .. } => "poison",
            Self::Backlog { .. } => "backlog",
            Self::ExternalEvent { .. } => "externalEvent",
            Self::Timer { .. } => "timer",
            Self::Retrying { .. } => "retrying",
            Self::SubOrchestration { .. } => "subOrchestration",
            Self::EntityLock { .. } => "entityLock",
            Self::Deadlock { .. } => "deadlock",
            Self::EntityBusy { .. } => "entityBusy",
            Self::LongHistory { .. } => "longHistory",
        }
    }
}
