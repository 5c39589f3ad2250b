//! Driving partitions and workers: what the runtime's threads do, one step at a time.

use std::cell::Cell;
use std::rc::Rc;

use strandline_engine::dispatch::{Dispatcher, Item, Kind, Seat};
use strandline_engine::pipeline::{ActivityDispatch, Input, Intake, Release};
use strandline_hub::{Command, Refusal};
use strandline_model::{EventKind, ExecutionId, FailureDetails, TaskScheduled};
use strandline_store::{PartitionRef, Store, StoreError};

use crate::Violation;
use crate::auditor::{ActivityResult, Call, CallKind, CallState};
use crate::node::{Ticket, TurnDone};
use crate::world::{Work, World};

impl World {
    /// Drives one partition for a while, as far as chance has it.
    pub(crate) fn drive(&mut self) -> Result<(), Violation> {
        let Some(at) = self.somewhere() else { return Ok(()) };
        let wants = |world: &mut Self, n| !world.chance.one_in(n);
        if wants(self, 5) {
            self.decide(at)?;
        }
        let mut turns = if wants(self, 4) { self.chance.between(1, 6) } else { 0 };
        while turns > 0 && !self.broken && self.hand_out_turn(at)? {
            turns -= 1;
        }
        if !self.broken && wants(self, 3) {
            self.hand_over(at, false);
        }
        if !self.broken && wants(self, 3) {
            self.release(at)?;
        }
        Ok(())
    }

    /// Decides what is queued and due.
    pub(crate) fn decide(&mut self, at: PartitionRef) -> Result<(), Violation> {
        self.take_handovers(at);
        let now = self.now();
        self.doing = "decide";
        let intake = match self.intake(at) {
            Ok(intake) => intake,
            Err(error) => return self.store_failed(&error),
        };
        let Some(node) = &mut self.node else { return Ok(()) };
        let Some(pipeline) = node.pipelines.get_mut(&at) else { return Ok(()) };
        let result = pipeline.run(now, &*node.store, &intake);
        match result {
            Ok(()) => Ok(()),
            Err(error) => self.store_failed(&error),
        }
    }

    /// Makes room in the log before anything is decided; without room, new work is refused.
    fn intake(&mut self, at: PartitionRef) -> Result<Intake, StoreError> {
        let Some(node) = &self.node else { return Ok(Intake::Open) };
        if node.store.log_usage().untrimmed_bytes > self.knobs.log_refuse_above {
            return Ok(Intake::Refuse(Refusal::Overloaded("the log waits for the tables")));
        }
        let queued: usize = node.queue.iter().map(|b| b.records.len()).sum();
        let bytes = node.pipelines.get(&at).map_or(0, |p| p.queued_bytes()) + queued;
        match node.store.reserve(bytes as u64) {
            Ok(()) => Ok(Intake::Open),
            Err(StoreError::Full(what)) => Ok(Intake::Refuse(Refusal::StorageFull(what))),
            Err(error) => Err(error),
        }
    }

    /// Hands out one turn and runs it. Its outcome comes back at once, or stays out. False when there is
    /// none.
    pub(crate) fn hand_out_turn(&mut self, at: PartitionRef) -> Result<bool, Violation> {
        let now = self.now();
        self.doing = "decide";
        let Some(node) = &mut self.node else { return Ok(false) };
        let Some(pipeline) = node.pipelines.get_mut(&at) else { return Ok(false) };
        let worker = &mut self.worker;
        let holds = |id: &_, execution, seen| worker.holds(at.hub, id, execution, seen);
        let mut dispatcher = node.remote.get_mut(&at.hub).map(|remote| &mut remote.dispatcher);
        let places = node.places.entry(at).or_default();
        let mut refused = false;
        let mut may_begin = || {
            let granted = *places > 0;
            *places -= usize::from(granted);
            let seat = Seat(at.partition.into());
            let begins = |dispatcher: &mut &mut Dispatcher| dispatcher.begin_here(Kind::Orchestration, seat);
            refused = !granted && !dispatcher.as_mut().is_none_or(begins);
            !refused
        };
        let handed_out = match pipeline.next_turn(now, &*node.store, &holds, &mut may_begin) {
            Ok(Some(handed_out)) => handed_out,
            Ok(None) => {
                self.coverage.add("remote/no place here", u64::from(refused));
                let spare = if pipeline.has_turns() { 0 } else { std::mem::take(places) };
                return (0..spare).try_for_each(|_| self.turn_over(at.hub)).map(|()| false);
            }
            Err(error) => return self.store_failed(&error).map(|()| false),
        };
        self.coverage.add("pipeline/speculated", u64::from(!pipeline.is_durable()));
        let turn = handed_out.turn;
        let whole = pipeline.partition().instance(turn.instance.as_str()).map(|i| &i.history);
        let whole = whole.filter(|h| h.base() == 0).map(|h| h.in_memory());
        let outcome = worker.run(at.hub, &turn, whole, &mut self.coverage)?;
        if self.knobs.big && turn.past.as_ref().is_some_and(|past| !past.is_empty()) {
            let chunked = node.store.chunk(at, turn.execution, 0).is_ok_and(|chunk| chunk.is_some());
            self.coverage.add("pipeline/history replayed from chunks", u64::from(chunked));
        }
        self.trace.tell(|| {
            let (id, seen, new) = (&turn.instance, turn.seen, turn.new.len());
            let how = if turn.past.is_some() { "replayed" } else { "kept" };
            format!("{at:?} turn of {id} at {seen} with {new} new, {how}: {:?}", outcome.actions)
        });
        self.auditor.turn_ran(at, &turn, &outcome);
        let done = TurnDone { at, instance: turn.instance, token: handed_out.token, outcome };
        if self.chance.one_in(self.knobs.slow_turns) {
            self.coverage.hit("pipeline/turn kept out");
            node.turns.push(done);
            return Ok(true);
        }
        self.take_outcome(done);
        self.turn_over(at.hub)?;
        self.decide(at).map(|()| true)
    }

    fn take_outcome(&mut self, done: TurnDone) {
        let chance = &mut self.chance;
        if let Some(pipeline) = self.node.as_mut().and_then(|n| n.pipelines.get_mut(&done.at)) {
            pipeline.turn_finished(&done.instance, done.token, done.outcome, None, &mut || chance.wide());
        }
    }

    /// The outcome of a turn that was out comes back.
    pub(crate) fn return_turn(&mut self) -> Result<(), Violation> {
        let Some(node) = &mut self.node else { return Ok(()) };
        if node.turns.is_empty() {
            return Ok(());
        }
        let index = self.chance.index(node.turns.len());
        let done = node.turns.swap_remove(index);
        self.trace.tell(|| format!("{:?} the turn of {} comes back", done.at, done.instance));
        let hub = done.at.hub;
        self.take_outcome(done);
        self.turn_over(hub)
    }

    /// Closes the batch for the log, then lets its messages go: a message may be consumed before it is
    /// durable only because the receiver's batch is queued behind it.
    pub(crate) fn hand_over(&mut self, at: PartitionRef, force: bool) {
        let Some(node) = &mut self.node else { return };
        let Some(pipeline) = node.pipelines.get_mut(&at) else { return };
        if let Some(batch) = pipeline.take_batch(force) {
            self.trace.tell(|| {
                format!("{at:?} hands over batch {} of {} bytes", batch.position, batch.records.len())
            });
            node.queue.push_back(batch);
        }
        let (messages, acknowledgements) = pipeline.take_messages();
        for message in messages {
            node.messages.entry((at, message.to as u16)).or_default().push_back(message);
        }
        for (to, command) in acknowledgements {
            if let Some(sender) = node.pipelines.get_mut(&PartitionRef { partition: to, ..at }) {
                sender.submit(Input::Command { command, ticket: None });
            }
        }
    }

    /// A message between partitions arrives.
    pub(crate) fn deliver(&mut self) -> Result<(), Violation> {
        let Some(node) = &mut self.node else { return Ok(()) };
        if node.messages.is_empty() {
            return Ok(());
        }
        let index = self.chance.index(node.messages.len());
        let Some((from, to)) = node.messages.keys().nth(index).copied() else { return Ok(()) };
        let queue = node.messages.entry((from, to)).or_default();
        let message = queue.front().cloned();
        // Now and then one is repeated, as it is after a restart of the sender.
        if !self.chance.one_in(30) {
            queue.pop_front();
        }
        if queue.is_empty() {
            node.messages.remove(&(from, to));
        }
        let receiver = node.pipelines.get_mut(&PartitionRef { partition: to, ..from });
        if let (Some(message), Some(receiver)) = (message, receiver) {
            self.trace
                .tell(|| format!("message {} of {from:?} to {to}: {:?}", message.sequence, message.body));
            let (execution, seed) = (ExecutionId(self.chance.wide()), self.chance.next());
            let message = Box::new((*message).clone());
            let command = Command::Message { message, execution, seed };
            receiver.submit(Input::Command { command, ticket: None });
        }
        Ok(())
    }

    /// Carries out what may leave a partition.
    pub(crate) fn release(&mut self, at: PartitionRef) -> Result<(), Violation> {
        let Some(pipeline) = self.node.as_mut().and_then(|n| n.pipelines.get_mut(&at)) else { return Ok(()) };
        for release in pipeline.take_releases() {
            match release {
                Release::Answer(ticket, answer) => {
                    if !ticket.abandoned.get() {
                        self.trace.tell(|| format!("call {} is answered {answer:?}", ticket.call));
                        self.auditor.answered(ticket.call, &answer)?;
                    }
                }
                Release::Activity(dispatch) => {
                    self.trace.tell(|| format!("activity {} of {}", dispatch.task_id, dispatch.instance));
                    self.auditor.dispatched(&dispatch)?;
                    if self.runs_here(&scheduled(&dispatch)?.name) {
                        self.take_activity(dispatch);
                    } else {
                        self.offer(at.hub, Item::Activity(dispatch))?;
                    }
                }
                Release::Entity(dispatch) => self.take_batch_of_entity(dispatch)?,
                Release::Claimed(claimed) => self.claimed(at, claimed)?,
                Release::CancelActivity { instance, execution, task_id } => {
                    let before = self.activities.len();
                    if self.chance.one_in(2) {
                        self.cancel_work(|w| {
                            w.instance == instance && w.execution == execution && w.task_id == task_id
                        });
                    }
                    self.coverage.add("activity/cancelled", (before - self.activities.len()) as u64);
                }
                Release::Ended { execution, .. } => self.execution_ended(execution),
                // Nobody watches.
                Release::Fact(_) => {}
                Release::Killed { instance, execution } => {
                    self.execution_ended(execution);
                    self.killed_elsewhere(at.hub, &instance, execution)?;
                }
            }
        }
        self.offer_all(at)
    }

    /// Whoever runs its activities may stop, or may not have heard.
    fn execution_ended(&mut self, execution: ExecutionId) {
        if self.chance.one_in(2) {
            self.activities.retain(|w| w.dispatch.execution != execution);
        }
    }

    pub(crate) fn take_activity(&mut self, dispatch: ActivityDispatch) {
        self.activities.push(Work { dispatch, reports: 0, survived: false });
    }

    /// A worker that is asked to stop reports a failure, or whatever it had.
    fn cancel_work(&mut self, hit: impl Fn(&ActivityDispatch) -> bool) {
        let (cancelled, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.activities).into_iter().partition(|w| hit(&w.dispatch));
        self.activities = rest;
        for work in cancelled {
            let result = Err(FailureDetails::new("Cancelled", format!("asked to stop, {}", self.tokens)));
            self.report_result(&work.dispatch, result);
        }
    }

    /// A worker runs an activity and reports; it may report again later, or never have been needed.
    pub(crate) fn work(&mut self) -> Result<(), Violation> {
        if self.activities.is_empty() || self.node.is_none() {
            return Ok(());
        }
        let index = self.chance.index(self.activities.len());
        let mut work = self.activities.swap_remove(index);
        let result = self.run_activity(&work.dispatch)?;
        self.coverage.add("activity/survived a crash", u64::from(work.survived));
        self.coverage.add("activity/delivered twice", u64::from(work.reports > 0));
        self.report_result(&work.dispatch, result);
        work.reports += 1;
        if work.reports < 4 && self.chance.one_in(2) {
            self.activities.push(work);
        }
        Ok(())
    }

    pub(crate) fn run_activity(&mut self, dispatch: &ActivityDispatch) -> Result<ActivityResult, Violation> {
        let token = self.token();
        let scheduled = scheduled(dispatch)?;
        let text = format!("{token} {}", scheduled.input.as_deref().unwrap_or_default());
        let fails = match scheduled.name.as_str() {
            "fail" | "fatal" => true,
            "flaky" => self.chance.one_in(2),
            _ => false,
        };
        self.coverage.hit("activity/run");
        Ok(if fails {
            let failure = FailureDetails::new("Scripted", text);
            Err(if scheduled.name == "fatal" { failure.non_retriable() } else { failure })
        } else if scheduled.name == "nothing" {
            Ok(None)
        } else {
            Ok(Some(text))
        })
    }

    pub(crate) fn report_result(&mut self, dispatch: &ActivityDispatch, result: ActivityResult) {
        let (at, id, execution, task_id) =
            (dispatch.at, dispatch.instance.clone(), dispatch.execution, dispatch.task_id);
        self.trace.tell(|| format!("{at:?} result of {task_id} of {id} ({execution}): {result:?}"));
        self.auditor.reported(execution, task_id, result.clone());
        let current = self.auditor.reference.instance(at, &id);
        let late = current.is_none_or(|known| known.execution != execution || known.is_over());
        self.coverage.add("activity/late", u64::from(late));
        let command =
            Command::ActivityFinished { id: id.clone(), execution, task_id, result: result.clone() };
        let ticket = self.chance.one_in(2).then(|| {
            let kind = CallKind::Activity { execution, task_id, result };
            let since = self.auditor.reference.version(at, &id);
            let call = Call { at, id, kind, since, state: CallState::Open, recorded: None };
            Ticket { call: self.auditor.calls.open(call), abandoned: Rc::new(Cell::new(false)) }
        });
        if let Some(pipeline) = self.node.as_mut().and_then(|n| n.pipelines.get_mut(&at)) {
            pipeline.submit(Input::Command { command, ticket });
        }
    }
}

fn scheduled(dispatch: &ActivityDispatch) -> Result<&TaskScheduled, Violation> {
    match dispatch.scheduled.kind() {
        EventKind::TaskScheduled(scheduled) => Ok(scheduled),
        other => Err(format!("an activity is scheduled by {}", other.name())),
    }
}
