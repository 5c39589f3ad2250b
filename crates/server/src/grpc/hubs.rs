//! Creating and deleting task hubs.

use strandline_proto::wire;
use tonic::{Request, Response, Status};

use super::TaskHubService;
use super::caller::{self, hub_status};

impl TaskHubService {
    pub(super) async fn create_hub(
        &self,
        request: Request<wire::CreateTaskHubRequest>,
    ) -> Result<Response<wire::CreateTaskHubResponse>, Status> {
        let name = caller::hub_name(&self.hubs, request.metadata())?.to_owned();
        if request.into_inner().recreate_if_exists {
            self.hubs.recreate(&name).await.map_err(hub_status)?;
        } else {
            self.hubs.create(&name).await.map_err(hub_status)?;
        }
        Ok(Response::new(wire::CreateTaskHubResponse {}))
    }

    pub(super) async fn delete_hub(
        &self,
        request: Request<wire::DeleteTaskHubRequest>,
    ) -> Result<Response<wire::DeleteTaskHubResponse>, Status> {
        let name = caller::hub_name(&self.hubs, request.metadata())?;
        self.hubs.delete(name).await.map_err(hub_status)?;
        Ok(Response::new(wire::DeleteTaskHubResponse {}))
    }
}
