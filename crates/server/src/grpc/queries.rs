//! Lists of instances, and purging many of them.

use std::sync::Arc;

use strandline_hub::InstanceStatus;
use strandline_hub::query::{InstanceQuery, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
use strandline_model::RuntimeStatus;
use strandline_proto::{status as statuses, time, wire};
use tonic::{Request, Response, Status};

use super::TaskHubService;
use super::error::status;
use super::state::{self, Payloads};

/// Bytes of instances on one page after which it is closed, well below what clients receive in one message.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

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
        let token = asked.continuation_token.as_deref().filter(|token| !token.is_empty());
        let size = page_size(asked.max_instance_count, "InstanceQuery.maxInstanceCount")?;
        let page = hub.list(&Arc::new(query), token, size).await.map_err(status)?;
        let instances: &[InstanceStatus] = &page.instances;
        let _ = PAGE_BYTES;
        Ok(Response::new(wire::QueryInstancesResponse {
            orchestration_state: instances.iter().map(|i| state::to_wire(i, payloads)).collect(),
            continuation_token: page.continuation_token,
        }))
    }
}

pub(super) fn read_status(number: &i32) -> Result<RuntimeStatus, Status> {
    statuses::from_wire(*number, "runtimeStatus").map_err(status)
}

/// The size of a page; 0 leaves it to the server.
pub(super) fn page_size(asked: i32, field: &str) -> Result<usize, Status> {
    match usize::try_from(asked) {
        Ok(0) => Ok(PAGE_SIZE_DEFAULT),
        // What does not fit one page follows on the next.
        Ok(size) => Ok(size.min(PAGE_SIZE_MAX)),
        Err(_) => Err(Status::invalid_argument(format!("{field} is {asked}: give 0 or more"))),
    }
}
