use strandline_model::InvalidEntityId;

/// Why a message can't be what it should be. Names the field as the protocol does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMessage {
    #[error("{field} is missing")]
    Missing { field: &'static str },
    #[error("{field} is {value:?}: it must be {expected}")]
    Invalid { field: &'static str, value: String, expected: &'static str },
    #[error("{field}: {problem}")]
    EntityId { field: &'static str, problem: InvalidEntityId },
    #[error("{field} holds {kind}, which has no meaning there")]
    Unsupported { field: &'static str, kind: &'static str },
}

/// Longest part of a wrong value that an error repeats.
const VALUE_CHARS_MAX: usize = 100;

impl InvalidMessage {
    pub(crate) fn invalid(field: &'static str, value: impl ToString, expected: &'static str) -> Self {
        let value = value.to_string().chars().take(VALUE_CHARS_MAX).collect();
        Self::Invalid { field, value, expected }
    }
}

/// What a message can't do without.
pub(crate) fn required<T>(value: Option<T>, field: &'static str) -> Result<T, InvalidMessage> {
    value.ok_or(InvalidMessage::Missing { field })
}
