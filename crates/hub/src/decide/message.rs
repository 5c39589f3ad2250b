use strandline_model::limits::SUB_ORCHESTRATION_DEPTH_MAX;
use strandline_model::{
    EventKind, EventRaised, ExecutionId, ExecutionStarted, FailureDetails, HistoryEvent, InstanceId,
    SubOrchestrationCompleted, SubOrchestrationFailed, Timestamp,
};

use super::control::{arrival, termination};
use super::{Decision, Discard, Effect, entity, rewind};
use crate::command::ReusePolicy;
use crate::instance::OpenTask;
use crate::message::{ChildEnded, Message, MessageBody, StartChild, StartNew, Terminate};
use crate::partition::Partition;
use crate::record::{Created, Received, Record, Sent};
use crate::reply::Reply;

/// Takes each message once: the sender repeats what was not acknowledged.
pub(super) fn message(
    state: &Partition,
    now: Timestamp,
    message: Message,
    execution: ExecutionId,
    seed: u64,
) -> Decision {
    if message.sequence != state.received(message.from as u16) + 1 {
        // Seen before, or one before it is still to come: either way the sender will know what to do.
        return Decision::discard(Discard::DuplicateMessage, "not the next message of its sender");
    }
    let id = InstanceId::trusted(message.instance_id);
    let for_entity = matches!(
        message.body,
        Some(MessageBody::Operation(_) | MessageBody::RequestLock(_) | MessageBody::ReleaseLock(_))
    );
    let mut decision = match message.body {
        // Orchestrations and entities have tables of their own: none may slip into the other's.
        Some(_) if for_entity != id.is_entity() => drop_message(Discard::UnknownTarget),
        Some(MessageBody::StartChild(start)) => start_child(state, now, &id, start, execution, seed),
        Some(MessageBody::ChildEnded(ended)) => child_ended(state, now, &id, ended),
        Some(MessageBody::RaiseEvent(event)) => {
            let raised = EventRaised { name: event.name, input: event.input, undelivered: false };
            match target(state, &id) {
                Ok(()) => accept(vec![arrival(&id, now, EventKind::EventRaised(raised))]),
                Err(reason) => drop_message(reason),
            }
        }
        Some(MessageBody::Terminate(terminate)) => self::terminate(state, now, &id, terminate),
        Some(MessageBody::Operation(operation)) => entity::operation(now, &id, operation),
        Some(MessageBody::RequestLock(owner)) => entity::request_lock(now, &id, owner),
        Some(MessageBody::ReleaseLock(owner)) => entity::release_lock(state, &id, owner),
        Some(MessageBody::LockGranted(granted)) => entity::lock_granted(state, now, &id, granted),
        Some(MessageBody::Replied(reply)) => entity::replied(state, now, &id, reply),
        Some(MessageBody::Start(start)) => start_new(state, now, &id, start, execution, seed),
        Some(MessageBody::Rewind(rewind)) => rewind::rewind_child(state, now, &id, rewind, execution, seed),
        None => accept(Vec::new()),
    };
    let received = Received { from: message.from, sequence: message.sequence };
    decision.records.insert(0, Record::Received(received));
    decision
}

pub(super) fn accept(records: Vec<Record>) -> Decision {
    Decision::new(records, Reply::Accepted)
}

pub(super) fn drop_message(reason: Discard) -> Decision {
    Decision { discarded: Some(reason), ..accept(Vec::new()) }
}

fn target(state: &Partition, id: &InstanceId) -> Result<(), Discard> {
    match state.instance(id.as_str()) {
        None => Err(Discard::UnknownTarget),
        Some(instance) if instance.is_over() => Err(Discard::TargetOver),
        Some(_) => Ok(()),
    }
}

pub(super) fn start_child(
    state: &Partition,
    now: Timestamp,
    id: &InstanceId,
    start: StartChild,
    execution: ExecutionId,
    seed: u64,
) -> Decision {
    let depth = start.parent.depth + 1;
    if depth > SUB_ORCHESTRATION_DEPTH_MAX {
        let message =
            format!("sub-orchestrations are nested {depth} deep: the limit is {SUB_ORCHESTRATION_DEPTH_MAX}");
        return refuse_child(&start, FailureDetails::new("DepthLimit", message).non_retriable());
    }
    if let Some(existing) = state.instance(id.as_str()) {
        let status = existing.status();
        if !ReusePolicy::replace_terminal().allows(status) {
            let message = format!("the instance '{id}' exists already and is {status}");
            return refuse_child(&start, FailureDetails::new("OrchestrationAlreadyExists", message));
        }
    }
    let (trace_parent, trace_state) = start.trace.map(|t| (t.parent, t.state)).unzip();
    let body = ExecutionStarted {
        instance_id: id.to_string(),
        execution_id: execution.0.to_be_bytes().to_vec(),
        name: start.name,
        version: start.version,
        input: start.input,
        parent: Some(start.parent),
        scheduled_start: None,
        tags: start.tags,
        seed,
        trace_parent,
        trace_state: trace_state.flatten(),
    };
    let started = HistoryEvent::new(now, EventKind::ExecutionStarted(Box::new(body)));
    accept(vec![Record::Created(Created { id: id.to_string(), started })])
}

/// An orchestration started by an entity: it takes the place of one that is over.
fn start_new(
    state: &Partition,
    now: Timestamp,
    id: &InstanceId,
    start: StartNew,
    execution: ExecutionId,
    seed: u64,
) -> Decision {
    let taken = |status| !ReusePolicy::replace_terminal().allows(status);
    if state.instance(id.as_str()).is_some_and(|existing| taken(existing.status())) {
        return drop_message(Discard::IdTaken);
    }
    let (trace_parent, trace_state) = start.trace.map(|t| (t.parent, t.state)).unzip();
    let body = ExecutionStarted {
        instance_id: id.to_string(),
        execution_id: execution.0.to_be_bytes().to_vec(),
        name: start.name,
        version: start.version,
        input: start.input,
        scheduled_start: start.scheduled_start,
        seed,
        trace_parent,
        trace_state: trace_state.flatten(),
        ..ExecutionStarted::default()
    };
    let started = HistoryEvent::new(now, EventKind::ExecutionStarted(Box::new(body)));
    accept(vec![Record::Created(Created { id: id.to_string(), started })])
}

/// Tells the parent that its child could not start.
fn refuse_child(start: &StartChild, failure: FailureDetails) -> Decision {
    if start.parent.fire_and_forget {
        return drop_message(Discard::TargetOver);
    }
    let ended = ChildEnded {
        execution_id: start.parent.execution_id.clone(),
        task_id: start.parent.task_id,
        result: None,
        failure: Some(failure),
    };
    let sent =
        Sent { instance_id: start.parent.instance_id.clone(), body: Some(MessageBody::ChildEnded(ended)) };
    accept(vec![Record::Sent(sent)])
}

fn child_ended(state: &Partition, now: Timestamp, id: &InstanceId, ended: ChildEnded) -> Decision {
    let Some(parent) = state.instance(id.as_str()) else { return drop_message(Discard::UnknownTarget) };
    let waits = parent.start().execution_id == ended.execution_id
        && !parent.is_over()
        && matches!(parent.open.get(&ended.task_id), Some(OpenTask::SubOrchestration { .. }));
    if !waits {
        return drop_message(Discard::TargetOver);
    }
    let task_id = ended.task_id;
    let event = match ended.failure {
        Some(failure) => EventKind::SubOrchestrationFailed(SubOrchestrationFailed { task_id, failure }),
        None => {
            let result = ended.result;
            EventKind::SubOrchestrationCompleted(SubOrchestrationCompleted { task_id, result })
        }
    };
    accept(vec![arrival(id, now, event)])
}

fn terminate(state: &Partition, now: Timestamp, id: &InstanceId, terminate: Terminate) -> Decision {
    let Some(child) = state.instance(id.as_str()) else { return drop_message(Discard::UnknownTarget) };
    let of_parent = terminate.parent_execution_id.is_none_or(|execution| {
        child.start().parent.as_ref().is_some_and(|parent| parent.execution_id == execution)
    });
    if child.is_over() || !of_parent {
        return drop_message(Discard::TargetOver);
    }
    let record = termination(child, now, terminate.reason, terminate.recursive);
    accept(vec![record]).with(Effect::Killed { id: id.clone(), execution: child.execution })
}
