//! Tidying up after entities.

use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use strandline_hub::query::{EntityQuery, PAGE_SIZE_DEFAULT};
use strandline_hub::{Command, EntityStatus};
use strandline_model::InstanceId;

use super::{AT_ONCE, MaintenanceError};
use crate::runtime::Hub;

/// What one page of entities brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasedLocks {
    /// Locks that nobody would have given back.
    pub released: u64,
    /// Where the next page begins; `None` when all entities were looked at.
    pub continuation_token: Option<String>,
}

impl Hub {
    /// Gives back locks whose orchestration is over or gone, of one page of entities: the first, or the one
    /// that a token stands for. The hub does so by itself when an orchestration ends; this is for hubs that
    /// somebody has doubts about.
    ///
    /// Entities of which nothing is left need no cleaning: they are gone.
    pub async fn release_orphaned_locks(
        &self,
        token: Option<&str>,
    ) -> Result<ReleasedLocks, MaintenanceError> {
        let query = Arc::new(EntityQuery { transient: true, ..EntityQuery::default() });
        let page = self.list_entities(&query, token, PAGE_SIZE_DEFAULT).await?;
        // Collected first: otherwise the compiler can't see that this future is `Send`.
        let releases: Vec<_> = page.entities.iter().map(|entity| self.release_orphan(entity)).collect();
        let each = stream::iter(releases).buffer_unordered(AT_ONCE);
        let released = each.try_fold(0, |sum, orphan| async move { Ok(sum + u64::from(orphan)) }).await?;
        Ok(ReleasedLocks { released, continuation_token: page.continuation_token })
    }

    /// True when the entity's lock was an orphan.
    async fn release_orphan(&self, entity: &EntityStatus) -> Result<bool, MaintenanceError> {
        let Some(owner) = entity.locked_by.clone() else { return Ok(false) };
        let holder = InstanceId::trusted(owner.instance_id.as_str());
        let status = self.status_of(&holder).await?;
        let execution = status.filter(|s| !s.status.is_terminal()).map(|s| s.execution);
        if execution.is_some_and(|execution| execution.0.to_be_bytes() == *owner.execution_id) {
            return Ok(false);
        }
        let command = Command::ReleaseLock { id: entity.id.clone(), owner };
        match self.attempt(&entity.id, command).await? {
            None => Ok(true),
            Some(refusal) => Err(MaintenanceError::Refused { id: entity.id.clone(), refusal }),
        }
    }
}
