use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::limits::INSTANCE_ID_BYTES_MAX;

/// The stable name of an orchestration instance. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(Arc<str>);

/// Why a text is not an instance id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    #[error("instance id is empty: give 1 to {INSTANCE_ID_BYTES_MAX} bytes of UTF-8")]
    Empty,
    #[error("instance id has {0} bytes: the limit is {INSTANCE_ID_BYTES_MAX}")]
    TooLong(usize),
    #[error("instance id starts with '@': such ids belong to entities")]
    Entity,
    #[error(
        "instance id holds the character {0:?}: control and bidirectional-override characters are refused"
    )]
    Character(char),
}

impl InstanceId {
    /// Checks the rules every new orchestration id must meet.
    pub fn new(id: &str) -> Result<Self, InvalidId> {
        if id.is_empty() {
            return Err(InvalidId::Empty);
        }
        if id.len() > INSTANCE_ID_BYTES_MAX {
            return Err(InvalidId::TooLong(id.len()));
        }
        if id.starts_with('@') {
            return Err(InvalidId::Entity);
        }
        if let Some(c) = id.chars().find(|c| is_refused(*c)) {
            return Err(InvalidId::Character(c));
        }
        Ok(Self(id.into()))
    }

    /// For an id that was checked when its instance was created.
    pub fn trusted(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// It names an entity, not an orchestration.
    pub fn is_entity(&self) -> bool {
        self.0.starts_with('@')
    }
}

/// Control characters, and those that change the direction of the text around them.
pub(crate) fn is_refused(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl AsRef<str> for InstanceId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for InstanceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// The generation of an instance: new at start and at continue-as-new. Shown as 32 hex digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionId(pub u128);

impl ExecutionId {
    /// Reads the 32 hex digits that [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok().map(Self))?
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The partition an instance lives in: FNV-1a 64 of the id's bytes, modulo the partition count.
pub fn partition_of(id: &str, partitions: u16) -> u16 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in id.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    (hash % u64::from(partitions.max(1))) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_follow_fnv_1a() {
        // FNV-1a 64: "" cbf29ce484222325, "a" af63dc4c8601ec8c, "foobar" 85944171f73967e8.
        assert_eq!(partition_of("", 32), 0x25 % 32);
        assert_eq!(partition_of("a", 32), 0x8c % 32);
        assert_eq!(partition_of("foobar", 32), 0xe8 % 32);
    }

    #[test]
    fn refuses_what_cannot_be_an_id() {
        assert_eq!(InstanceId::new(""), Err(InvalidId::Empty));
        assert_eq!(InstanceId::new(&"x".repeat(257)), Err(InvalidId::TooLong(257)));
        assert_eq!(InstanceId::new("@counter@a"), Err(InvalidId::Entity));
        assert_eq!(InstanceId::new("a\nb"), Err(InvalidId::Character('\n')));
        assert_eq!(InstanceId::new("a\u{202e}b"), Err(InvalidId::Character('\u{202e}')));
        assert!(InstanceId::new("größe/ü#?\\ 😀").is_ok());
        assert!(InstanceId::new(&"x".repeat(256)).is_ok());
    }

    #[test]
    fn execution_ids_are_32_hex_digits() {
        let id = ExecutionId(0xab);
        assert_eq!(id.to_string(), "000000000000000000000000000000ab");
        assert_eq!(ExecutionId::parse(&id.to_string()), Some(id));
        assert_eq!(ExecutionId::parse("ab"), None);
    }
}
