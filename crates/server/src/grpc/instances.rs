//! Starting instances, waiting for them, and telling them what to do.

use strandline_engine::pipeline::{Answer, Read};
use strandline_engine::runtime::Hub;
use strandline_hub::{Command, InstanceStatus, Refusal, Reply, ReusePolicy, Start};
use strandline_model::{ExecutionId, InstanceId, RuntimeStatus};
use strandline_proto::{ids, status as statuses, time, wire};
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use super::error::{ERROR_TEXT, ERROR_TYPE, status};
use super::state::{self, Payloads};
use super::{TaskHubService, waits};
use crate::access::Caller;
use crate::keys::Permission;
use crate::serve::listen::Peer;
use crate::service::{new_instance_id, reuse};

/// Reads an instance id; `field` names it.
pub(super) fn instance_id(text: &str, field: &str) -> Result<InstanceId, Status> {
    InstanceId::new(text).map_err(|error| Status::invalid_argument(format!("{field}: {error}")))
}

pub(super) async fn read_status(
    hub: &Hub,
    id: &InstanceId,
    read: Read,
) -> Result<Option<Box<InstanceStatus>>, Status> {
    match hub.read(id, read).await.map_err(status)? {
        Answer::Status(status) => Ok(status),
        _ => Ok(None),
    }
}

impl TaskHubService {
    pub(super) async fn start(
        &self,
        request: Request<wire::CreateInstanceRequest>,
    ) -> Result<Response<wire::CreateInstanceResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let caller = Caller::of(request.extensions())?.clone();
        let request = request.into_inner();
        caller.principal().require_function(Permission::Start, &request.name)?;
        let id = match request.instance_id.as_str() {
            "" => new_instance_id(),
            text => instance_id(text, "CreateInstanceRequest.instanceId")?,
        };
        let execution = match request.execution_id.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => ids::from_wire(text, "CreateInstanceRequest.executionId").map_err(status)?,
            None => ExecutionId(0),
        };
        let (trace_parent, trace_state) =
            request.parent_trace_context.map(|trace| (trace.trace_parent, trace.trace_state)).unzip();
        let start = Start {
            id: id.clone(),
            name: request.name,
            version: request.version,
            input: request.input,
            tags: request.tags,
            scheduled_start: request.scheduled_start_timestamp.map(time::from_wire),
            reuse: reuse::by(caller.principal(), reuse_policy(request.orchestration_id_reuse_policy)?),
            execution,
            seed: 0,
            trace_parent: trace_parent.filter(|parent| !parent.is_empty()),
            trace_state: trace_state.flatten(),
        };
        match hub.start(start).await.map_err(status)? {
            Reply::Refused(refusal) => Err(status(refusal)),
            _ => Ok(Response::new(wire::CreateInstanceResponse { instance_id: id.to_string() })),
        }
    }

    pub(super) async fn read_instance(
        &self,
        request: Request<wire::GetInstanceRequest>,
        read: Read,
    ) -> Result<Response<wire::GetInstanceResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let deadline = super::caller::deadline(request.metadata());
        let caller = Caller::of(request.extensions())?.clone();
        let waits = request.extensions().get::<Peer>().map(|peer| peer.waits.clone()).unwrap_or_default();
        let request = request.into_inner();
        let id = instance_id(&request.instance_id, "GetInstanceRequest.instanceId")?;
        let payloads = Payloads::wanted(request.get_inputs_and_outputs);
        let displaced = match (&deadline, read) {
            (None, Read::Started | Read::Ended) => Some(waits.enter()),
            _ => None,
        };
        let found = tokio::select! {
            found = read_status(&hub, &id, read) => found?,
            () = super::caller::passed(deadline) => {
                return Err(Status::deadline_exceeded("the instance did not get there in time"));
            }
            () = waits::displaced(displaced.as_ref()) => {
                let text = "too many calls on this connection wait without a deadline: the oldest ends";
                return Err(Status::deadline_exceeded(text));
            }
            error = caller.turned_away(), if read != Read::Status => return Err(error.into()),
            () = self.stopping.cancelled() => return Err(Status::unavailable("the server stops: ask again later")),
        };
        let orchestration_state = found.map(|instance| state::to_wire(&instance, payloads));
        let exists = orchestration_state.is_some();
        Ok(Response::new(wire::GetInstanceResponse { exists, orchestration_state }))
    }

    pub(super) async fn raise(
        &self,
        request: Request<wire::RaiseEventRequest>,
    ) -> Result<Response<wire::RaiseEventResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let wire::RaiseEventRequest { instance_id: id, name, input } = request.into_inner();
        let id = instance_id(&id, "RaiseEventRequest.instanceId")?;
        let command = Command::RaiseEvent { id: id.clone(), name, input };
        tell(&hub, &id, command, wire::RaiseEventResponse {}).await
    }

    pub(super) async fn terminate(
        &self,
        request: Request<wire::TerminateRequest>,
    ) -> Result<Response<wire::TerminateResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let wire::TerminateRequest { instance_id: id, output, recursive } = request.into_inner();
        let id = instance_id(&id, "TerminateRequest.instanceId")?;
        let command = Command::Terminate { id: id.clone(), reason: output, recursive };
        tell(&hub, &id, command, wire::TerminateResponse {}).await
    }

    pub(super) async fn suspend(
        &self,
        request: Request<wire::SuspendRequest>,
    ) -> Result<Response<wire::SuspendResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let wire::SuspendRequest { instance_id: id, reason } = request.into_inner();
        let id = instance_id(&id, "SuspendRequest.instanceId")?;
        let command = Command::Suspend { id: id.clone(), reason };
        tell(&hub, &id, command, wire::SuspendResponse {}).await
    }

    pub(super) async fn resume(
        &self,
        request: Request<wire::ResumeRequest>,
    ) -> Result<Response<wire::ResumeResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let wire::ResumeRequest { instance_id: id, reason } = request.into_inner();
        let id = instance_id(&id, "ResumeRequest.instanceId")?;
        let command = Command::Resume { id: id.clone(), reason };
        tell(&hub, &id, command, wire::ResumeResponse {}).await
    }

    pub(super) async fn rewind(
        &self,
        request: Request<wire::RewindInstanceRequest>,
    ) -> Result<Response<wire::RewindInstanceResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let wire::RewindInstanceRequest { instance_id: id, reason } = request.into_inner();
        let id = instance_id(&id, "RewindInstanceRequest.instanceId")?;
        match hub.rewind(&id, reason).await.map_err(status)? {
            Reply::Refused(refusal) => Err(status(refusal)),
            _ => Ok(Response::new(wire::RewindInstanceResponse {})),
        }
    }
}

/// Carries out a command. For the SDKs, what is told to an instance that is over is told in vain, not
/// wrongly; the metadata says that it was.
async fn tell<T>(hub: &Hub, id: &InstanceId, command: Command, answer: T) -> Result<Response<T>, Status> {
    let mut answer = Response::new(answer);
    match hub.command(id, command).await.map_err(status)? {
        Reply::Refused(refusal @ Refusal::Terminal { .. }) => {
            let metadata = answer.metadata_mut();
            metadata.insert(ERROR_TYPE, MetadataValue::from_static(refusal.error_type()));
            if let Ok(text) = refusal.to_string().parse() {
                metadata.insert(ERROR_TEXT, text);
            }
        }
        Reply::Refused(refusal) => return Err(status(refusal)),
        _ => {}
    }
    Ok(answer)
}

/// Which existing instances a start replaces.
fn reuse_policy(policy: Option<wire::OrchestrationIdReusePolicy>) -> Result<ReusePolicy, Status> {
    let listed = policy.map(|policy| policy.replaceable_status).unwrap_or_default();
    let field = "OrchestrationIdReusePolicy.replaceableStatus";
    let read = |number: &i32| statuses::from_wire(*number, field).map_err(status);
    let replaceable: Vec<RuntimeStatus> = listed.iter().map(read).collect::<Result<_, _>>()?;
    reuse::policy(replaceable).map_err(|error| Status::invalid_argument(error.to_string()))
}
