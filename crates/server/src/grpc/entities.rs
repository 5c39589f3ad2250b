//! Entities, as clients see them.

use strandline_engine::pipeline::{Answer, Read};
use strandline_hub::{Command, EntityStatus, Reply};
use strandline_model::EntityId;
use strandline_proto::{entity, ids, time, wire};
use tonic::{Request, Response, Status};

use super::TaskHubService;
use super::error::status;
use crate::access::Caller;
use crate::keys::Permission;

/// Characters of an entity's id, at most: what the Durable Task Scheduler takes, so that what its clients
/// rely on being refused is refused here.
const ID_CHARS_MAX: usize = 100;

impl TaskHubService {
    pub(super) async fn signal(
        &self,
        request: Request<wire::SignalEntityRequest>,
    ) -> Result<Response<wire::SignalEntityResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let caller = Caller::of(request.extensions())?.clone();
        let (target, mut operation) = entity::signal_from_wire(request.into_inner()).map_err(status)?;
        caller.principal().require_function(Permission::Signal, target.name())?;
        check_length(&target)?;
        if operation.request_id.is_empty() {
            operation.request_id = uuid::Uuid::new_v4().to_string();
        }
        let id = target.instance_id();
        let command = Command::SignalEntity { id: id.clone(), operation };
        match hub.command(&id, command).await.map_err(status)? {
            Reply::Refused(refusal) => Err(status(refusal)),
            _ => Ok(Response::new(wire::SignalEntityResponse {})),
        }
    }

    pub(super) async fn entity(
        &self,
        request: Request<wire::GetEntityRequest>,
    ) -> Result<Response<wire::GetEntityResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let request = request.into_inner();
        let id: EntityId =
            ids::entity_from_wire(&request.instance_id, "GetEntityRequest.instanceId").map_err(status)?;
        let answer = hub.read(&id.instance_id(), Read::Entity).await.map_err(status)?;
        let Answer::Entity(found) = answer else {
            return Ok(Response::new(wire::GetEntityResponse::default()));
        };
        // One without a state does not exist for clients, though operations may wait for it.
        let entity = found.filter(|e| e.state.is_some()).map(|e| metadata(&e, request.include_state));
        Ok(Response::new(wire::GetEntityResponse { exists: entity.is_some(), entity }))
    }
}

fn check_length(id: &EntityId) -> Result<(), Status> {
    let length = id.to_string().chars().count();
    if length > ID_CHARS_MAX {
        return Err(Status::invalid_argument(format!(
            "SignalEntityRequest.instanceId has a length of {length} characters: the limit is {ID_CHARS_MAX}"
        )));
    }
    Ok(())
}

pub(super) fn metadata(entity: &EntityStatus, with_state: bool) -> wire::EntityMetadata {
    wire::EntityMetadata {
        instance_id: entity.id.to_string(),
        last_modified_time: Some(time::to_wire(entity.modified)),
        backlog_queue_size: i32::try_from(entity.backlog).unwrap_or(i32::MAX),
        locked_by: entity.locked_by.as_ref().map(|owner| owner.instance_id.clone()),
        serialized_state: entity.state.as_deref().filter(|_| with_state).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_ids_of_more_characters_than_the_scheduler_takes() {
        let of = |chars: usize| EntityId::new("counter", &"ü".repeat(chars - "@counter@".len()));
        let longest = of(ID_CHARS_MAX).map(|id| check_length(&id).is_ok());
        assert_eq!(longest, Ok(true));
        let longer = of(ID_CHARS_MAX + 1).map(|id| check_length(&id).map_err(|s| s.code()));
        assert_eq!(longer, Ok(Err(tonic::Code::InvalidArgument)));
    }
}
