//! Records: the durable facts a partition decided, and the only things that change its state.
//!
//! In the log a record is its kind and version, one byte each, then the length and the bytes of a
//! prost body. A kind or version this build does not know refuses to load: guessing would lose data.
//! What [`crate::evolve`] does for a (kind, version) never changes; new behaviour is a new version.

use prost::Message as _;
use strandline_model::{HistoryEvent, InstanceId, Timestamp};

use crate::message::{Message, MessageBody};

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
    #[prost(oneof = "MessageBody", tags = "5, 6, 7, 8")]
    pub body: Option<MessageBody>,
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
        }
    }

    /// The instance it touches.
    pub fn key(&self) -> Option<InstanceId> {
        match self {
            Self::Created(r) => Some(InstanceId::trusted(r.id.as_str())),
            Self::Arrived(r) => Some(InstanceId::trusted(r.id.as_str())),
            Self::Committed(r) => Some(InstanceId::trusted(r.id.as_str())),
            Self::StartDue(r) => Some(InstanceId::trusted(r.id.as_str())),
            Self::Received(_) | Self::Acknowledged(_) | Self::Sent(_) => None,
        }
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
        }
    }

    /// Reads all records of a batch.
    pub fn decode_all(mut batch: &[u8]) -> Result<Vec<Self>, DecodeError> {
        let mut records = Vec::new();
        while let [kind, version, rest @ ..] = batch {
            let (kind, version) = (*kind, *version);
            if version != VERSION || !(1..=7).contains(&kind) {
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
                _ => Sent::decode(body).map(Self::Sent),
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
