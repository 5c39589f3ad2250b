//! The methods of the protocol's service. What they do stands in the modules beside this one.

use strandline_engine::dispatch::Kind;
use strandline_engine::pipeline::Read;
use strandline_proto::wire;
use strandline_proto::wire::task_hub_sidecar_service_server::TaskHubSidecarService;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use super::TaskHubService;
use super::history::HistoryChunks;
use super::work::WorkItems;

/// Tells workers that this is a server that knows the fields that are ours.
const VERSION: &str = "strandline-version";

#[tonic::async_trait]
impl TaskHubSidecarService for TaskHubService {
    type GetWorkItemsStream = WorkItems;
    type StreamInstanceHistoryStream = HistoryChunks;

    async fn hello(&self, _: Request<()>) -> Result<Response<()>, Status> {
        let mut hello = Response::new(());
        let version = MetadataValue::from_static(env!("CARGO_PKG_VERSION"));
        hello.metadata_mut().insert(VERSION, version);
        Ok(hello)
    }

    async fn start_instance(
        &self,
        request: Request<wire::CreateInstanceRequest>,
    ) -> Result<Response<wire::CreateInstanceResponse>, Status> {
        self.start(request).await
    }

    async fn get_instance(
        &self,
        request: Request<wire::GetInstanceRequest>,
    ) -> Result<Response<wire::GetInstanceResponse>, Status> {
        self.read_instance(request, Read::Status).await
    }

    async fn rewind_instance(
        &self,
        request: Request<wire::RewindInstanceRequest>,
    ) -> Result<Response<wire::RewindInstanceResponse>, Status> {
        self.rewind(request).await
    }

    async fn restart_instance(
        &self,
        request: Request<wire::RestartInstanceRequest>,
    ) -> Result<Response<wire::RestartInstanceResponse>, Status> {
        self.restart(request).await
    }

    async fn wait_for_instance_start(
        &self,
        request: Request<wire::GetInstanceRequest>,
    ) -> Result<Response<wire::GetInstanceResponse>, Status> {
        self.read_instance(request, Read::Started).await
    }

    async fn wait_for_instance_completion(
        &self,
        request: Request<wire::GetInstanceRequest>,
    ) -> Result<Response<wire::GetInstanceResponse>, Status> {
        self.read_instance(request, Read::Ended).await
    }

    async fn raise_event(
        &self,
        request: Request<wire::RaiseEventRequest>,
    ) -> Result<Response<wire::RaiseEventResponse>, Status> {
        self.raise(request).await
    }

    async fn terminate_instance(
        &self,
        request: Request<wire::TerminateRequest>,
    ) -> Result<Response<wire::TerminateResponse>, Status> {
        self.terminate(request).await
    }

    async fn suspend_instance(
        &self,
        request: Request<wire::SuspendRequest>,
    ) -> Result<Response<wire::SuspendResponse>, Status> {
        self.suspend(request).await
    }

    async fn resume_instance(
        &self,
        request: Request<wire::ResumeRequest>,
    ) -> Result<Response<wire::ResumeResponse>, Status> {
        self.resume(request).await
    }

    async fn query_instances(
        &self,
        request: Request<wire::QueryInstancesRequest>,
    ) -> Result<Response<wire::QueryInstancesResponse>, Status> {
        self.query(request).await
    }

    async fn list_instance_ids(
        &self,
        request: Request<wire::ListInstanceIdsRequest>,
    ) -> Result<Response<wire::ListInstanceIdsResponse>, Status> {
        self.ids(request).await
    }

    async fn purge_instances(
        &self,
        request: Request<wire::PurgeInstancesRequest>,
    ) -> Result<Response<wire::PurgeInstancesResponse>, Status> {
        self.purge(request).await
    }

    async fn get_work_items(
        &self,
        request: Request<wire::GetWorkItemsRequest>,
    ) -> Result<Response<Self::GetWorkItemsStream>, Status> {
        self.work_items(request).await
    }

    async fn complete_activity_task(
        &self,
        request: Request<wire::ActivityResponse>,
    ) -> Result<Response<wire::CompleteTaskResponse>, Status> {
        self.complete_activity(request).await
    }

    async fn complete_orchestrator_task(
        &self,
        request: Request<wire::OrchestratorResponse>,
    ) -> Result<Response<wire::CompleteTaskResponse>, Status> {
        self.complete_turn(request).await
    }

    async fn complete_entity_task(
        &self,
        request: Request<wire::EntityBatchResult>,
    ) -> Result<Response<wire::CompleteTaskResponse>, Status> {
        self.complete_entity(request).await
    }

    async fn stream_instance_history(
        &self,
        request: Request<wire::StreamInstanceHistoryRequest>,
    ) -> Result<Response<Self::StreamInstanceHistoryStream>, Status> {
        self.history(request).await
    }

    async fn create_task_hub(
        &self,
        request: Request<wire::CreateTaskHubRequest>,
    ) -> Result<Response<wire::CreateTaskHubResponse>, Status> {
        self.create_hub(request).await
    }

    async fn delete_task_hub(
        &self,
        request: Request<wire::DeleteTaskHubRequest>,
    ) -> Result<Response<wire::DeleteTaskHubResponse>, Status> {
        self.delete_hub(request).await
    }

    async fn signal_entity(
        &self,
        request: Request<wire::SignalEntityRequest>,
    ) -> Result<Response<wire::SignalEntityResponse>, Status> {
        self.signal(request).await
    }

    async fn get_entity(
        &self,
        request: Request<wire::GetEntityRequest>,
    ) -> Result<Response<wire::GetEntityResponse>, Status> {
        self.entity(request).await
    }

    async fn query_entities(
        &self,
        request: Request<wire::QueryEntitiesRequest>,
    ) -> Result<Response<wire::QueryEntitiesResponse>, Status> {
        self.query_entities_of(request).await
    }

    async fn clean_entity_storage(
        &self,
        request: Request<wire::CleanEntityStorageRequest>,
    ) -> Result<Response<wire::CleanEntityStorageResponse>, Status> {
        self.clean_entities(request).await
    }

    async fn abandon_task_activity_work_item(
        &self,
        request: Request<wire::AbandonActivityTaskRequest>,
    ) -> Result<Response<wire::AbandonActivityTaskResponse>, Status> {
        self.abandon(request, Kind::Activity, |r| r.completion_token).await?;
        Ok(Response::new(wire::AbandonActivityTaskResponse {}))
    }

    async fn abandon_task_orchestrator_work_item(
        &self,
        request: Request<wire::AbandonOrchestrationTaskRequest>,
    ) -> Result<Response<wire::AbandonOrchestrationTaskResponse>, Status> {
        self.abandon(request, Kind::Orchestration, |r| r.completion_token).await?;
        Ok(Response::new(wire::AbandonOrchestrationTaskResponse {}))
    }

    async fn abandon_task_entity_work_item(
        &self,
        request: Request<wire::AbandonEntityTaskRequest>,
    ) -> Result<Response<wire::AbandonEntityTaskResponse>, Status> {
        self.abandon(request, Kind::Entity, |r| r.completion_token).await?;
        Ok(Response::new(wire::AbandonEntityTaskResponse {}))
    }

    async fn skip_graceful_orchestration_terminations(
        &self,
        request: Request<wire::SkipGracefulOrchestrationTerminationsRequest>,
    ) -> Result<Response<wire::SkipGracefulOrchestrationTerminationsResponse>, Status> {
        self.skip_graceful_terminations(request).await
    }
}
