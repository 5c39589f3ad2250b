//! Rewind and purge: what stays, what is done again, and what must be gone.

use std::collections::BTreeSet;

use strandline_hub::message::{ChildEnded, MessageBody, Rewind, Terminate};
use strandline_hub::record::{Adopted, Purged, Rewound};
use strandline_model::{
    Action, ActionKind, EntityCaller, EntityOperation, EventKind, Generic, HistoryEvent, InstanceId, Origin,
    RuntimeStatus,
};
use strandline_store::PartitionRef;

use super::messages::Expected;
use super::records::{Scene, execution_of};
use super::reference::{Known, Task};
use super::sections::{Place, Section};
use super::{Auditor, CallKind};
use crate::Violation;

impl Auditor {
    /// What a message to the child of a rewound parent must lead to.
    pub(super) fn rewind_arrives(&mut self, at: PartitionRef, id: InstanceId, rewind: Rewind) -> Expected {
        let Rewind { reason, start, parent_was } = rewind;
        let parent = start.parent.execution_id.clone();
        let ours = self.reference.instance(at, &id).filter(|child| {
            child.start().parent.as_ref().is_some_and(|p| {
                (&p.instance_id, p.task_id) == (&start.parent.instance_id, start.parent.task_id)
                    && p.execution_id == parent_was
            })
        });
        match ours.map(Known::status) {
            Some(RuntimeStatus::Failed) => {
                self.coverage.hit("rewind/failed child");
                Expected::Rewound { id, reason, parent }
            }
            Some(RuntimeStatus::Completed) => {
                self.coverage.hit("rewind/completed child");
                let ended = ours.and_then(|child| child.ended.as_ref()).map(HistoryEvent::kind);
                let result = match ended {
                    Some(EventKind::ExecutionCompleted(end)) => end.result.clone(),
                    _ => None,
                };
                let (task_id, to) = (start.parent.task_id, start.parent.instance_id);
                let ended = ChildEnded { execution_id: parent.clone(), task_id, result, failure: None };
                let body = Box::new(MessageBody::ChildEnded(ended));
                let sent = Expected::Sent { what: "tree/child told its parent again", to, body };
                Expected::Adopted { id, parent, then: Box::new(sent) }
            }
            Some(status) if !status.is_terminal() => {
                self.coverage.hit("rewind/live child");
                Expected::Adopted { id, parent, then: Box::new(Expected::Nothing) }
            }
            _ => {
                self.coverage.hit("rewind/child begins anew");
                self.child_starts(at, id, start)
            }
        }
    }

    pub(super) fn adopted(
        &mut self,
        scene: Scene,
        record: Adopted,
        expected: Expected,
    ) -> Result<Expected, Violation> {
        let next = match expected {
            Expected::Adopted { id, parent, then }
                if id.as_str() == record.id && parent == record.parent_execution_id =>
            {
                *then
            }
            other => return Err(format!("{record:?} instead of {other:?}")),
        };
        let id = InstanceId::trusted(record.id);
        let books = self.reference.partitions.entry(scene.at).or_default();
        let known = books.instances.get_mut(&id);
        let known = known.ok_or_else(|| format!("{id} is adopted, but does not exist"))?;
        set_parent(&mut known.started, record.parent_execution_id);
        Ok(next)
    }

    pub(super) fn purged(
        &mut self,
        scene: Scene,
        record: &Purged,
        expected: &Expected,
    ) -> Result<Expected, Violation> {
        expected.nothing("Purged")?;
        let id = InstanceId::trusted(record.id.as_str());
        let books = self.reference.partitions.entry(scene.at).or_default();
        let Some(known) = books.instances.remove(&id) else {
            return Err(format!("{id} is purged, but does not exist"));
        };
        if !known.is_over() {
            return Err(format!("{id} is purged although it is {}", known.status()));
        }
        let version = self.reference.version(scene.at, &id) + 1;
        self.calls.claim(scene.at, &id, version, "a purge", |kind| {
            matches!(kind, CallKind::Purge { execution } if execution.is_none_or(|e| e == known.execution))
        })?;
        self.coverage.hit("purge/done");
        Ok(Expected::Nothing)
    }

    pub(super) fn rewound(
        &mut self,
        scene: Scene,
        record: Rewound,
        expected: Expected,
    ) -> Result<Expected, Violation> {
        let at = scene.at;
        let id = InstanceId::trusted(record.id.as_str());
        let execution = execution_of(&record.execution_id);
        let EventKind::ExecutionRewound(event) = record.event.kind() else {
            return Err(format!("{id} is rewound by {:?}", record.event));
        };
        let parent = match expected {
            Expected::Rewound { id: child, reason, parent } if child == id && reason == event.reason => {
                Some(parent)
            }
            Expected::Nothing if self.live(at, &id).is_ok() => return self.parted(at, &id, record),
            Expected::Nothing => {
                let version = self.reference.version(at, &id) + 1;
                self.calls.claim(at, &id, version, "a rewind", |kind| {
                    matches!(kind, CallKind::Rewind { reason, execution: asked }
                        if *asked == execution && *reason == event.reason)
                })?;
                None
            }
            other => return Err(format!("{record:?} instead of {other:?}")),
        };
        if parent != record.parent_execution_id {
            return Err(format!("{record:?} should have the parent {parent:?}"));
        }
        let books = self.reference.partitions.entry(at).or_default();
        let Some(known) = books.instances.get_mut(&id) else {
            return Err(format!("{id} is rewound, but does not exist"));
        };
        if known.status() != RuntimeStatus::Failed {
            return Err(format!("{id} is rewound although it is {}", known.status()));
        }
        let old = self.reference.executions.get(&known.execution).cloned().unwrap_or_default();
        let again = failed_task(known, &old.history);
        if record.again != again.into_iter().collect::<Vec<_>>() {
            return Err(format!("{id} does {:?} again, what failed was {again:?}", record.again));
        }
        let undone = consequences(&old.history, again);
        if !record.undone.iter().eq(&undone) {
            return Err(format!("{id} takes {:?} back, what followed was {undone:?}", record.undone));
        }
        self.coverage.add("rewind/takes back what followed", u64::from(!undone.is_empty()));
        self.coverage.hit(if again.is_some() { "rewind/of a task" } else { "rewind/of the code" });
        let attempts = old.history.iter().filter(|e| matches!(e.kind(), EventKind::TaskFailed(_))).count();
        self.coverage.add("rewind/keeps other failures", u64::from(again.is_some() && attempts > 1));
        self.rewind(at, &id, record, again, &undone)?;
        Ok(Expected::Nothing)
    }

    /// The code parts from the history of an execution that was just rewound: a turn said so.
    fn parted(&mut self, at: PartitionRef, id: &InstanceId, record: Rewound) -> Result<Expected, Violation> {
        let known = self.live(at, id)?;
        let execution = known.execution;
        let first = known.inbox.front().is_some_and(|e| matches!(e.kind(), EventKind::ExecutionRewound(_)));
        let history = self.reference.history(execution);
        let key = (at, id.clone(), execution, history.len());
        let from = match self.turns.remove(&key).as_ref().map(|ran| &ran.outcome.actions[..]) {
            Some([Action { kind: ActionKind::Part { from }, .. }]) if first => *from,
            other => return Err(format!("{id} is rewound while it runs, its turn decided {other:?}")),
        };
        let history = self.reference.history(execution);
        let recorded = history.iter().filter(|e| !matches!(e.kind(), EventKind::Generic(_)));
        let undone: BTreeSet<i32> = recorded.map(|e| e.id).filter(|id| *id >= from && *id >= 0).collect();
        if !record.undone.iter().copied().eq(undone.iter().copied()) || !record.again.is_empty() {
            return Err(format!("{id} parts at {from} with {record:?}, that is {undone:?}"));
        }
        self.coverage.hit("rewind/code parts");
        self.release_sections(at, id, "section/left by failure")?;
        self.rewind(at, id, record, None, &undone)?;
        Ok(Expected::Nothing)
    }

    /// The history before the failure stays, what has no result is waited for again.
    fn rewind(
        &mut self,
        at: PartitionRef,
        id: &InstanceId,
        record: Rewound,
        again: Option<i32>,
        undone: &BTreeSet<i32>,
    ) -> Result<(), Violation> {
        let execution = execution_of(&record.execution_id);
        if !self.executions.insert(execution) {
            return Err(format!("execution {execution} of {id} begins a second time"));
        }
        self.works.rewound.insert(record.execution_id.clone());
        let known = self.reference.partitions.entry(at).or_default().instances.get_mut(id);
        let Some(known) = known else { return Ok(()) };
        let was = known.start().execution_id.clone();
        let before = self.reference.executions.entry(known.execution).or_default();
        before.over = true;
        let old = before.history.clone();
        let old_execution = std::mem::replace(&mut known.execution, execution);
        if let EventKind::ExecutionStarted(start) = known.started.kind_mut() {
            start.execution_id.clone_from(&record.execution_id);
        }
        if let Some(parent) = record.parent_execution_id {
            set_parent(&mut known.started, parent);
        }
        let ended = known.ended.take().map_or(record.event.timestamp, |ended| ended.timestamp);
        let pause = record.event.timestamp.saturating_since(ended);
        let done: BTreeSet<i32> = old.iter().filter_map(|event| result(event.kind())).collect();
        known.updated = record.event.timestamp;
        let reason = match record.event.kind() {
            EventKind::ExecutionRewound(event) => event.reason.clone(),
            _ => None,
        };
        known.open.clear();
        if known.inbox.is_empty() {
            known.inbox.push_back(record.event);
        }
        // Results of what goes, go as well.
        known.inbox.retain(|event| !result(event.kind()).is_some_and(|task| undone.contains(&task)));
        let mut history = Vec::new();
        // Children that the code may not ask for this time.
        let mut ends = Vec::new();
        for mut event in old {
            let place_holder = EventKind::Generic(Generic { data: None });
            let id_of_it = event.id;
            match event.kind_mut() {
                EventKind::ExecutionStarted(_) => event = known.started.clone(),
                EventKind::ExecutionCompleted(_) => continue,
                EventKind::EventRaised(raised) if raised.undelivered => {
                    raised.undelivered = false;
                    known.inbox.push_back(event);
                    continue;
                }
                EventKind::TaskScheduled(_) | EventKind::EntityOperationCalled(_)
                    if again == Some(id_of_it) =>
                {
                    event = HistoryEvent::of_action(event.id, event.timestamp, place_holder);
                }
                kind if undone.contains(&id_of_it) => {
                    if let EventKind::SubOrchestrationCreated(child) = kind
                        && !child.fire_and_forget
                    {
                        ends.push(child.instance_id.clone());
                    }
                    event = HistoryEvent::of_action(event.id, event.timestamp, place_holder);
                }
                kind if result(kind).is_some_and(|t| Some(t) == again || undone.contains(&t)) => continue,
                // Timers stood still meanwhile.
                EventKind::TimerCreated(timer) if !done.contains(&id_of_it) => {
                    timer.fire_at = timer.fire_at.saturating_add(pause);
                }
                _ => {}
            }
            history.push(event);
        }
        let sections = open_sections(history.iter().chain(&known.inbox));
        for child in ends {
            self.coverage.hit("rewind/ends a child");
            let body = Terminate {
                reason: Some("its parent was rewound to before its start".to_owned()),
                recursive: true,
                parent_execution_id: Some(was.clone()),
            };
            self.send(at, &child, MessageBody::Terminate(body));
        }
        for (section_id, section) in sections {
            self.begin_section(at, id, &section_id, section)?;
        }
        self.reopen(at, id, &history, &reason, &was)?;
        let entry = self.reference.executions.entry(execution).or_default();
        (entry.history, entry.at) = (history, Some(at));
        // Accepted events belong to the execution that goes on.
        for home in self.homes.values_mut().filter(|home| **home == old_execution) {
            *home = execution;
        }
        Ok(())
    }

    fn reopen(
        &mut self,
        at: PartitionRef,
        id: &InstanceId,
        history: &[HistoryEvent],
        reason: &Option<String>,
        was: &[u8],
    ) -> Result<(), Violation> {
        let known = self.live(at, id)?;
        let execution = known.execution;
        let events = history.iter().chain(&known.inbox);
        let results: BTreeSet<i32> = events.filter_map(|event| result(event.kind())).collect();
        for task in history.iter().filter(|e| matches!(e.kind(), EventKind::TaskScheduled(_))) {
            if results.contains(&task.id) {
                self.kept.insert((execution, task.id));
            }
        }
        for (index, event) in history.iter().enumerate().filter(|(_, e)| !results.contains(&e.id)) {
            let known = self.live(at, id)?;
            let task = match event.kind() {
                EventKind::TaskScheduled(_) => Task::Activity(index),
                EventKind::TimerCreated(timer) => Task::Timer(timer.fire_at),
                EventKind::SubOrchestrationCreated(child) if !child.fire_and_forget => {
                    let start = super::messages::child_start(known, id, event.id, child);
                    let rewind = Rewind { reason: reason.clone(), start, parent_was: was.to_vec() };
                    self.send(at, &child.instance_id, MessageBody::Rewind(rewind));
                    Task::Child(child.instance_id.clone())
                }
                EventKind::EntityOperationCalled(call) => {
                    let section_id = known.section_over(&call.target, |p| p != Place::GivenBack);
                    let operation = EntityOperation {
                        request_id: call.request_id.clone(),
                        name: call.operation.clone(),
                        input: call.input.clone(),
                        caller: Some(EntityCaller {
                            instance_id: id.to_string(),
                            execution_id: known.start().execution_id.clone(),
                            task_id: event.id,
                            section_id: section_id.clone(),
                        }),
                        scheduled_time: call.scheduled_time,
                        trace: None,
                    };
                    let section = section_id.and_then(|section| known.sections.get_mut(&section));
                    match section.filter(|section| section.regaining) {
                        // Inside a section nobody may come between: it waits for the locks.
                        Some(section) => section.delayed.push((call.target.clone(), operation)),
                        None => self.send_operation(at, id, &call.target, operation),
                    }
                    self.coverage.hit("rewind/call sent again");
                    Task::Call(call.target.clone())
                }
                _ => continue,
            };
            self.live(at, id)?.open.insert(event.id, task);
        }
        Ok(())
    }
}

fn set_parent(started: &mut HistoryEvent, execution: Vec<u8>) {
    if let EventKind::ExecutionStarted(start) = started.kind_mut()
        && let Some(parent) = &mut start.parent
    {
        parent.execution_id = execution;
    }
}

/// The task whose failure the execution ended with.
fn failed_task(known: &Known, history: &[HistoryEvent]) -> Option<i32> {
    let EventKind::ExecutionCompleted(end) = known.ended.as_ref()?.kind() else { return None };
    let Origin::Task(task) = end.failure_origin() else { return None };
    history.iter().any(|event| failed(event.kind()) == Some(task)).then_some(task)
}

/// The task that this says has failed.
fn failed(kind: &EventKind) -> Option<i32> {
    match kind {
        EventKind::TaskFailed(e) => Some(e.task_id),
        EventKind::SubOrchestrationFailed(e) => Some(e.task_id),
        EventKind::EntityOperationFailed(e) => Some(e.task_id),
        _ => None,
    }
}

/// The task that this is the result of.
fn result(kind: &EventKind) -> Option<i32> {
    match kind {
        EventKind::TaskCompleted(e) => Some(e.task_id),
        EventKind::SubOrchestrationCompleted(e) => Some(e.task_id),
        EventKind::EntityOperationCompleted(e) => Some(e.task_id),
        EventKind::TimerFired(e) => Some(e.timer_id),
        EventKind::EntityLockGranted(e) => Some(e.task_id),
        kind => failed(kind),
    }
}

/// What the code did in turns that saw the failure, and in those that saw results of that; and the locks
/// it gave back on its way out.
fn consequences(history: &[HistoryEvent], again: Option<i32>) -> BTreeSet<i32> {
    let mut gone: BTreeSet<i32> = again.into_iter().collect();
    let mut undone = BTreeSet::new();
    let turns = history.split(|event| matches!(event.kind(), EventKind::OrchestratorStarted(_)));
    for turn in turns {
        let because = turn.iter().any(|e| result(e.kind()).is_some_and(|task| gone.contains(&task)));
        let ends = |event: &HistoryEvent| matches!(event.kind(), EventKind::ExecutionCompleted(_));
        for event in turn.iter().filter(|event| because && event.id >= 0 && !ends(event)) {
            gone.insert(event.id);
            undone.insert(event.id);
        }
    }
    let last = history.rsplit(|event| matches!(event.kind(), EventKind::OrchestratorStarted(_))).next();
    let unlocked = |event: &&HistoryEvent| matches!(event.kind(), EventKind::EntityUnlockSent(_));
    undone.extend(last.into_iter().flatten().filter(unlocked).map(|event| event.id));
    undone
}

/// Sections that the history shows begun and not left, in the order of their ids.
fn open_sections<'a>(history: impl Iterator<Item = &'a HistoryEvent>) -> Vec<(String, Section)> {
    let mut open = std::collections::BTreeMap::new();
    for event in history {
        match event.kind() {
            EventKind::EntityLockRequested(e) => {
                open.insert(e.section_id.clone(), Section::new(event.id, &e.lock_set));
            }
            EventKind::EntityLockGranted(e) => {
                if let Some(section) = open.get_mut(&e.section_id) {
                    section.regaining = true;
                }
            }
            EventKind::EntityUnlockSent(e) => {
                if let Some(section) = open.get_mut(&e.section_id) {
                    section.give_back(&e.target);
                }
            }
            _ => {}
        }
    }
    open.retain(|_, section: &mut Section| !section.is_left());
    open.into_iter().collect()
}
