use std::sync::Arc;

use strandline_model::{EntityOperation, InstanceId, Timestamp};

use crate::entity::Entity;
use crate::message::{LockGranted, MessageBody, Replied};
use crate::partition::{Ledger, Partition, Sabotage};
use crate::record::{
    CustomStatus, EntityArrived, EntityCommitted, EntityInput, LockReleased, OperationDone, OperationDue,
};
use crate::row::TimerKey;

pub(super) fn arrived(state: &mut Partition, record: EntityArrived) {
    let EntityArrived { id, time, input } = record;
    state.change_entity(&id, time, |entity, ledger| {
        match input {
            Some(EntityInput::Operation(operation)) => enqueue(entity, ledger, time, operation),
            Some(EntityInput::Lock(owner)) => entity.request_lock(owner),
            None => {}
        }
        settle(entity, ledger);
    });
}

fn enqueue(entity: &mut Entity, ledger: &mut Ledger, now: Timestamp, operation: EntityOperation) {
    match operation.scheduled_time.filter(|at| *at > now) {
        None => entity.enqueue(Arc::new(operation)),
        Some(at) => {
            let timer = entity.schedule(operation);
            ledger.add_timer(timer_key(&entity.id, at, timer));
        }
    }
}

fn timer_key(id: &InstanceId, due: Timestamp, timer_id: i32) -> TimerKey {
    TimerKey { due_millis: due.as_millis_up(), instance: id.clone(), timer_id }
}

/// Hands the lock on, as far as it is free.
fn settle(entity: &mut Entity, ledger: &mut Ledger) {
    if let Some(owner) = entity.settle(ledger.sabotage == Sabotage::GrantTwice) {
        let granted = LockGranted {
            execution_id: owner.execution_id,
            section_id: owner.section_id,
            entity_id: entity.id.to_string(),
        };
        ledger.send(&owner.instance_id, MessageBody::LockGranted(granted));
    }
}

pub(super) fn lock_released(state: &mut Partition, record: LockReleased) {
    let LockReleased { id, owner } = record;
    let Some(modified) = state.entity(&id).map(|entity| entity.modified) else { return };
    state.change_entity(&id, modified, |entity, ledger| {
        entity.release(&owner);
        settle(entity, ledger);
    });
}

pub(super) fn operation_due(state: &mut Partition, record: OperationDue) {
    let OperationDue { id, timer } = record;
    let Some(modified) = state.entity(&id).map(|entity| entity.modified) else { return };
    state.change_entity(&id, modified, |entity, ledger| {
        let Some(operation) = entity.take_scheduled(timer) else { return };
        if let Some(at) = operation.scheduled_time {
            ledger.remove_timer(&timer_key(&entity.id, at, timer));
        }
        entity.enqueue(operation);
    });
}

pub(super) fn committed(state: &mut Partition, record: EntityCommitted) {
    let EntityCommitted { id, time, done, state: new_state, signals, starts } = record;
    state.change_entity(&id, time, |entity, ledger| {
        entity.modified = time;
        if let Some(CustomStatus { text }) = new_state {
            entity.state = text.map(Into::into);
        }
        for done in done {
            reply(entity, ledger, done);
        }
        for signal in signals {
            ledger.send(&signal.target, MessageBody::Operation(signal.operation));
        }
        for start in starts {
            ledger.send(&start.instance_id, MessageBody::Start(start.start));
        }
        settle(entity, ledger);
    });
}

fn reply(entity: &mut Entity, ledger: &mut Ledger, done: OperationDone) {
    let Some(operation) = entity.remove(done.number) else { return };
    let Some(caller) = &operation.caller else { return };
    let reply = Replied {
        execution_id: caller.execution_id.clone(),
        task_id: caller.task_id,
        request_id: operation.request_id.clone(),
        output: done.output,
        failure: done.failure,
    };
    ledger.send(&caller.instance_id, MessageBody::Replied(reply));
}
