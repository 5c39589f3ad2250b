//! `strandline.v1.Management`: what the Durable Task protocol has no method for. It changes nothing.

use std::sync::Arc;

use strandline_engine::pipeline::{Answer, Read};
use strandline_engine::runtime::Hub;
use strandline_engine::why::Severity;
use strandline_hub::query::InstanceQuery;
use strandline_hub::{EntityStatus, Refusal};
use strandline_proto::management as wire;
use strandline_proto::management::management_server::Management;
use strandline_proto::{Execution, history, ids, time};
use tonic::{Request, Response, Status};

use super::caller::{self, hub_status};
use super::error::status;
use super::instances::instance_id;
use super::pages;
use super::queries::{self, read_status};
use super::state::Payloads;
use crate::access::Caller;
use crate::hubs::Hubs;
use crate::service::lists::{PAGE_BYTES, fitting};
use crate::service::workers;
use crate::why;

/// Most events of one answer, and how many if a request leaves it to the server.
const EVENTS: u32 = 1_000;

/// Looks into the hubs of this server.
pub(super) struct ManagementService {
    hubs: Arc<Hubs>,
}

impl ManagementService {
    pub(super) fn new(hubs: Arc<Hubs>) -> Self {
        Self { hubs }
    }

    async fn hub_of<T>(&self, request: &Request<T>) -> Result<Hub, Status> {
        caller::hub_of(&self.hubs, request.metadata()).await
    }
}

#[tonic::async_trait]
impl Management for ManagementService {
    async fn list_hubs(
        &self,
        request: Request<wire::ListHubsRequest>,
    ) -> Result<Response<wire::ListHubsResponse>, Status> {
        let caller = Caller::of(request.extensions())?.clone();
        let mut hubs = self.hubs.list().await.map_err(hub_status)?;
        hubs.retain(|(info, _)| caller.principal().sees(&info.name));
        let hub = |(info, hub): (strandline_store::HubInfo, Option<Hub>)| wire::Hub {
            name: info.name,
            partitions: u32::from(info.partitions),
            running: hub.map_or(0, |hub| u32::from(hub.running_partitions())),
        };
        Ok(Response::new(wire::ListHubsResponse { hubs: hubs.into_iter().map(hub).collect() }))
    }

    async fn list_workers(
        &self,
        request: Request<wire::ListWorkersRequest>,
    ) -> Result<Response<wire::ListWorkersResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let workers = workers::list(&hub).await.map_err(status)?;
        Ok(Response::new(wire::ListWorkersResponse { workers }))
    }

    async fn list_instances(
        &self,
        request: Request<wire::ListInstancesRequest>,
    ) -> Result<Response<wire::ListInstancesResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let asked = request.into_inner();
        let query = Arc::new(filter(asked.filter)?);
        let size = i32::try_from(asked.page_size).unwrap_or(i32::MAX);
        let size = pages::size(size, "ListInstancesRequest.page_size")?;
        let (token, payloads) =
            (pages::token(&asked.continuation_token), Payloads::wanted(asked.with_payloads));
        let (instances, continuation_token) = queries::instances(&hub, &query, token, size, payloads).await?;
        Ok(Response::new(wire::ListInstancesResponse { instances, continuation_token }))
    }

    async fn count_instances(
        &self,
        request: Request<wire::CountInstancesRequest>,
    ) -> Result<Response<wire::CountInstancesResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let query = Arc::new(filter(request.into_inner().filter)?);
        let count = hub.count(&query).await.map_err(status)?;
        Ok(Response::new(wire::CountInstancesResponse { count }))
    }

    async fn get_history(
        &self,
        request: Request<wire::GetHistoryRequest>,
    ) -> Result<Response<wire::GetHistoryResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let asked = request.into_inner();
        let id = instance_id(&asked.instance_id, "GetHistoryRequest.instance_id")?;
        let execution = asked.execution_id.as_deref().filter(|text| !text.is_empty());
        let execution = execution.map(|text| ids::from_wire(text, "GetHistoryRequest.execution_id"));
        let execution = execution.transpose().map_err(status)?;
        let max = if asked.max == 0 { EVENTS } else { asked.max.min(EVENTS) };
        let read = Read::History { from: asked.from as usize, max: max as usize };
        let Answer::History(Some(page)) = hub.read(&id, read).await.map_err(status)? else {
            return Err(status(Refusal::NotFound));
        };
        if execution.is_some_and(|execution| execution != page.execution) {
            let text = "this execution is not the instance's current one any more: read its history anew";
            return Err(Status::aborted(text));
        }
        let of = Execution { instance_id: id.as_str(), execution_id: page.execution };
        let events = page.events.iter().map(|event| history::to_wire(event, of));
        let events = fitting(events, PAGE_BYTES, prost::Message::encoded_len);
        Ok(Response::new(wire::GetHistoryResponse {
            execution_id: page.execution.to_string(),
            total: u32::try_from(page.total).unwrap_or(u32::MAX),
            events,
        }))
    }

    async fn get_entity_status(
        &self,
        request: Request<wire::GetEntityStatusRequest>,
    ) -> Result<Response<wire::EntityStatus>, Status> {
        let hub = self.hub_of(&request).await?;
        let id = request.into_inner().id;
        let id = ids::entity_from_wire(&id, "GetEntityStatusRequest.id").map_err(status)?;
        match hub.read(&id.instance_id(), Read::Entity).await.map_err(status)? {
            Answer::Entity(Some(entity)) => Ok(Response::new(entity_to_wire(&entity))),
            _ => Err(Status::not_found(format!("there is nothing of entity {id}"))),
        }
    }

    async fn diagnose(
        &self,
        request: Request<wire::DiagnoseRequest>,
    ) -> Result<Response<wire::Diagnosis>, Status> {
        let hub = self.hub_of(&request).await?;
        let caller = Caller::of(request.extensions())?.clone();
        let id = instance_id(&request.into_inner().instance_id, "DiagnoseRequest.instance_id")?;
        let found = why::diagnose(&hub, &id, caller.principal()).await.map_err(status)?;
        found.map(Response::new).ok_or_else(|| status(Refusal::NotFound))
    }

    async fn list_stuck(
        &self,
        request: Request<wire::ListStuckRequest>,
    ) -> Result<Response<wire::ListStuckResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let caller = Caller::of(request.extensions())?.clone();
        let asked = request.into_inner();
        let at_least = match asked.severity {
            0 => Severity::Warning,
            number => why::severity_from_wire(number).ok_or_else(|| {
                Status::invalid_argument(format!("ListStuckRequest.severity: there is no severity {number}"))
            })?,
        };
        let size = match asked.page_size {
            0 => why::EXAMINED_MAX,
            size => usize::try_from(size).unwrap_or(usize::MAX),
        };
        let token = pages::token(&asked.continuation_token);
        let query = filter(asked.filter)?;
        let stuck =
            why::list(&hub, query, token, size, at_least, caller.principal()).await.map_err(status)?;
        Ok(Response::new(wire::ListStuckResponse {
            diagnoses: stuck.diagnoses,
            examined: u32::try_from(stuck.examined).unwrap_or(u32::MAX),
            continuation_token: stuck.continuation_token,
        }))
    }
}

fn filter(filter: Option<wire::InstanceFilter>) -> Result<InstanceQuery, Status> {
    let filter = filter.unwrap_or_default();
    let parent = filter.parent.map(|id| instance_id(&id, "InstanceFilter.parent")).transpose()?;
    Ok(InstanceQuery {
        statuses: filter.statuses.iter().map(read_status).collect::<Result<_, _>>()?,
        name: filter.name,
        created_from: filter.created_from.map(time::from_wire),
        created_to: filter.created_to.map(time::from_wire),
        completed_from: filter.completed_from.map(time::from_wire),
        completed_to: filter.completed_to.map(time::from_wire),
        id_prefix: filter.id_prefix.filter(|prefix| !prefix.is_empty()),
        tags: filter.tags,
        parent,
        order_by: None,
    })
}

fn entity_to_wire(entity: &EntityStatus) -> wire::EntityStatus {
    wire::EntityStatus {
        id: entity.id.to_string(),
        state: entity.state.as_deref().map(str::to_owned),
        last_modified: Some(time::to_wire(entity.modified)),
        queue_length: entity.backlog as u64,
        locked_by: entity.locked_by.as_ref().map(|owner| wire::LockOwner {
            instance_id: owner.instance_id.clone(),
            execution_id: ids::bytes_to_wire(&owner.execution_id).unwrap_or_default(),
            section_id: owner.section_id.clone(),
        }),
    }
}
