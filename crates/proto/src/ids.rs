//! Execution ids: 32 hex digits without dashes, from which other SDKs make the ids of children. Entity ids.

use strandline_model::{EntityId, ExecutionId};

use crate::{InvalidMessage, wire};

/// The execution that a history or a turn belongs to. Some messages repeat it.
#[derive(Clone, Copy, Debug)]
pub struct Execution<'a> {
    pub instance_id: &'a str,
    pub execution_id: ExecutionId,
}

/// Reads 32 hex digits; also with the dashes of a GUID.
pub fn from_wire(text: &str, field: &'static str) -> Result<ExecutionId, InvalidMessage> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    let id = if hex { ExecutionId::parse(&digits) } else { None };
    id.ok_or_else(|| InvalidMessage::invalid(field, text, "32 hex digits"))
}

/// From the 16 bytes that events keep. What is no execution id stays absent.
pub fn bytes_to_wire(bytes: &[u8]) -> Option<String> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    Some(ExecutionId(u128::from_be_bytes(bytes)).to_string())
}

/// The 16 bytes that events keep; none when there is no id.
pub fn bytes_from_wire(text: Option<&str>, field: &'static str) -> Result<Vec<u8>, InvalidMessage> {
    match text {
        None | Some("") => Ok(Vec::new()),
        Some(text) => from_wire(text, field).map(|id| id.0.to_be_bytes().to_vec()),
    }
}

/// Reads `@name@key`; the name is folded to lower case.
pub fn entity_from_wire(text: &str, field: &'static str) -> Result<EntityId, InvalidMessage> {
    EntityId::parse(text).map_err(|problem| InvalidMessage::EntityId { field, problem })
}

pub(crate) fn instance_to_wire(instance_id: &str, execution_id: &[u8]) -> wire::OrchestrationInstance {
    wire::OrchestrationInstance {
        instance_id: instance_id.to_owned(),
        execution_id: bytes_to_wire(execution_id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hex_digits_with_and_without_dashes() {
        let id = ExecutionId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        assert_eq!(from_wire(&id.to_string(), "executionId"), Ok(id));
        assert_eq!(from_wire("01234567-89ab-cdef-0123-456789ABCDEF", "executionId"), Ok(id));
        for wrong in ["", "12", "+123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdeg"] {
            assert!(from_wire(wrong, "executionId").is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_bytes_are_no_id() {
        assert_eq!(bytes_to_wire(&[]), None);
        assert_eq!(bytes_from_wire(None, "executionId"), Ok(Vec::new()));
        assert_eq!(bytes_to_wire(&[0xab; 16]).unwrap(), "ab".repeat(16));
    }
}
