//! The state that an orchestrator's code, its tasks and the driver share.
//!
//! No method calls user code or a waker: what must be woken is returned, and woken by the caller
//! once the borrow is over. States that may own user data are returned too instead of dropped here.

mod entities;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use strandline_model::{
    ActionKind, EventKind, ExecutionId, FailureDetails, HistoryEvent, InstanceId, Timestamp,
};

use crate::context::Request;
use crate::events::{Arrived, EventBuffer, fold};
use crate::follow::{FollowUp, Next};
use crate::section::Sections;
use crate::sequence::Sequence;
use crate::task::{Call, DEAD, Finished, Followed, TaskError, TaskKey, TaskKind, TaskResult, TaskState};
use crate::violation;

pub(crate) struct Core {
    pub(crate) instance: InstanceId,
    pub(crate) execution: ExecutionId,
    pub(crate) actions_max: usize,
    /// The execution's `ExecutionStarted`.
    pub(crate) started: Option<Arc<HistoryEvent>>,
    pub(crate) now: Timestamp,
    pub(crate) replaying: bool,
    /// How many events of the history the code has seen.
    pub(crate) history_len: usize,
    pub(crate) sequence: Sequence,
    pub(crate) events: EventBuffer,
    /// What the code set in a live turn.
    pub(crate) custom_status: Option<Option<String>>,
    /// What the code set last, replayed turns included.
    pub(crate) last_custom_status: Option<Option<String>>,
    pub(crate) sections: Sections,
    /// Ids of sub-orchestrations and critical sections as the past recorded them, by sequence id: it
    /// may have been another execution, before a rewind.
    pub(crate) recorded_ids: BTreeMap<i32, String>,
    /// Tasks dropped now are not wanted by anybody any more: ask for their cancellation.
    pub(crate) cancel_dropped: bool,
    /// Nothing the code does has an effect any more: its turn is over and its future is torn down.
    pub(crate) closed: bool,
    /// A rule the code broke; closes the core.
    pub(crate) violation: Option<FailureDetails>,
    pub(crate) guids: u64,
    pub(crate) random_streams: u64,
    /// Actions of the live turn that do again what failed.
    pub(crate) retries: Vec<i32>,
    // Boxed: a map makes room for eleven at once, and most executions have one.
    tasks: BTreeMap<TaskKey, Box<TaskState>>,
    next_key: TaskKey,
    /// By sequence id: the task that an open action belongs to.
    open: BTreeMap<i32, TaskKey>,
    /// Tasks with a waker.
    awaited: usize,
}

/// Which events complete which tasks.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Source {
    Activity,
    SubOrchestration,
    Timer,
    Entity,
    Lock,
}

impl Core {
    pub(crate) fn new(instance: InstanceId, execution: ExecutionId, actions_max: usize) -> Self {
        Self {
            instance,
            execution,
            actions_max,
            started: None,
            now: Timestamp::EPOCH,
            replaying: false,
            history_len: 0,
            sequence: Sequence::default(),
            events: EventBuffer::default(),
            custom_status: None,
            last_custom_status: None,
            sections: Sections::default(),
            recorded_ids: BTreeMap::new(),
            cancel_dropped: false,
            closed: false,
            violation: None,
            guids: 0,
            random_streams: 0,
            retries: Vec::new(),
            tasks: BTreeMap::new(),
            next_key: 0,
            open: BTreeMap::new(),
            awaited: 0,
        }
    }

    pub(crate) fn is_awaiting(&self) -> bool {
        self.awaited > 0
    }

    pub(crate) fn open_tasks(&self) -> usize {
        self.tasks.len()
    }

    /// Ends what the code can do. The states are returned for the caller to drop.
    pub(crate) fn close(&mut self) -> BTreeMap<TaskKey, Box<TaskState>> {
        self.closed = true;
        self.open.clear();
        self.awaited = 0;
        std::mem::take(&mut self.tasks)
    }

    pub(crate) fn violate(&mut self, failure: FailureDetails) {
        self.closed = true;
        self.violation.get_or_insert(failure);
    }

    /// The sequence id of a new action; `None` once closed.
    pub(crate) fn act(&mut self, kind: ActionKind) -> Option<i32> {
        if self.closed {
            return None;
        }
        if self.sequence.taken() >= self.actions_max {
            self.violate(violation::too_many_actions(self.actions_max));
            return None;
        }
        Some(self.sequence.push(kind))
    }

    fn act_for(&mut self, kind: ActionKind, key: TaskKey) -> Option<i32> {
        let id = self.act(kind)?;
        self.open.insert(id, key);
        Some(id)
    }

    /// A recorded turn has sent its cancellations already.
    fn ask_cancel(&mut self, target: i32) {
        if !self.replaying && !self.closed {
            self.sequence.push_cancel(target);
        }
    }

    fn add(&mut self, kind: TaskKind, finished: Option<Finished>) -> TaskKey {
        let key = self.next_key;
        self.next_key += 1;
        self.tasks.insert(key, Box::new(TaskState { kind, waker: None, finished, abandoned: false }));
        key
    }

    /// The id a sub-orchestration gets when the code names none.
    pub(crate) fn child_id(&mut self) -> String {
        let id = self.sequence.next_id();
        self.recorded_ids.remove(&id).unwrap_or_else(|| format!("{}:{id:04x}", self.execution))
    }

    pub(crate) fn call(&mut self, request: Request, rule: Option<Rc<dyn FollowUp>>) -> TaskKey {
        if self.closed {
            return DEAD;
        }
        if let Err(failure) = self.check(&request) {
            return self.add(TaskKind::Nothing, Some(Finished::Value(Err(of_code(failure)))));
        }
        let retained = rule.is_some().then(|| Rc::new(request.clone()));
        let kind = request.into_action(self);
        let key = self.next_key;
        let Some(current) = self.act_for(kind, key) else { return DEAD };
        let followed = rule.zip(retained).map(|(rule, request)| Followed {
            rule,
            request,
            begun: self.now,
            attempt: 1,
            last: None,
        });
        let call = Call { current, pausing: false, cancelled: false, followed };
        self.add(TaskKind::Call(Box::new(call)), None)
    }

    fn check(&self, request: &Request) -> Result<(), FailureDetails> {
        match request {
            Request::Activity(_) => Ok(()),
            Request::SubOrchestration(_) => self.sections.check_sub_orchestration(),
        }
    }

    pub(crate) fn timer(&mut self, fire_at: Timestamp) -> TaskKey {
        let key = self.next_key;
        match self.act_for(ActionKind::CreateTimer { fire_at }, key) {
            Some(id) => self.add(TaskKind::Timer { id }, None),
            None => DEAD,
        }
    }

    pub(crate) fn wait_for(&mut self, name: &str) -> TaskKey {
        if self.closed {
            return DEAD;
        }
        let folded = fold(name);
        let arrived = self.events.take(&folded).map(Finished::Event);
        let waits = arrived.is_none();
        let key = self.add(TaskKind::Event { name: folded }, arrived);
        if waits {
            self.events.wait(name, key);
        }
        key
    }

    pub(crate) fn poll_task(&mut self, key: TaskKey, waker: &Waker) -> (Poll<TaskResult>, Option<Waker>) {
        let Some(state) = self.tasks.get_mut(&key) else { return (Poll::Pending, None) };
        if state.finished.is_none() {
            if state.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
                return (Poll::Pending, None);
            }
            let replaced = state.waker.replace(waker.clone());
            self.awaited += usize::from(replaced.is_none());
            return (Poll::Pending, replaced);
        }
        let finished = self.tasks.remove(&key).and_then(|state| state.finished);
        let result = match finished {
            Some(Finished::Value(value)) => value,
            Some(Finished::Event(arrived)) => Ok(input_of(&arrived.event)),
            None => return (Poll::Pending, None),
        };
        (Poll::Ready(result), None)
    }

    /// The handle is gone. What is returned may own user data: drop it after the borrow.
    pub(crate) fn drop_task(&mut self, key: TaskKey) -> (Option<Waker>, Option<TaskState>) {
        if self.closed || key == DEAD {
            return (None, None);
        }
        let mut woken = None;
        if self.cancel_dropped {
            woken = self.cancel(key);
        }
        let Some(mut state) = self.tasks.remove(&key) else { return (woken, None) };
        self.awaited -= usize::from(state.waker.is_some());
        match (state.finished.take(), &mut state.kind) {
            // Granted or not: nobody entered the section.
            (_, TaskKind::Lock { id }) => self.give_up(*id),
            // Nobody looked at the event: it goes to the next waiter, or back to its place.
            (Some(Finished::Event(arrived)), _) => {
                debug_assert!(woken.is_none(), "a finished task is not cancelled");
                woken = self.deliver(arrived);
            }
            (Some(Finished::Value(_)), _) => {}
            (None, TaskKind::Timer { id }) => {
                let id = *id;
                self.open.remove(&id);
                self.ask_cancel(id);
            }
            (None, TaskKind::Event { name }) => self.events.stop_waiting(name, key),
            (None, TaskKind::Call(call)) if call.followed.is_some() => {
                // Abandoned, not cancelled: the rule goes on, as it does for a task nobody awaits.
                let waker = state.waker.take();
                state.abandoned = true;
                self.tasks.insert(key, state);
                return (woken, waker.map(orphan));
            }
            (None, TaskKind::Call(call)) => {
                self.open.remove(&call.current);
            }
            (None, TaskKind::EntityCall { id }) => {
                self.open.remove(id);
            }
            (None, TaskKind::Nothing) => {}
        }
        (woken, Some(*state))
    }

    pub(crate) fn cancel(&mut self, key: TaskKey) -> Option<Waker> {
        let state = self.tasks.get_mut(&key)?;
        if self.closed || state.finished.is_some() {
            return None;
        }
        let (target, cause) = match &mut state.kind {
            TaskKind::Call(call) if !call.pausing => {
                call.followed = None;
                if !std::mem::replace(&mut call.cancelled, true) {
                    let target = call.current;
                    self.ask_cancel(target);
                }
                return None;
            }
            TaskKind::Call(call) => {
                (Some(call.current), call.followed.take().and_then(|followed| followed.last))
            }
            TaskKind::Timer { id } => (Some(*id), None),
            // An operation under way can't be stopped: its result is ignored.
            TaskKind::EntityCall { id } => {
                self.open.remove(id);
                (None, None)
            }
            TaskKind::Lock { id } => {
                let request = *id;
                self.give_up(request);
                (None, None)
            }
            TaskKind::Nothing => (None, None),
            TaskKind::Event { name } => {
                self.events.stop_waiting(name, key);
                (None, None)
            }
        };
        if let Some(target) = target {
            self.open.remove(&target);
            self.ask_cancel(target);
        }
        let mut failure = canceled();
        let mut task_id = None;
        if let Some(cause) = cause {
            failure = failure.caused_by(cause.failure);
            task_id = cause.task_id;
        }
        self.finish(key, Finished::Value(Err(TaskError { failure, task_id })))
    }

    fn finish(&mut self, key: TaskKey, finished: Finished) -> Option<Waker> {
        let state = self.tasks.get_mut(&key)?;
        if state.abandoned {
            self.tasks.remove(&key);
            return None;
        }
        state.finished = Some(finished);
        let waker = state.waker.take();
        self.awaited -= usize::from(waker.is_some());
        waker
    }

    /// The task that action `id` is open for, if an event from `source` may end it.
    fn opened(&self, id: i32, source: Source) -> Option<TaskKey> {
        let key = *self.open.get(&id)?;
        let fits = match &self.tasks.get(&key)?.kind {
            TaskKind::Timer { .. } => source == Source::Timer,
            TaskKind::Call(call) if call.pausing => source == Source::Timer,
            TaskKind::Call(_) => matches!(source, Source::Activity | Source::SubOrchestration),
            TaskKind::EntityCall { .. } => source == Source::Entity,
            TaskKind::Lock { .. } => source == Source::Lock,
            TaskKind::Event { .. } | TaskKind::Nothing => false,
        };
        fits.then_some(key)
    }

    /// What must be asked about the end of an action before [`Core::ended`], and the attempt as it knows
    /// it; user code answers.
    pub(crate) fn followed(&self, id: i32, source: Source) -> Option<&Followed> {
        match &self.tasks.get(&self.opened(id, source)?)?.kind {
            TaskKind::Call(call) if !call.pausing => call.followed.as_ref(),
            _ => None,
        }
    }

    /// An action of the code is done; `next` is what follows. Late and repeated ends find nothing open.
    pub(crate) fn ended(
        &mut self,
        id: i32,
        source: Source,
        result: Result<Option<String>, FailureDetails>,
        next: Next,
    ) -> Option<Waker> {
        let key = self.opened(id, source)?;
        self.open.remove(&id);
        if self.call_of(key).is_some_and(|call| call.pausing) {
            return self.next_attempt(key);
        }
        let result = result.map_err(|failure| TaskError { failure, task_id: Some(id) });
        let (pause, input) = match next {
            Next::Return => return self.finish(key, Finished::Value(result)),
            Next::Fail(failure) => return self.finish(key, Finished::Value(Err(of_code(failure)))),
            Next::Retry { after } => (after, None),
            Next::Call { after, input } => (after, Some(input)),
        };
        let fire_at = self.now.saturating_add(pause);
        let timer = self.act_for(ActionKind::CreateTimer { fire_at }, key)?;
        let call = self.call_of(key)?;
        call.current = timer;
        call.pausing = true;
        let followed = call.followed.as_mut()?;
        followed.last = result.err();
        if let Some(input) = input {
            followed.request = Rc::new(followed.request.with_input(input));
            followed.attempt = 0;
        }
        None
    }

    /// The pause before it is over.
    fn next_attempt(&mut self, key: TaskKey) -> Option<Waker> {
        let now = self.now;
        let call = self.call_of(key)?;
        call.pausing = false;
        let followed = call.followed.as_mut()?;
        if followed.attempt == 0 {
            followed.begun = now;
        }
        followed.attempt += 1;
        // A call with another input follows the one before it; it does not do it again.
        let is_retry = followed.attempt > 1;
        let request = Request::clone(&followed.request);
        if let Err(failure) = self.check(&request) {
            return self.finish(key, Finished::Value(Err(of_code(failure))));
        }
        let kind = request.into_action(self);
        let id = self.act_for(kind, key)?;
        if is_retry && !self.replaying {
            self.retries.push(id);
        }
        self.call_of(key)?.current = id;
        None
    }

    fn call_of(&mut self, key: TaskKey) -> Option<&mut Call> {
        match &mut self.tasks.get_mut(&key)?.kind {
            TaskKind::Call(call) => Some(call),
            _ => None,
        }
    }

    /// Gives an event to the oldest waiter of its name, or buffers it.
    pub(crate) fn deliver(&mut self, arrived: Arrived) -> Option<Waker> {
        let (key, arrived) = self.events.offer(arrived)?;
        self.finish(key, Finished::Event(arrived))
    }
}

/// A state that owns nothing but a waker, so that it is dropped after the borrow.
fn orphan(waker: Waker) -> TaskState {
    TaskState { kind: TaskKind::Nothing, waker: Some(waker), finished: None, abandoned: true }
}

fn canceled() -> FailureDetails {
    FailureDetails::new(violation::TASK_CANCELED, "the task was cancelled").non_retriable()
}

/// An error that no attempt caused.
fn of_code(failure: FailureDetails) -> TaskError {
    TaskError { failure, task_id: None }
}

fn input_of(event: &HistoryEvent) -> Option<String> {
    match event.kind() {
        EventKind::EventRaised(raised) => raised.input.clone(),
        _ => None,
    }
}
