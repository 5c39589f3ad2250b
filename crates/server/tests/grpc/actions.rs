//! What turns decide.

use strandline_proto::wire;
use strandline_proto::wire::OrchestrationStatus as Status;
use strandline_proto::wire::operation_action::Kind as OperationKind;
use strandline_proto::wire::orchestrator_action::Kind;
use strandline_proto::wire::send_entity_message_action::Message;

fn action(id: i32, kind: Kind) -> wire::OrchestratorAction {
    wire::OrchestratorAction { id, kind: Some(kind) }
}

pub(crate) fn failure(message: &str) -> wire::TaskFailureDetails {
    wire::TaskFailureDetails {
        error_type: "Oops".to_owned(),
        error_message: message.to_owned(),
        ..Default::default()
    }
}

pub(crate) fn schedule(id: i32, name: &str) -> wire::OrchestratorAction {
    action(id, Kind::ScheduleTask(wire::ScheduleTaskAction { name: name.to_owned(), ..Default::default() }))
}

pub(crate) fn timer(id: i32, fire_at: prost_types::Timestamp) -> wire::OrchestratorAction {
    action(id, Kind::CreateTimer(wire::CreateTimerAction { fire_at: Some(fire_at) }))
}

pub(crate) fn child(id: i32, name: &str, instance_id: &str) -> wire::OrchestratorAction {
    let child = wire::CreateSubOrchestrationAction {
        instance_id: instance_id.to_owned(),
        name: name.to_owned(),
        ..Default::default()
    };
    action(id, Kind::CreateSubOrchestration(child))
}

pub(crate) fn send(id: i32, to: &str, name: &str, data: &str) -> wire::OrchestratorAction {
    let instance = wire::OrchestrationInstance { instance_id: to.to_owned(), execution_id: None };
    let (name, data) = (name.to_owned(), Some(data.to_owned()));
    action(id, Kind::SendEvent(wire::SendEventAction { instance: Some(instance), name, data }))
}

fn completion(
    id: i32,
    status: Status,
    result: Option<&str>,
    failure_details: Option<wire::TaskFailureDetails>,
) -> wire::OrchestratorAction {
    let completion = wire::CompleteOrchestrationAction {
        orchestration_status: status as i32,
        result: result.map(str::to_owned),
        failure_details,
        ..Default::default()
    };
    action(id, Kind::CompleteOrchestration(Box::new(completion)))
}

pub(crate) fn done(id: i32, result: &str) -> wire::OrchestratorAction {
    completion(id, Status::Completed, Some(result), None)
}

pub(crate) fn failed(id: i32, message: &str) -> wire::OrchestratorAction {
    completion(id, Status::Failed, None, Some(failure(message)))
}

pub(crate) fn as_new(id: i32, input: &str) -> wire::OrchestratorAction {
    completion(id, Status::ContinuedAsNew, Some(input), None)
}

fn message(id: i32, message: Message) -> wire::OrchestratorAction {
    action(id, Kind::SendEntityMessage(wire::SendEntityMessageAction { message: Some(message) }))
}

pub(crate) fn signal(id: i32, entity: &str, operation: &str) -> wire::OrchestratorAction {
    message(
        id,
        Message::EntityOperationSignaled(wire::EntityOperationSignaledEvent {
            request_id: uuid::Uuid::new_v4().to_string(),
            operation: operation.to_owned(),
            target_instance_id: Some(entity.to_owned()),
            ..Default::default()
        }),
    )
}

pub(crate) fn call(id: i32, entity: &str, operation: &str) -> wire::OrchestratorAction {
    let called = wire::EntityOperationCalledEvent {
        request_id: uuid::Uuid::new_v4().to_string(),
        operation: operation.to_owned(),
        target_instance_id: Some(entity.to_owned()),
        ..Default::default()
    };
    message(id, Message::EntityOperationCalled(Box::new(called)))
}

pub(crate) fn lock(id: i32, section: &str, entity: &str) -> wire::OrchestratorAction {
    message(
        id,
        Message::EntityLockRequested(wire::EntityLockRequestedEvent {
            critical_section_id: section.to_owned(),
            lock_set: vec![entity.to_owned()],
            ..Default::default()
        }),
    )
}

pub(crate) fn unlock(id: i32, section: &str, entity: &str) -> wire::OrchestratorAction {
    message(
        id,
        Message::EntityUnlockSent(wire::EntityUnlockSentEvent {
            critical_section_id: section.to_owned(),
            target_instance_id: Some(entity.to_owned()),
            ..Default::default()
        }),
    )
}

/// An entity signals another one.
pub(crate) fn pass_on(entity: &str, operation: &str) -> wire::OperationAction {
    let kind = OperationKind::SendSignal(wire::SendSignalAction {
        instance_id: entity.to_owned(),
        name: operation.to_owned(),
        ..Default::default()
    });
    wire::OperationAction { id: 0, kind: Some(kind) }
}

/// An entity starts an orchestration.
pub(crate) fn begin(name: &str, instance_id: &str) -> wire::OperationAction {
    let kind = OperationKind::StartNewOrchestration(wire::StartNewOrchestrationAction {
        instance_id: instance_id.to_owned(),
        name: name.to_owned(),
        ..Default::default()
    });
    wire::OperationAction { id: 0, kind: Some(kind) }
}
