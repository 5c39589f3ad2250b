//! Messages between partitions.
//!
//! The sender numbers what it sends to each partition and keeps it until acknowledged; the receiver
//! takes each number once.

use std::collections::BTreeMap;

use strandline_model::{EntityOperation, FailureDetails, ParentInstance, Timestamp, TraceContext};

#[derive(Clone, PartialEq, prost::Message)]
pub struct Message {
    #[prost(uint32, tag = "1")]
    pub from: u32,
    #[prost(uint32, tag = "2")]
    pub to: u32,
    /// Counts from 1 for each pair of partitions.
    #[prost(uint64, tag = "3")]
    pub sequence: u64,
    /// The instance it is for.
    #[prost(string, tag = "4")]
    pub instance_id: String,
    #[prost(oneof = "MessageBody", tags = "5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15")]
    pub body: Option<MessageBody>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum MessageBody {
    #[prost(message, tag = "5")]
    StartChild(StartChild),
    #[prost(message, tag = "6")]
    ChildEnded(ChildEnded),
    #[prost(message, tag = "7")]
    RaiseEvent(RaiseEvent),
    #[prost(message, tag = "8")]
    Terminate(Terminate),
    /// To an entity.
    #[prost(message, tag = "9")]
    Operation(EntityOperation),
    /// To an entity: a section wants its lock.
    #[prost(message, tag = "10")]
    RequestLock(LockOwner),
    /// To an entity: a section gives its lock, or its request for it, back.
    #[prost(message, tag = "11")]
    ReleaseLock(LockOwner),
    /// From an entity to the section that has its lock now.
    #[prost(message, tag = "12")]
    LockGranted(LockGranted),
    /// From an entity to who called it.
    #[prost(message, tag = "13")]
    Replied(Replied),
    /// An orchestration that nobody waits for, started by an entity.
    #[prost(message, tag = "14")]
    Start(StartNew),
    /// To a child whose parent is rewound.
    #[prost(message, tag = "15")]
    Rewind(Rewind),
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct StartChild {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, optional, tag = "2")]
    pub version: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub input: Option<String>,
    #[prost(btree_map = "string, string", tag = "4")]
    pub tags: BTreeMap<String, String>,
    #[prost(message, required, tag = "5")]
    pub parent: ParentInstance,
    #[prost(message, optional, boxed, tag = "6")]
    pub trace: Option<Box<TraceContext>>,
}

/// To the parent: the end of one of its sub-orchestrations.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChildEnded {
    /// The parent's execution that waits for it: 16 bytes, big endian.
    #[prost(bytes = "vec", tag = "1")]
    pub execution_id: Vec<u8>,
    #[prost(sint32, tag = "2")]
    pub task_id: i32,
    #[prost(string, optional, tag = "3")]
    pub result: Option<String>,
    /// Present when it did not complete.
    #[prost(message, optional, tag = "4")]
    pub failure: Option<FailureDetails>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct RaiseEvent {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, optional, tag = "2")]
    pub input: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Terminate {
    #[prost(string, optional, tag = "1")]
    pub reason: Option<String>,
    #[prost(bool, tag = "2")]
    pub recursive: bool,
    /// Only the child of this parent execution (16 bytes), when present.
    #[prost(bytes = "vec", optional, tag = "3")]
    pub parent_execution_id: Option<Vec<u8>>,
}

/// A critical section, as the entities it locks know it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LockOwner {
    #[prost(string, tag = "1")]
    pub instance_id: String,
    /// 16 bytes, big endian.
    #[prost(bytes = "vec", tag = "2")]
    pub execution_id: Vec<u8>,
    #[prost(string, tag = "3")]
    pub section_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct LockGranted {
    /// 16 bytes, big endian.
    #[prost(bytes = "vec", tag = "1")]
    pub execution_id: Vec<u8>,
    #[prost(string, tag = "2")]
    pub section_id: String,
    /// The entity.
    #[prost(string, tag = "3")]
    pub entity_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Replied {
    /// The execution that called: 16 bytes, big endian.
    #[prost(bytes = "vec", tag = "1")]
    pub execution_id: Vec<u8>,
    /// The sequence id of its call.
    #[prost(sint32, tag = "2")]
    pub task_id: i32,
    #[prost(string, tag = "3")]
    pub request_id: String,
    #[prost(string, optional, tag = "4")]
    pub output: Option<String>,
    /// Present when the operation failed.
    #[prost(message, optional, tag = "5")]
    pub failure: Option<FailureDetails>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct StartNew {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, optional, tag = "2")]
    pub version: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub input: Option<String>,
    #[prost(message, optional, tag = "4")]
    pub scheduled_start: Option<Timestamp>,
    #[prost(message, optional, boxed, tag = "5")]
    pub trace: Option<Box<TraceContext>>,
}

/// The parent of a sub-orchestration goes on and waits for it anew.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Rewind {
    #[prost(string, optional, tag = "1")]
    pub reason: Option<String>,
    /// For the case that the child is gone or was terminated: it starts again.
    #[prost(message, required, tag = "2")]
    pub start: StartChild,
    /// The parent's execution that the child knows: 16 bytes, big endian.
    #[prost(bytes = "vec", tag = "3")]
    pub parent_was: Vec<u8>,
}
