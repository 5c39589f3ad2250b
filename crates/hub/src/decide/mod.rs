//! What a command means, given the state. Total: a refusal is a reply, never an error.

mod control;
mod entity;
mod message;
mod rewind;
mod start;
mod task;
mod turn;

use std::sync::Arc;

use strandline_model::limits::{NAME_BYTES_MAX, PAYLOAD_BYTES_MAX, REASON_BYTES_MAX};
use strandline_model::{ExecutionId, HistoryEvent, InstanceId, Timestamp};

pub(crate) use rewind::result_of;

use crate::command::Command;
use crate::partition::Partition;
use crate::record::{Acknowledged, Record};
use crate::reply::{Refusal, Reply};

/// What a command leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Applied in order, and logged.
    pub records: Vec<Record>,
    /// Carried out once the records are durable, as is the reply.
    pub effects: Vec<Effect>,
    pub reply: Reply,
    /// Input dropped by a rule, for the counters.
    pub discarded: Option<Discard>,
}

/// Something the shell does once the records are durable. Messages to other partitions stand in the
/// outbox and are not repeated here.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Hand out an activity. What it is stands in the instance's history, or in `scheduled` when the turn
    /// that scheduled it also continued as new.
    Activity { id: InstanceId, execution: ExecutionId, task_id: i32, scheduled: Option<Arc<HistoryEvent>> },
    /// The result of an activity is no longer wanted.
    CancelActivity { id: InstanceId, execution: ExecutionId, task_id: i32 },
    /// An execution came to its own end: nobody waits for its tasks any more.
    Ended { id: InstanceId, execution: ExecutionId },
    /// An execution was ended from outside: what it scheduled and did not begin should not begin.
    Killed { id: InstanceId, execution: ExecutionId },
}

/// The rules by which input is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Discard {
    /// A turn's result that does not fit the instance any more.
    StaleTurn,
    /// A result for a task that has one, or whose execution is over.
    LateResult,
    /// A message to an instance that does not exist.
    UnknownTarget,
    /// A message to an instance that is over, or to an older execution.
    TargetOver,
    /// A message taken before.
    DuplicateMessage,
    /// A timer that is no longer open.
    LateTimer,
    /// An entity sent or started something that can't be.
    InvalidAction,
    /// An entity started an orchestration under an id that is taken.
    IdTaken,
}

impl Decision {
    fn new(records: Vec<Record>, reply: Reply) -> Self {
        Self { records, effects: Vec::new(), reply, discarded: None }
    }

    fn refuse(refusal: Refusal) -> Self {
        Self::new(Vec::new(), Reply::Refused(refusal))
    }

    fn discard(reason: Discard, why: &'static str) -> Self {
        Self { discarded: Some(reason), ..Self::refuse(Refusal::Stale(why)) }
    }

    fn with(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }
}

/// Decides what `command` means at `now`. The instances it touches must be loaded.
pub fn decide(state: &Partition, now: Timestamp, command: Command) -> Decision {
    match command {
        Command::Start(start) => start::start(state, now, *start),
        Command::RaiseEvent { id, name, input } => control::raise_event(state, now, &id, name, input),
        Command::Terminate { id, reason, recursive } => {
            control::terminate(state, now, &id, reason, recursive)
        }
        Command::Suspend { id, reason } => control::suspend(state, now, &id, reason),
        Command::Resume { id, reason } => control::resume(state, now, &id, reason),
        Command::Rewind { id, reason, execution } => rewind::rewind(state, now, &id, reason, execution),
        Command::Purge { id, execution } => control::purge(state, &id, execution),
        Command::SignalEntity { id, operation } => entity::signal(state, now, &id, operation),
        Command::ReleaseLock { id, owner } => entity::release_lock(state, &id, owner),
        Command::PurgeEntity { id } => entity::purge(state, now, &id),
        Command::EntityFinished(batch) => entity::finished(state, now, *batch),
        Command::TurnFinished(turn) => turn::turn_finished(state, *turn),
        Command::ActivityFinished { id, execution, task_id, result } => {
            task::activity_finished(state, now, &id, execution, task_id, result)
        }
        Command::TimersDue(timers) => task::timers_due(state, now, timers),
        Command::Message { message, execution, seed } => {
            message::message(state, now, *message, execution, seed)
        }
        Command::Acknowledged { by, sequence } => {
            let waiting = state.outbox(by, 0).next().is_some_and(|m| m.sequence <= sequence);
            let record = Record::Acknowledged(Acknowledged { by: u32::from(by), sequence });
            Decision::new(if waiting { vec![record] } else { Vec::new() }, Reply::Accepted)
        }
    }
}

fn check_payload(field: &'static str, payload: Option<&String>) -> Result<(), Refusal> {
    check_length(field, payload.map_or(0, String::len), PAYLOAD_BYTES_MAX)
}

fn check_reason(reason: Option<&String>) -> Result<(), Refusal> {
    check_length("reason", reason.map_or(0, String::len), REASON_BYTES_MAX)
}

fn check_name(field: &'static str, name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(Refusal::Invalid { field, problem: "is empty".to_owned() });
    }
    check_length(field, name.len(), NAME_BYTES_MAX)
}

fn check_length(field: &'static str, bytes: usize, limit: usize) -> Result<(), Refusal> {
    if bytes > limit { Err(Refusal::TooLarge { field, bytes, limit }) } else { Ok(()) }
}
