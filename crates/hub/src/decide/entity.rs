use strandline_model::limits::{
    NAME_BYTES_MAX, PAYLOAD_BYTES_MAX, PENDING_OPERATION_BYTES_MAX, PENDING_OPERATIONS_MAX,
};
use strandline_model::{
    EntityAction, EntityId, EntityOperation, EntityOperationCompleted, EntityOperationFailed, EntityOutcome,
    EventKind, FailureDetails, InstanceId, NewState, Timestamp,
};

use super::control::arrival;
use super::message::{accept, drop_message};
use super::{Decision, Discard, check_length, check_payload};
use crate::command::EntityFinished;
use crate::instance::OpenTask;
use crate::message::{LockGranted, LockOwner, MessageBody, Replied, StartNew};
use crate::partition::Partition;
use crate::record::{
    CustomStatus, EntityArrived, EntityCommitted, EntityInput, LockReleased, OperationDone, OperationDue,
    Record, SectionGranted, Sent, SignalSent, StartSent,
};
use crate::reply::{Refusal, Reply};

pub(super) fn signal(
    state: &Partition,
    now: Timestamp,
    id: &InstanceId,
    operation: EntityOperation,
) -> Decision {
    let check = || {
        check_entity_id(id.as_str()).map_err(|problem| Refusal::Invalid { field: "entity id", problem })?;
        check_length("request id", operation.request_id.len(), NAME_BYTES_MAX)?;
        // The empty name is one like any other: Durable Functions' HTTP API signals so by default.
        check_length("operation name", operation.name.len(), NAME_BYTES_MAX)?;
        check_payload("operation input", operation.input.as_ref())?;
        let (operations, bytes) = state.entity(id.as_str()).map_or((0, 0), |entity| entity.backlog());
        if operations >= PENDING_OPERATIONS_MAX || bytes >= PENDING_OPERATION_BYTES_MAX {
            return Err(Refusal::TooManyPendingOperations {
                limit_operations: PENDING_OPERATIONS_MAX,
                limit_bytes: PENDING_OPERATION_BYTES_MAX,
            });
        }
        Ok(())
    };
    match check() {
        Err(refusal) => Decision::refuse(refusal),
        Ok(()) => {
            let operation = EntityOperation { caller: None, ..operation };
            accept(vec![arrived(id, now, EntityInput::Operation(operation))])
        }
    }
}

/// An entity has one id: with its name in lower case.
pub(super) fn check_entity_id(id: &str) -> Result<(), String> {
    match EntityId::parse(id) {
        Ok(entity) if entity.to_string() == id => Ok(()),
        Ok(entity) => {
            Err(format!("{id:?} is written {:?}: names of entities are in lower case", entity.to_string()))
        }
        Err(error) => Err(error.to_string()),
    }
}

fn arrived(id: &InstanceId, time: Timestamp, input: EntityInput) -> Record {
    Record::EntityArrived(EntityArrived { id: id.to_string(), time, input: Some(input) })
}

/// Entities come to be when they are sent something.
pub(super) fn operation(now: Timestamp, id: &InstanceId, operation: EntityOperation) -> Decision {
    accept(vec![arrived(id, now, EntityInput::Operation(operation))])
}

pub(super) fn request_lock(now: Timestamp, id: &InstanceId, owner: LockOwner) -> Decision {
    accept(vec![arrived(id, now, EntityInput::Lock(owner))])
}

pub(super) fn release_lock(state: &Partition, id: &InstanceId, owner: LockOwner) -> Decision {
    if state.entity(id.as_str()).is_none() {
        return drop_message(Discard::UnknownTarget);
    }
    accept(vec![Record::LockReleased(LockReleased { id: id.to_string(), owner })])
}

/// As if one last batch failed all that waits and left no state.
pub(super) fn purge(state: &Partition, now: Timestamp, id: &InstanceId) -> Decision {
    let Some(entity) = state.entity(id.as_str()) else { return Decision::refuse(Refusal::NotFound) };
    if entity.lock.is_some() {
        return Decision::refuse(Refusal::EntityInUse("a critical section holds its lock"));
    }
    let (scheduled, waiting) = entity.pending();
    let due = |timer| Record::OperationDue(OperationDue { id: id.to_string(), timer });
    let done = |(number, is_call): (u64, bool)| {
        let failure = || FailureDetails::new("EntityPurged", "the entity was purged before it did this");
        OperationDone { number, output: None, failure: is_call.then(failure) }
    };
    let committed = EntityCommitted {
        id: id.to_string(),
        time: now,
        done: waiting.into_iter().map(done).collect(),
        state: Some(CustomStatus { text: None }),
        ..EntityCommitted::default()
    };
    let mut records: Vec<Record> = scheduled.into_iter().map(due).collect();
    records.push(Record::EntityCommitted(Box::new(committed)));
    Decision::new(records, Reply::Accepted)
}

/// An entity is locked for a section of this instance.
pub(super) fn lock_granted(
    state: &Partition,
    now: Timestamp,
    id: &InstanceId,
    granted: LockGranted,
) -> Decision {
    let waits = state.instance(id.as_str()).is_some_and(|instance| {
        instance.start().execution_id == granted.execution_id
            && instance.sections.get(&granted.section_id).is_some_and(|s| s.awaits(&granted.entity_id))
    });
    if waits {
        let section_id = granted.section_id;
        let record = SectionGranted { id: id.to_string(), section_id, time: now };
        return accept(vec![Record::SectionGranted(record)]);
    }
    // Nobody will give it back: the execution is over, or gave the section up.
    let owner = LockOwner {
        instance_id: id.to_string(),
        execution_id: granted.execution_id,
        section_id: granted.section_id,
    };
    let sent = Sent { instance_id: granted.entity_id, body: Some(MessageBody::ReleaseLock(owner)) };
    accept(vec![Record::Sent(sent)])
}

/// The result of an operation this instance called.
pub(super) fn replied(state: &Partition, now: Timestamp, id: &InstanceId, reply: Replied) -> Decision {
    let Some(caller) = state.instance(id.as_str()) else { return drop_message(Discard::UnknownTarget) };
    let waits = caller.start().execution_id == reply.execution_id
        && !caller.is_over()
        && matches!(caller.open.get(&reply.task_id), Some(OpenTask::EntityCall { .. }));
    if !waits {
        return drop_message(Discard::TargetOver);
    }
    let Replied { task_id, request_id, output, failure, .. } = reply;
    let event = match failure {
        Some(failure) => {
            EventKind::EntityOperationFailed(EntityOperationFailed { task_id, request_id, failure })
        }
        None => EventKind::EntityOperationCompleted(EntityOperationCompleted { task_id, request_id, output }),
    };
    accept(vec![arrival(id, now, event)])
}

/// The outcome of a batch is taken whole or not at all.
pub(super) fn finished(state: &Partition, now: Timestamp, batch: EntityFinished) -> Decision {
    let EntityFinished { id, given, mut outcome, entropy } = batch;
    let waiting = |entity: &crate::Entity| given.iter().all(|number| entity.operation(*number).is_some());
    if !state.entity(id.as_str()).is_some_and(waiting) {
        return Decision::discard(Discard::StaleTurn, "the operations are done already");
    }
    if outcome.results.is_empty() {
        return Decision::discard(Discard::StaleTurn, "no operation was done: all of them still wait");
    }
    refuse_too_large(&mut outcome);
    let mut ids = (0u128..).map(|n| entropy.wrapping_add(n));
    let mut committed = EntityCommitted { id: id.to_string(), time: now, ..EntityCommitted::default() };
    for (number, result) in given.iter().zip(outcome.results) {
        let done = match result.and_then(check_result) {
            Ok(output) => OperationDone { number: *number, output, failure: None },
            Err(failure) => OperationDone { number: *number, output: None, failure: Some(failure) },
        };
        committed.done.push(done);
    }
    if let NewState::Set(text) = outcome.state {
        committed.state = Some(CustomStatus { text });
    }
    let mut discarded = None;
    for action in outcome.actions {
        if !carry_out(action, &mut committed, &mut ids) {
            discarded = Some(Discard::InvalidAction);
        }
    }
    Decision {
        discarded,
        ..Decision::new(vec![Record::EntityCommitted(Box::new(committed))], Reply::Accepted)
    }
}

/// A state that can't be kept fails the whole batch, which then changes nothing.
fn refuse_too_large(outcome: &mut EntityOutcome) {
    let NewState::Set(Some(state)) = &outcome.state else { return };
    let bytes = state.len();
    if bytes <= PAYLOAD_BYTES_MAX {
        return;
    }
    let message = format!("the state of the entity has {bytes} bytes: the limit is {PAYLOAD_BYTES_MAX}");
    let failure = FailureDetails::new("PayloadTooLarge", message).non_retriable();
    outcome.results.iter_mut().for_each(|result| *result = Err(failure.clone()));
    outcome.state = NewState::Unchanged;
    outcome.actions.clear();
}

fn check_result(output: Option<String>) -> Result<Option<String>, FailureDetails> {
    let bytes = output.as_ref().map_or(0, String::len);
    if bytes <= PAYLOAD_BYTES_MAX {
        return Ok(output);
    }
    let message = format!("the result has {bytes} bytes: the limit is {PAYLOAD_BYTES_MAX}");
    Err(FailureDetails::new("PayloadTooLarge", message).non_retriable())
}

/// False when the action can't be carried out.
fn carry_out(
    action: EntityAction,
    committed: &mut EntityCommitted,
    ids: &mut impl Iterator<Item = u128>,
) -> bool {
    let fits = |name: &str, input: &Option<String>| {
        !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && input.as_ref().map_or(0, String::len) <= PAYLOAD_BYTES_MAX
    };
    let id = ids.next().unwrap_or_default();
    match action {
        EntityAction::Signal { target, operation, input, scheduled_time, trace } => {
            let Ok(target) = EntityId::parse(&target) else { return false };
            let valid = fits(&operation, &input);
            let request_id = guid(id);
            let operation =
                EntityOperation { request_id, name: operation, input, caller: None, scheduled_time, trace };
            if valid {
                committed.signals.push(SignalSent { target: target.to_string(), operation });
            }
            valid
        }
        EntityAction::Start { instance_id, name, version, input, scheduled_start, trace } => {
            let instance_id = if instance_id.is_empty() { format!("{id:032x}") } else { instance_id };
            let valid = InstanceId::new(&instance_id).is_ok() && fits(&name, &input);
            if valid {
                let start = StartNew { name, version, input, scheduled_start, trace };
                committed.starts.push(StartSent { instance_id, start });
            }
            valid
        }
    }
}

/// 128 random bits as a GUID (version 4).
fn guid(random: u128) -> String {
    let bits = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
