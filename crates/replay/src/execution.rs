//! The driver: feeds history to the code and collects what it decides.

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use strandline_model::{
    Action, ActionKind, Completion, EventKind, ExecutionId, FailureDetails, HistoryEvent, InstanceId, Origin,
    RuntimeStatus,
};

use crate::context::ContextHandle;
use crate::core::{Core, Source};
use crate::follow::Next;
use crate::violation::{self, Mismatch};
use crate::waking::Signal;

/// The code of an orchestrator, called once per execution with its input.
pub type Orchestrator =
    Box<dyn FnOnce(ContextHandle, Option<String>) -> Pin<Box<dyn Future<Output = Ending>>>>;

/// How an orchestrator's function ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    Completed(Option<String>),
    Failed {
        failure: FailureDetails,
        /// The task whose failure this is.
        origin: Option<i32>,
    },
    ContinuedAsNew {
        input: Option<String>,
        version: Option<String>,
        /// Events that reached the code but no waiter do not move on.
        drop_events: bool,
    },
}

/// Whose turn it is, and its limit.
#[derive(Clone, Debug)]
pub struct Identity {
    pub instance: InstanceId,
    pub execution: ExecutionId,
    /// Most actions the execution may take.
    pub actions_max: usize,
}

/// What a turn decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// In order; a completion is last.
    pub actions: Vec<Action>,
    /// `None` leaves the custom status as it is.
    pub custom_status: Option<Option<String>>,
    /// Which of the actions do again what failed, by id.
    pub retries: Vec<i32>,
}

/// Polls in a row without an action, an event or a task, after which the code counts as spinning.
const IDLE_POLLS_MAX: u32 = 100_000;

/// An orchestrator's future with everything it has learnt so far.
///
/// Build it anew from the whole history, or keep it between turns: the two are the same at the
/// end of every turn.
pub struct Execution {
    core: Rc<RefCell<Core>>,
    signal: Arc<Signal>,
    waker: Waker,
    code: Code,
    /// Index of the next history event.
    position: usize,
    /// Set once, when the code returned or broke a rule.
    ended: Option<Ended>,
    /// The code did more, or ended earlier, than is recorded: it may, after a rewind.
    surplus: Option<FailureDetails>,
    /// The first recorded action the code does not do any more: there it parts from the history.
    parted: Option<i32>,
    /// The first sequence id the past left free.
    after_past: i32,
    /// External events of this turn that came after the end.
    late_events: Vec<Arc<HistoryEvent>>,
}

enum Code {
    Unstarted(Orchestrator),
    Running(Pin<Box<dyn Future<Output = Ending>>>),
    Gone,
}

enum Ended {
    Returned(Ending),
    /// What was decided before stands.
    Broken(FailureDetails),
    /// What the turn decided is void.
    Void(FailureDetails),
}

impl Execution {
    pub fn new(identity: Identity, orchestrator: Orchestrator) -> Self {
        let signal = Arc::new(Signal::default());
        let core = Core::new(identity.instance, identity.execution, identity.actions_max);
        Self {
            core: Rc::new(RefCell::new(core)),
            waker: signal.waker(),
            signal,
            code: Code::Unstarted(orchestrator),
            position: 0,
            ended: None,
            surplus: None,
            parted: None,
            after_past: 0,
            late_events: Vec::new(),
        }
    }

    /// Events the history holds once the last turn is recorded.
    pub fn seen(&self) -> usize {
        self.position
    }

    /// No turn follows.
    pub fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// The custom status the code set last, in whatever turn; `None` when it never did.
    pub fn custom_status(&self) -> Option<Option<String>> {
        self.core.borrow().last_custom_status.clone()
    }

    /// Names of external events that the code waits for, at most `max`.
    pub fn awaited_events(&self, max: usize) -> Vec<String> {
        self.core.borrow().events.awaited().take(max).map(str::to_owned).collect()
    }

    /// What went wrong, other than by an error the code returned.
    pub fn violation(&self) -> Option<&FailureDetails> {
        match &self.ended {
            Some(Ended::Broken(failure) | Ended::Void(failure)) => Some(failure),
            _ => self.surplus.as_ref(),
        }
    }

    /// A rough count of the bytes held while it is kept.
    pub fn weight(&self) -> usize {
        let code = match &self.code {
            Code::Running(future) => std::mem::size_of_val(&**future),
            Code::Unstarted(_) | Code::Gone => 0,
        };
        let core = self.core.borrow();
        1024 + code + core.open_tasks() * 320 + core.events.bytes()
    }

    /// Feeds recorded turns; their actions must meet what the code does.
    pub fn replay(&mut self, past: &[Arc<HistoryEvent>]) {
        {
            let mut core = self.core.borrow_mut();
            core.replaying = true;
            for event in past {
                let recorded = match event.kind() {
                    EventKind::SubOrchestrationCreated(created) => &created.instance_id,
                    EventKind::EntityLockRequested(requested) => &requested.section_id,
                    _ => continue,
                };
                core.recorded_ids.insert(event.id, recorded.clone());
            }
        }
        self.feed_all(past);
        let mut core = self.core.borrow_mut();
        core.replaying = false;
        core.recorded_ids.clear();
        drop(core);
        self.after_past = past.iter().map(|event| event.id).max().unwrap_or(-1) + 1;
        if matches!(self.ended, Some(Ended::Void(_))) {
            self.core.borrow_mut().sequence.discard(self.after_past);
        }
    }

    /// Feeds what is new and returns what the code decided.
    ///
    /// In the first turn after a rewind the code may part from the history: some of what followed the
    /// failure that was taken out may have been done because of it, and the code may have been mended.
    /// Then the outcome is the one action [`ActionKind::Part`].
    pub fn turn(&mut self, new: &[Arc<HistoryEvent>]) -> Outcome {
        let rewound = new.iter().any(|event| matches!(event.kind(), EventKind::ExecutionRewound(_)));
        if rewound && let (Some(Ended::Void(_)), Some(from)) = (&self.ended, self.parted) {
            let part = Action { id: -1, kind: ActionKind::Part { from } };
            return Outcome { actions: vec![part], ..Outcome::default() };
        }
        if !rewound {
            self.refuse_surplus();
        }
        if self.signal.is_foreign() && self.ended.is_none() {
            self.end(Ended::Broken(violation::foreign_wake()));
        }
        self.feed_all(new);
        if !rewound {
            self.refuse_surplus();
        }
        if self.ended.is_none() && matches!(self.code, Code::Running(_)) {
            if self.signal.is_foreign() {
                self.end(Ended::Broken(violation::foreign_wake()));
            } else if !self.core.borrow().is_awaiting() {
                self.end(Ended::Broken(violation::stuck()));
            }
        }
        let mut core = self.core.borrow_mut();
        if matches!(self.ended, Some(Ended::Void(_))) {
            core.sequence.discard_undone();
        }
        let mut actions = core.sequence.take();
        let recorded = actions.iter().filter(|action| action.kind.leaves_event()).count();
        self.position += recorded + 1;
        let custom_status = core.custom_status.take();
        let retries = std::mem::take(&mut core.retries);
        if let Some(ended) = &self.ended {
            let id = core.sequence.next_id();
            let completion = match ended {
                Ended::Returned(ending) => {
                    let mut carried = match ending {
                        Ending::ContinuedAsNew { drop_events: false, .. } => core.events.drain(),
                        _ => Vec::new(),
                    };
                    carried.append(&mut self.late_events);
                    completion(ending.clone(), carried)
                }
                Ended::Broken(failure) | Ended::Void(failure) => {
                    Completion::Failed { failure: failure.clone(), origin: Origin::Code }
                }
            };
            actions.push(Action { id, kind: ActionKind::Complete(completion) });
        }
        Outcome { actions, custom_status, retries }
    }

    fn feed_all(&mut self, events: &[Arc<HistoryEvent>]) {
        let signal = self.signal.clone();
        let _feeding = signal.feeding();
        for event in events {
            let index = self.position;
            self.position += 1;
            self.core.borrow_mut().history_len = self.position;
            if let Err(failure) = self.feed(index, event) {
                if event.id >= 0 {
                    self.parted.get_or_insert(event.id);
                }
                let failure = self.surplus.take().unwrap_or(failure);
                self.end(Ended::Void(failure));
            }
            self.poll();
        }
    }

    /// Takes in one event; an error is a mismatch of code and history.
    fn feed(&mut self, index: usize, event: &Arc<HistoryEvent>) -> Result<(), FailureDetails> {
        match self.ended {
            Some(Ended::Void(_)) => return Ok(()),
            Some(Ended::Broken(_)) => {
                self.meet_what_stands(index, event);
                return Ok(());
            }
            Some(Ended::Returned(_)) | None => {}
        }
        let core = &self.core;
        match event.kind() {
            EventKind::OrchestratorStarted(_) => {
                if self.ended.is_some() {
                    let sequence_id = core.borrow().sequence.next_id();
                    let failure = Mismatch::EndSurplus { sequence_id }.into_failure(index);
                    self.surplus.get_or_insert(failure);
                }
                let mut core = core.borrow_mut();
                core.now = core.now.max(event.timestamp);
            }
            EventKind::OrchestratorCompleted(_) => {
                let surplus = core.borrow_mut().sequence.set_surplus_aside(index);
                self.surplus = self.surplus.take().or(surplus);
            }
            EventKind::ExecutionStarted(started) => {
                let mut core = core.borrow_mut();
                core.started = Some(event.clone());
                core.now = core.now.max(event.timestamp);
                drop(core);
                self.start(started.input.clone());
            }
            EventKind::TaskScheduled(_)
            | EventKind::TimerCreated(_)
            | EventKind::SubOrchestrationCreated(_)
            | EventKind::EventSent(_)
            | EventKind::EntityOperationSignaled(_)
            | EventKind::EntityOperationCalled(_)
            | EventKind::EntityLockRequested(_)
            | EventKind::EntityUnlockSent(_) => core.borrow_mut().sequence.record(index, event)?,
            EventKind::TaskCompleted(e) => self.ended(e.task_id, Source::Activity, Ok(e.result.clone())),
            EventKind::SubOrchestrationCompleted(e) => {
                self.ended(e.task_id, Source::SubOrchestration, Ok(e.result.clone()));
            }
            EventKind::TimerFired(e) => self.ended(e.timer_id, Source::Timer, Ok(None)),
            EventKind::TaskFailed(e) => self.ended(e.task_id, Source::Activity, Err(e.failure.clone())),
            EventKind::SubOrchestrationFailed(e) => {
                self.ended(e.task_id, Source::SubOrchestration, Err(e.failure.clone()));
            }
            EventKind::EntityOperationCompleted(e) => {
                core.borrow_mut().sections.replied(e.task_id);
                self.ended(e.task_id, Source::Entity, Ok(e.output.clone()));
            }
            EventKind::EntityOperationFailed(e) => {
                core.borrow_mut().sections.replied(e.task_id);
                self.ended(e.task_id, Source::Entity, Err(e.failure.clone()));
            }
            EventKind::EntityLockGranted(e) => {
                let waker = core.borrow_mut().granted(e.task_id, &e.section_id);
                waker.into_iter().for_each(Waker::wake);
            }
            EventKind::EventRaised(raised) if !raised.undelivered => {
                if self.ended.is_some() {
                    self.late_events.push(event.clone());
                } else {
                    let mut core = core.borrow_mut();
                    let arrived = core.events.arrive(event.clone());
                    let waker = core.deliver(arrived);
                    drop(core);
                    waker.into_iter().for_each(Waker::wake);
                }
            }
            EventKind::ExecutionCompleted(e) => {
                let by_code = e.status() != RuntimeStatus::Terminated;
                if by_code && self.ended.is_none() {
                    return Err(Mismatch::EndMissing.into_failure(index));
                }
            }
            // The turn that saw it did what the code does in addition.
            EventKind::ExecutionRewound(_) => self.surplus = None,
            // A rewind leaves such a place-holder where it takes the record of an action out.
            EventKind::Generic(_) if event.id >= 0 => core.borrow_mut().sequence.record_dropped(event.id),
            // Suspension is the hub's business: it holds back what must wait.
            EventKind::EventRaised(_)
            | EventKind::ExecutionTerminated(_)
            | EventKind::ExecutionSuspended(_)
            | EventKind::ExecutionResumed(_)
            | EventKind::ContinueAsNew(_)
            | EventKind::Generic(_) => {}
        }
        Ok(())
    }

    /// Only after a rewind the code may do more than is recorded.
    fn refuse_surplus(&mut self) {
        if let Some(failure) = self.surplus.take() {
            self.end(Ended::Void(failure));
            self.core.borrow_mut().sequence.discard(self.after_past);
        }
    }

    /// The code broke a rule in the past and was rewound: what it did before is recorded, and must not be
    /// done again.
    fn meet_what_stands(&self, index: usize, event: &Arc<HistoryEvent>) {
        let sequence = &mut self.core.borrow_mut().sequence;
        match event.kind() {
            EventKind::TaskScheduled(_)
            | EventKind::TimerCreated(_)
            | EventKind::SubOrchestrationCreated(_)
            | EventKind::EventSent(_)
            | EventKind::EntityOperationSignaled(_)
            | EventKind::EntityOperationCalled(_)
            | EventKind::EntityLockRequested(_)
            | EventKind::EntityUnlockSent(_) => {
                // That the code is broken says enough.
                let _met = sequence.record(index, event);
            }
            EventKind::Generic(_) if event.id >= 0 => sequence.record_dropped(event.id),
            _ => {}
        }
    }

    /// What follows is decided here, before the code is polled: a task nobody polls goes on all the same.
    fn ended(&self, id: i32, source: Source, result: Result<Option<String>, FailureDetails>) {
        let asked = {
            let core = self.core.borrow();
            core.followed(id, source).map(|followed| (followed.asked(), core.now))
        };
        let next = match &asked {
            Some((asked, now)) => asked.next(*now, &result),
            None => Next::Return,
        };
        // Whatever owns user data is dropped without a borrow.
        let waker = self.core.borrow_mut().ended(id, source, result, next);
        waker.into_iter().for_each(Waker::wake);
    }

    fn start(&mut self, input: Option<String>) {
        match std::mem::replace(&mut self.code, Code::Gone) {
            Code::Unstarted(orchestrator) => {
                let context = ContextHandle { core: self.core.clone() };
                match catch_unwind(AssertUnwindSafe(|| orchestrator(context, input))) {
                    Ok(future) => self.code = Code::Running(future),
                    Err(payload) => self.end(self.broken_by(&*payload)),
                }
                self.signal.raise();
            }
            other => self.code = other,
        }
    }

    /// Polls the code until it asks for nothing more.
    fn poll(&mut self) {
        let mut idle = 0;
        while self.ended.is_none() && self.signal.take_woken() {
            let Code::Running(future) = &mut self.code else { return };
            let taken = self.core.borrow().sequence.taken();
            let mut cx = Context::from_waker(&self.waker);
            let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx)));
            match polled {
                Ok(Poll::Ready(ending)) => self.end(Ended::Returned(ending)),
                Ok(Poll::Pending) => {}
                Err(payload) => self.end(self.broken_by(&*payload)),
            }
            if self.ended.is_none() && self.signal.is_foreign() {
                self.end(Ended::Broken(violation::foreign_wake()));
            }
            idle = if self.core.borrow().sequence.taken() == taken { idle + 1 } else { 0 };
            if idle >= IDLE_POLLS_MAX && self.ended.is_none() {
                self.end(Ended::Broken(violation::restless(idle)));
            }
        }
        // A rule can be broken without the code running, by a retry.
        let violation = self.core.borrow_mut().violation.take();
        if let Some(failure) = violation {
            self.ended = None;
            self.end(ended_by(failure));
        }
    }

    fn broken_by(&self, payload: &(dyn std::any::Any + Send)) -> Ended {
        match self.core.borrow_mut().violation.take() {
            Some(failure) => ended_by(failure),
            None => Ended::Broken(violation::panicked(payload)),
        }
    }

    /// Ends the code for good. Its destructors run on a closed core: they have no effect.
    fn end(&mut self, ended: Ended) {
        self.ended = Some(ended);
        self.tear_down();
    }

    fn tear_down(&mut self) {
        let states = self.core.borrow_mut().close();
        let code = std::mem::replace(&mut self.code, Code::Gone);
        // A destructor that panics has nobody to tell: its orchestration is over or evicted.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            drop(code);
            drop(states);
        }));
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        self.tear_down();
    }
}

/// A turn that takes too many actions is void; the rest of what it did stands.
fn ended_by(failure: FailureDetails) -> Ended {
    if failure.error_type == violation::TOO_MANY_ACTIONS {
        Ended::Void(failure)
    } else {
        Ended::Broken(failure)
    }
}

fn completion(ending: Ending, carried: Vec<Arc<HistoryEvent>>) -> Completion {
    match ending {
        Ending::Completed(result) => Completion::Completed { result },
        Ending::Failed { failure, origin } => {
            Completion::Failed { failure, origin: origin.map_or(Origin::Code, Origin::Task) }
        }
        Ending::ContinuedAsNew { input, version, .. } => {
            let carryover = carried.into_iter().map(Arc::unwrap_or_clone).collect();
            Completion::ContinuedAsNew { input, version, carryover }
        }
    }
}
