//! Removing what is over from a server's hub.

use std::sync::Arc;

use strandline_engine::maintenance::{PurgeOptions, PurgeScope};
use strandline_hub::Refusal;
use strandline_hub::query::InstanceQuery;
use strandline_model::{InstanceId, RuntimeStatus};
use strandline_proto::wire;
use strandline_proto::wire::purge_instances_request::Target;
use tokio::time::Instant;

use super::calls::Remote;
use super::connection::Repeat;
use super::error::Subject;
use crate::backend::{Backend as _, PageOf, When, refused};
use crate::error::Result;
use crate::maintenance::Purged;

/// Most instances of one request; also the size of the pages that are purged.
const BATCH: usize = 500;

/// The states of what can be purged.
const OVER: [RuntimeStatus; 4] =
    [RuntimeStatus::Completed, RuntimeStatus::Failed, RuntimeStatus::Terminated, RuntimeStatus::Canceled];
const ALL: Purged = Purged { purged: 0, complete: true, not_over: 0 };

fn both(one: Purged, other: Purged) -> Purged {
    Purged {
        purged: one.purged + other.purged,
        complete: one.complete && other.complete,
        not_over: one.not_over + other.not_over,
    }
}

/// What a server did.
struct Done {
    purged: u64,
    complete: bool,
    /// As far as the server says.
    not_over: Option<u64>,
}

impl Remote {
    async fn purge_target(&self, target: Target, scope: PurgeScope, subject: Subject<'_>) -> Result<Done> {
        let connection = &*self.connection;
        let request = wire::PurgeInstancesRequest {
            target: Some(target),
            recursive: scope == PurgeScope::Tree,
            is_orchestration: true,
        };
        let call = || {
            let (mut stub, request) = (connection.stub(), request.clone());
            async move { stub.purge_instances(request).await }
        };
        let failed =
            |failed: super::error::Failed| failed.into_error(subject, "InstanceNotOver", &connection.address);
        let answer = connection.call(Repeat::Harmless, call).await.map_err(failed)?.into_inner();
        Ok(Done {
            purged: u64::try_from(answer.deleted_instance_count).unwrap_or(0),
            complete: answer.is_complete.unwrap_or(true),
            not_over: answer.not_over,
        })
    }

    pub(super) async fn purge_one(&self, id: &InstanceId, scope: PurgeScope) -> Result<u64> {
        let target = Target::InstanceId(id.to_string());
        let done = self.purge_target(target, scope, Subject::Instance(id)).await?;
        if done.complete && done.purged > 0 {
            return Ok(done.purged);
        }
        // Servers tell neither what is missing nor what is not over from what is gone.
        match self.status(id, When::Now).await? {
            None => Ok(done.purged),
            Some(status) => Err(refused(Refusal::NotOver { status: status.status }, id.as_str())),
        }
    }

    pub(super) async fn purge_each(&self, ids: Vec<InstanceId>) -> Result<Purged> {
        let mut done = ALL;
        for batch in ids.chunks(BATCH) {
            done = both(done, self.purge_batch(batch, PurgeScope::Instance).await?);
        }
        Ok(done)
    }

    pub(super) async fn purge_matching(
        &self,
        mut query: InstanceQuery,
        options: PurgeOptions,
    ) -> Result<Purged> {
        let PurgeOptions { scope, timeout, page_size } = options;
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut done = ALL;
        if query.statuses.is_empty() {
            query.statuses.extend(OVER);
        } else {
            query.statuses.retain(|status| status.is_terminal());
        }
        if query.statuses.is_empty() {
            return Ok(done);
        }
        let query = Arc::new(query);
        let mut token = None;
        loop {
            let (ids, next) = self.page_of_ids(&query, token.as_deref(), page_size.min(BATCH)).await?;
            done = both(done, self.purge_batch(&ids, scope).await?);
            if next.is_none() {
                return Ok(done);
            }
            token = next;
            if end.is_some_and(|end| Instant::now() >= end) {
                done.complete = false;
                return Ok(done);
            }
        }
    }

    async fn page_of_ids(
        &self,
        query: &Arc<InstanceQuery>,
        token: Option<&str>,
        size: usize,
    ) -> Result<(Vec<InstanceId>, Option<String>)> {
        let list = self.list_page(query, PageOf { token, size, payloads: false }).await?;
        Ok((list.instances.into_iter().map(|instance| instance.id).collect(), list.continuation_token))
    }

    async fn purge_batch(&self, ids: &[InstanceId], scope: PurgeScope) -> Result<Purged> {
        if ids.is_empty() {
            return Ok(ALL);
        }
        let instance_ids = ids.iter().map(ToString::to_string).collect();
        let target = Target::InstanceBatch(wire::InstanceBatch { instance_ids });
        let Done { purged, complete, not_over } = self.purge_target(target, scope, Subject::Hub).await?;
        let not_over = match not_over {
            Some(count) => count,
            None if complete && purged >= ids.len() as u64 => 0,
            None => self.remaining(ids).await?,
        };
        Ok(Purged { purged, complete: not_over == 0, not_over })
    }

    /// How many of these are there.
    async fn remaining(&self, ids: &[InstanceId]) -> Result<u64> {
        let mut remaining = 0;
        for id in ids {
            remaining += u64::from(self.status(id, When::Now).await?.is_some());
        }
        Ok(remaining)
    }
}
