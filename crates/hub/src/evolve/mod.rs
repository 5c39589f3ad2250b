//! How each record changes the state. Frozen for each (kind, version).

mod entity;
mod rewind;

use std::sync::Arc;

use strandline_model::{
    Empty, EntityCaller, EntityLockGranted, EntityOperation, EntityOperationCalled, EventKind, HistoryEvent,
    InstanceId, Timestamp,
};

use crate::instance::{Instance, OpenTask, execution_of, start_of};
use crate::message::{MessageBody, RaiseEvent, Terminate};
use crate::partition::{Ledger, Partition, Sabotage};
use crate::record::{Arrived, Committed, Created, Next, Record, SectionGranted};
use crate::row::TimerKey;
use crate::section::Section;

/// Applies one record. The instance it touches must be loaded or known to be absent.
pub fn evolve(state: &mut Partition, record: Record) {
    match record {
        Record::Created(created) => self::created(state, created),
        Record::Arrived(arrived) => self::arrived(state, arrived),
        Record::Committed(committed) => self::committed(state, *committed),
        Record::Received(received) => {
            state.ledger.received.insert(received.from as u16, received.sequence);
        }
        Record::Acknowledged(ack) => {
            let by = ack.by as u16;
            let outbox = &mut state.ledger.outbox;
            while let Some(key) = outbox.range((by, 0)..=(by, ack.sequence)).next().map(|(key, _)| *key) {
                outbox.remove(&key);
            }
        }
        Record::StartDue(due) => {
            state.change(&due.id, |instance, ledger| {
                instance.before_start = false;
                remove_start_timer(instance, ledger);
            });
            mark(state, &due.id);
        }
        Record::EntityArrived(arrived) => entity::arrived(state, arrived),
        Record::LockReleased(released) => entity::lock_released(state, released),
        Record::OperationDue(due) => entity::operation_due(state, due),
        Record::EntityCommitted(committed) => entity::committed(state, *committed),
        Record::SectionGranted(granted) => section_granted(state, granted),
        Record::Purged(purged) => {
            state.bury(&purged.id);
        }
        Record::Rewound(rewound) => rewind::rewound(state, *rewound),
        Record::Adopted(adopted) => rewind::adopted(state, adopted),
        Record::Sent(sent) => {
            if let Some(body) = sent.body {
                state.ledger.send(&sent.instance_id, body);
            }
        }
    }
}

fn mark(state: &mut Partition, id: &str) {
    if !state.dirty.contains(id) {
        state.dirty.insert(InstanceId::trusted(id));
    }
}

fn created(state: &mut Partition, record: Created) {
    let instance = Instance::new(InstanceId::trusted(record.id.as_str()), record.started);
    let id = instance.id.clone();
    let scheduled = instance.start().scheduled_start.filter(|_| instance.before_start);
    if let Some(mut old) = state.replace(instance) {
        clear_open(&mut old, &mut state.ledger);
        let mut dropped = std::mem::take(&mut old.flushed.dropped);
        if old.flushed.chunks > 0 {
            dropped.push(old.execution);
        }
        state.change(id.as_str(), |instance, _| instance.flushed.dropped = dropped);
    } else if let Some(buried) = state.buried.remove(&id) {
        state.change(id.as_str(), |instance, _| instance.flushed.dropped = buried);
    }
    // After the old instance took its timers away: they may be the same.
    if let Some(at) = scheduled {
        state.ledger.add_timer(start_timer(&id, at));
    }
    mark(state, id.as_str());
}

fn arrived(state: &mut Partition, record: Arrived) {
    let event = Arc::new(record.event);
    state.change(&record.id, |instance, ledger| {
        match event.kind() {
            EventKind::TaskCompleted(e) => drop(instance.open.remove(&e.task_id)),
            EventKind::TaskFailed(e) => drop(instance.open.remove(&e.task_id)),
            EventKind::SubOrchestrationCompleted(e) => drop(instance.open.remove(&e.task_id)),
            EventKind::SubOrchestrationFailed(e) => drop(instance.open.remove(&e.task_id)),
            EventKind::EntityOperationCompleted(e) => drop(instance.open.remove(&e.task_id)),
            EventKind::EntityOperationFailed(e) => drop(instance.open.remove(&e.task_id)),
            EventKind::TimerFired(e) => close_timer(instance, ledger, e.timer_id),
            EventKind::ExecutionSuspended(_) => instance.suspended = true,
            EventKind::ExecutionResumed(_) => instance.suspended = false,
            _ => {}
        }
        instance.updated = event.timestamp;
        instance.accept(event.clone());
    });
    mark(state, &record.id);
}

fn committed(state: &mut Partition, record: Committed) {
    let id = record.id.clone();
    state.change(&id, |instance, ledger| commit(instance, ledger, record));
    mark(state, &id);
}

fn commit(instance: &mut Instance, ledger: &mut Ledger, record: Committed) {
    let time = record.time;
    instance.updated = time;
    if record.turn {
        instance.pending = false;
        instance.history.push(Arc::new(HistoryEvent::new(time, EventKind::OrchestratorStarted(Empty {}))));
        for _ in 0..record.delivered {
            if let Some(event) = instance.take() {
                instance.history.push(event);
            }
        }
    } else if record.ended.is_some() {
        keep_undelivered(instance, ledger);
    }
    for event in record.events {
        apply_action(instance, ledger, event);
    }
    for task in record.cancelled {
        cancel(instance, ledger, task);
    }
    if record.span.is_some() {
        instance.span = record.span;
    }
    if let Some(status) = record.custom_status {
        instance.custom_status = status.text.map(Into::into);
    }
    if record.turn {
        instance.history.push(Arc::new(HistoryEvent::new(time, EventKind::OrchestratorCompleted(Empty {}))));
    }
    if let Some(reason) = record.terminate_children {
        terminate_children(instance, ledger, reason.text);
    }
    if let Some(ended) = record.ended {
        end(instance, ledger, ended);
    } else if let Some(next) = record.next {
        continue_as_new(instance, ledger, next);
    }
}

fn apply_action(instance: &mut Instance, ledger: &mut Ledger, event: HistoryEvent) {
    let id = event.id;
    let index = instance.history.len();
    match event.kind() {
        EventKind::TaskScheduled(_) => {
            instance.open.insert(id, OpenTask::Activity { index });
        }
        EventKind::TimerCreated(timer) => {
            let fire_at = timer.fire_at;
            instance.open.insert(id, OpenTask::Timer { fire_at });
            ledger.add_timer(timer_key(&instance.id, fire_at, id));
        }
        EventKind::SubOrchestrationCreated(child) => {
            let body = instance.child_start(id, child);
            ledger.send(&child.instance_id, MessageBody::StartChild(body));
            if !child.fire_and_forget {
                let instance_id = InstanceId::trusted(child.instance_id.as_str());
                instance.open.insert(id, OpenTask::SubOrchestration { instance: instance_id });
            }
        }
        EventKind::EventSent(sent) => {
            let body = RaiseEvent { name: sent.name.clone(), input: sent.input.clone() };
            ledger.send(&sent.instance_id, MessageBody::RaiseEvent(body));
        }
        EventKind::EntityOperationSignaled(signal) => {
            let operation = EntityOperation {
                request_id: signal.request_id.clone(),
                name: signal.operation.clone(),
                input: signal.input.clone(),
                caller: None,
                scheduled_time: signal.scheduled_time,
                trace: None,
            };
            ledger.send(&signal.target, MessageBody::Operation(operation));
        }
        EventKind::EntityOperationCalled(call) => {
            let section = instance.section_of(&call.target).cloned();
            let operation = open_call(instance, id, call, section);
            ledger.send(&call.target, MessageBody::Operation(operation));
        }
        EventKind::EntityLockRequested(request) => {
            let section = Section::new(id, request.lock_set.clone());
            instance.begin_section(&request.section_id, section, ledger);
        }
        EventKind::EntityUnlockSent(unlock) => instance.unlock(&unlock.section_id, &unlock.target, ledger),
        _ => {}
    }
    if id >= 0 {
        instance.actions += 1;
    }
    instance.history.push(Arc::new(event));
}

/// Waits for the result of an operation, which is to be sent to an entity.
fn open_call(
    instance: &mut Instance,
    task_id: i32,
    call: &EntityOperationCalled,
    section_id: Option<String>,
) -> EntityOperation {
    let caller = EntityCaller {
        instance_id: instance.id.to_string(),
        execution_id: instance.start().execution_id.clone(),
        task_id,
        section_id,
    };
    let entity = InstanceId::trusted(call.target.as_str());
    instance.open.insert(task_id, OpenTask::EntityCall { entity });
    EntityOperation {
        request_id: call.request_id.clone(),
        name: call.operation.clone(),
        input: call.input.clone(),
        caller: Some(caller),
        scheduled_time: call.scheduled_time,
        trace: None,
    }
}

/// One more entity of a section is locked; after the last one the code hears of it.
fn section_granted(state: &mut Partition, record: SectionGranted) {
    let SectionGranted { id, section_id, time } = record;
    state.change(&id, |instance, ledger| {
        let task_id = instance.sections.get(&section_id).map(|section| section.task_id);
        if instance.lock_granted(&section_id, ledger)
            && let Some(task_id) = task_id
        {
            let granted = EntityLockGranted { task_id, section_id };
            instance.updated = time;
            instance.accept(Arc::new(HistoryEvent::new(time, EventKind::EntityLockGranted(granted))));
        }
    });
    mark(state, &id);
}

fn cancel(instance: &mut Instance, ledger: &mut Ledger, task: i32) {
    match instance.open.get(&task) {
        Some(OpenTask::Timer { .. }) => close_timer(instance, ledger, task),
        Some(OpenTask::SubOrchestration { instance: child }) => {
            let body = Terminate {
                reason: Some("cancelled by its parent".to_owned()),
                recursive: true,
                parent_execution_id: Some(instance.start().execution_id.clone()),
            };
            ledger.send(child.as_str(), MessageBody::Terminate(body));
        }
        // An activity can't be taken back: its cancellation token fires, its result still counts.
        Some(OpenTask::Activity { .. } | OpenTask::EntityCall { .. }) | None => {}
    }
}

fn terminate_children(instance: &mut Instance, ledger: &mut Ledger, reason: Option<String>) {
    for task in instance.open.values() {
        if let OpenTask::SubOrchestration { instance: child } = task {
            let body = Terminate {
                reason: reason.clone(),
                recursive: true,
                parent_execution_id: Some(instance.start().execution_id.clone()),
            };
            ledger.send(child.as_str(), MessageBody::Terminate(body));
        }
    }
}

/// What was accepted is in the history: raised events nobody saw are kept there, marked. Results of
/// tasks that nobody waits for any more are not.
fn keep_undelivered(instance: &mut Instance, ledger: &Ledger) {
    while let Some(event) = instance.take() {
        match event.kind() {
            EventKind::EventRaised(_) if ledger.sabotage == Sabotage::LoseUndelivered => {}
            EventKind::EventRaised(_) => {
                let mut event = Arc::unwrap_or_clone(event);
                if let EventKind::EventRaised(raised) = event.kind_mut() {
                    raised.undelivered = true;
                }
                instance.history.push(Arc::new(event));
            }
            EventKind::ExecutionStarted(_) => instance.history.push(event),
            _ => {}
        }
    }
}

fn end(instance: &mut Instance, ledger: &mut Ledger, ended: HistoryEvent) {
    keep_undelivered(instance, ledger);
    clear_open(instance, ledger);
    instance.release_sections(ledger);
    instance.suspended = false;
    let ended = Arc::new(ended);
    instance.history.push(ended.clone());
    instance.ended = Some(ended);
    tell_parent(instance, ledger);
}

fn tell_parent(instance: &Instance, ledger: &mut Ledger) {
    let Some(ended) = instance.end_for_parent() else { return };
    if let Some(parent) = &instance.start().parent {
        ledger.send(&parent.instance_id, MessageBody::ChildEnded(ended));
    }
}

fn continue_as_new(instance: &mut Instance, ledger: &mut Ledger, next: Next) {
    clear_open(instance, ledger);
    instance.release_sections(ledger);
    if instance.flushed.chunks > 0 {
        instance.flushed.dropped.push(instance.execution);
    }
    instance.flushed.chunks = 0;
    instance.flushed.in_chunks = 0;
    let waiting: Vec<_> = std::iter::from_fn(|| instance.take()).collect();
    let started = Arc::new(next.started);
    instance.execution = execution_of(&start_of(&started).execution_id);
    instance.started = started.clone();
    instance.history = crate::History::default();
    instance.actions = 0;
    instance.span = None;
    instance.accept(started);
    for event in next.carryover {
        instance.accept(Arc::new(event));
    }
    // Results of the old execution's tasks go; what was sent to the instance stays, in order.
    for event in waiting {
        if matches!(
            event.kind(),
            EventKind::EventRaised(_) | EventKind::ExecutionSuspended(_) | EventKind::ExecutionResumed(_)
        ) {
            instance.accept(event);
        }
    }
}

fn clear_open(instance: &mut Instance, ledger: &mut Ledger) {
    for (id, task) in std::mem::take(&mut instance.open) {
        if let OpenTask::Timer { fire_at } = task {
            ledger.remove_timer(&timer_key(&instance.id, fire_at, id));
        }
    }
    if std::mem::take(&mut instance.before_start) {
        remove_start_timer(instance, ledger);
    }
}

fn close_timer(instance: &mut Instance, ledger: &mut Ledger, timer: i32) {
    if let Some(OpenTask::Timer { fire_at }) = instance.open.get(&timer) {
        ledger.remove_timer(&timer_key(&instance.id, *fire_at, timer));
        instance.open.remove(&timer);
    }
}

fn remove_start_timer(instance: &Instance, ledger: &mut Ledger) {
    if let Some(at) = instance.start().scheduled_start {
        ledger.remove_timer(&start_timer(&instance.id, at));
    }
}

fn timer_key(id: &InstanceId, due: Timestamp, timer_id: i32) -> TimerKey {
    TimerKey { due_millis: due.as_millis_up(), instance: id.clone(), timer_id }
}

fn start_timer(id: &InstanceId, due: Timestamp) -> TimerKey {
    timer_key(id, due, TimerKey::START)
}
