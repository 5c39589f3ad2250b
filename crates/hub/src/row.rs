//! What the tables hold: lagging copies of a partition's objects, enough to rebuild them.
//!
//! Rows are our own prost schema. A store writes them together with the position they reflect.

use std::collections::BTreeMap;

use strandline_model::{EntityOperation, HistoryEvent, OrchestrationSpan, Timestamp};

use crate::message::LockOwner;

/// One instance. Inputs, outputs and the newest events are inside; older history is in chunks.
#[derive(Clone, PartialEq, prost::Message)]
pub struct InstanceRow {
    #[prost(string, tag = "1")]
    pub id: String,
    /// 16 bytes, big endian: the current execution.
    #[prost(bytes = "vec", tag = "2")]
    pub execution_id: Vec<u8>,
    #[prost(enumeration = "strandline_model::RuntimeStatus", tag = "3")]
    pub status: i32,
    /// When the instance was first started (not the generation).
    #[prost(message, required, tag = "4")]
    pub created: Timestamp,
    #[prost(message, required, tag = "5")]
    pub updated: Timestamp,
    /// The execution's `ExecutionStarted`.
    #[prost(message, required, tag = "6")]
    pub started: HistoryEvent,
    /// The execution's `ExecutionCompleted`.
    #[prost(message, optional, tag = "7")]
    pub ended: Option<HistoryEvent>,
    #[prost(string, optional, tag = "8")]
    pub custom_status: Option<String>,
    /// Events in the history of this execution: those in chunks, then `tail`.
    #[prost(uint32, tag = "9")]
    pub history_len: u32,
    /// Chunk rows of this execution, numbered from 0.
    #[prost(uint32, tag = "10")]
    pub chunks: u32,
    /// The newest events of the history, those in no chunk.
    #[prost(message, repeated, tag = "11")]
    pub tail: Vec<HistoryEvent>,
    /// Accepted events no turn has seen, in order.
    #[prost(message, repeated, tag = "12")]
    pub inbox: Vec<HistoryEvent>,
    #[prost(message, repeated, tag = "13")]
    pub open: Vec<OpenTaskRow>,
    #[prost(bool, tag = "14")]
    pub suspended: bool,
    /// Actions this execution has taken.
    #[prost(uint32, tag = "15")]
    pub actions: u32,
    /// No turn of this instance was ever committed.
    #[prost(bool, tag = "16")]
    pub pending: bool,
    /// Its scheduled start has not come.
    #[prost(bool, tag = "17")]
    pub before_start: bool,
    /// Critical sections it is in or waits for.
    #[prost(message, repeated, tag = "18")]
    pub sections: Vec<SectionRow>,
    #[prost(message, optional, tag = "19")]
    pub span: Option<OrchestrationSpan>,
}

/// A critical section of an execution.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SectionRow {
    #[prost(string, tag = "1")]
    pub section_id: String,
    /// The sequence id of its `EntityLockRequested`.
    #[prost(sint32, tag = "2")]
    pub task_id: i32,
    #[prost(string, repeated, tag = "3")]
    pub lock_set: Vec<String>,
    /// How many entities were asked for, and how many of them were granted.
    #[prost(uint32, tag = "4")]
    pub requested: u32,
    #[prost(uint32, tag = "5")]
    pub granted: u32,
    /// Places in the lock set that were given back.
    #[prost(uint32, repeated, tag = "6")]
    pub released: Vec<u32>,
    /// Locked once more after a rewind.
    #[prost(bool, tag = "7")]
    pub regaining: bool,
    /// Operations that are sent once it is.
    #[prost(message, repeated, tag = "8")]
    pub delayed: Vec<DelayedRow>,
}

/// An operation that waits for the locks of its section.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DelayedRow {
    /// The entity: `@name@key`.
    #[prost(string, tag = "1")]
    pub target: String,
    #[prost(message, required, tag = "2")]
    pub operation: EntityOperation,
}

/// One entity.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EntityRow {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, optional, tag = "2")]
    pub state: Option<String>,
    #[prost(message, required, tag = "3")]
    pub modified: Timestamp,
    #[prost(message, optional, tag = "4")]
    pub lock: Option<LockRow>,
    /// Operations and lock requests, in order.
    #[prost(message, repeated, tag = "5")]
    pub queue: Vec<QueuedRow>,
    /// Operations whose time has not come.
    #[prost(message, repeated, tag = "6")]
    pub scheduled: Vec<ScheduledRow>,
    #[prost(uint64, tag = "7")]
    pub next_number: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct LockRow {
    #[prost(message, required, tag = "1")]
    pub owner: LockOwner,
    /// Given back; it ends with the last operation its owner sent before.
    #[prost(bool, tag = "2")]
    pub releasing: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct QueuedRow {
    #[prost(uint64, tag = "1")]
    pub number: u64,
    #[prost(oneof = "QueuedKind", tags = "2, 3")]
    pub kind: Option<QueuedKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum QueuedKind {
    #[prost(message, tag = "2")]
    Operation(EntityOperation),
    #[prost(message, tag = "3")]
    Lock(LockOwner),
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ScheduledRow {
    #[prost(sint32, tag = "1")]
    pub timer: i32,
    #[prost(message, required, tag = "2")]
    pub operation: EntityOperation,
}

/// What queries look at of an [`InstanceRow`]: the same fields by the same numbers. Reading just these
/// skips payloads and history.
#[derive(Clone, PartialEq, prost::Message)]
pub struct InstanceHead {
    #[prost(enumeration = "strandline_model::RuntimeStatus", tag = "3")]
    pub status: i32,
    #[prost(message, required, tag = "4")]
    pub created: Timestamp,
    #[prost(message, required, tag = "6")]
    pub started: StartedHead,
    #[prost(message, optional, tag = "7")]
    pub ended: Option<EndedHead>,
}

/// Of a [`HistoryEvent`], when it is an `ExecutionStarted`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StartedHead {
    #[prost(message, optional, tag = "3")]
    pub start: Option<StartHead>,
}

/// Of an `ExecutionStarted`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StartHead {
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(message, optional, tag = "6")]
    pub parent: Option<ParentHead>,
    #[prost(btree_map = "string, string", tag = "8")]
    pub tags: BTreeMap<String, String>,
}

/// Of a `ParentInstance`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ParentHead {
    #[prost(string, tag = "1")]
    pub instance_id: String,
}

/// Of a [`HistoryEvent`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct EndedHead {
    #[prost(message, required, tag = "2")]
    pub timestamp: Timestamp,
}

/// A task without a result.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OpenTaskRow {
    #[prost(sint32, tag = "1")]
    pub task_id: i32,
    #[prost(oneof = "OpenTaskKind", tags = "2, 3, 4, 5")]
    pub kind: Option<OpenTaskKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum OpenTaskKind {
    /// An activity: where its `TaskScheduled` stands in the history.
    #[prost(uint32, tag = "2")]
    Activity(u32),
    /// A timer: when it is due.
    #[prost(message, tag = "3")]
    Timer(Timestamp),
    /// A sub-orchestration: its instance id.
    #[prost(string, tag = "4")]
    SubOrchestration(String),
    /// A call of an entity: its id.
    #[prost(string, tag = "5")]
    EntityCall(String),
}

/// A partition's singletons.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PartitionRow {
    /// The last batch these tables reflect.
    #[prost(uint64, tag = "1")]
    pub position: u64,
    /// The time of that batch.
    #[prost(message, required, tag = "2")]
    pub time: Timestamp,
    /// By sending partition: the last message taken from it.
    #[prost(btree_map = "uint32, uint64", tag = "3")]
    pub received: BTreeMap<u32, u64>,
    /// By receiving partition: the last message sent to it.
    #[prost(btree_map = "uint32, uint64", tag = "4")]
    pub sent: BTreeMap<u32, u64>,
    /// Messages the receiver has not acknowledged.
    #[prost(message, repeated, tag = "5")]
    pub outbox: Vec<crate::message::Message>,
    /// How many instances there are; absent in rows of programs that did not count.
    #[prost(message, optional, tag = "6")]
    pub census: Option<Census>,
}

/// How many instances there are, by [`RuntimeStatus`](strandline_model::RuntimeStatus).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Census {
    #[prost(btree_map = "int32, uint64", tag = "1")]
    pub by_status: BTreeMap<i32, u64>,
}

impl Census {
    pub(crate) fn enter(&mut self, status: strandline_model::RuntimeStatus) {
        *self.by_status.entry(status as i32).or_default() += 1;
    }

    pub(crate) fn leave(&mut self, status: strandline_model::RuntimeStatus) {
        let count = self.by_status.entry(status as i32).or_default();
        *count = count.saturating_sub(1);
    }
}

/// A timer of the hub's index: when an instance must be looked at. Ordered by due time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerKey {
    /// Milliseconds since the epoch, rounded up.
    pub due_millis: i64,
    pub instance: strandline_model::InstanceId,
    /// The sequence id of the timer, or [`TimerKey::START`]; of an entity, the number of the scheduled
    /// operation.
    pub timer_id: i32,
}

impl TimerKey {
    /// The timer id of a scheduled start.
    pub const START: i32 = -1;
}

/// Rows of one partition that change together with its position.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionRows {
    pub partition: PartitionRow,
    pub instances: Vec<InstanceRows>,
    pub entities: Vec<EntityRows>,
    pub timers_added: Vec<TimerKey>,
    pub timers_removed: Vec<TimerKey>,
}

/// What changed of one instance since the last flush.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceRows {
    pub id: strandline_model::InstanceId,
    /// `None` removes the row (with all chunks of `dropped`).
    pub row: Option<InstanceRow>,
    /// New chunks of the current execution, by number.
    pub chunks: Vec<(u32, HistoryChunk)>,
    /// Executions whose chunks are removed.
    pub dropped: Vec<strandline_model::ExecutionId>,
    /// It has work to hand out after a restart: undelivered events or open activities.
    pub active: bool,
}

/// What an entity has become since the last flush.
#[derive(Clone, Debug, PartialEq)]
pub struct EntityRows {
    pub id: strandline_model::InstanceId,
    /// `None` removes the row.
    pub row: Option<EntityRow>,
    /// It has work to hand out after a restart.
    pub active: bool,
}

/// Consecutive events of one execution.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HistoryChunk {
    #[prost(message, repeated, tag = "1")]
    pub events: Vec<HistoryEvent>,
}
