use std::collections::BTreeSet;
use std::sync::Arc;

use strandline_model::limits::{
    CUSTOM_STATUS_BYTES_MAX, LOCK_SET_MAX, NAME_BYTES_MAX, PAYLOAD_BYTES_MAX, REASON_BYTES_MAX,
};
use strandline_model::{
    Action, ActionKind, Completion, EventKind, ExecutionCompleted, ExecutionStarted, FailureDetails,
    HistoryEvent, InstanceId, Origin, RuntimeStatus, Timestamp,
};

use super::entity::check_entity_id;
use super::{Decision, Discard, Effect, rewind};
use crate::command::TurnFinished;
use crate::instance::Instance;
use crate::message::{MessageBody, Terminate};
use crate::partition::Partition;
use crate::record::{Committed, CustomStatus, Next, Record, Sent};
use crate::reply::Reply;

/// The result of a turn is taken whole or not at all.
pub(super) fn turn_finished(state: &Partition, turn: TurnFinished) -> Decision {
    let Some(instance) = state.instance(turn.id.as_str()) else {
        return Decision::discard(Discard::StaleTurn, "the instance is gone");
    };
    let fits = instance.execution == turn.execution
        && instance.history.len() == turn.seen
        && instance.inbox.len() >= turn.delivered
        && !instance.is_over();
    if !fits {
        return Decision::discard(Discard::StaleTurn, "the instance has moved on since the turn began");
    }
    if let [Action { kind: ActionKind::Part { from }, .. }] = turn.actions.as_slice() {
        return rewind::parted(instance, turn.time, turn.delivered, *from, turn.next_execution);
    }
    let TurnFinished { id, execution, delivered, time, actions, custom_status, span, .. } = turn;
    let mut committed = Committed {
        id: id.to_string(),
        time,
        turn: true,
        delivered: u32::try_from(delivered).unwrap_or(u32::MAX),
        custom_status: custom_status.map(|text| CustomStatus { text }),
        span,
        ..Committed::default()
    };
    let mut effects = Vec::new();
    let mut terminated = Vec::new();
    match check(instance, &actions, committed.custom_status.as_ref()) {
        Ok(()) => {
            for action in actions {
                let next = (turn.next_execution.0, turn.next_seed);
                if let ActionKind::Terminate { instance_id, reason, recursive } = action.kind {
                    let body = Terminate { reason, recursive, parent_execution_id: None };
                    let body = Some(MessageBody::Terminate(body));
                    terminated.push(Record::Sent(Sent { instance_id, body }));
                    continue;
                }
                apply(instance, action, next, &mut committed, &mut effects);
            }
        }
        Err(failure) => {
            // What the code asked for is what is wrong, not a task: a rewind does none again.
            let code = Origin::Code.stored();
            committed.custom_status = None;
            committed.ended = Some(completed(-1, time, RuntimeStatus::Failed, None, Some(failure), code));
        }
    }
    if committed.next.is_some() {
        for effect in &mut effects {
            if let Effect::Activity { task_id, scheduled, .. } = effect {
                let is_this =
                    |e: &&HistoryEvent| e.id == *task_id && matches!(e.kind(), EventKind::TaskScheduled(_));
                *scheduled = committed.events.iter().find(is_this).cloned().map(Arc::new);
            }
        }
    }
    if committed.ended.is_some() || committed.next.is_some() {
        effects.push(Effect::Ended { id, execution });
    }
    let mut records = vec![Record::Committed(Box::new(committed))];
    records.append(&mut terminated);
    Decision { effects, ..Decision::new(records, Reply::Accepted) }
}

/// An action the hub can't carry out fails the orchestration, with the reason.
fn check(
    instance: &Instance,
    actions: &[Action],
    custom_status: Option<&CustomStatus>,
) -> Result<(), FailureDetails> {
    let status_bytes = custom_status.and_then(|s| s.text.as_ref()).map_or(0, String::len);
    check_size("custom status", status_bytes, CUSTOM_STATUS_BYTES_MAX)?;
    let mut ids = BTreeSet::new();
    let mut sections = BTreeSet::new();
    for Action { id, kind } in actions {
        if *id >= 0 && (!ids.insert(*id) || instance.open.contains_key(id)) {
            return Err(invalid(format!("sequence id {id} was used before")));
        }
        if let ActionKind::LockEntities { section_id, .. } = kind
            && (instance.sections.contains_key(section_id) || !sections.insert(section_id))
        {
            return Err(invalid(format!("critical section id '{section_id}' was used before")));
        }
        check_action(instance, kind)?;
    }
    Ok(())
}

fn check_action(instance: &Instance, kind: &ActionKind) -> Result<(), FailureDetails> {
    let payload = |what, text: &Option<String>| {
        check_size(what, text.as_ref().map_or(0, String::len), PAYLOAD_BYTES_MAX)
    };
    match kind {
        ActionKind::ScheduleTask { name, input, .. } => {
            check_size("activity name", name.len(), NAME_BYTES_MAX)?;
            payload("activity input", input)
        }
        ActionKind::CreateSubOrchestration { instance_id, name, input, .. } => {
            let id = InstanceId::new(instance_id).map_err(|e| invalid(format!("sub-orchestration: {e}")))?;
            let parent = instance.start().parent.as_ref();
            if id == instance.id || parent.is_some_and(|p| p.instance_id == *instance_id) {
                let message = format!("sub-orchestration id '{id}' is that of the instance or of its parent");
                return Err(invalid(message));
            }
            check_size("orchestrator name", name.len(), NAME_BYTES_MAX)?;
            payload("sub-orchestration input", input)
        }
        ActionKind::SendEvent { instance_id, name, input } => {
            InstanceId::new(instance_id).map_err(|e| invalid(format!("send event: {e}")))?;
            check_size("event name", name.len(), NAME_BYTES_MAX)?;
            payload("event input", input)
        }
        ActionKind::Complete(Completion::Completed { result }) => payload("result", result),
        ActionKind::Complete(Completion::ContinuedAsNew { input, .. }) => payload("input", input),
        ActionKind::Complete(Completion::Failed { failure, .. }) => {
            check_size("failure", failure.text_bytes(), PAYLOAD_BYTES_MAX)
        }
        ActionKind::SignalEntity { target, request_id, operation, input, .. }
        | ActionKind::CallEntity { target, request_id, operation, input, .. } => {
            check_entity(target)?;
            check_size("request id", request_id.len(), NAME_BYTES_MAX)?;
            check_size("operation name", operation.len(), NAME_BYTES_MAX)?;
            payload("operation input", input)
        }
        ActionKind::LockEntities { section_id, lock_set } => {
            check_size("critical section id", section_id.len(), NAME_BYTES_MAX)?;
            if lock_set.is_empty() || lock_set.len() > LOCK_SET_MAX {
                let count = lock_set.len();
                return Err(invalid(format!(
                    "a critical section locks 1 to {LOCK_SET_MAX} entities, not {count}"
                )));
            }
            if !lock_set.is_sorted_by(|a, b| a < b) {
                return Err(invalid(
                    "the entities of a critical section are not sorted, each once".to_owned(),
                ));
            }
            lock_set.iter().try_for_each(|target| check_entity(target))
        }
        ActionKind::Terminate { instance_id, reason, .. } => {
            InstanceId::new(instance_id).map_err(|e| invalid(format!("terminate: {e}")))?;
            check_size("reason", reason.as_ref().map_or(0, String::len), REASON_BYTES_MAX)
        }
        ActionKind::Part { .. } => Err(invalid("a turn parts from the history and goes on".to_owned())),
        ActionKind::UnlockEntity { .. } | ActionKind::CreateTimer { .. } | ActionKind::Cancel { .. } => {
            Ok(())
        }
    }
}

fn check_entity(target: &str) -> Result<(), FailureDetails> {
    check_entity_id(target).map_err(invalid)
}

fn check_size(what: &str, bytes: usize, limit: usize) -> Result<(), FailureDetails> {
    if bytes <= limit {
        return Ok(());
    }
    let message = format!("the {what} has {bytes} bytes: the limit is {limit}");
    Err(FailureDetails::new("PayloadTooLarge", message).non_retriable())
}

fn invalid(message: String) -> FailureDetails {
    FailureDetails::new("InvalidAction", message).non_retriable()
}

/// Turns one action into its history event and its effects.
fn apply(
    instance: &Instance,
    action: Action,
    next: (u128, u64),
    committed: &mut Committed,
    effects: &mut Vec<Effect>,
) {
    let time = committed.time;
    let (id, execution) = (&instance.id, instance.execution);
    if matches!(action.kind, ActionKind::ScheduleTask { .. }) {
        let id = id.clone();
        effects.push(Effect::Activity { id, execution, task_id: action.id, scheduled: None });
    }
    let event = match action.kind.into_event().map_err(|kind| *kind) {
        Ok(event) => event,
        Err(ActionKind::Complete(completion)) => {
            complete(instance, action.id, completion, next, committed);
            return;
        }
        Err(ActionKind::Cancel { target }) => {
            committed.cancelled.push(target);
            effects.push(Effect::CancelActivity { id: id.clone(), execution, task_id: target });
            return;
        }
        Err(_) => return,
    };
    committed.events.push(HistoryEvent::of_action(action.id, time, event));
}

fn complete(
    instance: &Instance,
    action_id: i32,
    completion: Completion,
    (next_execution, next_seed): (u128, u64),
    committed: &mut Committed,
) {
    use RuntimeStatus::{Completed, Failed};
    let time = committed.time;
    match completion {
        Completion::Completed { result } => {
            committed.ended = Some(completed(action_id, time, Completed, result, None, None));
        }
        Completion::Failed { failure, origin } => {
            committed.ended = Some(completed(action_id, time, Failed, None, Some(failure), origin.stored()));
        }
        Completion::ContinuedAsNew { input, version, carryover } => {
            let old = instance.start();
            let body = ExecutionStarted {
                execution_id: next_execution.to_be_bytes().to_vec(),
                input,
                version: version.or_else(|| old.version.clone()),
                seed: next_seed,
                scheduled_start: None,
                ..old.clone()
            };
            let started = HistoryEvent::new(time, EventKind::ExecutionStarted(Box::new(body)));
            let carryover = carryover.into_iter().map(|event| arrived(event, time)).collect();
            committed.next = Some(Next { started, carryover });
        }
    }
}

/// What is carried over arrives anew. SDKs give it back without the time at which it was raised.
fn arrived(mut event: HistoryEvent, time: Timestamp) -> HistoryEvent {
    event.id = -1;
    if event.timestamp == Timestamp::EPOCH {
        event.timestamp = time;
    }
    event
}

fn completed(
    id: i32,
    time: Timestamp,
    status: RuntimeStatus,
    result: Option<String>,
    failure: Option<FailureDetails>,
    origin: Option<i32>,
) -> HistoryEvent {
    let end = ExecutionCompleted { status: status as i32, result, failure, origin };
    HistoryEvent::of_action(id, time, EventKind::ExecutionCompleted(Box::new(end)))
}
