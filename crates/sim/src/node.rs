//! A node: a store, the pipelines of its partitions, and everything on its way between them.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use strandline_engine::pipeline::{self, EntityDispatch, PendingFlush, Pipeline};
use strandline_engine::worker::TurnOutcome;
use strandline_hub::message::Message;
use strandline_hub::row::PartitionRows;
use strandline_model::InstanceId;
use strandline_store::{Batch, PartitionRef};
use strandline_store_local::LocalStore;

use crate::remote::{Handover, Remote};

/// Who waits for an answer.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) call: usize,
    pub(crate) abandoned: Rc<Cell<bool>>,
}

impl pipeline::Ticket for Ticket {
    fn is_abandoned(&self) -> bool {
        self.abandoned.get()
    }
}

/// The outcome of a turn on its way back.
pub(crate) struct TurnDone {
    pub(crate) at: PartitionRef,
    pub(crate) instance: InstanceId,
    pub(crate) token: u64,
    pub(crate) outcome: TurnOutcome,
}

/// What a flush writes of one partition.
pub(crate) enum Flushing {
    Captured(PendingFlush),
    Encoded(PartitionRows),
}

impl Flushing {
    pub(crate) fn position(&self) -> u64 {
        match self {
            Self::Captured(pending) => pending.position,
            Self::Encoded(rows) => rows.partition.position,
        }
    }
}

pub(crate) struct Node {
    pub(crate) store: Arc<LocalStore>,
    pub(crate) pipelines: BTreeMap<PartitionRef, Pipeline<Ticket>>,
    /// Batches handed to the log, in order.
    pub(crate) queue: VecDeque<Batch>,
    /// Appended, but nobody was told yet.
    pub(crate) acks: VecDeque<Vec<(PartitionRef, u64)>>,
    /// How far the log is durable, as its writer knows.
    pub(crate) durable: BTreeMap<PartitionRef, u64>,
    /// The group appended last.
    pub(crate) last_group: Vec<Batch>,
    /// The flush under way.
    pub(crate) flush: Vec<(PartitionRef, Flushing)>,
    pub(crate) turns: Vec<TurnDone>,
    /// Turns that partitions may begin without asking, because they waited for a place.
    pub(crate) places: BTreeMap<PartitionRef, usize>,
    /// Batches of entities with the worker; and those it should not report any more.
    pub(crate) batches: Vec<EntityDispatch>,
    pub(crate) old_batches: Vec<EntityDispatch>,
    /// Messages on their way, in order for each pair of partitions.
    pub(crate) messages: BTreeMap<(PartitionRef, u16), VecDeque<Arc<Message>>>,
    /// Workers elsewhere, by hub.
    pub(crate) remote: BTreeMap<u32, Remote>,
    /// What they have for partitions, in order.
    pub(crate) handovers: BTreeMap<PartitionRef, VecDeque<Handover>>,
}

impl Node {
    pub(crate) fn new(store: Arc<LocalStore>) -> Self {
        Self {
            store,
            pipelines: BTreeMap::new(),
            queue: VecDeque::new(),
            acks: VecDeque::new(),
            durable: BTreeMap::new(),
            last_group: Vec::new(),
            flush: Vec::new(),
            turns: Vec::new(),
            places: BTreeMap::new(),
            batches: Vec::new(),
            old_batches: Vec::new(),
            messages: BTreeMap::new(),
            remote: BTreeMap::new(),
            handovers: BTreeMap::new(),
        }
    }

    /// Turns of a hub that are out here, or may be.
    pub(crate) fn turns_here(&self, hub: u32) -> usize {
        let out = self.turns.iter().filter(|done| done.at.hub == hub).count();
        let places = self.places.iter().filter(|(at, _)| at.hub == hub).map(|(_, places)| *places);
        out + places.sum::<usize>()
    }

    /// Nothing is left to do but to wait for time to pass or for clients.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty()
            && self.acks.is_empty()
            && self.turns.is_empty()
            && self.places.values().all(|places| *places == 0)
            && self.batches.is_empty()
            && self.messages.is_empty()
            && self.handovers.values().all(VecDeque::is_empty)
            && self.remote.values().all(Remote::is_idle)
            && self.pipelines.values().all(|p| p.is_quiet() && p.is_durable())
    }
}
