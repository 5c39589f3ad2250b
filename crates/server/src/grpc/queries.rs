//! Lists of instances and entities.

use std::sync::Arc;

use prost::Message as _;
use strandline_engine::runtime::Hub;
use strandline_hub::query::{Cursor, EntityQuery, InstanceQuery, Order};
use strandline_hub::{EntityStatus, InstanceStatus};
use strandline_model::{InstanceId, RuntimeStatus, Timestamp};
use strandline_proto::{status as statuses, time, wire};
use tonic::{Request, Response, Status};

use super::error::status;
use super::state::{self, Payloads};
use super::{TaskHubService, entities, pages};
use crate::service::lists::{self, Shown};

impl TaskHubService {
    pub(super) async fn query(
        &self,
        request: Request<wire::QueryInstancesRequest>,
    ) -> Result<Response<wire::QueryInstancesResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let asked = request.into_inner().query.unwrap_or_default();
        let query = InstanceQuery {
            statuses: asked.runtime_status.iter().map(read_status).collect::<Result<_, _>>()?,
            created_from: asked.created_time_from.map(time::from_wire),
            created_to: asked.created_time_to.map(time::from_wire),
            id_prefix: asked.instance_id_prefix.filter(|prefix| !prefix.is_empty()),
            ..InstanceQuery::default()
        };
        let payloads = Payloads::wanted(asked.fetch_inputs_and_outputs);
        let size = pages::size(asked.max_instance_count, "InstanceQuery.maxInstanceCount")?;
        let token = pages::token(&asked.continuation_token);
        let (orchestration_state, continuation_token) =
            instances(&hub, &Arc::new(query), token, size, payloads).await?;
        Ok(Response::new(wire::QueryInstancesResponse { orchestration_state, continuation_token }))
    }

    /// What is over, in the order in which it ended.
    pub(super) async fn ids(
        &self,
        request: Request<wire::ListInstanceIdsRequest>,
    ) -> Result<Response<wire::ListInstanceIdsResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let asked = request.into_inner();
        let query = InstanceQuery {
            statuses: asked.runtime_status.iter().map(read_status).collect::<Result<_, _>>()?,
            completed_from: asked.completed_time_from.map(time::from_wire),
            completed_to: asked.completed_time_to.map(time::from_wire),
            order_by: Some(Order::Completed),
            ..InstanceQuery::default()
        };
        let size = pages::size(asked.page_size, "ListInstanceIdsRequest.pageSize")?;
        let after = pages::token(&asked.last_instance_key).map(read_key).transpose()?;
        let page = hub.list_after(&Arc::new(query), after, size).await.map_err(status)?;
        Ok(Response::new(wire::ListInstanceIdsResponse {
            instance_ids: page.items.iter().map(|instance| instance.id.to_string()).collect(),
            last_instance_key: page.next.as_ref().and_then(key),
        }))
    }

    pub(super) async fn query_entities_of(
        &self,
        request: Request<wire::QueryEntitiesRequest>,
    ) -> Result<Response<wire::QueryEntitiesResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let asked = request.into_inner().query.unwrap_or_default();
        let query = Arc::new(EntityQuery {
            id_prefix: asked
                .instance_id_starts_with
                .as_deref()
                .filter(|p| !p.is_empty())
                .map(lists::entity_prefix),
            modified_from: asked.last_modified_from.map(time::from_wire),
            modified_to: asked.last_modified_to.map(time::from_wire),
            transient: asked.include_transient,
        });
        let size = pages::size(asked.page_size.unwrap_or_default(), "EntityQuery.pageSize")?;
        let token = pages::token(&asked.continuation_token);
        let show = match asked.include_state {
            true => |entity: &EntityStatus| entities::metadata(entity, true),
            false => |entity: &EntityStatus| entities::metadata(entity, false),
        };
        let shown = Shown { show, bytes: wire::EntityMetadata::encoded_len };
        let (entities, continuation_token) =
            lists::entities(&hub, &query, token, size, shown).await.map_err(status)?;
        Ok(Response::new(wire::QueryEntitiesResponse { entities, continuation_token }))
    }
}

/// A page of instances that fits one message, and where the next one begins.
pub(super) async fn instances(
    hub: &Hub,
    query: &Arc<InstanceQuery>,
    token: Option<&str>,
    size: usize,
    payloads: Payloads,
) -> Result<(Vec<wire::OrchestrationState>, Option<String>), Status> {
    let show = match payloads {
        Payloads::Included => |instance: &InstanceStatus| state::to_wire(instance, Payloads::Included),
        Payloads::LeftOut => |instance: &InstanceStatus| state::to_wire(instance, Payloads::LeftOut),
    };
    let shown = Shown { show, bytes: wire::OrchestrationState::encoded_len };
    lists::instances(hub, query, token, size, shown).await.map_err(status)
}

pub(super) fn read_status(number: &i32) -> Result<RuntimeStatus, Status> {
    statuses::from_wire(*number, "runtimeStatus").map_err(status)
}

/// Where a page of ids ends, as text: when that instance ended, in seconds, and its id. SDKs' own tests
/// look for the id in it.
fn key(place: &Cursor) -> Option<String> {
    let Cursor::Completed { completed, id } = place else { return None };
    Some(format!("{}.{:09}|{id}", completed.seconds, completed.nanos))
}

fn read_key(key: &str) -> Result<Cursor, Status> {
    let read = |key: &str| {
        let (completed, id) = key.split_once('|')?;
        let (seconds, nanos) = completed.split_once('.')?;
        let nanos = nanos.parse().ok().filter(|nanos| *nanos < 1_000_000_000)?;
        let completed = Timestamp { seconds: seconds.parse().ok()?, nanos };
        Some(Cursor::Completed { completed, id: InstanceId::new(id).ok()? })
    };
    let text = "ListInstanceIdsRequest.lastInstanceKey: pass on what a page came with, unchanged";
    read(key).ok_or_else(|| Status::invalid_argument(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_bring_back_their_place() {
        let id = InstanceId::trusted("a|b.größe");
        for completed in [Timestamp::EPOCH, Timestamp { seconds: -3, nanos: 999_999_999 }] {
            let place = Cursor::Completed { completed, id: id.clone() };
            assert_eq!(read_key(&key(&place).unwrap()).unwrap(), place);
        }
        for wrong in ["", "|", "1|a", "1.x|a", "1.1000000000|a", "1.0|", "x.0|a"] {
            assert_eq!(read_key(wrong).unwrap_err().code(), tonic::Code::InvalidArgument, "{wrong}");
        }
    }
}
