//! Records: the durable facts a partition decided, and the only things that change its state.
//!
//! In the log a record is its kind and version, one byte each, then the length and the bytes of a
//! prost body. A kind or version this build does not know refuses to load: guessing would lose data.
//! What [`crate::evolve`] does for a (kind, version) never changes; new behaviour is a new version.

use prost::Message as _;
use strandline_model::{
    EntityOperation, FailureDetails, HistoryEvent, InstanceId, OrchestrationSpan, Timestamp,
};

use crate::message::{LockOwner, Message, MessageBody, StartNew};

#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// An instance begins; replaces whatever stood under its id.
    Created(Created),
    /// An event was accepted for an instance.
    Arrived(Arrived),
    /// A turn, or the hub itself, moved an execution on.
    Committed(Box<Committed>),
    /// A message from another partition was taken.
    Received(Received),
    /// Another partition took our messages.
    Acknowledged(Acknowledged),
    /// The time of a scheduled start has come.
    StartDue(StartDue),
    /// A message that no history event causes.
    Sent(Sent),
    /// An operation or a lock request reached an entity.
    EntityArrived(EntityArrived),
    /// A section gave the lock of an entity back.
    LockReleased(LockReleased),
    /// The time of a scheduled operation has come.
    OperationDue(OperationDue),
    /// A batch of operations of an entity is done.
    EntityCommitted(Box<EntityCommitted>),
    /// An entity of a critical section is locked.
    SectionGranted(SectionGranted),
    /// An instance that is over vanishes.
    Purged(Purged),
    /// What failed is done again.
    Rewound(Box<Rewound>),
    /// The parent of an instance was rewound and waits for it under a new execution.
    Adopted(Adopted),
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Created {
    #[prost(string, tag = "1")]
    pub id: String,
    /// `ExecutionStarted`, which holds the rest.
    #[prost(message, required, tag = "2")]
    pub started: HistoryEvent,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Arrived {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(message, required, tag = "2")]
    pub event: HistoryEvent,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Committed {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(message, required, tag = "2")]
    pub time: Timestamp,
    /// A turn of the orchestrator: its events stand between `OrchestratorStarted` and `OrchestratorCompleted`.
    #[prost(bool, tag = "3")]
    pub turn: bool,
    /// Events of the inbox the turn was given.
    #[prost(uint32, tag = "4")]
    pub delivered: u32,
    /// What the actions became, in order.
    #[prost(message, repeated, tag = "5")]
    pub events: Vec<HistoryEvent>,
    /// Tasks whose results are no longer wanted.
    #[prost(sint32, repeated, tag = "6")]
    pub cancelled: Vec<i32>,
    #[prost(message, optional, tag = "7")]
    pub custom_status: Option<CustomStatus>,
    /// `ExecutionCompleted`, when the execution ends.
    #[prost(message, optional, tag = "8")]
    pub ended: Option<HistoryEvent>,
    /// Terminates the open sub-orchestrations with this reason.
    #[prost(message, optional, tag = "9")]
    pub terminate_children: Option<CustomStatus>,
    /// The next execution, when this one continues as new.
    #[prost(message, optional, tag = "10")]
    pub next: Option<Next>,
    /// What the turn said of the execution's span; absent: as before.
    #[prost(message, optional, tag = "11")]
    pub span: Option<OrchestrationSpan>,
}

/// An optional text, itself optional in a record.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CustomStatus {
    #[prost(string, optional, tag = "1")]
    pub text: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Next {
    #[prost(message, required, tag = "1")]
    pub started: HistoryEvent,
    /// Events the code of the old execution saw but did not use.
    #[prost(message, repeated, tag = "2")]
    pub carryover: Vec<HistoryEvent>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Received {
    #[prost(uint32, tag = "1")]
    pub from: u32,
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Acknowledged {
    #[prost(uint32, tag = "1")]
    pub by: u32,
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct StartDue {
    #[prost(string, tag = "1")]
    pub id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Sent {
    #[prost(string, tag = "1")]
    pub instance_id: String,
    #[prost(oneof = "MessageBody", tags = "5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15")]
    pub body: Option<MessageBody>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct EntityArrived {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(message, required, tag = "2")]
    pub time: Timestamp,
    #[prost(oneof = "EntityInput", tags = "3, 4")]
    pub input: Option<EntityInput>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum EntityInput {
    #[prost(message, tag = "3")]
    Operation(EntityOperation),
    #[prost(message, tag = "4")]
    Lock(LockOwner),
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct LockReleased {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(message, required, tag = "2")]
    pub owner: LockOwner,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct OperationDue {
    #[prost(string, tag = "1")]
    pub id: String,
    /// The id of the timer.
    #[prost(sint32, tag = "2")]
    pub timer: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct EntityCommitted {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(message, required, tag = "2")]
    pub time: Timestamp,
    /// What was done, in order.
    #[prost(message, repeated, tag = "3")]
    pub done: Vec<OperationDone>,
    /// The state from now on; absent: as before.
    #[prost(message, optional, tag = "4")]
    pub state: Option<CustomStatus>,
    #[prost(message, repeated, tag = "5")]
    pub signals: Vec<SignalSent>,
    #[prost(message, repeated, tag = "6")]
    pub starts: Vec<StartSent>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct OperationDone {
    /// Its number in the queue.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    #[prost(string, optional, tag = "2")]
    pub output: Option<String>,
    #[prost(message, optional, tag = "3")]
    pub failure: Option<FailureDetails>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SignalSent {
    /// The entity: `@name@key`.
    #[prost(string, tag = "1")]
    pub target: String,
    #[prost(message, required, tag = "2")]
    pub operation: EntityOperation,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct StartSent {
    #[prost(string, tag = "1")]
    pub instance_id: String,
    #[prost(message, required, tag = "2")]
    pub start: StartNew,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SectionGranted {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub section_id: String,
    #[prost(message, required, tag = "3")]
    pub time: Timestamp,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Purged {
    #[prost(string, tag = "1")]
    pub id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Rewound {
    #[prost(string, tag = "1")]
    pub id: String,
    /// Of the execution that goes on: 16 bytes, big endian.
    #[prost(bytes = "vec", tag = "2")]
    pub execution_id: Vec<u8>,
    /// `ExecutionRewound`.
    #[prost(message, required, tag = "3")]
    pub event: HistoryEvent,
    /// Tasks that failed and are done again.
    #[prost(sint32, repeated, tag = "4")]
    pub again: Vec<i32>,
    /// The parent's execution that waits for this instance from now on, if that was rewound too.
    #[prost(bytes = "vec", optional, tag = "5")]
    pub parent_execution_id: Option<Vec<u8>>,
    /// Actions that followed from the failure: the code takes them, or others, when it gets there.
    #[prost(sint32, repeated, tag = "6")]
    pub undone: Vec<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Adopted {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(bytes = "vec", tag = "2")]
    pub parent_execution_id: Vec<u8>,
}

/// Why bytes are not records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error(
        "record kind {kind} version {version} is unknown: it was written by a newer version of Strandline"
    )]
    Unknown { kind: u8, version: u8 },
    #[error("record is cut short")]
    Short,
    #[error("record kind {kind}: {reason}")]
    Body { kind: u8, reason: String },
}

const VERSION: u8 = 1;

impl Record {
    fn kind(&self) -> u8 {
        match self {
            Self::Created(_) => 1,
            Self::Arrived(_) => 2,
            Self::Committed(_) => 3,
            Self::Received(_) => 4,
            Self::Acknowledged(_) => 5,
            Self::StartDue(_) => 6,
            Self::Sent(_) => 7,
            Self::EntityArrived(_) => 8,
            Self::LockReleased(_) => 9,
            Self::OperationDue(_) => 10,
            Self::EntityCommitted(_) => 11,
            Self::SectionGranted(_) => 12,
            Self::Purged(_) => 13,
            Self::Rewound(_) => 14,
            Self::Adopted(_) => 15,
        }
    }

    /// The instance or entity it touches.
    pub fn key(&self) -> Option<InstanceId> {
        let id = match self {
            Self::Created(r) => &r.id,
            Self::Arrived(r) => &r.id,
            Self::Committed(r) => &r.id,
            Self::StartDue(r) => &r.id,
            Self::EntityArrived(r) => &r.id,
            Self::LockReleased(r) => &r.id,
            Self::OperationDue(r) => &r.id,
            Self::EntityCommitted(r) => &r.id,
            Self::SectionGranted(r) => &r.id,
            Self::Purged(r) => &r.id,
            Self::Rewound(r) => &r.id,
            Self::Adopted(r) => &r.id,
            Self::Received(_) | Self::Acknowledged(_) | Self::Sent(_) => return None,
        };
        Some(InstanceId::trusted(id.as_str()))
    }

    /// It rewrites the history of what it touches, which must all be in memory.
    pub fn needs_history(&self) -> bool {
        matches!(self, Self::Rewound(_))
    }

    /// Appends the record to a batch.
    pub fn encode(&self, batch: &mut Vec<u8>) {
        fn body(batch: &mut Vec<u8>, message: &impl prost::Message) {
            // A Vec grows as needed, so encoding can't fail.
            let _ = message.encode_length_delimited(batch);
        }
        batch.extend([self.kind(), VERSION]);
        match self {
            Self::Created(r) => body(batch, r),
            Self::Arrived(r) => body(batch, r),
            Self::Committed(r) => body(batch, &**r),
            Self::Received(r) => body(batch, r),
            Self::Acknowledged(r) => body(batch, r),
            Self::StartDue(r) => body(batch, r),
            Self::Sent(r) => body(batch, r),
            Self::EntityArrived(r) => body(batch, r),
            Self::LockReleased(r) => body(batch, r),
            Self::OperationDue(r) => body(batch, r),
            Self::EntityCommitted(r) => body(batch, &**r),
            Self::SectionGranted(r) => body(batch, r),
            Self::Purged(r) => body(batch, r),
            Self::Rewound(r) => body(batch, &**r),
            Self::Adopted(r) => body(batch, r),
        }
    }

    /// Reads all records of a batch.
    pub fn decode_all(mut batch: &[u8]) -> Result<Vec<Self>, DecodeError> {
        let mut records = Vec::new();
        while let [kind, version, rest @ ..] = batch {
            let (kind, version) = (*kind, *version);
            if version != VERSION || !(1..=15).contains(&kind) {
                return Err(DecodeError::Unknown { kind, version });
            }
            let mut rest = rest;
            let length = prost::decode_length_delimiter(&mut rest).map_err(|_| DecodeError::Short)?;
            let body = rest.get(..length).ok_or(DecodeError::Short)?;
            let read = match kind {
                1 => Created::decode(body).map(Self::Created),
                2 => Arrived::decode(body).map(Self::Arrived),
                3 => Committed::decode(body).map(|r| Self::Committed(Box::new(r))),
                4 => Received::decode(body).map(Self::Received),
                5 => Acknowledged::decode(body).map(Self::Acknowledged),
                6 => StartDue::decode(body).map(Self::StartDue),
                7 => Sent::decode(body).map(Self::Sent),
                8 => EntityArrived::decode(body).map(Self::EntityArrived),
                9 => LockReleased::decode(body).map(Self::LockReleased),
                10 => OperationDue::decode(body).map(Self::OperationDue),
                11 => EntityCommitted::decode(body).map(|r| Self::EntityCommitted(Box::new(r))),
                12 => SectionGranted::decode(body).map(Self::SectionGranted),
                13 => Purged::decode(body).map(Self::Purged),
                14 => Rewound::decode(body).map(|r| Self::Rewound(Box::new(r))),
                _ => Adopted::decode(body).map(Self::Adopted),
            };
            records.push(read.map_err(|e| DecodeError::Body { kind, reason: e.to_string() })?);
            batch = &rest[length..];
        }
        if batch.is_empty() { Ok(records) } else { Err(DecodeError::Short) }
    }
}

impl Sent {
    pub(crate) fn into_message(self, from: u16, to: u16, sequence: u64) -> Message {
        Message {
            from: u32::from(from),
            to: u32::from(to),
            sequence,
            instance_id: self.instance_id,
            body: self.body,
        }
    }
}
