use std::collections::BTreeMap;

use crate::{FailureDetails, Origin, RuntimeStatus, Timestamp, TraceContext};

/// One fact of an execution's history. Append-only; replay reads them in order.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HistoryEvent {
    /// The sequence id of the action this event records, or -1.
    #[prost(sint32, tag = "1")]
    pub id: i32,
    #[prost(message, required, tag = "2")]
    pub timestamp: Timestamp,
    #[prost(
        oneof = "EventKind",
        tags = "3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29"
    )]
    kind: Option<EventKind>,
}

/// What an event without a readable kind is taken for.
static UNREADABLE: EventKind = EventKind::Generic(Generic { data: None });

impl HistoryEvent {
    /// An event that records the action with sequence id `id`.
    pub fn of_action(id: i32, timestamp: Timestamp, kind: EventKind) -> Self {
        Self { id, timestamp, kind: Some(kind) }
    }

    /// An event that records no action.
    pub fn new(timestamp: Timestamp, kind: EventKind) -> Self {
        Self::of_action(-1, timestamp, kind)
    }

    pub fn kind(&self) -> &EventKind {
        self.kind.as_ref().unwrap_or(&UNREADABLE)
    }

    pub fn kind_mut(&mut self) -> &mut EventKind {
        self.kind.get_or_insert_with(|| UNREADABLE.clone())
    }
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum EventKind {
    // Boxed: they are large and rare, and every event takes the room of the largest.
    #[prost(message, boxed, tag = "3")]
    ExecutionStarted(Box<ExecutionStarted>),
    #[prost(message, boxed, tag = "4")]
    ExecutionCompleted(Box<ExecutionCompleted>),
    #[prost(message, tag = "5")]
    ExecutionTerminated(ExecutionTerminated),
    #[prost(message, tag = "6")]
    TaskScheduled(TaskScheduled),
    #[prost(message, tag = "7")]
    TaskCompleted(TaskCompleted),
    #[prost(message, tag = "8")]
    TaskFailed(TaskFailed),
    #[prost(message, tag = "9")]
    SubOrchestrationCreated(SubOrchestrationCreated),
    #[prost(message, tag = "10")]
    SubOrchestrationCompleted(SubOrchestrationCompleted),
    #[prost(message, tag = "11")]
    SubOrchestrationFailed(SubOrchestrationFailed),
    #[prost(message, tag = "12")]
    TimerCreated(TimerCreated),
    #[prost(message, tag = "13")]
    TimerFired(TimerFired),
    /// A turn begins; its timestamp is the turn's current time.
    #[prost(message, tag = "14")]
    OrchestratorStarted(Empty),
    /// A turn ends.
    #[prost(message, tag = "15")]
    OrchestratorCompleted(Empty),
    #[prost(message, tag = "16")]
    EventSent(EventSent),
    #[prost(message, tag = "17")]
    EventRaised(EventRaised),
    #[prost(message, tag = "18")]
    Generic(Generic),
    #[prost(message, tag = "19")]
    ContinueAsNew(ContinueAsNew),
    #[prost(message, tag = "20")]
    ExecutionSuspended(ExecutionSuspended),
    #[prost(message, tag = "21")]
    ExecutionResumed(ExecutionResumed),
    #[prost(message, tag = "22")]
    EntityOperationSignaled(EntityOperationSignaled),
    #[prost(message, tag = "23")]
    EntityOperationCalled(EntityOperationCalled),
    #[prost(message, tag = "24")]
    EntityOperationCompleted(EntityOperationCompleted),
    #[prost(message, tag = "25")]
    EntityOperationFailed(EntityOperationFailed),
    #[prost(message, tag = "26")]
    EntityLockRequested(EntityLockRequested),
    #[prost(message, tag = "27")]
    EntityLockGranted(EntityLockGranted),
    #[prost(message, tag = "28")]
    EntityUnlockSent(EntityUnlockSent),
    /// What failed is done again; a new execution goes on with the history before it.
    #[prost(message, tag = "29")]
    ExecutionRewound(ExecutionRewound),
}

impl EventKind {
    /// The event's name in the Durable Task history.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ExecutionStarted(_) => "ExecutionStarted",
            Self::ExecutionCompleted(_) => "ExecutionCompleted",
            Self::ExecutionTerminated(_) => "ExecutionTerminated",
            Self::TaskScheduled(_) => "TaskScheduled",
            Self::TaskCompleted(_) => "TaskCompleted",
            Self::TaskFailed(_) => "TaskFailed",
            Self::SubOrchestrationCreated(_) => "SubOrchestrationInstanceCreated",
            Self::SubOrchestrationCompleted(_) => "SubOrchestrationInstanceCompleted",
            Self::SubOrchestrationFailed(_) => "SubOrchestrationInstanceFailed",
            Self::TimerCreated(_) => "TimerCreated",
            Self::TimerFired(_) => "TimerFired",
            Self::OrchestratorStarted(_) => "OrchestratorStarted",
            Self::OrchestratorCompleted(_) => "OrchestratorCompleted",
            Self::EventSent(_) => "EventSent",
            Self::EventRaised(_) => "EventRaised",
            Self::Generic(_) => "GenericEvent",
            Self::ContinueAsNew(_) => "ContinueAsNew",
            Self::ExecutionSuspended(_) => "ExecutionSuspended",
            Self::ExecutionResumed(_) => "ExecutionResumed",
            Self::EntityOperationSignaled(_) => "EntityOperationSignaled",
            Self::EntityOperationCalled(_) => "EntityOperationCalled",
            Self::EntityOperationCompleted(_) => "EntityOperationCompleted",
            Self::EntityOperationFailed(_) => "EntityOperationFailed",
            Self::EntityLockRequested(_) => "EntityLockRequested",
            Self::EntityLockGranted(_) => "EntityLockGranted",
            Self::EntityUnlockSent(_) => "EntityUnlockSent",
            Self::ExecutionRewound(_) => "ExecutionRewound",
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Empty {}

/// Who started a sub-orchestration.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ParentInstance {
    #[prost(string, tag = "1")]
    pub instance_id: String,
    /// 16 bytes, big endian.
    #[prost(bytes = "vec", tag = "2")]
    pub execution_id: Vec<u8>,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, optional, tag = "4")]
    pub version: Option<String>,
    /// The sequence id of the parent's `SubOrchestrationCreated`.
    #[prost(sint32, tag = "5")]
    pub task_id: i32,
    /// How many ancestors the parent has.
    #[prost(uint32, tag = "6")]
    pub depth: u32,
    /// The parent does not hear of the child's end.
    #[prost(bool, tag = "7")]
    pub fire_and_forget: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ExecutionStarted {
    #[prost(string, tag = "1")]
    pub instance_id: String,
    /// 16 bytes, big endian.
    #[prost(bytes = "vec", tag = "2")]
    pub execution_id: Vec<u8>,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, optional, tag = "4")]
    pub version: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub input: Option<String>,
    #[prost(message, optional, tag = "6")]
    pub parent: Option<ParentInstance>,
    #[prost(message, optional, tag = "7")]
    pub scheduled_start: Option<Timestamp>,
    #[prost(btree_map = "string, string", tag = "8")]
    pub tags: BTreeMap<String, String>,
    /// Seed of the execution's random numbers; survives rewind.
    #[prost(fixed64, tag = "9")]
    pub seed: u64,
    /// W3C `traceparent` and `tracestate` of whoever started it.
    #[prost(string, optional, tag = "10")]
    pub trace_parent: Option<String>,
    #[prost(string, optional, tag = "11")]
    pub trace_state: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ExecutionCompleted {
    #[prost(enumeration = "RuntimeStatus", tag = "1")]
    pub status: i32,
    #[prost(string, optional, tag = "2")]
    pub result: Option<String>,
    #[prost(message, optional, tag = "3")]
    pub failure: Option<FailureDetails>,
    /// See [`Origin`].
    #[prost(sint32, optional, tag = "4")]
    pub origin: Option<i32>,
}

impl ExecutionCompleted {
    /// Where the failure came from.
    pub fn failure_origin(&self) -> Origin {
        Origin::from_stored(self.origin)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ExecutionTerminated {
    /// The reason.
    #[prost(string, optional, tag = "1")]
    pub input: Option<String>,
    #[prost(bool, tag = "2")]
    pub recurse: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TaskScheduled {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, optional, tag = "2")]
    pub version: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub input: Option<String>,
    #[prost(btree_map = "string, string", tag = "4")]
    pub tags: BTreeMap<String, String>,
    /// Nanoseconds one dispatch may take.
    #[prost(uint64, optional, tag = "5")]
    pub timeout_nanos: Option<u64>,
    #[prost(message, optional, boxed, tag = "6")]
    pub trace: Option<Box<TraceContext>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TaskCompleted {
    #[prost(sint32, tag = "1")]
    pub task_id: i32,
    #[prost(string, optional, tag = "2")]
    pub result: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TaskFailed {
    #[prost(sint32, tag = "1")]
    pub task_id: i32,
    #[prost(message, required, tag = "2")]
    pub failure: FailureDetails,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SubOrchestrationCreated {
    #[prost(string, tag = "1")]
    pub instance_id: String,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, optional, tag = "3")]
    pub version: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub input: Option<String>,
    #[prost(btree_map = "string, string", tag = "5")]
    pub tags: BTreeMap<String, String>,
    #[prost(bool, tag = "6")]
    pub fire_and_forget: bool,
    #[prost(message, optional, boxed, tag = "7")]
    pub trace: Option<Box<TraceContext>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SubOrchestrationCompleted {
    #[prost(sint32, tag = "1")]
    pub task_id: i32,
    #[prost(string, optional, tag = "2")]
    pub result: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SubOrchestrationFailed {
    #[prost(sint32, tag = "1")]
    pub task_id: i32,
    #[prost(message, required, tag = "2")]
    pub failure: FailureDetails,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TimerCreated {
    #[prost(message, required, tag = "1")]
    pub fire_at: Timestamp,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TimerFired {
    #[prost(sint32, tag = "1")]
    pub timer_id: i32,
    #[prost(message, required, tag = "2")]
    pub fire_at: Timestamp,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct EventSent {
    #[prost(string, tag = "1")]
    pub instance_id: String,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, optional, tag = "3")]
    pub input: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct EventRaised {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, optional, tag = "2")]
    pub input: Option<String>,
    /// Accepted, but the execution ended before any turn saw it.
    #[prost(bool, tag = "3")]
    pub undelivered: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Generic {
    #[prost(string, optional, tag = "1")]
    pub data: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ContinueAsNew {
    #[prost(string, optional, tag = "1")]
    pub input: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ExecutionSuspended {
    /// The reason.
    #[prost(string, optional, tag = "1")]
    pub input: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ExecutionResumed {
    /// The reason.
    #[prost(string, optional, tag = "1")]
    pub input: Option<String>,
}

/// An operation sent to an entity, one-way.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EntityOperationSignaled {
    /// The entity: `@name@key`.
    #[prost(string, tag = "1")]
    pub target: String,
    /// A GUID.
    #[prost(string, tag = "2")]
    pub request_id: String,
    #[prost(string, tag = "3")]
    pub operation: String,
    #[prost(string, optional, tag = "4")]
    pub input: Option<String>,
    /// Not before then.
    #[prost(message, optional, tag = "5")]
    pub scheduled_time: Option<Timestamp>,
}

/// An operation sent to an entity whose result is waited for.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EntityOperationCalled {
    /// The entity: `@name@key`.
    #[prost(string, tag = "1")]
    pub target: String,
    /// A GUID.
    #[prost(string, tag = "2")]
    pub request_id: String,
    #[prost(string, tag = "3")]
    pub operation: String,
    #[prost(string, optional, tag = "4")]
    pub input: Option<String>,
    /// Not before then.
    #[prost(message, optional, tag = "5")]
    pub scheduled_time: Option<Timestamp>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct EntityOperationCompleted {
    /// The sequence id of the `EntityOperationCalled`.
    #[prost(sint32, tag = "1")]
    pub task_id: i32,
    #[prost(string, tag = "2")]
    pub request_id: String,
    #[prost(string, optional, tag = "3")]
    pub output: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct EntityOperationFailed {
    /// The sequence id of the `EntityOperationCalled`.
    #[prost(sint32, tag = "1")]
    pub task_id: i32,
    #[prost(string, tag = "2")]
    pub request_id: String,
    #[prost(message, required, tag = "3")]
    pub failure: FailureDetails,
}

/// A critical section is asked for.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EntityLockRequested {
    /// Names the section within its execution.
    #[prost(string, tag = "1")]
    pub section_id: String,
    /// The entities, `@name@key`: sorted, each once.
    #[prost(string, repeated, tag = "2")]
    pub lock_set: Vec<String>,
}

/// All entities of a critical section are locked.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EntityLockGranted {
    /// The sequence id of the `EntityLockRequested`.
    #[prost(sint32, tag = "1")]
    pub task_id: i32,
    #[prost(string, tag = "2")]
    pub section_id: String,
}

/// The lock of one entity is given back.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EntityUnlockSent {
    #[prost(string, tag = "1")]
    pub section_id: String,
    /// The entity: `@name@key`.
    #[prost(string, tag = "2")]
    pub target: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ExecutionRewound {
    /// The reason.
    #[prost(string, optional, tag = "1")]
    pub reason: Option<String>,
}
