use strandline_model::limits::PAYLOAD_BYTES_MAX;
use strandline_model::{
    EventKind, ExecutionId, FailureDetails, InstanceId, TaskCompleted, TaskFailed, TimerFired, Timestamp,
};

use super::control::arrival;
use super::{Decision, Discard};
use crate::instance::OpenTask;
use crate::partition::{Partition, Sabotage, whole_millis};
use crate::record::{OperationDue, Record, StartDue};
use crate::reply::Reply;
use crate::row::TimerKey;

/// The first result of a task is recorded; any later one is dropped.
pub(super) fn activity_finished(
    state: &Partition,
    now: Timestamp,
    id: &InstanceId,
    execution: ExecutionId,
    task_id: i32,
    result: Result<Option<String>, FailureDetails>,
) -> Decision {
    let open = state.instance(id.as_str()).is_some_and(|instance| {
        let sabotage = state.ledger.sabotage;
        (instance.execution == execution || sabotage == Sabotage::AcceptStrangers)
            && !instance.is_over()
            && (matches!(instance.open.get(&task_id), Some(OpenTask::Activity { .. }))
                || sabotage == Sabotage::AcceptDuplicates)
    });
    if !open {
        return Decision::discard(Discard::LateResult, "the task has a result or its execution is over");
    }
    let event = match result.and_then(check_size) {
        Ok(result) => EventKind::TaskCompleted(TaskCompleted { task_id, result }),
        Err(failure) => EventKind::TaskFailed(TaskFailed { task_id, failure }),
    };
    Decision::new(vec![arrival(id, now, event)], Reply::Accepted)
}

fn check_size(result: Option<String>) -> Result<Option<String>, FailureDetails> {
    let bytes = result.as_ref().map_or(0, String::len);
    if bytes <= PAYLOAD_BYTES_MAX {
        return Ok(result);
    }
    let message = format!("the result has {bytes} bytes: the limit is {PAYLOAD_BYTES_MAX}");
    Err(FailureDetails::new("PayloadTooLarge", message).non_retriable())
}

pub(super) fn timers_due(state: &Partition, now: Timestamp, timers: Vec<TimerKey>) -> Decision {
    let mut decision = Decision::new(Vec::new(), Reply::Accepted);
    for timer in timers {
        match timer_due(state, now, &timer) {
            Some(record) => decision.records.push(record),
            None => decision.discarded = Some(Discard::LateTimer),
        }
    }
    decision
}

fn timer_due(state: &Partition, now: Timestamp, timer: &TimerKey) -> Option<Record> {
    if timer.due_millis > whole_millis(now) {
        return None;
    }
    if timer.instance.is_entity() {
        let waits = state.entity(timer.instance.as_str())?.scheduled(timer.timer_id).is_some();
        let due = OperationDue { id: timer.instance.to_string(), timer: timer.timer_id };
        return waits.then_some(Record::OperationDue(due));
    }
    let instance = state.instance(timer.instance.as_str())?;
    if timer.timer_id == TimerKey::START {
        return instance.before_start.then(|| Record::StartDue(StartDue { id: timer.instance.to_string() }));
    }
    let Some(OpenTask::Timer { fire_at }) = instance.open.get(&timer.timer_id) else { return None };
    let fired = TimerFired { timer_id: timer.timer_id, fire_at: *fire_at };
    // The history never says that a timer fired before it was due.
    Some(arrival(&timer.instance, now.max(*fire_at), EventKind::TimerFired(fired)))
}
