//! History events.

use strandline_model::{
    ContinueAsNew, Empty, EntityLockGranted, EntityLockRequested, EntityOperationCalled,
    EntityOperationCompleted, EntityOperationFailed, EntityOperationSignaled, EntityUnlockSent, EventKind,
    EventRaised, EventSent, ExecutionCompleted, ExecutionResumed, ExecutionRewound, ExecutionStarted,
    ExecutionSuspended, ExecutionTerminated, Generic, HistoryEvent, ParentInstance,
    SubOrchestrationCompleted, SubOrchestrationCreated, SubOrchestrationFailed, TaskCompleted, TaskFailed,
    TaskScheduled, TimerCreated, TimerFired, Timestamp,
};

use crate::ids::{self, Execution};
use crate::wire::history_event::Kind;
use crate::{InvalidMessage, failure, required, status, time, trace, wire};

/// The task of an entity's answer that other servers give without it: the request's or section's id leads
/// to it.
pub const UNKNOWN_TASK: i32 = -1;

/// An event of the history of `of`.
pub fn to_wire(event: &HistoryEvent, of: Execution<'_>) -> wire::HistoryEvent {
    wire::HistoryEvent {
        event_id: event.id,
        timestamp: Some(time::to_wire(event.timestamp)),
        kind: Some(kind_to_wire(event.kind(), of)),
    }
}

/// An event without a timestamp happened at the epoch, as other SDKs read it.
pub fn from_wire(event: wire::HistoryEvent) -> Result<HistoryEvent, InvalidMessage> {
    let timestamp = event.timestamp.map_or(Timestamp::EPOCH, time::from_wire);
    let kind = kind_from_wire(required(event.kind, "HistoryEvent.kind")?)?;
    Ok(HistoryEvent::of_action(event.event_id, timestamp, kind))
}

fn kind_to_wire(kind: &EventKind, of: Execution<'_>) -> Kind {
    let parent = || Some(of.instance_id.to_owned());
    match kind {
        EventKind::ExecutionStarted(event) => Kind::ExecutionStarted(Box::new(started_to_wire(event))),
        EventKind::ExecutionCompleted(event) => {
            Kind::ExecutionCompleted(Box::new(wire::ExecutionCompletedEvent {
                orchestration_status: event.status,
                result: event.result.clone(),
                failure_details: event.failure.as_ref().map(failure::to_wire),
                origin: event.origin,
            }))
        }
        EventKind::ExecutionTerminated(event) => Kind::ExecutionTerminated(wire::ExecutionTerminatedEvent {
            input: event.input.clone(),
            recurse: event.recurse,
        }),
        EventKind::TaskScheduled(event) => Kind::TaskScheduled(wire::TaskScheduledEvent {
            name: event.name.clone(),
            version: event.version.clone(),
            input: event.input.clone(),
            parent_trace_context: trace::boxed_to_wire(event.trace.as_deref()),
            tags: event.tags.clone(),
            timeout_nanos: event.timeout_nanos,
        }),
        EventKind::TaskCompleted(event) => Kind::TaskCompleted(wire::TaskCompletedEvent {
            task_scheduled_id: event.task_id,
            result: event.result.clone(),
        }),
        EventKind::TaskFailed(event) => Kind::TaskFailed(wire::TaskFailedEvent {
            task_scheduled_id: event.task_id,
            failure_details: Some(failure::to_wire(&event.failure)),
        }),
        EventKind::SubOrchestrationCreated(event) => {
            Kind::SubOrchestrationInstanceCreated(wire::SubOrchestrationInstanceCreatedEvent {
                instance_id: event.instance_id.clone(),
                name: event.name.clone(),
                version: event.version.clone(),
                input: event.input.clone(),
                parent_trace_context: trace::boxed_to_wire(event.trace.as_deref()),
                tags: event.tags.clone(),
                fire_and_forget: event.fire_and_forget,
            })
        }
        EventKind::SubOrchestrationCompleted(event) => {
            Kind::SubOrchestrationInstanceCompleted(wire::SubOrchestrationInstanceCompletedEvent {
                task_scheduled_id: event.task_id,
                result: event.result.clone(),
            })
        }
        EventKind::SubOrchestrationFailed(event) => {
            Kind::SubOrchestrationInstanceFailed(wire::SubOrchestrationInstanceFailedEvent {
                task_scheduled_id: event.task_id,
                failure_details: Some(failure::to_wire(&event.failure)),
            })
        }
        EventKind::TimerCreated(event) => {
            Kind::TimerCreated(wire::TimerCreatedEvent { fire_at: Some(time::to_wire(event.fire_at)) })
        }
        EventKind::TimerFired(event) => Kind::TimerFired(wire::TimerFiredEvent {
            fire_at: Some(time::to_wire(event.fire_at)),
            timer_id: event.timer_id,
        }),
        EventKind::OrchestratorStarted(_) => Kind::OrchestratorStarted(wire::OrchestratorStartedEvent {}),
        EventKind::OrchestratorCompleted(_) => {
            Kind::OrchestratorCompleted(wire::OrchestratorCompletedEvent {})
        }
        EventKind::EventSent(event) => Kind::EventSent(wire::EventSentEvent {
            instance_id: event.instance_id.clone(),
            name: event.name.clone(),
            input: event.input.clone(),
        }),
        EventKind::EventRaised(event) => Kind::EventRaised(wire::EventRaisedEvent {
            name: event.name.clone(),
            input: event.input.clone(),
            undelivered: event.undelivered,
        }),
        EventKind::Generic(event) => Kind::GenericEvent(wire::GenericEvent { data: event.data.clone() }),
        EventKind::ContinueAsNew(event) => {
            Kind::ContinueAsNew(wire::ContinueAsNewEvent { input: event.input.clone() })
        }
        EventKind::ExecutionSuspended(event) => {
            Kind::ExecutionSuspended(wire::ExecutionSuspendedEvent { input: event.input.clone() })
        }
        EventKind::ExecutionResumed(event) => {
            Kind::ExecutionResumed(wire::ExecutionResumedEvent { input: event.input.clone() })
        }
        EventKind::EntityOperationSignaled(event) => {
            Kind::EntityOperationSignaled(wire::EntityOperationSignaledEvent {
                request_id: event.request_id.clone(),
                operation: event.operation.clone(),
                scheduled_time: event.scheduled_time.map(time::to_wire),
                input: event.input.clone(),
                target_instance_id: Some(event.target.clone()),
                parent_trace_context: None,
            })
        }
        EventKind::EntityOperationCalled(event) => {
            Kind::EntityOperationCalled(Box::new(wire::EntityOperationCalledEvent {
                request_id: event.request_id.clone(),
                operation: event.operation.clone(),
                scheduled_time: event.scheduled_time.map(time::to_wire),
                input: event.input.clone(),
                parent_instance_id: parent(),
                parent_execution_id: Some(of.execution_id.to_string()),
                target_instance_id: Some(event.target.clone()),
                ..Default::default()
            }))
        }
        EventKind::EntityOperationCompleted(event) => {
            Kind::EntityOperationCompleted(wire::EntityOperationCompletedEvent {
                request_id: event.request_id.clone(),
                output: event.output.clone(),
                task_id: Some(event.task_id),
            })
        }
        EventKind::EntityOperationFailed(event) => {
            Kind::EntityOperationFailed(wire::EntityOperationFailedEvent {
                request_id: event.request_id.clone(),
                failure_details: Some(failure::to_wire(&event.failure)),
                task_id: Some(event.task_id),
            })
        }
        EventKind::EntityLockRequested(event) => Kind::EntityLockRequested(wire::EntityLockRequestedEvent {
            critical_section_id: event.section_id.clone(),
            lock_set: event.lock_set.clone(),
            position: 0,
            parent_instance_id: parent(),
        }),
        EventKind::EntityLockGranted(event) => Kind::EntityLockGranted(wire::EntityLockGrantedEvent {
            critical_section_id: event.section_id.clone(),
            task_id: Some(event.task_id),
        }),
        EventKind::EntityUnlockSent(event) => Kind::EntityUnlockSent(wire::EntityUnlockSentEvent {
            critical_section_id: event.section_id.clone(),
            parent_instance_id: parent(),
            target_instance_id: Some(event.target.clone()),
        }),
        EventKind::ExecutionRewound(event) => Kind::ExecutionRewound(Box::new(wire::ExecutionRewoundEvent {
            reason: event.reason.clone(),
            ..Default::default()
        })),
    }
}

fn kind_from_wire(kind: Kind) -> Result<EventKind, InvalidMessage> {
    Ok(match kind {
        Kind::ExecutionStarted(event) => EventKind::ExecutionStarted(Box::new(started_from_wire(*event)?)),
        Kind::ExecutionCompleted(event) => {
            let field = "executionCompleted.orchestrationStatus";
            EventKind::ExecutionCompleted(Box::new(ExecutionCompleted {
                status: status::from_wire(event.orchestration_status, field)? as i32,
                result: event.result,
                failure: event.failure_details.map(failure::from_wire),
                origin: event.origin,
            }))
        }
        Kind::ExecutionTerminated(event) => {
            EventKind::ExecutionTerminated(ExecutionTerminated { input: event.input, recurse: event.recurse })
        }
        Kind::TaskScheduled(event) => EventKind::TaskScheduled(TaskScheduled {
            name: event.name,
            version: event.version,
            input: event.input,
            tags: event.tags,
            timeout_nanos: event.timeout_nanos,
            trace: trace::boxed_from_wire(event.parent_trace_context),
        }),
        Kind::TaskCompleted(event) => {
            EventKind::TaskCompleted(TaskCompleted { task_id: event.task_scheduled_id, result: event.result })
        }
        Kind::TaskFailed(event) => EventKind::TaskFailed(TaskFailed {
            task_id: event.task_scheduled_id,
            failure: failure::required_from_wire(event.failure_details, "taskFailed.failureDetails")?,
        }),
        Kind::SubOrchestrationInstanceCreated(event) => {
            EventKind::SubOrchestrationCreated(SubOrchestrationCreated {
                instance_id: event.instance_id,
                name: event.name,
                version: event.version,
                input: event.input,
                tags: event.tags,
                fire_and_forget: event.fire_and_forget,
                trace: trace::boxed_from_wire(event.parent_trace_context),
            })
        }
        Kind::SubOrchestrationInstanceCompleted(event) => {
            EventKind::SubOrchestrationCompleted(SubOrchestrationCompleted {
                task_id: event.task_scheduled_id,
                result: event.result,
            })
        }
        Kind::SubOrchestrationInstanceFailed(event) => {
            let field = "subOrchestrationInstanceFailed.failureDetails";
            EventKind::SubOrchestrationFailed(SubOrchestrationFailed {
                task_id: event.task_scheduled_id,
                failure: failure::required_from_wire(event.failure_details, field)?,
            })
        }
        Kind::TimerCreated(event) => EventKind::TimerCreated(TimerCreated {
            fire_at: time::required_from_wire(event.fire_at, "timerCreated.fireAt")?,
        }),
        Kind::TimerFired(event) => EventKind::TimerFired(TimerFired {
            timer_id: event.timer_id,
            fire_at: time::required_from_wire(event.fire_at, "timerFired.fireAt")?,
        }),
        Kind::OrchestratorStarted(_) => EventKind::OrchestratorStarted(Empty {}),
        Kind::OrchestratorCompleted(_) => EventKind::OrchestratorCompleted(Empty {}),
        Kind::EventSent(event) => EventKind::EventSent(EventSent {
            instance_id: event.instance_id,
            name: event.name,
            input: event.input,
        }),
        Kind::EventRaised(event) => EventKind::EventRaised(EventRaised {
            name: event.name,
            input: event.input,
            undelivered: event.undelivered,
        }),
        Kind::GenericEvent(event) => EventKind::Generic(Generic { data: event.data }),
        Kind::HistoryState(_) => {
            return Err(InvalidMessage::Unsupported { field: "HistoryEvent.kind", kind: "historyState" });
        }
        Kind::ContinueAsNew(event) => EventKind::ContinueAsNew(ContinueAsNew { input: event.input }),
        Kind::ExecutionSuspended(event) => {
            EventKind::ExecutionSuspended(ExecutionSuspended { input: event.input })
        }
        Kind::ExecutionResumed(event) => EventKind::ExecutionResumed(ExecutionResumed { input: event.input }),
        Kind::EntityOperationSignaled(event) => {
            let field = "entityOperationSignaled.targetInstanceId";
            EventKind::EntityOperationSignaled(EntityOperationSignaled {
                target: required(event.target_instance_id, field)?,
                request_id: event.request_id,
                operation: event.operation,
                input: event.input,
                scheduled_time: event.scheduled_time.map(time::from_wire),
            })
        }
        Kind::EntityOperationCalled(event) => {
            let field = "entityOperationCalled.targetInstanceId";
            EventKind::EntityOperationCalled(EntityOperationCalled {
                target: required(event.target_instance_id, field)?,
                request_id: event.request_id,
                operation: event.operation,
                input: event.input,
                scheduled_time: event.scheduled_time.map(time::from_wire),
            })
        }
        Kind::EntityOperationCompleted(event) => {
            EventKind::EntityOperationCompleted(EntityOperationCompleted {
                task_id: event.task_id.unwrap_or(UNKNOWN_TASK),
                request_id: event.request_id,
                output: event.output,
            })
        }
        Kind::EntityOperationFailed(event) => {
            let field = "entityOperationFailed.failureDetails";
            EventKind::EntityOperationFailed(EntityOperationFailed {
                task_id: event.task_id.unwrap_or(UNKNOWN_TASK),
                request_id: event.request_id,
                failure: failure::required_from_wire(event.failure_details, field)?,
            })
        }
        Kind::EntityLockRequested(event) => EventKind::EntityLockRequested(EntityLockRequested {
            section_id: event.critical_section_id,
            lock_set: event.lock_set,
        }),
        Kind::EntityLockGranted(event) => EventKind::EntityLockGranted(EntityLockGranted {
            task_id: event.task_id.unwrap_or(UNKNOWN_TASK),
            section_id: event.critical_section_id,
        }),
        Kind::EntityUnlockSent(event) => EventKind::EntityUnlockSent(EntityUnlockSent {
            section_id: event.critical_section_id,
            target: required(event.target_instance_id, "entityUnlockSent.targetInstanceId")?,
        }),
        Kind::ExecutionRewound(event) => {
            EventKind::ExecutionRewound(ExecutionRewound { reason: event.reason })
        }
    })
}

/// `tracestate` without `traceparent` means nothing and is left out.
fn started_to_wire(event: &ExecutionStarted) -> wire::ExecutionStartedEvent {
    let trace = event.trace_parent.as_ref();
    wire::ExecutionStartedEvent {
        name: event.name.clone(),
        version: event.version.clone(),
        input: event.input.clone(),
        orchestration_instance: Some(ids::instance_to_wire(&event.instance_id, &event.execution_id)),
        parent_instance: event.parent.as_ref().map(parent_to_wire),
        scheduled_start_timestamp: event.scheduled_start.map(time::to_wire),
        parent_trace_context: trace.map(|parent| trace::from_parts(parent, event.trace_state.as_deref())),
        orchestration_span_id: None,
        tags: event.tags.clone(),
        seed: event.seed,
    }
}

fn started_from_wire(event: wire::ExecutionStartedEvent) -> Result<ExecutionStarted, InvalidMessage> {
    let instance = required(event.orchestration_instance, "executionStarted.orchestrationInstance")?;
    let field = "executionStarted.orchestrationInstance.executionId";
    let (trace_parent, trace_state) = event
        .parent_trace_context
        .map_or((None, None), |trace| (Some(trace.trace_parent), trace.trace_state));
    Ok(ExecutionStarted {
        instance_id: instance.instance_id,
        execution_id: ids::bytes_from_wire(instance.execution_id.as_deref(), field)?,
        name: event.name,
        version: event.version,
        input: event.input,
        parent: event.parent_instance.map(parent_from_wire).transpose()?,
        scheduled_start: event.scheduled_start_timestamp.map(time::from_wire),
        tags: event.tags,
        seed: event.seed,
        trace_parent,
        trace_state,
    })
}

pub fn parent_to_wire(parent: &ParentInstance) -> wire::ParentInstanceInfo {
    wire::ParentInstanceInfo {
        task_scheduled_id: parent.task_id,
        name: Some(parent.name.clone()),
        version: parent.version.clone(),
        orchestration_instance: Some(ids::instance_to_wire(&parent.instance_id, &parent.execution_id)),
        depth: parent.depth,
        fire_and_forget: parent.fire_and_forget,
    }
}

pub fn parent_from_wire(parent: wire::ParentInstanceInfo) -> Result<ParentInstance, InvalidMessage> {
    let instance = required(parent.orchestration_instance, "parentInstance.orchestrationInstance")?;
    let field = "parentInstance.orchestrationInstance.executionId";
    Ok(ParentInstance {
        instance_id: instance.instance_id,
        execution_id: ids::bytes_from_wire(instance.execution_id.as_deref(), field)?,
        name: parent.name.unwrap_or_default(),
        version: parent.version,
        task_id: parent.task_scheduled_id,
        depth: parent.depth,
        fire_and_forget: parent.fire_and_forget,
    })
}
