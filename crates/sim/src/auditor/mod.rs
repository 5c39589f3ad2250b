//! The auditor: a reference model and everything that is checked against it.
//!
//! It learns of a batch when the store calls it durable and applies its records to the reference
//! (`records`, `messages`, `turns`, `entities`, `sections`, `rewind`), where each record must be allowed: caused by exactly one call,
//! message, result, timer or turn. Answers to clients must fit a durable version of the instance between
//! call and answer (`replies`). What is out to workers elsewhere is checked by `leases`. What a node holds in memory or finds after a crash must equal the
//! reference (`compare`), and histories read through the client must be well formed (`history`).

mod calls;
mod compare;
mod entities;
mod entity;
mod history;
mod leases;
mod lists;
mod messages;
mod records;
mod reference;
mod replies;
mod rewind;
mod sections;
mod turns;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use strandline_engine::pipeline::ActivityDispatch;
use strandline_engine::worker::{Turn, TurnOutcome};
use strandline_model::{EventKind, ExecutionId, HistoryEvent, InstanceId, Timestamp};
use strandline_store::{Batch, PartitionRef, Recovered};

use crate::Violation;
use crate::coverage::Coverage;

pub(crate) use calls::{ActivityResult, Call, CallKind, CallState, Calls};
pub(crate) use entity::Item;
pub(crate) use leases::{POISON, Return};
pub(crate) use reference::{Known, Reference, Task};
pub(crate) use sections::Place;

#[derive(Default)]
pub(crate) struct Auditor {
    pub(crate) calls: Calls,
    pub(crate) reference: Reference,
    pub(crate) coverage: Coverage,
    /// Turns that ran, by where they began; a turn may run again after a crash.
    turns: BTreeMap<(PartitionRef, InstanceId, ExecutionId, usize), RanTurn>,
    /// Results that workers reported.
    results: BTreeMap<(ExecutionId, i32), Vec<ActivityResult>>,
    /// The execution whose history holds, or will hold, an accepted event; by its input.
    homes: BTreeMap<String, ExecutionId>,
    /// Execution ids seen: none is used twice.
    executions: BTreeSet<ExecutionId>,
    /// Batches of an append whose outcome is unknown, in their order in the log.
    in_doubt: VecDeque<Batch>,
    /// What entities did.
    works: entities::Works,
    leases: leases::Leases,
    /// Activities that were done before a rewind: they are not done again.
    kept: BTreeSet<(ExecutionId, i32)>,
    /// Ids shared by everyone.
    ids: Rc<[String]>,
    /// Engine time as the simulator has it: nothing is decided later than this.
    pub(crate) now: Timestamp,
}

struct RanTurn {
    new: Vec<HistoryEvent>,
    outcome: TurnOutcome,
}

impl Auditor {
    pub(crate) fn new(ids: Rc<[String]>) -> Self {
        Self { ids, ..Self::default() }
    }

    /// A turn was run on a worker; its outcome may be committed or not.
    pub(crate) fn turn_ran(&mut self, at: PartitionRef, turn: &Turn, outcome: &TurnOutcome) {
        let key = (at, turn.instance.clone(), turn.execution, turn.seen);
        let new = turn.new.iter().map(|e| HistoryEvent::clone(e)).collect();
        self.turns.insert(key, RanTurn { new, outcome: outcome.clone() });
    }

    /// An activity leaves for a worker: what scheduled it must be durable.
    pub(crate) fn dispatched(&self, work: &ActivityDispatch) -> Result<(), Violation> {
        if self.kept.contains(&(work.execution, work.task_id)) {
            return Err(format!("activity {} of {} was done before the rewind", work.task_id, work.instance));
        }
        let history = self.reference.history(work.execution);
        if history.iter().any(|e| e == &*work.scheduled && e.id == work.task_id) {
            return Ok(());
        }
        Err(format!(
            "activity {} of {} is handed out before it is durably scheduled",
            work.task_id, work.instance
        ))
    }

    /// A worker is about to report a result.
    pub(crate) fn reported(&mut self, execution: ExecutionId, task_id: i32, result: ActivityResult) {
        self.results.entry((execution, task_id)).or_default().push(result);
    }

    /// An append failed: its batches may be there or not.
    pub(crate) fn doubt(&mut self, group: &[Batch]) {
        self.in_doubt.extend(group.iter().cloned());
    }

    /// What a node found of all partitions when it took them over. Whatever was in doubt is decided now.
    pub(crate) fn recovered(&mut self, found: &[(PartitionRef, Recovered)]) -> Result<(), Violation> {
        let last: BTreeMap<PartitionRef, u64> = found
            .iter()
            .map(|(at, r)| (*at, r.row.as_ref().map_or(0, |row| row.position) + r.tail.len() as u64))
            .collect();
        self.batches_lost();
        self.leases_lost();
        let doubtful = std::mem::take(&mut self.in_doubt);
        let (mut kept, mut lost) = (0, 0);
        for batch in doubtful {
            if last.get(&batch.at).is_some_and(|last| *last >= batch.position) {
                if lost > 0 {
                    return Err(format!(
                        "batch {} of {:?} survived although one before it in the log did not",
                        batch.position, batch.at
                    ));
                }
                kept += 1;
                self.durable(&batch)?;
            } else {
                lost += 1;
            }
        }
        self.coverage.add("log/unacknowledged kept", kept);
        self.coverage.add("log/unacknowledged lost", lost);
        self.coverage.add("log/group torn", u64::from(kept > 0 && lost > 0));
        for (at, recovered) in found {
            self.check_recovered(*at, recovered)?;
        }
        self.coverage.add("call/outcome unknown", self.calls.lose_all());
        Ok(())
    }

    fn check_recovered(&mut self, at: PartitionRef, found: &Recovered) -> Result<(), Violation> {
        let books = self.reference.partitions.entry(at).or_default();
        let flushed = found.row.as_ref().map_or(0, |r| r.position);
        let last = flushed + found.tail.len() as u64;
        if last != books.position {
            return Err(format!("{at:?}: recovered up to batch {last}, durable were {}", books.position));
        }
        if found.epoch <= books.epoch {
            return Err(format!("{at:?}: epoch {} does not follow {}", found.epoch, books.epoch));
        }
        books.epoch = found.epoch;
        self.coverage.add("log/tail recovered", u64::from(!found.tail.is_empty()));
        Ok(())
    }

    /// Each accepted event is, exactly once, in the history or the inbox of the execution it belongs to.
    pub(crate) fn check_events(&self) -> Result<(), Violation> {
        let mut counts: BTreeMap<(ExecutionId, &str), usize> = BTreeMap::new();
        let mut current = BTreeSet::new();
        for (_, _, known) in self.reference.known() {
            current.insert(known.execution);
            let history = self.reference.history(known.execution).iter();
            for event in history.chain(&known.inbox) {
                if let EventKind::EventRaised(raised) = event.kind()
                    && let Some(input) = &raised.input
                {
                    *counts.entry((known.execution, input)).or_default() += 1;
                }
            }
        }
        for (input, home) in self.homes.iter().filter(|(_, home)| current.contains(home)) {
            match counts.get(&(*home, input.as_str())) {
                Some(1) => {}
                count => return Err(format!("accepted event {input} is {count:?} times in {home}")),
            }
        }
        Ok(())
    }
}
