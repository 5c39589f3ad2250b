use std::fmt;

use crate::limits::{INSTANCE_ID_BYTES_MAX, NAME_BYTES_MAX};
use crate::{FailureDetails, InstanceId, Timestamp, TraceContext, is_refused};

/// The identity of an entity: its name, which is one of the worker's, and a key. Written `@name@key`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId {
    name: String,
    key: String,
}

/// Why a text is not an entity id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEntityId {
    #[error("entity name is empty: give 1 to {NAME_BYTES_MAX} bytes of UTF-8")]
    NoName,
    #[error("entity name {0:?} holds '@'")]
    NameWithAt(String),
    #[error("entity id has {0} bytes with its two '@': the limit is {INSTANCE_ID_BYTES_MAX}")]
    TooLong(usize),
    #[error("entity id holds the character {0:?}: control and bidirectional-override characters are refused")]
    Character(char),
    #[error("{0:?} is not an entity id: it has the form '@name@key'")]
    Form(String),
}

impl EntityId {
    /// Names ignore ASCII case: they are folded to lower case. A key may be empty and may hold `@`.
    pub fn new(name: &str, key: &str) -> Result<Self, InvalidEntityId> {
        if name.is_empty() {
            return Err(InvalidEntityId::NoName);
        }
        if name.contains('@') {
            return Err(InvalidEntityId::NameWithAt(name.to_owned()));
        }
        let bytes = name.len() + key.len() + 2;
        if bytes > INSTANCE_ID_BYTES_MAX {
            return Err(InvalidEntityId::TooLong(bytes));
        }
        if let Some(c) = name.chars().chain(key.chars()).find(|c| is_refused(*c)) {
            return Err(InvalidEntityId::Character(c));
        }
        Ok(Self { name: name.to_ascii_lowercase(), key: key.to_owned() })
    }

    /// Reads `@name@key`. The name ends at the second `@`.
    pub fn parse(id: &str) -> Result<Self, InvalidEntityId> {
        let parts = id.strip_prefix('@').and_then(|rest| rest.split_once('@'));
        let (name, key) = parts.ok_or_else(|| InvalidEntityId::Form(id.to_owned()))?;
        Self::new(name, key)
    }

    /// In lower case.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// The id under which the hub keeps it.
    pub fn instance_id(&self) -> InstanceId {
        InstanceId::trusted(self.to_string())
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}@{}", self.name, self.key)
    }
}

/// An operation on its way to an entity, or in its queue.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EntityOperation {
    /// A GUID.
    #[prost(string, tag = "1")]
    pub request_id: String,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, optional, tag = "3")]
    pub input: Option<String>,
    /// Who waits for the result; absent for a signal.
    #[prost(message, optional, tag = "4")]
    pub caller: Option<EntityCaller>,
    /// Not before then.
    #[prost(message, optional, tag = "5")]
    pub scheduled_time: Option<Timestamp>,
    #[prost(message, optional, boxed, tag = "6")]
    pub trace: Option<Box<TraceContext>>,
}

/// An orchestration that waits for the result of an operation.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EntityCaller {
    #[prost(string, tag = "1")]
    pub instance_id: String,
    /// 16 bytes, big endian.
    #[prost(bytes = "vec", tag = "2")]
    pub execution_id: Vec<u8>,
    /// The sequence id of its `EntityOperationCalled`.
    #[prost(sint32, tag = "3")]
    pub task_id: i32,
    /// The critical section the call was made in, if the entity belongs to it.
    #[prost(string, optional, tag = "4")]
    pub section_id: Option<String>,
}

/// What an operation of an entity asks for besides its own change of state.
#[derive(Clone, Debug, PartialEq)]
pub enum EntityAction {
    Signal {
        /// `@name@key`.
        target: String,
        operation: String,
        input: Option<String>,
        /// Not before then.
        scheduled_time: Option<Timestamp>,
        trace: Option<Box<TraceContext>>,
    },
    /// Starts an orchestration that nobody waits for.
    Start {
        /// Empty: the hub gives it one.
        instance_id: String,
        name: String,
        version: Option<String>,
        input: Option<String>,
        /// Not before then.
        scheduled_start: Option<Timestamp>,
        trace: Option<Box<TraceContext>>,
    },
}

/// What came of a batch of operations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EntityOutcome {
    /// By operation, in order. Operations without a result stay in the queue.
    pub results: Vec<Result<Option<String>, FailureDetails>>,
    pub state: NewState,
    /// Those of failed operations are left out by the worker.
    pub actions: Vec<EntityAction>,
}

/// The state of an entity after a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum NewState {
    /// As before.
    #[default]
    Unchanged,
    /// `None` deletes it.
    Set(Option<String>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_and_keys_kept() {
        let id = EntityId::new("Counter", "A@b/\u{fc}").unwrap();
        assert_eq!(id.to_string(), "@counter@A@b/\u{fc}");
        assert_eq!(EntityId::parse("@COUNTER@A@b/\u{fc}"), Ok(id));
        assert_eq!(EntityId::parse("@counter@").unwrap().key(), "");
    }

    #[test]
    fn refuses_what_is_no_entity_id() {
        assert_eq!(EntityId::parse("counter"), Err(InvalidEntityId::Form("counter".to_owned())));
        assert_eq!(EntityId::parse("@counter"), Err(InvalidEntityId::Form("@counter".to_owned())));
        assert_eq!(EntityId::parse("@@key"), Err(InvalidEntityId::NoName));
        assert_eq!(EntityId::new("a@b", ""), Err(InvalidEntityId::NameWithAt("a@b".to_owned())));
        assert_eq!(EntityId::new("a", "b\n"), Err(InvalidEntityId::Character('\n')));
        assert_eq!(EntityId::new("a", &"x".repeat(254)), Err(InvalidEntityId::TooLong(257)));
        assert!(EntityId::new("a", &"x".repeat(253)).is_ok());
    }
}
