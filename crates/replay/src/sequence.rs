//! The actions of a turn, and their match with what the history recorded.

use std::collections::VecDeque;

use strandline_model::{Action, ActionKind, EventKind, FailureDetails, HistoryEvent};

use crate::violation::Mismatch;

/// Hands out sequence ids and keeps what the code decided until it is recorded or returned.
#[derive(Default)]
pub(crate) struct Sequence {
    next_id: i32,
    /// Ids ascend; cancellations stand between them.
    pending: VecDeque<Action>,
    /// Actions whose record a rewind took out of the history, or that were never recorded: they are to be
    /// done.
    reissued: Vec<Action>,
}

impl Sequence {
    pub(crate) fn next_id(&self) -> i32 {
        self.next_id
    }

    /// How many ids are given out.
    pub(crate) fn taken(&self) -> usize {
        usize::try_from(self.next_id).unwrap_or(0)
    }

    pub(crate) fn push(&mut self, kind: ActionKind) -> i32 {
        let id = self.next_id;
        self.next_id += 1;
        self.pending.push_back(Action { id, kind });
        id
    }

    pub(crate) fn push_cancel(&mut self, target: i32) {
        self.pending.push_back(Action { id: -1, kind: ActionKind::Cancel { target } });
    }

    /// Meets a recorded action with the one the code produced.
    pub(crate) fn record(&mut self, index: usize, event: &HistoryEvent) -> Result<(), FailureDetails> {
        self.set_aside_below(event.id);
        let again = self.reissued.iter().position(|action| action.id == event.id);
        let action = match again {
            Some(at) => self.reissued.remove(at),
            None => match self.pending.pop_front_if(|action| action.id == event.id) {
                Some(action) => action,
                None => return Err(Mismatch::Missing { recorded: event }.into_failure(index)),
            },
        };
        if !is_same(event, &action) {
            let mismatch = Mismatch::Different { recorded: event, actual: &action };
            return Err(mismatch.into_failure(index));
        }
        Ok(())
    }

    /// A place-holder for an action whose record a rewind dropped.
    pub(crate) fn record_dropped(&mut self, id: i32) {
        self.set_aside_below(id);
        if self.pending.front().is_some_and(|action| action.id == id) {
            self.reissued.extend(self.pending.pop_front());
        }
    }

    /// Recorded ids ascend without holes unless a rewind took records out, so actions before `id`
    /// that the history passes over are not surplus: they are to be done again.
    fn set_aside_below(&mut self, id: i32) {
        while self.pending.front().is_some_and(|action| action.id < id) {
            self.reissued.extend(self.pending.pop_front());
        }
    }

    /// At the end of a recorded turn nothing should be left. What is left is to be done in the next turn,
    /// if the mismatch that is returned may be.
    pub(crate) fn set_surplus_aside(&mut self, index: usize) -> Option<FailureDetails> {
        let mismatch = Mismatch::Surplus { actual: self.pending.front()? }.into_failure(index);
        self.reissued.extend(self.pending.drain(..));
        Some(mismatch)
    }

    /// What a live turn decided, in order.
    pub(crate) fn take(&mut self) -> Vec<Action> {
        let mut actions = std::mem::take(&mut self.reissued);
        actions.extend(self.pending.drain(..));
        actions
    }

    /// Forgets what this turn decided.
    pub(crate) fn discard_undone(&mut self) {
        let undone = self.pending.iter().map(|action| action.id).find(|id| *id >= 0);
        self.discard(undone.unwrap_or(self.next_id));
    }

    /// Forgets what is not recorded.
    pub(crate) fn discard(&mut self, recorded: i32) {
        self.pending.clear();
        self.reissued.clear();
        self.next_id = recorded;
    }
}

/// Compared by kind and name only: inputs may be serialised anew, due times come from the clock.
fn is_same(event: &HistoryEvent, action: &Action) -> bool {
    match (event.kind(), &action.kind) {
        (EventKind::TaskScheduled(recorded), ActionKind::ScheduleTask { name, .. }) => {
            recorded.name.eq_ignore_ascii_case(name)
        }
        (EventKind::TimerCreated(_), ActionKind::CreateTimer { .. }) => true,
        (EventKind::SubOrchestrationCreated(recorded), ActionKind::CreateSubOrchestration { name, .. }) => {
            recorded.name.eq_ignore_ascii_case(name)
        }
        (EventKind::EventSent(recorded), ActionKind::SendEvent { name, .. }) => {
            recorded.name.eq_ignore_ascii_case(name)
        }
        (
            EventKind::EntityOperationSignaled(recorded),
            ActionKind::SignalEntity { target, operation, .. },
        ) => recorded.target == *target && recorded.operation.eq_ignore_ascii_case(operation),
        (EventKind::EntityOperationCalled(recorded), ActionKind::CallEntity { target, operation, .. }) => {
            recorded.target == *target && recorded.operation.eq_ignore_ascii_case(operation)
        }
        (EventKind::EntityLockRequested(recorded), ActionKind::LockEntities { lock_set, .. }) => {
            recorded.lock_set == *lock_set
        }
        (EventKind::EntityUnlockSent(recorded), ActionKind::UnlockEntity { target, .. }) => {
            recorded.target == *target
        }
        _ => false,
    }
}
