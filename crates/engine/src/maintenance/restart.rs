//! Starting what is over again, and ending what goes on.

use futures::stream::{self, StreamExt, TryStreamExt};
use strandline_hub::{Command, Refusal, Reply, ReusePolicy, Start};
use strandline_model::{ExecutionId, InstanceId};

use super::{AT_ONCE, MaintenanceError};
use crate::runtime::Hub;

impl Hub {
    /// Starts an orchestrator again under the same id, with the input, version and tags the instance had
    /// last. What was there is replaced.
    ///
    /// # Errors
    /// `Refused`: [`Refusal::NotFound`]; [`Refusal::AlreadyExists`] for an instance that is not over.
    pub async fn restart(&self, id: &InstanceId) -> Result<(), MaintenanceError> {
        self.start_again(id, id, ReusePolicy::replace_terminal()).await
    }

    /// As [`Hub::restart`], under a new id, whatever the instance does.
    ///
    /// # Errors
    /// `Refused`: [`Refusal::NotFound`]; [`Refusal::AlreadyExists`] for a new id that is taken.
    pub async fn restart_as_new(&self, id: &InstanceId, new: &InstanceId) -> Result<(), MaintenanceError> {
        self.start_again(id, new, ReusePolicy::refuse()).await
    }

    /// Terminates each of these instances at once, and none of their sub-orchestrations. Returns, in order,
    /// the ids of what it could not end: what is over or unknown, and entities.
    ///
    /// # Errors
    /// `Refused` for a reason that is too long.
    pub async fn skip_graceful_termination(
        &self,
        ids: impl IntoIterator<Item = InstanceId>,
        reason: Option<String>,
    ) -> Result<Vec<InstanceId>, MaintenanceError> {
        let terminate = |id: InstanceId| {
            let reason = reason.clone();
            async move {
                if id.is_entity() {
                    return Ok(Some(id));
                }
                let command = Command::Terminate { id: id.clone(), reason, recursive: false };
                match self.attempt(&id, command).await? {
                    None => Ok(None),
                    Some(Refusal::NotFound | Refusal::Terminal { .. }) => Ok(Some(id)),
                    Some(refusal) => Err(MaintenanceError::Refused { id, refusal }),
                }
            }
        };
        let each = stream::iter(ids.into_iter().map(terminate)).buffered(AT_ONCE);
        each.try_filter_map(|remains| async move { Ok(remains) }).try_collect().await
    }

    async fn start_again(
        &self,
        id: &InstanceId,
        under: &InstanceId,
        reuse: ReusePolicy,
    ) -> Result<(), MaintenanceError> {
        let Some(status) = self.status_of(id).await? else {
            return Err(MaintenanceError::Refused { id: id.clone(), refusal: Refusal::NotFound });
        };
        let start = Start {
            id: under.clone(),
            name: status.name().to_owned(),
            version: status.version().map(str::to_owned),
            input: status.input().map(str::to_owned),
            tags: status.tags().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            scheduled_start: None,
            reuse,
            execution: ExecutionId(0),
            seed: 0,
            trace_parent: None,
            trace_state: None,
        };
        match self.start_as_is(start).await? {
            Reply::Refused(refusal) => Err(MaintenanceError::Refused { id: under.clone(), refusal }),
            _ => Ok(()),
        }
    }
}
