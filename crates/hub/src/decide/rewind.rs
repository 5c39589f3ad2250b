//! Doing again what failed. The history before the failure stays; of the task the failure came from,
//! only the last attempt is taken out, with what the code did because of the failure.

use std::collections::BTreeSet;
use std::sync::Arc;

use strandline_model::{
    EventKind, ExecutionId, ExecutionRewound, HistoryEvent, InstanceId, Origin, RuntimeStatus, Timestamp,
};

use super::message::{accept, drop_message, start_child};
use super::{Decision, Discard, Effect, check_reason};
use crate::instance::Instance;
use crate::message::{MessageBody, Rewind};
use crate::partition::{Partition, Sabotage};
use crate::record::{Adopted, Record, Rewound, Sent};
use crate::reply::{Refusal, Reply};

pub(super) fn rewind(
    state: &Partition,
    now: Timestamp,
    id: &InstanceId,
    reason: Option<String>,
    execution: ExecutionId,
) -> Decision {
    if let Err(refusal) = check_reason(reason.as_ref()) {
        return Decision::refuse(refusal);
    }
    let Some(instance) = state.instance(id.as_str()) else { return Decision::refuse(Refusal::NotFound) };
    let status = instance.status();
    if status != RuntimeStatus::Failed {
        return Decision::refuse(Refusal::NotFailed { status });
    }
    let (record, effects) = rewound(state, instance, now, reason, execution, None);
    Decision { effects, ..Decision::new(vec![record], Reply::Accepted) }
}

/// The parent was rewound and waits for this child under a new execution.
pub(super) fn rewind_child(
    state: &Partition,
    now: Timestamp,
    id: &InstanceId,
    rewind: Rewind,
    execution: ExecutionId,
    seed: u64,
) -> Decision {
    let Rewind { reason, start, parent_was } = rewind;
    let Some(child) = state.instance(id.as_str()) else {
        return start_child(state, now, id, start, execution, seed);
    };
    let of_parent = |p: &strandline_model::ParentInstance| {
        p.instance_id == start.parent.instance_id
            && p.execution_id == parent_was
            && p.task_id == start.parent.task_id
    };
    if !child.start().parent.as_ref().is_some_and(of_parent) {
        // Somebody else's by now: a start of the same id tells the parent so.
        return start_child(state, now, id, start, execution, seed);
    }
    let parent_execution_id = start.parent.execution_id.clone();
    let adopted = || Adopted { id: id.to_string(), parent_execution_id: start.parent.execution_id.clone() };
    match child.status() {
        RuntimeStatus::Failed => {
            let parent = Some(parent_execution_id);
            let (record, effects) = rewound(state, child, now, reason, execution, parent);
            Decision { effects, ..accept(vec![record]) }
        }
        RuntimeStatus::Completed => match child.end_for_parent() {
            Some(mut ended) => {
                ended.execution_id = parent_execution_id;
                let body = Some(MessageBody::ChildEnded(ended));
                let sent = Sent { instance_id: start.parent.instance_id.clone(), body };
                accept(vec![Record::Adopted(adopted()), Record::Sent(sent)])
            }
            None => drop_message(Discard::TargetOver),
        },
        status if status.is_terminal() => start_child(state, now, id, start, execution, seed),
        _ => accept(vec![Record::Adopted(adopted())]),
    }
}

fn rewound(
    state: &Partition,
    instance: &Instance,
    now: Timestamp,
    reason: Option<String>,
    execution: ExecutionId,
    parent_execution_id: Option<Vec<u8>>,
) -> (Record, Vec<Effect>) {
    let history = instance.history.in_memory();
    let mut again = failed_tasks(instance);
    if state.ledger.sabotage == Sabotage::RewindFirstAttempt {
        again = history.iter().find_map(|event| failure_of(event)).into_iter().collect();
    }
    let mut undone = followed_from(history, &again);
    // Locks it gave back on its way out are taken again whatever it failed of: the code is inside.
    let unlocked = |event: &&Arc<HistoryEvent>| matches!(event.kind(), EventKind::EntityUnlockSent(_));
    undone.extend(history[last_turn(history)..].iter().filter(unlocked).map(|event| event.id));
    let effects = open_activities(instance, execution, |id| !again.contains(&id) && !undone.contains(&id));
    let event = HistoryEvent::new(now, EventKind::ExecutionRewound(ExecutionRewound { reason }));
    let record = Rewound {
        id: instance.id.to_string(),
        execution_id: execution.0.to_be_bytes().to_vec(),
        event,
        again: again.into_iter().collect(),
        parent_execution_id,
        undone: undone.into_iter().collect(),
    };
    (Record::Rewound(Box::new(record)), effects)
}

/// What the code did in turns that saw one of these tasks end, or one of the tasks it began there: it
/// gave locks back, made up for what was done before, told somebody. It does not do so as long as the
/// task has not ended, so a replay must not expect it.
fn followed_from(history: &[Arc<HistoryEvent>], again: &BTreeSet<i32>) -> BTreeSet<i32> {
    let mut undone = BTreeSet::new();
    let mut because = false;
    for event in history {
        match event.kind() {
            EventKind::OrchestratorStarted(_) => because = false,
            EventKind::ExecutionCompleted(_) => {}
            _ if event.id >= 0 && because => drop(undone.insert(event.id)),
            _ => {
                because |=
                    result_of(event).is_some_and(|task| again.contains(&task) || undone.contains(&task))
            }
        }
    }
    undone
}

/// Activities without a result run again: what came of them was dropped when the execution ended.
fn open_activities(instance: &Instance, execution: ExecutionId, stays: impl Fn(i32) -> bool) -> Vec<Effect> {
    let history = instance.history.in_memory();
    let events = history.iter().chain(&instance.inbox);
    let done: BTreeSet<i32> = events.filter_map(|event| result_of(event)).collect();
    let scheduled = history.iter().filter(|event| matches!(event.kind(), EventKind::TaskScheduled(_)));
    let open = scheduled.map(|event| event.id).filter(|id| !done.contains(id) && stays(*id));
    open.map(|task_id| Effect::Activity { id: instance.id.clone(), execution, task_id, scheduled: None })
        .collect()
}

/// The code parts from the history of a rewound instance: what is recorded from there on goes.
pub(super) fn parted(
    instance: &Instance,
    now: Timestamp,
    delivered: usize,
    from: i32,
    execution: ExecutionId,
) -> Decision {
    let mut seen = instance.inbox.iter().take(delivered);
    let rewound = seen.find(|event| matches!(event.kind(), EventKind::ExecutionRewound(_)));
    let recorded = instance.history.in_memory().iter().filter(|event| event.id >= from.max(0));
    let recorded = recorded.filter(|event| !matches!(event.kind(), EventKind::Generic(_)));
    let undone: Vec<i32> = recorded.map(|event| event.id).collect();
    let Some(event) = rewound.filter(|_| !undone.is_empty()) else {
        return Decision::discard(Discard::StaleTurn, "there is nothing to part from");
    };
    let old = Effect::Killed { id: instance.id.clone(), execution: instance.execution };
    let again = open_activities(instance, execution, |id| id < from);
    let mut event = HistoryEvent::clone(event);
    event.timestamp = now.max(event.timestamp);
    let record = Rewound {
        id: instance.id.to_string(),
        execution_id: execution.0.to_be_bytes().to_vec(),
        event,
        again: Vec::new(),
        parent_execution_id: None,
        undone,
    };
    let effects = std::iter::once(old).chain(again).collect();
    Decision { effects, ..accept(vec![Record::Rewound(Box::new(record))]) }
}

/// The tasks whose failure ended the instance.
fn failed_tasks(instance: &Instance) -> BTreeSet<i32> {
    let Some(EventKind::ExecutionCompleted(end)) = instance.ended.as_ref().map(|e| e.kind()) else {
        return BTreeSet::new();
    };
    let history = instance.history.in_memory();
    let failures = |events: &[Arc<HistoryEvent>]| -> BTreeSet<i32> {
        events.iter().filter_map(|event| failure_of(event)).collect()
    };
    match end.failure_origin() {
        Origin::Code => BTreeSet::new(),
        Origin::Task(id) => failures(history).into_iter().filter(|failed| *failed == id).collect(),
        Origin::Unknown => {
            // What failed after the code's last action before its last turn is most likely what ended it;
            // else the failure that is told in the end.
            let before = &history[..last_turn(history)];
            let last_action = before.iter().rposition(|event| is_action(event)).unwrap_or(0);
            let after = failures(&history[last_action..]);
            if !after.is_empty() {
                return after;
            }
            let message = end.failure.as_ref().map_or("", |failure| &failure.message);
            let told = |event: &HistoryEvent| {
                let text = failure_text(event).filter(|text| !text.is_empty())?;
                message.contains(text).then(|| failure_of(event))?
            };
            history.iter().rev().find_map(|event| told(event)).into_iter().collect()
        }
    }
}

/// Where the last turn begins.
fn last_turn(history: &[Arc<HistoryEvent>]) -> usize {
    let began = |event: &Arc<HistoryEvent>| matches!(event.kind(), EventKind::OrchestratorStarted(_));
    history.iter().rposition(began).unwrap_or(history.len())
}

/// The event records what the code asked for, apart from the end.
fn is_action(event: &HistoryEvent) -> bool {
    event.id >= 0 && !matches!(event.kind(), EventKind::ExecutionCompleted(_))
}

/// The task this event says has failed.
fn failure_of(event: &HistoryEvent) -> Option<i32> {
    match event.kind() {
        EventKind::TaskFailed(e) => Some(e.task_id),
        EventKind::SubOrchestrationFailed(e) => Some(e.task_id),
        EventKind::EntityOperationFailed(e) => Some(e.task_id),
        _ => None,
    }
}

fn failure_text(event: &HistoryEvent) -> Option<&str> {
    match event.kind() {
        EventKind::TaskFailed(e) => Some(&e.failure.message),
        EventKind::SubOrchestrationFailed(e) => Some(&e.failure.message),
        EventKind::EntityOperationFailed(e) => Some(&e.failure.message),
        _ => None,
    }
}

/// The task this event is the result of.
pub(crate) fn result_of(event: &HistoryEvent) -> Option<i32> {
    match event.kind() {
        EventKind::TaskCompleted(e) => Some(e.task_id),
        EventKind::SubOrchestrationCompleted(e) => Some(e.task_id),
        EventKind::EntityOperationCompleted(e) => Some(e.task_id),
        EventKind::TimerFired(e) => Some(e.timer_id),
        EventKind::EntityLockGranted(e) => Some(e.task_id),
        _ => failure_of(event),
    }
}
