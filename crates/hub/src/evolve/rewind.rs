use std::collections::BTreeSet;
use std::sync::Arc;

use strandline_model::{
    EventKind, ExecutionRewound, Generic, HistoryEvent, InstanceId, SubOrchestrationCreated, TimerCreated,
};

use super::{mark, timer_key};
use crate::decide::result_of;
use crate::instance::{Instance, OpenTask, execution_of, start_of};
use crate::message::{MessageBody, Rewind, Terminate};
use crate::partition::{Ledger, Partition};
use crate::record::{Adopted, Rewound};
use crate::section::sections_of;

pub(super) fn rewound(state: &mut Partition, record: Rewound) {
    let id = record.id.clone();
    state.change(&id, |instance, ledger| rewind(instance, ledger, record));
    mark(state, &id);
}

/// A new execution goes on with the history of the old one. The whole history must be in memory.
fn rewind(instance: &mut Instance, ledger: &mut Ledger, record: Rewound) {
    debug_assert_eq!(instance.history.base(), 0, "the history is rewritten, so it was loaded");
    if instance.flushed.chunks > 0 {
        instance.flushed.dropped.push(instance.execution);
    }
    instance.flushed.chunks = 0;
    instance.flushed.in_chunks = 0;
    // Of an execution that was rewound a moment ago; one that is over has neither.
    super::clear_open(instance, ledger);
    instance.release_sections(ledger);
    let old_execution = instance.start().execution_id.clone();
    let started = goes_on(&instance.started, &record);
    instance.execution = execution_of(&record.execution_id);
    instance.started = started.clone();
    // While it was over, its timers stood still.
    let ended = instance.ended.take().map_or(record.event.timestamp, |ended| ended.timestamp);
    let pause = record.event.timestamp.saturating_since(ended);
    instance.pending = false;
    instance.updated = record.event.timestamp;
    let reason = match record.event.kind() {
        EventKind::ExecutionRewound(ExecutionRewound { reason }) => reason.clone(),
        _ => None,
    };
    let again: BTreeSet<i32> = record.again.into_iter().collect();
    let undone: BTreeSet<i32> = record.undone.into_iter().collect();
    let old = std::mem::take(&mut instance.history);
    let done: BTreeSet<i32> = old.in_memory().iter().filter_map(|event| result_of(event)).collect();
    // When the code parts from the history in the first turn after a rewind, the event is there already,
    // and perhaps results of what it parts from.
    if instance.inbox.is_empty() {
        instance.accept(Arc::new(record.event));
    }
    for event in std::iter::from_fn(|| instance.take()).collect::<Vec<_>>() {
        if !result_of(&event).is_some_and(|task| undone.contains(&task)) {
            instance.accept(event);
        }
    }
    for event in old.in_memory() {
        match event.kind() {
            EventKind::ExecutionStarted(_) => instance.history.push(started.clone()),
            EventKind::ExecutionCompleted(_) => {}
            EventKind::EventRaised(raised) if raised.undelivered => {
                let mut event = HistoryEvent::clone(event);
                if let EventKind::EventRaised(raised) = event.kind_mut() {
                    raised.undelivered = false;
                }
                instance.accept(Arc::new(event));
            }
            // The code asks for it anew, under the same sequence id.
            EventKind::TaskScheduled(_) | EventKind::EntityOperationCalled(_)
                if again.contains(&event.id) =>
            {
                instance.history.push(place_holder(event));
            }
            _ if undone.contains(&event.id) => {
                if let EventKind::SubOrchestrationCreated(child) = event.kind() {
                    end_child(ledger, child, &old_execution);
                }
                instance.history.push(place_holder(event));
            }
            _ if result_of(event).is_some_and(|task| again.contains(&task) || undone.contains(&task)) => {}
            EventKind::TimerCreated(timer) if !done.contains(&event.id) => {
                let later = TimerCreated { fire_at: timer.fire_at.saturating_add(pause) };
                let kind = EventKind::TimerCreated(later);
                let event = HistoryEvent::of_action(event.id, event.timestamp, kind);
                instance.history.push(Arc::new(event));
            }
            _ => instance.history.push(event.clone()),
        }
    }
    // A grant the code has yet to see is of the old execution, too.
    let events = instance.history.in_memory().iter().chain(&instance.inbox);
    let sections = sections_of(events.map(|event| &**event));
    for (section_id, section) in sections {
        instance.begin_section(&section_id, section, ledger);
    }
    reopen(instance, ledger, reason, &old_execution);
}

/// A child that the code no longer knows of makes room for one it may start under the same id.
fn end_child(ledger: &mut Ledger, child: &SubOrchestrationCreated, execution: &[u8]) {
    if child.fire_and_forget {
        return;
    }
    let body = Terminate {
        reason: Some("its parent was rewound to before its start".to_owned()),
        recursive: true,
        parent_execution_id: Some(execution.to_vec()),
    };
    ledger.send(&child.instance_id, MessageBody::Terminate(body));
}

fn place_holder(event: &HistoryEvent) -> Arc<HistoryEvent> {
    let nothing = EventKind::Generic(Generic { data: None });
    Arc::new(HistoryEvent::of_action(event.id, event.timestamp, nothing))
}

/// What was begun and has no result is waited for again.
fn reopen(instance: &mut Instance, ledger: &mut Ledger, reason: Option<String>, was: &[u8]) {
    let history = std::mem::take(&mut instance.history);
    let events = history.in_memory().iter().chain(&instance.inbox);
    let done: BTreeSet<i32> = events.filter_map(|event| result_of(event)).collect();
    for (index, event) in history.in_memory().iter().enumerate() {
        let id = event.id;
        if done.contains(&id) {
            continue;
        }
        match event.kind() {
            EventKind::TaskScheduled(_) => {
                instance.open.insert(id, OpenTask::Activity { index });
            }
            EventKind::TimerCreated(timer) => {
                instance.open.insert(id, OpenTask::Timer { fire_at: timer.fire_at });
                ledger.add_timer(timer_key(&instance.id, timer.fire_at, id));
            }
            EventKind::SubOrchestrationCreated(child) if !child.fire_and_forget => {
                let rewind = Rewind {
                    reason: reason.clone(),
                    start: instance.child_start(id, child),
                    parent_was: was.to_vec(),
                };
                ledger.send(&child.instance_id, MessageBody::Rewind(rewind));
                let child = InstanceId::trusted(child.instance_id.as_str());
                instance.open.insert(id, OpenTask::SubOrchestration { instance: child });
            }
            EventKind::EntityOperationCalled(call) => {
                let section = instance.sections.iter().find(|(_, s)| s.locks(&call.target));
                let section = section.map(|(id, _)| id.clone());
                let operation = super::open_call(instance, id, call, section.clone());
                let section = section.and_then(|id| instance.sections.get_mut(&id));
                // Inside a section it waits until nobody else's operations can come between.
                match section.filter(|section| section.regaining) {
                    Some(section) => section.delayed.push((call.target.clone(), operation)),
                    None => ledger.send(&call.target, MessageBody::Operation(operation)),
                }
            }
            _ => {}
        }
    }
    instance.history = history;
}

/// `ExecutionStarted` of the execution that goes on.
fn goes_on(started: &HistoryEvent, record: &Rewound) -> Arc<HistoryEvent> {
    let mut body = start_of(started).clone();
    body.execution_id = record.execution_id.clone();
    if let (Some(parent), Some(execution)) = (&mut body.parent, &record.parent_execution_id) {
        parent.execution_id = execution.clone();
    }
    Arc::new(HistoryEvent::new(started.timestamp, EventKind::ExecutionStarted(Box::new(body))))
}

pub(super) fn adopted(state: &mut Partition, record: Adopted) {
    let id = record.id.clone();
    state.change(&id, |instance, _| {
        let mut body = start_of(&instance.started).clone();
        if let Some(parent) = &mut body.parent {
            parent.execution_id = record.parent_execution_id;
        }
        let kind = EventKind::ExecutionStarted(Box::new(body));
        instance.started = Arc::new(HistoryEvent::new(instance.started.timestamp, kind));
    });
    mark(state, &id);
}
