//! What a turn decided.

use std::time::Duration;

use strandline_model::{
    Action, ActionKind, Completion, EventKind, FailureDetails, HistoryEvent, Origin, RuntimeStatus,
};

use crate::ids::{self, Execution};
use crate::wire::orchestrator_action::Kind;
use crate::wire::send_entity_message_action::Message;
use crate::{InvalidMessage, failure, history, legacy, required, status, time, trace, wire};

/// An action of a turn of `of`.
pub fn to_wire(action: Action, of: Execution<'_>) -> wire::OrchestratorAction {
    wire::OrchestratorAction { id: action.id, kind: Some(kind_to_wire(action.kind, of)) }
}

/// `None` is an action that asks for nothing: the hub rewinds by itself, so a worker's rewound history
/// has no use. Ids are not judged here.
pub fn from_wire(
    action: wire::OrchestratorAction,
    of: Execution<'_>,
) -> Result<Option<Action>, InvalidMessage> {
    let id = action.id;
    let kind = kind_from_wire(id, required(action.kind, "OrchestratorAction.kind")?, of)?;
    Ok(kind.map(|kind| Action { id, kind }))
}

fn kind_to_wire(kind: ActionKind, of: Execution<'_>) -> Kind {
    let parent = || Some(of.instance_id.to_owned());
    let entity = |message| Kind::SendEntityMessage(wire::SendEntityMessageAction { message: Some(message) });
    match kind {
        ActionKind::ScheduleTask { name, version, input, tags, timeout, trace } => {
            Kind::ScheduleTask(wire::ScheduleTaskAction {
                name,
                version,
                input,
                tags,
                parent_trace_context: trace::boxed_to_wire(trace.as_deref()),
                timeout_nanos: timeout.map(|t| u64::try_from(t.as_nanos()).unwrap_or(u64::MAX)),
            })
        }
        ActionKind::CreateTimer { fire_at } => {
            Kind::CreateTimer(wire::CreateTimerAction { fire_at: Some(time::to_wire(fire_at)) })
        }
        ActionKind::CreateSubOrchestration {
            instance_id,
            name,
            version,
            input,
            tags,
            fire_and_forget,
            trace,
        } => Kind::CreateSubOrchestration(wire::CreateSubOrchestrationAction {
            instance_id,
            name,
            version,
            input,
            parent_trace_context: trace::boxed_to_wire(trace.as_deref()),
            tags,
            fire_and_forget,
        }),
        ActionKind::SendEvent { instance_id, name, input } => {
            let instance = wire::OrchestrationInstance { instance_id, execution_id: None };
            Kind::SendEvent(wire::SendEventAction { instance: Some(instance), name, data: input })
        }
        ActionKind::SignalEntity { target, request_id, operation, input, scheduled_time } => {
            entity(Message::EntityOperationSignaled(wire::EntityOperationSignaledEvent {
                request_id,
                operation,
                scheduled_time: scheduled_time.map(time::to_wire),
                input,
                target_instance_id: Some(target),
                parent_trace_context: None,
            }))
        }
        ActionKind::CallEntity { target, request_id, operation, input, scheduled_time } => {
            entity(Message::EntityOperationCalled(Box::new(wire::EntityOperationCalledEvent {
                request_id,
                operation,
                scheduled_time: scheduled_time.map(time::to_wire),
                input,
                parent_instance_id: parent(),
                parent_execution_id: Some(of.execution_id.to_string()),
                target_instance_id: Some(target),
                ..Default::default()
            })))
        }
        ActionKind::LockEntities { section_id, lock_set } => {
            entity(Message::EntityLockRequested(wire::EntityLockRequestedEvent {
                critical_section_id: section_id,
                lock_set,
                position: 0,
                parent_instance_id: parent(),
            }))
        }
        ActionKind::UnlockEntity { section_id, target } => {
            entity(Message::EntityUnlockSent(wire::EntityUnlockSentEvent {
                critical_section_id: section_id,
                parent_instance_id: parent(),
                target_instance_id: Some(target),
            }))
        }
        ActionKind::Terminate { instance_id, reason, recursive } => {
            let recurse = recursive;
            Kind::TerminateOrchestration(wire::TerminateOrchestrationAction { instance_id, reason, recurse })
        }
        ActionKind::Cancel { target } => Kind::Cancel(wire::CancelAction { target }),
        ActionKind::Part { from } => Kind::Part(wire::PartAction { from }),
        ActionKind::Complete(completion) => {
            Kind::CompleteOrchestration(Box::new(completion_to_wire(completion, of)))
        }
    }
}

fn kind_from_wire(id: i32, kind: Kind, of: Execution<'_>) -> Result<Option<ActionKind>, InvalidMessage> {
    Ok(Some(match kind {
        Kind::ScheduleTask(action) => ActionKind::ScheduleTask {
            name: action.name,
            version: action.version,
            input: action.input,
            tags: action.tags,
            timeout: action.timeout_nanos.map(Duration::from_nanos),
            trace: trace::boxed_from_wire(action.parent_trace_context),
        },
        Kind::CreateTimer(action) => ActionKind::CreateTimer {
            fire_at: time::required_from_wire(action.fire_at, "createTimer.fireAt")?,
        },
        Kind::CreateSubOrchestration(action) => ActionKind::CreateSubOrchestration {
            instance_id: match action.instance_id {
                given if !given.is_empty() => given,
                _ => format!("{}:{id:04x}", of.execution_id),
            },
            name: action.name,
            version: action.version,
            input: action.input,
            tags: action.tags,
            fire_and_forget: action.fire_and_forget,
            trace: trace::boxed_from_wire(action.parent_trace_context),
        },
        Kind::SendEvent(action) => {
            let instance_id = required(action.instance, "sendEvent.instance")?.instance_id;
            if instance_id.starts_with('@') {
                legacy::from_wire(&instance_id, &action.name, action.data.as_deref())?
            } else {
                ActionKind::SendEvent { instance_id, name: action.name, input: action.data }
            }
        }
        Kind::SendEntityMessage(action) => {
            entity_message_from_wire(required(action.message, "sendEntityMessage.message")?)?
        }
        Kind::TerminateOrchestration(action) => ActionKind::Terminate {
            instance_id: action.instance_id,
            reason: action.reason,
            recursive: action.recurse,
        },
        Kind::Cancel(action) => ActionKind::Cancel { target: action.target },
        Kind::Part(action) => ActionKind::Part { from: action.from },
        Kind::CompleteOrchestration(action) => ActionKind::Complete(completion_from_wire(*action)?),
        Kind::RewindOrchestration(_) => return Ok(None),
    }))
}

fn entity_message_from_wire(message: Message) -> Result<ActionKind, InvalidMessage> {
    let target = |id: Option<String>, field| {
        ids::entity_from_wire(&required(id, field)?, field).map(|id| id.to_string())
    };
    Ok(match message {
        Message::EntityOperationSignaled(event) => ActionKind::SignalEntity {
            target: target(event.target_instance_id, "entityOperationSignaled.targetInstanceId")?,
            request_id: event.request_id,
            operation: event.operation,
            input: event.input,
            scheduled_time: event.scheduled_time.map(time::from_wire),
        },
        Message::EntityOperationCalled(event) => ActionKind::CallEntity {
            target: target(event.target_instance_id, "entityOperationCalled.targetInstanceId")?,
            request_id: event.request_id,
            operation: event.operation,
            input: event.input,
            scheduled_time: event.scheduled_time.map(time::from_wire),
        },
        Message::EntityLockRequested(event) => ActionKind::LockEntities {
            section_id: event.critical_section_id,
            lock_set: lock_set_from_wire(event.lock_set.iter().map(String::as_str))?,
        },
        Message::EntityUnlockSent(event) => ActionKind::UnlockEntity {
            section_id: event.critical_section_id,
            target: target(event.target_instance_id, "entityUnlockSent.targetInstanceId")?,
        },
    })
}

/// Sorted, each once.
pub(crate) fn lock_set_from_wire<'a>(
    entities: impl Iterator<Item = &'a str>,
) -> Result<Vec<String>, InvalidMessage> {
    let id = |text| ids::entity_from_wire(text, "entityLockRequested.lockSet").map(|id| id.to_string());
    let mut lock_set = entities.map(id).collect::<Result<Vec<_>, _>>()?;
    lock_set.sort();
    lock_set.dedup();
    Ok(lock_set)
}

fn completion_to_wire(completion: Completion, of: Execution<'_>) -> wire::CompleteOrchestrationAction {
    let action = |status| wire::CompleteOrchestrationAction {
        orchestration_status: status::to_wire(status) as i32,
        ..Default::default()
    };
    match completion {
        Completion::Completed { result } => {
            wire::CompleteOrchestrationAction { result, ..action(RuntimeStatus::Completed) }
        }
        Completion::Failed { failure, origin } => wire::CompleteOrchestrationAction {
            failure_details: Some(failure::to_wire(&failure)),
            origin: origin.stored(),
            ..action(RuntimeStatus::Failed)
        },
        Completion::ContinuedAsNew { input, version, carryover } => wire::CompleteOrchestrationAction {
            result: input,
            new_version: version,
            carryover_events: carryover.iter().map(|event| history::to_wire(event, of)).collect(),
            ..action(RuntimeStatus::ContinuedAsNew)
        },
    }
}

fn completion_from_wire(action: wire::CompleteOrchestrationAction) -> Result<Completion, InvalidMessage> {
    let field = "completeOrchestration.orchestrationStatus";
    match status::from_wire(action.orchestration_status, field)? {
        RuntimeStatus::Completed => Ok(Completion::Completed { result: action.result }),
        RuntimeStatus::Failed => {
            let origin = Origin::from_stored(action.origin);
            let failure = match action.failure_details {
                Some(failure) => failure::from_wire(failure),
                None => {
                    let message = action.details.or(action.result).unwrap_or_default();
                    FailureDetails::new("OrchestrationFailed", message)
                }
            };
            Ok(Completion::Failed { failure, origin })
        }
        RuntimeStatus::ContinuedAsNew => Ok(Completion::ContinuedAsNew {
            input: action.result,
            version: action.new_version,
            carryover: action.carryover_events.into_iter().map(carried).collect::<Result<_, _>>()?,
        }),
        // An instance is terminated by the hub, without its code; the others are no ends.
        other => Err(InvalidMessage::Unsupported { field, kind: other.name() }),
    }
}

fn carried(event: wire::HistoryEvent) -> Result<HistoryEvent, InvalidMessage> {
    let event = history::from_wire(event)?;
    match event.kind() {
        EventKind::EventRaised(_) => Ok(event),
        other => Err(InvalidMessage::Unsupported {
            field: "completeOrchestration.carryoverEvents",
            kind: other.name(),
        }),
    }
}
