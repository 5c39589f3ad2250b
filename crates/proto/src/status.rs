//! The runtime status. Its numbers are the same on both sides.

use strandline_model::RuntimeStatus;

use crate::{InvalidMessage, wire};

pub fn to_wire(status: RuntimeStatus) -> wire::OrchestrationStatus {
    match status {
        RuntimeStatus::Running => wire::OrchestrationStatus::Running,
        RuntimeStatus::Completed => wire::OrchestrationStatus::Completed,
        RuntimeStatus::ContinuedAsNew => wire::OrchestrationStatus::ContinuedAsNew,
        RuntimeStatus::Failed => wire::OrchestrationStatus::Failed,
        RuntimeStatus::Canceled => wire::OrchestrationStatus::Canceled,
        RuntimeStatus::Terminated => wire::OrchestrationStatus::Terminated,
        RuntimeStatus::Pending => wire::OrchestrationStatus::Pending,
        RuntimeStatus::Suspended => wire::OrchestrationStatus::Suspended,
    }
}

/// A message holds the number only; `field` names where.
pub fn from_wire(status: i32, field: &'static str) -> Result<RuntimeStatus, InvalidMessage> {
    RuntimeStatus::try_from(status)
        .map_err(|_| InvalidMessage::invalid(field, status, "a status between 0 and 7"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_agree() {
        for number in 0..8 {
            let status = from_wire(number, "status").unwrap();
            assert_eq!(to_wire(status) as i32, number);
        }
        let error = from_wire(8, "orchestrationStatus").unwrap_err().to_string();
        assert_eq!(error, "orchestrationStatus is \"8\": it must be a status between 0 and 7");
    }
}
