//! The worker: runs orchestrators through the real replay core and keeps the suspended ones.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use strandline_engine::worker::{Turn, TurnOutcome};
use strandline_model::{
    ActionKind, Completion, EventKind, ExecutionId, FailureDetails, HistoryEvent, InstanceId,
};
use strandline_replay::{Execution, Identity, NON_DETERMINISM};

use crate::Violation;
use crate::chance::Chance;
use crate::coverage::Coverage;
use crate::program::{End, Program};
use crate::script::{Notes, SCRIPTED_PANIC, Surroundings, run};

pub(crate) struct Worker {
    held: BTreeMap<(u32, InstanceId), Held>,
    version: Rc<Cell<u64>>,
    ids: Rc<[String]>,
    actions_max: usize,
}

/// A suspended orchestrator.
struct Held {
    id: ExecutionId,
    execution: Execution,
    notes: Rc<RefCell<Notes>>,
    /// Raised events that reached the code, in order: name (folded) and input.
    arrived: Vec<(String, Option<String>)>,
}

impl Worker {
    pub(crate) fn new(ids: Rc<[String]>, actions_max: usize) -> Self {
        Self { held: BTreeMap::new(), version: Rc::default(), ids, actions_max }
    }

    pub(crate) fn holds(&self, hub: u32, id: &InstanceId, execution: ExecutionId, seen: usize) -> bool {
        let held = self.held.get(&(hub, id.clone()));
        held.is_some_and(|h| h.id == execution && !h.execution.is_over() && h.execution.seen() == seen)
    }

    /// Forgets everything, as a process that ends does.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
    }

    /// Drops one suspended orchestrator.
    pub(crate) fn evict(&mut self, chance: &mut Chance, coverage: &mut Coverage) {
        if self.held.is_empty() {
            return;
        }
        let index = chance.index(self.held.len());
        if let Some(key) = self.held.keys().nth(index).cloned() {
            self.held.remove(&key);
            coverage.hit("worker/evicted");
        }
    }

    /// Another version of the code from now on; suspended orchestrators go on with the old one.
    pub(crate) fn deploy(&mut self) {
        self.version.set(self.version.get() + 1);
    }

    /// Runs a turn. `history` is the whole history before the turn, when it is at hand: then the turn is
    /// run a second time on an execution rebuilt from it, and both must agree.
    pub(crate) fn run(
        &mut self,
        hub: u32,
        turn: &Turn,
        history: Option<&[Arc<HistoryEvent>]>,
        coverage: &mut Coverage,
    ) -> Result<TurnOutcome, Violation> {
        let key = (hub, turn.instance.clone());
        let kept = self.held.remove(&key);
        let sticky = turn.past.is_none();
        let mut held = match (&turn.past, kept) {
            (None, Some(held)) => held,
            (None, None) => return Err(format!("turn of {} without its past", turn.instance)),
            (Some(past), _) => self.build(turn, past),
        };
        held.note_arrivals(&turn.new);
        let outcome = held.execution.turn(&turn.new);
        if sticky
            && let Some(history) = history
            && !held.notes.borrow().drifts
        {
            coverage.hit("worker/shadow replay");
            let mut rebuilt = self.build(turn, history);
            let again = rebuilt.execution.turn(&turn.new);
            if again != outcome {
                return Err(format!(
                    "{}: the kept orchestrator decided {outcome:?}, the replayed one {again:?}",
                    turn.instance
                ));
            }
        }
        held.check(turn, &outcome.actions, coverage)?;
        if !held.execution.is_over() {
            self.held.insert(key, held);
        }
        Ok(TurnOutcome {
            actions: outcome.actions,
            custom_status: outcome.custom_status,
            ..TurnOutcome::default()
        })
    }

    /// Runs a turn that comes with its past, and keeps nothing.
    pub(crate) fn run_whole(&self, turn: &Turn, coverage: &mut Coverage) -> Result<TurnOutcome, Violation> {
        let past = turn.past.as_deref().unwrap_or_default();
        let mut held = self.build(turn, past);
        held.note_arrivals(&turn.new);
        let outcome = held.execution.turn(&turn.new);
        held.check(turn, &outcome.actions, coverage)?;
        Ok(TurnOutcome {
            actions: outcome.actions,
            custom_status: outcome.custom_status,
            ..TurnOutcome::default()
        })
    }

    fn build(&self, turn: &Turn, past: &[Arc<HistoryEvent>]) -> Held {
        let notes = Rc::new(RefCell::new(Notes::default()));
        let around =
            Surroundings { notes: notes.clone(), version: self.version.clone(), ids: self.ids.clone() };
        let identity = Identity {
            instance: turn.instance.clone(),
            execution: turn.execution,
            actions_max: self.actions_max,
        };
        let code = Box::new(move |ctx, input| -> std::pin::Pin<Box<dyn Future<Output = _>>> {
            Box::pin(run(ctx, input, around))
        });
        let mut execution = Execution::new(identity, code);
        execution.replay(past);
        let mut held = Held { id: turn.execution, execution, notes, arrived: Vec::new() };
        held.note_arrivals(past);
        held
    }
}

impl Held {
    fn note_arrivals(&mut self, events: &[Arc<HistoryEvent>]) {
        for event in events {
            if let EventKind::EventRaised(raised) = event.kind() {
                self.arrived.push((raised.name.to_ascii_lowercase(), raised.input.clone()));
            }
        }
    }

    /// What only the code's side can tell: events are served in the order of their arrival, what was not
    /// consumed moves on, and nothing but a change of the code breaks determinism.
    fn check(
        &self,
        turn: &Turn,
        actions: &[strandline_model::Action],
        coverage: &mut Coverage,
    ) -> Result<(), Violation> {
        let notes = self.notes.borrow();
        let mut unconsumed: VecDeque<&(String, Option<String>)> = self.arrived.iter().collect();
        for event in &notes.consumed {
            let first = unconsumed.iter().position(|(name, _)| *name == event.0);
            if first.is_none_or(|at| unconsumed.remove(at) != Some(event)) {
                return Err(format!(
                    "{}: a wait got the event {event:?} out of turn; arrived: {:?}, consumed: {:?}",
                    turn.instance, self.arrived, notes.consumed
                ));
            }
        }
        coverage.add("code/retry policy", notes.retried);
        coverage.add("code/critical section", notes.sections);
        if !notes.consumed.is_empty() {
            coverage.hit("event/consumed");
        }
        // Code that learnt of a failure late did things because of it that a rewind can't tell from others.
        if matches!(actions, [action] if matches!(action.kind, ActionKind::Part { .. })) {
            return Ok(());
        }
        if let Some(violation) = self.execution.violation() {
            return self.check_violation(turn, violation, notes.drifts, coverage);
        }
        match actions.last().map(|a| &a.kind) {
            Some(ActionKind::Complete(Completion::ContinuedAsNew { carryover, .. })) => {
                self.check_carryover(turn, carryover, &unconsumed, coverage)
            }
            _ => Ok(()),
        }
    }

    fn check_violation(
        &self,
        turn: &Turn,
        failure: &FailureDetails,
        drifts: bool,
        coverage: &mut Coverage,
    ) -> Result<(), Violation> {
        use strandline_replay::{NON_DURABLE_AWAIT, PANIC, TOO_MANY_ACTIONS};
        match failure.error_type.as_str() {
            NON_DETERMINISM => {
                coverage.hit("code/non-determinism");
                if !drifts {
                    return Err(format!("{}: replay of unchanged code failed: {failure}", turn.instance));
                }
            }
            NON_DURABLE_AWAIT => coverage.hit("code/awaits nothing durable"),
            PANIC if failure.message != SCRIPTED_PANIC => {
                return Err(format!("{}: the code found something wrong: {failure}", turn.instance));
            }
            PANIC => coverage.hit("code/panic"),
            TOO_MANY_ACTIONS => coverage.hit("code/too many actions"),
            _ => {}
        }
        Ok(())
    }

    fn check_carryover(
        &self,
        turn: &Turn,
        carryover: &[HistoryEvent],
        unconsumed: &VecDeque<&(String, Option<String>)>,
        coverage: &mut Coverage,
    ) -> Result<(), Violation> {
        let notes = self.notes.borrow();
        let keeps = matches!(
            Program::of(notes.input.as_deref().unwrap_or_default()).end,
            End::ContinueAsNew { drop_events: false, .. }
        );
        if !keeps {
            coverage.add("event/dropped at continue as new", (unconsumed.len() > carryover.len()) as u64);
            return Ok(());
        }
        let carried = carryover.iter().map(|event| match event.kind() {
            EventKind::EventRaised(raised) => (raised.name.to_ascii_lowercase(), raised.input.clone()),
            other => (format!("not an event: {}", other.name()), None),
        });
        if !carried.eq(unconsumed.iter().map(|e| (*e).clone())) {
            return Err(format!(
                "{}: {carryover:?} is carried over instead of {unconsumed:?}",
                turn.instance
            ));
        }
        coverage.add("event/carried over", carryover.len() as u64);
        Ok(())
    }
}
