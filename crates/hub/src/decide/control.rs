use strandline_model::limits::{PENDING_EVENT_BYTES_MAX, PENDING_EVENTS_MAX};
use strandline_model::{
    EventKind, EventRaised, ExecutionCompleted, ExecutionId, ExecutionResumed, ExecutionSuspended,
    ExecutionTerminated, HistoryEvent, InstanceId, RuntimeStatus, Timestamp,
};

use super::{Decision, Effect, check_name, check_payload, check_reason};
use crate::instance::Instance;
use crate::partition::{Partition, Sabotage};
use crate::record::{Arrived, Committed, CustomStatus, Purged, Record};
use crate::reply::{Refusal, Reply};

/// The instance, if it is there and not over.
fn live<'a>(state: &'a Partition, id: &InstanceId) -> Result<&'a Instance, Refusal> {
    let instance = state.instance(id.as_str()).ok_or(Refusal::NotFound)?;
    if instance.is_over() { Err(Refusal::Terminal { status: instance.status() }) } else { Ok(instance) }
}

pub(super) fn arrival(id: &InstanceId, now: Timestamp, kind: EventKind) -> Record {
    Record::Arrived(Arrived { id: id.to_string(), event: HistoryEvent::new(now, kind) })
}

pub(super) fn raise_event(
    state: &Partition,
    now: Timestamp,
    id: &InstanceId,
    name: String,
    input: Option<String>,
) -> Decision {
    let check = || {
        check_name("event name", &name)?;
        check_payload("event input", input.as_ref())?;
        let (events, bytes) = live(state, id)?.pending_events();
        if events >= PENDING_EVENTS_MAX || bytes >= PENDING_EVENT_BYTES_MAX {
            return Err(Refusal::TooManyPendingEvents {
                limit_events: PENDING_EVENTS_MAX,
                limit_bytes: PENDING_EVENT_BYTES_MAX,
            });
        }
        Ok(())
    };
    if let Err(refusal) = check() {
        return Decision::refuse(refusal);
    }
    let raised = EventRaised { name, input, undelivered: false };
    Decision::new(vec![arrival(id, now, EventKind::EventRaised(raised))], Reply::Accepted)
}

/// Decided at once, without a worker: the outstanding turn's result will not fit any more.
pub(super) fn terminate(
    state: &Partition,
    now: Timestamp,
    id: &InstanceId,
    reason: Option<String>,
    recursive: bool,
) -> Decision {
    if let Err(refusal) = check_reason(reason.as_ref()) {
        return Decision::refuse(refusal);
    }
    match live(state, id) {
        Err(refusal) => Decision::refuse(refusal),
        Ok(instance) => {
            let record = termination(instance, now, reason, recursive);
            let effect = Effect::Killed { id: id.clone(), execution: instance.execution };
            Decision::new(vec![record], Reply::Accepted).with(effect)
        }
    }
}

/// The record that ends an instance from outside.
pub(super) fn termination(
    instance: &Instance,
    now: Timestamp,
    reason: Option<String>,
    recursive: bool,
) -> Record {
    let terminated = ExecutionTerminated { input: reason.clone(), recurse: recursive };
    let ended = ExecutionCompleted {
        status: RuntimeStatus::Terminated as i32,
        result: reason.clone(),
        failure: None,
        origin: None,
    };
    Record::Committed(Box::new(Committed {
        id: instance.id.to_string(),
        time: now,
        events: vec![HistoryEvent::new(now, EventKind::ExecutionTerminated(terminated))],
        ended: Some(HistoryEvent::new(now, EventKind::ExecutionCompleted(Box::new(ended)))),
        terminate_children: recursive.then_some(CustomStatus { text: reason }),
        ..Committed::default()
    }))
}

pub(super) fn suspend(
    state: &Partition,
    now: Timestamp,
    id: &InstanceId,
    reason: Option<String>,
) -> Decision {
    if let Err(refusal) = check_reason(reason.as_ref()) {
        return Decision::refuse(refusal);
    }
    match live(state, id) {
        Err(refusal) => Decision::refuse(refusal),
        Ok(instance) if instance.suspended => Decision::new(Vec::new(), Reply::Unchanged),
        Ok(_) => {
            let event = EventKind::ExecutionSuspended(ExecutionSuspended { input: reason });
            Decision::new(vec![arrival(id, now, event)], Reply::Accepted)
        }
    }
}

pub(super) fn resume(state: &Partition, now: Timestamp, id: &InstanceId, reason: Option<String>) -> Decision {
    if let Err(refusal) = check_reason(reason.as_ref()) {
        return Decision::refuse(refusal);
    }
    match live(state, id) {
        Err(refusal) => Decision::refuse(refusal),
        Ok(instance) if !instance.suspended => Decision::new(Vec::new(), Reply::Unchanged),
        Ok(_) => {
            let event = EventKind::ExecutionResumed(ExecutionResumed { input: reason });
            Decision::new(vec![arrival(id, now, event)], Reply::Accepted)
        }
    }
}

/// Only what is over goes, and only the execution the caller saw.
pub(super) fn purge(state: &Partition, id: &InstanceId, execution: Option<ExecutionId>) -> Decision {
    let Some(instance) = state.instance(id.as_str()) else { return Decision::refuse(Refusal::NotFound) };
    if !instance.is_over() && state.ledger.sabotage != Sabotage::PurgeRunning {
        return Decision::refuse(Refusal::NotOver { status: instance.status() });
    }
    if execution.is_some_and(|execution| execution != instance.execution) {
        return Decision::refuse(Refusal::NotFound);
    }
    Decision::new(vec![Record::Purged(Purged { id: id.to_string() })], Reply::Accepted)
}
