//! What a diagnosis rests on.

use std::collections::{BTreeMap, BTreeSet};

use strandline_model::{InstanceId, RuntimeStatus, Timestamp};

use crate::dispatch::{Kind, Line, Takers, Tries, Whereabouts};

/// What is known of instances and of what they wait for, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    pub now: Timestamp,
    /// Instances that were looked at; `None`: there is none of this id.
    pub instances: BTreeMap<InstanceId, Option<InstanceEvidence>>,
    /// Entities that were looked at; `None`: there is nothing of this id.
    pub entities: BTreeMap<InstanceId, Option<EntityEvidence>>,
    /// Who could take work, by name and version.
    pub takers: BTreeMap<Line, Takers>,
    /// Other hubs with workers that take it, of those the caller may see.
    pub elsewhere: BTreeMap<Line, Vec<String>>,
    /// The names that workers of the hub list, by kind.
    pub names: BTreeMap<Kind, BTreeSet<String>>,
    /// Why the store takes no new work, if it does not.
    pub store: Option<String>,
    /// Deliveries that end with a lost worker before the work fails.
    pub deliveries_max: u32,
}

/// One instance.
#[derive(Clone, Debug)]
pub struct InstanceEvidence {
    pub name: String,
    pub version: Option<String>,
    pub state: RuntimeStatus,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// When its code last did something but look at events that came; `None`: not known.
    pub acted: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The failure it ended with, on one line; or the reason of its termination.
    pub outcome: Option<String>,
    pub suspended: Option<Suspension>,
    /// Its scheduled start, if that has not come.
    pub starts: Option<Timestamp>,
    /// Its next turn, if one is due or out.
    pub turn: Option<Work>,
    /// Its open tasks, the first of them; and how many there are.
    pub waits: Vec<OpenWait>,
    pub waits_total: usize,
    /// The external events its code waits for, if its worker told.
    pub awaited: Option<Vec<String>>,
    /// The external events that arrived, by name.
    pub arrived: BTreeMap<String, Arrived>,
    /// Events in its history, and actions it has taken.
    pub history_events: usize,
    pub actions: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Suspension {
    pub since: Option<Timestamp>,
    pub reason: Option<String>,
}

/// External events of one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    pub count: u64,
    pub last: Option<Timestamp>,
    /// The code did nothing when they came: perhaps it waits for another name.
    pub unused: u64,
}

/// An open task.
#[derive(Clone, Debug)]
pub enum OpenWait {
    Activity { task_id: i32, since: Option<Timestamp>, work: Work },
    Timer { task_id: i32, since: Option<Timestamp>, fires: Timestamp, retry: Option<Retry> },
    SubOrchestration { task_id: i32, since: Option<Timestamp>, id: InstanceId, name: Option<String> },
    EntityCall { task_id: i32, since: Option<Timestamp>, entity: InstanceId, operation: Option<String> },
    EntityLock { task_id: i32, since: Option<Timestamp>, entity: InstanceId },
}

/// What a timer that stands between two attempts waits to do again.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// The activity or sub-orchestration.
    pub name: String,
    /// Attempts that failed.
    pub failures: u32,
    /// How the last one failed.
    pub error: String,
}

/// A work item: what it is, where it is, and how often it was handed out in vain.
#[derive(Clone, Debug)]
pub struct Work {
    pub subject: Subject,
    pub whereabouts: Whereabouts,
    pub tries: Tries,
}

/// What somebody is to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    pub line: Line,
    /// The instance or entity it belongs to.
    pub of: InstanceId,
}

/// One entity.
#[derive(Clone, Debug)]
pub struct EntityEvidence {
    /// The instance whose critical section holds its lock.
    pub locked_by: Option<InstanceId>,
    /// Operations and lock requests that wait, scheduled ones included.
    pub backlog: usize,
    /// Its next batch of operations, if one is due or out.
    pub batch: Option<Work>,
}
