//! Work of entities: signals from outside, and batches of operations handed to workers.

use std::borrow::Borrow;

use strandline_model::{EntityCaller, EntityId, EntityOperation, Timestamp};

use crate::history::UNKNOWN_TASK;
use crate::wire::history_event::Kind;
use crate::{InvalidMessage, ids, required, time, trace, wire};

/// Operations of one entity as a worker gets them.
#[derive(Clone, Debug, PartialEq)]
pub struct EntityWork {
    pub entity: EntityId,
    /// `None`: it has none yet.
    pub state: Option<String>,
    pub operations: Vec<EntityOperation>,
}

/// The first form of a batch, for workers that don't know the second.
pub fn batch_to_wire<O: Borrow<EntityOperation>>(
    entity: &EntityId,
    state: Option<&str>,
    operations: &[O],
) -> wire::EntityBatchRequest {
    let operation = |operation: &EntityOperation| wire::OperationRequest {
        operation: operation.name.clone(),
        request_id: operation.request_id.clone(),
        input: operation.input.clone(),
        trace_context: operation.trace.as_deref().map(trace::to_wire),
    };
    wire::EntityBatchRequest {
        instance_id: entity.to_string(),
        entity_state: state.map(str::to_owned),
        operations: operations.iter().map(|o| operation(o.borrow())).collect(),
        ..Default::default()
    }
}

/// The second form of a batch, made `now`. Its `executionId` stays empty: entities have no executions.
pub fn request_to_wire<O: Borrow<EntityOperation>>(
    entity: &EntityId,
    state: Option<&str>,
    operations: &[O],
    now: Timestamp,
) -> wire::EntityRequest {
    let event = |operation| wire::HistoryEvent {
        event_id: -1,
        timestamp: Some(time::to_wire(now)),
        kind: Some(operation_to_wire(operation)),
    };
    wire::EntityRequest {
        instance_id: entity.to_string(),
        execution_id: String::new(),
        entity_state: state.map(str::to_owned),
        operation_requests: operations.iter().map(|o| event(o.borrow())).collect(),
    }
}

pub fn request_from_wire(request: wire::EntityRequest) -> Result<EntityWork, InvalidMessage> {
    Ok(EntityWork {
        entity: ids::entity_from_wire(&request.instance_id, "EntityRequest.instanceId")?,
        state: request.entity_state,
        operations: request
            .operation_requests
            .into_iter()
            .map(operation_from_wire)
            .collect::<Result<_, _>>()?,
    })
}

fn operation_to_wire(operation: &EntityOperation) -> Kind {
    let EntityOperation { request_id, name, input, caller, scheduled_time, trace } = operation;
    let scheduled_time = scheduled_time.map(time::to_wire);
    match caller {
        None => Kind::EntityOperationSignaled(wire::EntityOperationSignaledEvent {
            request_id: request_id.clone(),
            operation: name.clone(),
            scheduled_time,
            input: input.clone(),
            target_instance_id: None,
            parent_trace_context: trace::boxed_to_wire(trace.as_deref()),
        }),
        Some(caller) => Kind::EntityOperationCalled(Box::new(wire::EntityOperationCalledEvent {
            request_id: request_id.clone(),
            operation: name.clone(),
            scheduled_time,
            input: input.clone(),
            parent_instance_id: Some(caller.instance_id.clone()),
            parent_execution_id: ids::bytes_to_wire(&caller.execution_id),
            target_instance_id: None,
            parent_trace_context: trace.as_deref().map(trace::to_wire),
            parent_task_id: Some(caller.task_id),
            parent_section_id: caller.section_id.clone(),
        })),
    }
}

fn operation_from_wire(event: wire::HistoryEvent) -> Result<EntityOperation, InvalidMessage> {
    let field = "EntityRequest.operationRequests";
    match required(event.kind, field)? {
        Kind::EntityOperationSignaled(event) => Ok(EntityOperation {
            request_id: event.request_id,
            name: event.operation,
            input: event.input,
            caller: None,
            scheduled_time: event.scheduled_time.map(time::from_wire),
            trace: trace::boxed_from_wire(event.parent_trace_context),
        }),
        Kind::EntityOperationCalled(event) => {
            let execution = "entityOperationCalled.parentExecutionId";
            let caller = EntityCaller {
                instance_id: required(event.parent_instance_id, "entityOperationCalled.parentInstanceId")?,
                execution_id: ids::bytes_from_wire(event.parent_execution_id.as_deref(), execution)?,
                task_id: event.parent_task_id.unwrap_or(UNKNOWN_TASK),
                section_id: event.parent_section_id,
            };
            Ok(EntityOperation {
                request_id: event.request_id,
                name: event.operation,
                input: event.input,
                caller: Some(caller),
                scheduled_time: event.scheduled_time.map(time::from_wire),
                trace: event.parent_trace_context.map(|trace| Box::new(trace::from_wire(trace))),
            })
        }
        _ => Err(InvalidMessage::Unsupported { field, kind: "an event that is no operation" }),
    }
}

/// A signal from outside. Its request id may be empty, which asks for one.
pub fn signal_from_wire(
    request: wire::SignalEntityRequest,
) -> Result<(EntityId, EntityOperation), InvalidMessage> {
    let entity = ids::entity_from_wire(&request.instance_id, "SignalEntityRequest.instanceId")?;
    let operation = EntityOperation {
        request_id: request.request_id,
        name: request.name,
        input: request.input,
        caller: None,
        scheduled_time: request.scheduled_time.map(time::from_wire),
        trace: request.parent_trace_context.map(|trace| Box::new(trace::from_wire(trace))),
    };
    Ok((entity, operation))
}

/// A signal; who calls the operation is left out.
pub fn signal_to_wire(entity: &EntityId, operation: EntityOperation) -> wire::SignalEntityRequest {
    wire::SignalEntityRequest {
        instance_id: entity.to_string(),
        name: operation.name,
        input: operation.input,
        request_id: operation.request_id,
        scheduled_time: operation.scheduled_time.map(time::to_wire),
        parent_trace_context: operation.trace.as_deref().map(trace::to_wire),
        request_time: None,
    }
}
