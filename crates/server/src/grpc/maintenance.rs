//! Removing what is over, doing it again, ending what goes on, and tidying up.

use std::time::Duration;

use strandline_engine::maintenance::{MaintenanceError, PurgeOptions, PurgeScope};
use strandline_engine::runtime::Hub;
use strandline_hub::Refusal;
use strandline_hub::query::InstanceQuery;
use strandline_model::InstanceId;
use strandline_proto::wire::purge_instances_request::Target;
use strandline_proto::{ids, time, wire};
use tonic::{Request, Response, Status};

use super::error::status;
use super::instances::instance_id;
use super::queries::read_status;
use super::{TaskHubService, pages};
use crate::service::{IDS_MAX, new_instance_id};

impl TaskHubService {
    /// `isComplete` is false when the time ran out before all that is over was found; what is not over, or
    /// has a child that is not, is not waited for.
    pub(super) async fn purge(
        &self,
        request: Request<wire::PurgeInstancesRequest>,
    ) -> Result<Response<wire::PurgeInstancesResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let asked = request.into_inner();
        let scope = if asked.recursive { PurgeScope::Tree } else { PurgeScope::Instance };
        let (purged, complete) = match asked.target {
            Some(Target::InstanceId(id)) => (purge_ids(&hub, vec![id], scope).await?, true),
            Some(Target::InstanceBatch(batch)) => {
                check_batch(&batch, "PurgeInstancesRequest.instanceBatch")?;
                (purge_ids(&hub, batch.instance_ids, scope).await?, true)
            }
            Some(Target::PurgeInstanceFilter(filter)) => {
                let timeout = filter.timeout.and_then(|timeout| Duration::try_from(timeout).ok());
                let query = InstanceQuery {
                    statuses: filter.runtime_status.iter().map(read_status).collect::<Result<_, _>>()?,
                    created_from: filter.created_time_from.map(time::from_wire),
                    created_to: filter.created_time_to.map(time::from_wire),
                    ..InstanceQuery::default()
                };
                let options = PurgeOptions { scope, timeout, ..PurgeOptions::default() };
                let part = hub.purge_part(query, options, None).await.map_err(status)?;
                (part.done.purged, part.continuation_token.is_none())
            }
            None => {
                let text = "PurgeInstancesRequest: give instanceId, instanceBatch or purgeInstanceFilter";
                return Err(Status::invalid_argument(text));
            }
        };
        Ok(Response::new(wire::PurgeInstancesResponse {
            deleted_instance_count: i32::try_from(purged).unwrap_or(i32::MAX),
            is_complete: Some(complete),
            not_over: None,
        }))
    }

    pub(super) async fn restart(
        &self,
        request: Request<wire::RestartInstanceRequest>,
    ) -> Result<Response<wire::RestartInstanceResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let asked = request.into_inner();
        let id = instance_id(&asked.instance_id, "RestartInstanceRequest.instanceId")?;
        let under = if asked.restart_with_new_instance_id {
            let new = new_instance_id();
            hub.restart_as_new(&id, &new).await.map_err(status)?;
            new
        } else {
            match hub.restart(&id).await {
                // There is nothing wrong with the id: it is too early.
                Err(MaintenanceError::Refused { refusal: Refusal::AlreadyExists { .. }, .. }) => {
                    return Err(Status::failed_precondition(
                        "the instance is not over: terminate it first, or restart it under a new id while it is running",
                    ));
                }
                done => done.map_err(status)?,
            }
            id
        };
        Ok(Response::new(wire::RestartInstanceResponse { instance_id: under.to_string() }))
    }

    pub(super) async fn skip_graceful_terminations(
        &self,
        request: Request<wire::SkipGracefulOrchestrationTerminationsRequest>,
    ) -> Result<Response<wire::SkipGracefulOrchestrationTerminationsResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let wire::SkipGracefulOrchestrationTerminationsRequest { instance_batch, reason } =
            request.into_inner();
        let batch = instance_batch.unwrap_or_default();
        check_batch(&batch, "SkipGracefulOrchestrationTerminationsRequest.instanceBatch")?;
        let (mut known, mut unterminated) = (Vec::new(), Vec::new());
        for text in batch.instance_ids {
            match InstanceId::new(&text) {
                Ok(id) => known.push(id),
                // No orchestration can have this id.
                Err(_) => unterminated.push(text),
            }
        }
        let remaining = hub.skip_graceful_termination(known, reason).await.map_err(status)?;
        unterminated.extend(remaining.iter().map(ToString::to_string));
        let response =
            wire::SkipGracefulOrchestrationTerminationsResponse { unterminated_instance_ids: unterminated };
        Ok(Response::new(response))
    }

    /// Entities of which nothing is left are gone by themselves: none are ever removed here.
    pub(super) async fn clean_entities(
        &self,
        request: Request<wire::CleanEntityStorageRequest>,
    ) -> Result<Response<wire::CleanEntityStorageResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let asked = request.into_inner();
        if !asked.release_orphaned_locks {
            return Ok(Response::new(wire::CleanEntityStorageResponse::default()));
        }
        let token = pages::token(&asked.continuation_token);
        let page = hub.release_orphaned_locks(token).await.map_err(status)?;
        Ok(Response::new(wire::CleanEntityStorageResponse {
            continuation_token: page.continuation_token,
            empty_entities_removed: 0,
            orphaned_locks_released: i32::try_from(page.released).unwrap_or(i32::MAX),
        }))
    }
}

/// Purges instances and entities, told apart by their ids. What is not there, not over or in use counts
/// for nothing.
async fn purge_ids(hub: &Hub, texts: Vec<String>, scope: PurgeScope) -> Result<u64, Status> {
    let (entities, instances): (Vec<_>, Vec<_>) = texts.into_iter().partition(|id| id.starts_with('@'));
    let field = "PurgeInstancesRequest.instanceId";
    let instances = instances.iter().map(|id| instance_id(id, field)).collect::<Result<Vec<_>, _>>()?;
    let entities = entities.iter().map(|id| ids::entity_from_wire(id, field).map_err(status));
    let entities = entities.collect::<Result<Vec<_>, _>>()?;
    let mut purged = hub.purge_ids(instances, scope).await.map_err(status)?.purged;
    for id in entities {
        match hub.purge_entity(&id.instance_id()).await {
            Ok(gone) => purged += u64::from(gone),
            Err(MaintenanceError::Refused { refusal: Refusal::EntityInUse(_), .. }) => {}
            Err(error) => return Err(status(error)),
        }
    }
    Ok(purged)
}

fn check_batch(batch: &wire::InstanceBatch, field: &str) -> Result<(), Status> {
    let count = batch.instance_ids.len();
    if count > IDS_MAX {
        let text = format!("{field}.instanceIds has {count} ids: the limit is {IDS_MAX}");
        return Err(Status::invalid_argument(text));
    }
    Ok(())
}
