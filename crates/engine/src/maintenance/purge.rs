//! Purges: of one instance, of a tree, of many.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use strandline_hub::query::{InstanceQuery, Order, PAGE_SIZE_DEFAULT};
use strandline_hub::{Command, InstanceStatus, Refusal};
use strandline_model::{EventKind, ExecutionId, InstanceId, RuntimeStatus};
use tokio::time::Instant;

use super::{AT_ONCE, MaintenanceError};
use crate::pipeline::{Answer, Read};
use crate::runtime::{CallError, Hub};

/// Events of a history read at a time in search of children.
const HISTORY_PAGE: usize = 10_000;

/// The states of what can be purged.
const OVER: [RuntimeStatus; 4] =
    [RuntimeStatus::Completed, RuntimeStatus::Failed, RuntimeStatus::Terminated, RuntimeStatus::Canceled];

/// What goes along with an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PurgeScope {
    /// Nothing.
    #[default]
    Instance,
    /// Its sub-orchestrations, and theirs: those its history tells of, which begins with the last
    /// continue-as-new. Not those that were just set off.
    Tree,
}

/// How to purge many instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgeOptions {
    pub scope: PurgeScope,
    /// It stops after this time, but not before the end of the first page.
    pub timeout: Option<Duration>,
    /// Instances listed at a time: 1 to 1,000.
    pub page_size: usize,
}

impl Default for PurgeOptions {
    fn default() -> Self {
        Self { scope: PurgeScope::Instance, timeout: None, page_size: PAGE_SIZE_DEFAULT }
    }
}

/// What a purge of one instance did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PurgedInstance {
    /// Instances that are gone: 0 when there was none of this id.
    pub purged: u64,
    /// What remains because it is not over, and what it does: the instance or, of a tree, one below it,
    /// whose parents remain then.
    pub not_over: Option<(InstanceId, RuntimeStatus)>,
}

/// What a purge of many instances did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purged {
    /// Instances that are gone; of trees, all of them.
    pub purged: u64,
    /// Nothing remains of what was asked for. False when something is not over, or when time ran out.
    pub complete: bool,
    /// Instances asked for that remain because they are not over or, of a tree, one below them is not.
    pub not_over: u64,
}

/// What a purge did of what a query means, from some place on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgedPart {
    pub done: Purged,
    /// For the rest; `None`: everything was looked at.
    pub continuation_token: Option<String>,
}

impl Purged {
    const NOTHING: Self = Self { purged: 0, complete: true, not_over: 0 };

    /// What both did.
    fn and(self, other: PurgedInstance) -> Self {
        let remains = other.not_over.is_some();
        Self {
            purged: self.purged + other.purged,
            complete: self.complete && !remains,
            not_over: self.not_over + u64::from(remains),
        }
    }
}

impl Hub {
    /// Removes an instance that is over, with its history. One that is not over, or of a tree is above
    /// one that is not, remains. Of a tree, what was purged by then is gone, and the same call goes on.
    pub async fn purge(
        &self,
        id: &InstanceId,
        scope: PurgeScope,
    ) -> Result<PurgedInstance, MaintenanceError> {
        match scope {
            PurgeScope::Instance => self.purge_execution(id, None).await,
            PurgeScope::Tree => self.purge_tree(id).await,
        }
    }

    /// Removes those of these instances that are over. Ids that are not there count for nothing.
    pub async fn purge_ids(
        &self,
        ids: impl IntoIterator<Item = InstanceId>,
        scope: PurgeScope,
    ) -> Result<Purged, MaintenanceError> {
        // A tree may hold another of them: its own purge finds it gone.
        let purges = ids.into_iter().map(|id| async move { self.purge(&id, scope).await });
        let each = stream::iter(purges).buffer_unordered(AT_ONCE);
        each.try_fold(Purged::NOTHING, |sum, one| async move { Ok(sum.and(one)) }).await
    }

    /// Removes the instances that a query means and that are over. Others are left alone.
    ///
    /// # Errors
    /// [`MaintenanceError::List`] for a query or a page size that is not possible.
    pub async fn purge_where(
        &self,
        query: InstanceQuery,
        options: PurgeOptions,
    ) -> Result<Purged, MaintenanceError> {
        Ok(self.purge_part(query, options, None).await?.done)
    }

    /// The same, beginning where a purge by the same query stopped.
    ///
    /// # Errors
    /// [`MaintenanceError::List`] for a query, a token or a page size that is not possible.
    pub async fn purge_part(
        &self,
        query: InstanceQuery,
        options: PurgeOptions,
        continuation_token: Option<String>,
    ) -> Result<PurgedPart, MaintenanceError> {
        let end = options.timeout.map(|timeout| Instant::now() + timeout);
        let mut done = Purged::NOTHING;
        let mut token = continuation_token;
        let Some(query) = only_over(query).map(Arc::new) else {
            return Ok(PurgedPart { done, continuation_token: None });
        };
        loop {
            let page = self.list(&query, token.as_deref(), options.page_size).await?;
            let purges = page.instances.into_iter().map(|one| self.purge_listed(one, options.scope));
            let each = stream::iter(purges).buffer_unordered(AT_ONCE);
            done = each.try_fold(done, |sum, one| async move { Ok(sum.and(one)) }).await?;
            token = page.continuation_token;
            if token.is_none() {
                return Ok(PurgedPart { done, continuation_token: None });
            }
            if end.is_some_and(|end| Instant::now() >= end) {
                done.complete = false;
                return Ok(PurgedPart { done, continuation_token: token });
            }
        }
    }

    /// Removes an entity: its state and what waits for it, whose callers are told. False when nothing is
    /// there. Sections that wait for its lock get it.
    ///
    /// # Errors
    /// `Refused` with [`Refusal::EntityInUse`] while its lock is held or its operations run.
    pub async fn purge_entity(&self, id: &InstanceId) -> Result<bool, MaintenanceError> {
        match self.attempt(id, Command::PurgeEntity { id: id.clone() }).await? {
            None => Ok(true),
            Some(Refusal::NotFound) => Ok(false),
            Some(refusal) => Err(MaintenanceError::Refused { id: id.clone(), refusal }),
        }
    }

    async fn purge_listed(
        &self,
        instance: InstanceStatus,
        scope: PurgeScope,
    ) -> Result<PurgedInstance, MaintenanceError> {
        if scope == PurgeScope::Tree {
            return self.purge_tree(&instance.id).await;
        }
        // Another execution may have taken its place: nobody asked for that one.
        let purged = self.purge_execution(&instance.id, Some(instance.execution)).await?;
        Ok(PurgedInstance { not_over: None, ..purged })
    }

    /// Removes one instance, if it is (still) that execution.
    async fn purge_execution(
        &self,
        id: &InstanceId,
        execution: Option<ExecutionId>,
    ) -> Result<PurgedInstance, MaintenanceError> {
        let nothing = PurgedInstance::default();
        match self.attempt(id, Command::Purge { id: id.clone(), execution }).await? {
            None => Ok(PurgedInstance { purged: 1, ..nothing }),
            Some(Refusal::NotFound) => Ok(nothing),
            Some(Refusal::NotOver { status }) => {
                Ok(PurgedInstance { not_over: Some((id.clone(), status)), ..nothing })
            }
            Some(refusal) => Err(MaintenanceError::Refused { id: id.clone(), refusal }),
        }
    }

    /// Removes children before their parents, so that what was not reached is still found from above.
    async fn purge_tree(&self, root: &InstanceId) -> Result<PurgedInstance, MaintenanceError> {
        let mut done = PurgedInstance::default();
        let mut stack = vec![Visit { id: root.clone(), parent: None, execution: None }];
        while let Some(Visit { id, parent, execution }) = stack.pop() {
            if execution.is_some() {
                // Its children are gone.
                done.purged += self.purge_execution(&id, execution).await?.purged;
                continue;
            }
            let Some(status) = self.status_of(&id).await? else { continue };
            // The id may have been somebody else's when it was called.
            if parent.is_some_and(|p| status.parent().is_none_or(|of| of.instance_id != p.as_str())) {
                continue;
            }
            if !status.status.is_terminal() {
                done.not_over = Some((id, status.status));
                return Ok(done);
            }
            let children = self.children(&id).await?;
            stack.push(Visit { id: id.clone(), parent: None, execution: Some(status.execution) });
            let visit = |child| Visit { id: child, parent: Some(id.clone()), execution: None };
            stack.extend(children.into_iter().map(visit));
        }
        Ok(done)
    }

    /// The sub-orchestrations in the history of an instance, but not those that were just set off.
    async fn children(&self, id: &InstanceId) -> Result<Vec<InstanceId>, CallError> {
        let mut children = Vec::new();
        let mut from = 0;
        loop {
            let read = Read::History { from, max: HISTORY_PAGE };
            let Answer::History(Some(page)) = self.read(id, read).await? else { return Ok(children) };
            for event in &page.events {
                if let EventKind::SubOrchestrationCreated(child) = event.kind()
                    && !child.fire_and_forget
                {
                    children.push(InstanceId::trusted(&*child.instance_id));
                }
            }
            from += page.events.len();
            if page.events.is_empty() || from >= page.total {
                return Ok(children);
            }
        }
    }
}

/// An instance on the way through a tree.
struct Visit {
    id: InstanceId,
    /// Whose child it must be.
    parent: Option<InstanceId>,
    /// Set once its children are gone.
    execution: Option<ExecutionId>,
}

/// The query for what a purge by this one removes: the same but for instances that are not over. `None` when no
/// other were asked for.
pub fn only_over(mut query: InstanceQuery) -> Option<InstanceQuery> {
    if query.statuses.is_empty() {
        query.statuses.extend(OVER);
    } else {
        query.statuses.retain(|status| status.is_terminal());
    }
    // What ended before some time comes first in the order of completion. Without an end to that time,
    // that list would go on with what ends meanwhile.
    if query.order_by.is_none() && query.completed_to.is_some() {
        query.order_by = Some(Order::Completed);
    }
    (!query.statuses.is_empty()).then_some(query)
}
