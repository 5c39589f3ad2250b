//! Removing what is over, doing it again, and tidying up: what a client could do step by step, too, but no
//! two clients should have to write.
//!
//! Each step is a command of its own. When one of these methods is dropped or the process dies in the
//! middle, what was done is done, and the same call goes on with the rest.

mod clean;
mod purge;
mod restart;

use strandline_hub::{Command, InstanceStatus, Refusal, Reply};
use strandline_model::InstanceId;

pub use clean::ReleasedLocks;
pub use purge::{PurgeOptions, PurgeScope, Purged, PurgedInstance, PurgedPart, only_over};

use crate::pipeline::{Answer, Read};
use crate::runtime::{CallError, Hub, ListError};

/// Calls made at the same time.
const AT_ONCE: usize = 64;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    List(#[from] ListError),
    /// By the hub, about this instance or entity.
    #[error("'{id}': {refusal}")]
    Refused { id: InstanceId, refusal: Refusal },
}

impl Hub {
    async fn status_of(&self, id: &InstanceId) -> Result<Option<InstanceStatus>, CallError> {
        match self.read(id, Read::Status).await? {
            Answer::Status(status) => Ok(status.map(|status| *status)),
            _ => Ok(None),
        }
    }

    /// Carries out a command; `Some` is the refusal.
    async fn attempt(&self, id: &InstanceId, command: Command) -> Result<Option<Refusal>, CallError> {
        match self.command(id, command).await? {
            Reply::Refused(refusal) => Ok(Some(refusal)),
            _ => Ok(None),
        }
    }
}
