//! What goes wrong, as gRPC says it.

use strandline_engine::dispatch::PartError;
use strandline_engine::maintenance::MaintenanceError;
use strandline_engine::runtime::{CallError, ListError, WhyError};
use strandline_hub::Refusal;
use strandline_proto::InvalidMessage;
use tonic::Status;
use tonic::metadata::MetadataValue;

use crate::why::StuckError;

/// Names the type of an error as the Rust SDK does: codes can't tell all apart.
pub(super) const ERROR_TYPE: &str = "strandline-error";
/// Its text, on an answer that is none by its code.
pub(super) const ERROR_TEXT: &str = "strandline-error-text";

/// A failed call's status. The codes are those that the SDKs tell apart; UNKNOWN, INTERNAL and
/// DEADLINE_EXCEEDED are left to faults of ours, for some SDKs repeat such calls.
pub(crate) trait IntoStatus {
    fn into_status(self) -> Status;
}

impl IntoStatus for Refusal {
    fn into_status(self) -> Status {
        let text = self.to_string();
        let error_type = self.error_type();
        let mut status = match self {
            Self::AlreadyExists { .. } => Status::already_exists(text),
            Self::NotFound => Status::not_found(text),
            Self::Terminal { .. } | Self::NotFailed { .. } | Self::NotOver { .. } | Self::EntityInUse(_) => {
                Status::failed_precondition(text)
            }
            Self::TooLarge { .. } | Self::Invalid { .. } => Status::invalid_argument(text),
            Self::TooManyPendingEvents { .. }
            | Self::TooManyPendingOperations { .. }
            | Self::Overloaded(_)
            | Self::StorageFull(_) => Status::resource_exhausted(text),
            Self::Stale(_) => Status::not_found(text),
        };
        status.metadata_mut().insert(ERROR_TYPE, MetadataValue::from_static(error_type));
        status
    }
}

impl IntoStatus for CallError {
    fn into_status(self) -> Status {
        match self {
            Self::NoSuchHub(_) => Status::not_found(self.to_string()),
            Self::OutcomeUnknown | Self::Closed | Self::TooManyWorkers(_) => {
                Status::unavailable(self.to_string())
            }
        }
    }
}

impl IntoStatus for PartError {
    fn into_status(self) -> Status {
        let text = self.to_string();
        match self {
            Self::NotOut => Status::not_found(text),
            Self::TurnTooLarge | Self::TooMany => Status::resource_exhausted(text),
        }
    }
}

impl IntoStatus for InvalidMessage {
    fn into_status(self) -> Status {
        Status::invalid_argument(self.to_string())
    }
}

impl IntoStatus for ListError {
    fn into_status(self) -> Status {
        match self {
            Self::Call(error) => error.into_status(),
            Self::Query(error) => Status::invalid_argument(error.to_string()),
            Self::Token(error) => Status::invalid_argument(format!("continuation token: {error}")),
            Self::Store(error) => {
                tracing::error!(%error, "a list could not be read");
                Status::internal("the tables can't be read: see the server's log")
            }
        }
    }
}

impl IntoStatus for MaintenanceError {
    fn into_status(self) -> Status {
        match self {
            Self::Call(error) => error.into_status(),
            Self::List(error) => error.into_status(),
            Self::Refused { refusal, .. } => refusal.into_status(),
        }
    }
}

impl IntoStatus for WhyError {
    fn into_status(self) -> Status {
        match self {
            Self::Call(error) => error.into_status(),
            Self::Stalled(_) => Status::unavailable(self.to_string()),
        }
    }
}

impl IntoStatus for StuckError {
    fn into_status(self) -> Status {
        match self {
            Self::List(error) => error.into_status(),
            Self::Why(error) => error.into_status(),
        }
    }
}

/// Turns an error into a status.
pub(crate) fn status(error: impl IntoStatus) -> Status {
    error.into_status()
}
