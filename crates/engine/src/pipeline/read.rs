//! Reads: commands without records. Their answers leave when the position they saw is durable.

use std::sync::Arc;

use strandline_hub::query::Overlay;
use strandline_hub::{EntityStatus, InstanceStatus, Reply};
use strandline_model::{ExecutionId, HistoryEvent, InstanceId, RuntimeStatus};
use strandline_store::{PartitionRef, Store, StoreError};

use super::{EntityStanding, Pipeline, Standing, Ticket};

/// What somebody wants to know of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    Status,
    /// Its status once it is no longer pending; waits for an instance that does not exist yet.
    Started,
    /// Its status once it is over; survives continue-as-new.
    Ended,
    /// What is known of an entity.
    Entity,
    /// What an instance, or an entity, is about.
    Standing,
    /// Part of its history.
    History {
        /// The number of the first event, from 0.
        from: usize,
        max: usize,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Reply(Reply),
    /// `None`: there is no such instance.
    Status(Option<Box<InstanceStatus>>),
    History(Option<HistoryPage>),
    /// `None`: there is nothing of this entity.
    Entity(Option<Box<EntityStatus>>),
    /// `None`: there is no such instance.
    Standing(Option<Box<Standing>>),
    /// `None`: there is nothing of this entity.
    EntityStanding(Option<Box<EntityStanding>>),
    Overlay(Overlay),
    EntityOverlay(Overlay<EntityStatus>),
}

/// Consecutive events of an execution.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryPage {
    pub execution: ExecutionId,
    /// Events in the whole history.
    pub total: usize,
    pub events: Vec<Arc<HistoryEvent>>,
}

pub(super) struct Waiter<T> {
    until: Read,
    ticket: T,
}

impl<T: Ticket> Pipeline<T> {
    pub(super) fn read(
        &mut self,
        id: InstanceId,
        read: Read,
        ticket: T,
        store: &dyn Store,
    ) -> Result<(), StoreError> {
        self.load(&id, store)?;
        let answer = match read {
            Read::Status => Answer::Status(self.snapshot(&id)),
            Read::History { from, max } => Answer::History(self.history_page(&id, from, max, store)?),
            Read::Entity => Answer::Entity(self.entity_status(&id)),
            Read::Standing if id.is_entity() => Answer::EntityStanding(self.entity_standing(&id)),
            Read::Standing => Answer::Standing(self.standing(&id)),
            // An entity never starts nor ends: nobody would ever be woken.
            Read::Started | Read::Ended if id.is_entity() => Answer::Status(None),
            Read::Started | Read::Ended => match self.snapshot(&id).filter(|s| satisfies(s, read)) {
                Some(status) => Answer::Status(Some(status)),
                None => {
                    let waiters = self.waiters.entry_or_default(id);
                    waiters.retain(|w| !w.ticket.is_abandoned());
                    waiters.push(Waiter { until: read, ticket });
                    return Ok(());
                }
            },
        };
        self.answer(ticket, answer);
        Ok(())
    }

    fn snapshot(&self, id: &InstanceId) -> Option<Box<InstanceStatus>> {
        self.partition.instance(id.as_str()).map(|i| Box::new(i.snapshot()))
    }

    /// Answers those who waited for what an instance has become.
    pub(super) fn wake_waiters(&mut self, id: &InstanceId) {
        if self.waiters.is_empty() || !self.waiters.contains(id) {
            return;
        }
        let Some(status) = self.snapshot(id) else { return };
        let Some(waiters) = self.waiters.remove(id) else { return };
        let (done, still): (Vec<_>, Vec<_>) = waiters.into_iter().partition(|w| satisfies(&status, w.until));
        if !still.is_empty() {
            self.waiters.insert(id.clone(), still);
        }
        for waiter in done {
            self.answer(waiter.ticket, Answer::Status(Some(status.clone())));
        }
    }

    fn history_page(
        &mut self,
        id: &InstanceId,
        from: usize,
        max: usize,
        store: &dyn Store,
    ) -> Result<Option<HistoryPage>, StoreError> {
        let Some(instance) = self.partition.instance(id.as_str()) else { return Ok(None) };
        let history = &instance.history;
        let execution = instance.execution;
        let to = history.len().min(from.saturating_add(max));
        let stored = from.min(history.base())..to.min(history.base());
        let mut events = self.chunk_starts.read(store, self.at, execution, stored.start, stored.end)?;
        let rest = history.since(from.max(history.base())).iter();
        events.extend(rest.take(to.saturating_sub(from.max(history.base()))).cloned());
        Ok(Some(HistoryPage { execution: instance.execution, total: history.len(), events }))
    }
}

fn satisfies(status: &InstanceStatus, until: Read) -> bool {
    match until {
        Read::Started => status.status != RuntimeStatus::Pending,
        Read::Ended => status.status.is_terminal(),
        Read::Status | Read::Entity | Read::Standing | Read::History { .. } => true,
    }
}

/// Where the chunks of one execution begin, as far as they were read: who reads a long history page by page
/// does not begin at its beginning each time.
#[derive(Debug, Default)]
pub(super) struct ChunkStarts {
    execution: ExecutionId,
    /// The number of the first event of each chunk, and of the one after the last that was read.
    starts: Vec<usize>,
}

impl ChunkStarts {
    /// Events `from..to` of an execution, all of them in chunk rows.
    pub(super) fn read(
        &mut self,
        store: &dyn Store,
        at: PartitionRef,
        execution: ExecutionId,
        from: usize,
        to: usize,
    ) -> Result<Vec<Arc<HistoryEvent>>, StoreError> {
        if self.execution != execution || self.starts.is_empty() {
            *self = Self { execution, starts: vec![0] };
        }
        let mut events = Vec::new();
        let mut number = self.starts.partition_point(|start| *start <= from) - 1;
        let mut index = self.starts[number];
        while from < to && index < to {
            let Some(chunk) = store.chunk(at, execution, number as u32)? else {
                let reason = format!("chunk {number} of execution {execution} is missing");
                return Err(StoreError::Corrupt { file: "tables".to_owned(), offset: 0, reason });
            };
            for event in chunk.events {
                if (from..to).contains(&index) {
                    events.push(Arc::new(event));
                }
                index += 1;
            }
            number += 1;
            if number == self.starts.len() {
                self.starts.push(index);
            }
        }
        Ok(events)
    }
}
