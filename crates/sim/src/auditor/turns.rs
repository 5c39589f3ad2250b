//! A committed turn: what it saw was what the reference says, and what it decided is what is recorded.

use strandline_hub::record::{Committed, Next};
use strandline_model::{
    Action, ActionKind, Completion, Empty, EventKind, ExecutionId, HistoryEvent, InstanceId, RuntimeStatus,
    Timestamp,
};
use strandline_store::PartitionRef;

use super::Auditor;
use super::records::{Scene, execution_of};
use super::reference::{Known, Task};
use crate::Violation;

impl Auditor {
    pub(super) fn turn_committed(
        &mut self,
        scene: Scene,
        id: &InstanceId,
        record: Committed,
    ) -> Result<(), Violation> {
        let at = scene.at;
        let delivered = record.delivered as usize;
        let known = self.live(at, id)?;
        let execution = known.execution;
        check_may_run(known, id, delivered)?;
        let suspended = self.live(at, id)?.suspended;
        self.coverage.add("turn/out while suspended", u64::from(suspended));
        let seen = self.reference.history(execution).len();
        let key = (at, id.clone(), execution, seen);
        let Some(ran) = self.turns.remove(&key) else {
            return Err(format!("a turn of {id} at {seen} is committed, but none was run there"));
        };
        let known = self.live(at, id)?;
        let begin = HistoryEvent::new(record.time, EventKind::OrchestratorStarted(Empty {}));
        let given = std::iter::once(&begin).chain(known.inbox.iter().take(delivered));
        if !ran.new.iter().eq(given) {
            return Err(format!("a turn of {id} was given {:?}, not what it should see", ran.new));
        }
        let invalid = ran.outcome.actions.iter().any(|a| is_invalid(known, id, a));
        known.pending = false;
        known.updated = record.time;
        let events: Vec<_> = known.inbox.drain(..delivered).collect();
        let history = &mut self.reference.executions.entry(execution).or_default().history;
        history.push(begin);
        history.extend(events);
        if invalid {
            self.coverage.hit("action/invalid");
            return self.turn_refused(at, id, record);
        }
        check_record(id, &record, &ran.outcome.actions)?;
        for event in record.events {
            self.action_recorded(at, id, execution, event)?;
        }
        for task in record.cancelled {
            self.cancelled(at, id, task)?;
        }
        if let Some(status) = ran.outcome.custom_status {
            self.coverage.hit("code/status set");
            if record.custom_status.as_ref().map(|s| &s.text) != Some(&status) {
                return Err(format!("{id} set its status to {status:?}, recorded is another"));
            }
            self.live(at, id)?.custom_status = status;
        } else if record.custom_status.is_some() {
            return Err(format!("{id} did not set the status that is recorded"));
        }
        self.end_turn(execution, record.time);
        match (record.ended, record.next) {
            (Some(ended), None) => {
                let failed =
                    matches!(ended.kind(), EventKind::ExecutionCompleted(end) if end.failure.is_some());
                self.coverage.hit(if failed { "action/fail" } else { "action/complete" });
                self.finish(at, id, ended)
            }
            (None, Some(next)) => self.continued(at, id, execution, next),
            (None, None) => Ok(()),
            (Some(_), Some(_)) => Err(format!("{id} both ends and goes on")),
        }
    }

    fn end_turn(&mut self, execution: ExecutionId, time: Timestamp) {
        let done = HistoryEvent::new(time, EventKind::OrchestratorCompleted(Empty {}));
        self.reference.executions.entry(execution).or_default().history.push(done);
    }

    /// A turn with an action that can't be carried out fails the orchestration, and does nothing else.
    fn turn_refused(
        &mut self,
        at: PartitionRef,
        id: &InstanceId,
        record: Committed,
    ) -> Result<(), Violation> {
        let failed = record.ended.as_ref().is_some_and(|e| {
            matches!(e.kind(), EventKind::ExecutionCompleted(end)
                if end.status() == RuntimeStatus::Failed
                    && end.failure.as_ref().is_some_and(|f| f.error_type == "InvalidAction"))
        });
        let silent = record.events.is_empty() && record.cancelled.is_empty() && record.next.is_none();
        match record.ended {
            Some(ended) if failed && silent => {
                let execution = self.live(at, id)?.execution;
                self.end_turn(execution, record.time);
                self.finish(at, id, ended)
            }
            _ => Err(format!("a turn of {id} with an impossible action did not fail it")),
        }
    }

    fn action_recorded(
        &mut self,
        at: PartitionRef,
        id: &InstanceId,
        execution: ExecutionId,
        event: HistoryEvent,
    ) -> Result<(), Violation> {
        let index = self.reference.history(execution).len();
        let known = self.live(at, id)?;
        let (name, task) = match event.kind() {
            EventKind::TaskScheduled(_) => ("action/activity", Some(Task::Activity(index))),
            EventKind::TimerCreated(timer) => ("action/timer", Some(Task::Timer(timer.fire_at))),
            EventKind::SubOrchestrationCreated(child) if child.fire_and_forget => {
                ("action/fire and forget", None)
            }
            EventKind::SubOrchestrationCreated(child) => {
                ("action/child", Some(Task::Child(child.instance_id.clone())))
            }
            EventKind::EntityOperationCalled(call) => {
                ("action/call entity", Some(Task::Call(call.target.clone())))
            }
            EventKind::EntityOperationSignaled(_) => ("action/signal entity", None),
            EventKind::EntityLockRequested(_) => ("action/lock", None),
            EventKind::EntityUnlockSent(_) => ("action/unlock", None),
            _ => ("action/send event", None),
        };
        if let Some(task) = task {
            known.open.insert(event.id, task);
        }
        self.coverage.hit(name);
        self.send_for(at, id, &event)?;
        self.reference.executions.entry(execution).or_default().history.push(event);
        Ok(())
    }

    fn cancelled(&mut self, at: PartitionRef, id: &InstanceId, task: i32) -> Result<(), Violation> {
        let known = self.live(at, id)?;
        match known.open.get(&task).cloned() {
            Some(Task::Timer(_)) => {
                known.open.remove(&task);
                self.coverage.hit("action/cancel timer");
            }
            Some(Task::Child(child)) => {
                self.coverage.hit("action/cancel child");
                self.terminate_child(at, id, &child, Some("cancelled by its parent".to_owned()))?;
            }
            Some(Task::Activity(_) | Task::Call(_)) => self.coverage.hit("action/cancel activity"),
            None => {}
        }
        Ok(())
    }

    fn continued(
        &mut self,
        at: PartitionRef,
        id: &InstanceId,
        old: ExecutionId,
        next: Next,
    ) -> Result<(), Violation> {
        self.coverage.hit("action/continue as new");
        let EventKind::ExecutionStarted(start) = next.started.kind() else {
            return Err(format!("{id} continues as {:?}", next.started));
        };
        let new = execution_of(&start.execution_id);
        if !self.executions.insert(new) {
            return Err(format!("execution {new} of {id} begins a second time"));
        }
        let finished = self.reference.executions.entry(old).or_default();
        finished.over = true;
        self.release_sections(at, id, "section/left by continue as new")?;
        let finished = self.reference.executions.entry(old).or_default();
        super::history::well_formed(&finished.history, false).map_err(|e| format!("{id}: {e}"))?;
        let known = self.live(at, id)?;
        let kept = (&known.start().name, &known.start().parent, &known.start().tags);
        if kept != (&start.name, &start.parent, &start.tags) {
            return Err(format!("{id} changed its name, parent or tags when it continued as new"));
        }
        // What was sent to the instance stays in order; results of the old execution's tasks go.
        let waiting = std::mem::take(&mut known.inbox).into_iter().filter(|event| {
            use EventKind::{EventRaised, ExecutionResumed, ExecutionSuspended};
            matches!(event.kind(), EventRaised(_) | ExecutionSuspended(_) | ExecutionResumed(_))
        });
        known.inbox = std::iter::once(next.started.clone()).chain(next.carryover).chain(waiting).collect();
        known.execution = new;
        known.started = next.started.clone();
        known.open.clear();
        let moved: Vec<String> = known
            .inbox
            .iter()
            .filter_map(|event| match event.kind() {
                EventKind::EventRaised(raised) => raised.input.clone(),
                _ => None,
            })
            .collect();
        for input in moved {
            self.homes.insert(input, new);
        }
        self.reference.executions.entry(new).or_default().at = Some(at);
        Ok(())
    }
}

/// A turn runs only when nothing holds the instance back, or when it was out before something did.
fn check_may_run(known: &Known, id: &InstanceId, delivered: usize) -> Result<(), Violation> {
    if known.before_start {
        return Err(format!("{id} runs before its scheduled start"));
    }
    if delivered == 0 || delivered > known.inbox.len() {
        return Err(format!("a turn of {id} took {delivered} of {} events", known.inbox.len()));
    }
    let last_of = |wanted: fn(&EventKind) -> bool| known.inbox.iter().rposition(|e| wanted(e.kind()));
    let suspension = last_of(|kind| matches!(kind, EventKind::ExecutionSuspended(_)));
    if known.suspended && suspension.is_none_or(|at| at < delivered) {
        return Err(format!("{id} runs although it is suspended"));
    }
    Ok(())
}

fn is_invalid(known: &Known, id: &InstanceId, action: &Action) -> bool {
    match &action.kind {
        ActionKind::CreateSubOrchestration { instance_id, .. } => {
            let parent = known.start().parent.as_ref();
            instance_id.starts_with('@')
                || instance_id == id.as_str()
                || parent.is_some_and(|p| p.instance_id == *instance_id)
        }
        ActionKind::SendEvent { instance_id, .. } => instance_id.starts_with('@'),
        ActionKind::SignalEntity { target, .. } | ActionKind::CallEntity { target, .. } => {
            !names_entity(target)
        }
        _ => false,
    }
}

/// `@name@key`
pub(super) fn names_entity(id: &str) -> bool {
    id.strip_prefix('@').and_then(|rest| rest.find('@')).is_some_and(|at| at > 0)
}

/// The record holds the actions of the turn, in order, and nothing else.
fn check_record(id: &InstanceId, record: &Committed, actions: &[Action]) -> Result<(), Violation> {
    let differs = |what: &str| {
        Err(format!("{id}: the {what} recorded are not those of the turn: {record:?}, {actions:?}"))
    };
    let events = actions.iter().filter_map(|action| event_of(action, record.time));
    if !events.eq(record.events.iter().cloned()) {
        return differs("events");
    }
    let cancelled = actions.iter().filter_map(|action| match action.kind {
        ActionKind::Cancel { target } => Some(target),
        _ => None,
    });
    if !cancelled.eq(record.cancelled.iter().copied()) {
        return differs("cancellations");
    }
    let completion = actions.iter().find_map(|action| match &action.kind {
        ActionKind::Complete(completion) => Some((action.id, completion)),
        _ => None,
    });
    let ended = record.ended.as_ref().map(|e| (e.id, e.kind()));
    let fits = match (completion, ended, &record.next) {
        (None, None, None) => true,
        (
            Some((id, Completion::Completed { result })),
            Some((end_id, EventKind::ExecutionCompleted(end))),
            None,
        ) => id == end_id && end.status() == RuntimeStatus::Completed && end.result == *result,
        (
            Some((id, Completion::Failed { failure, origin })),
            Some((end_id, EventKind::ExecutionCompleted(end))),
            None,
        ) => {
            id == end_id
                && end.status() == RuntimeStatus::Failed
                && end.failure.as_ref() == Some(failure)
                && end.failure_origin() == *origin
        }
        (Some((_, Completion::ContinuedAsNew { input, carryover, .. })), None, Some(next)) => {
            next.carryover == *carryover
                && matches!(next.started.kind(), EventKind::ExecutionStarted(s) if s.input == *input)
        }
        _ => false,
    };
    if fits { Ok(()) } else { differs("ends") }
}

fn event_of(action: &Action, time: Timestamp) -> Option<HistoryEvent> {
    let kind = action.kind.clone().into_event().ok()?;
    Some(HistoryEvent::of_action(action.id, time, kind))
}
