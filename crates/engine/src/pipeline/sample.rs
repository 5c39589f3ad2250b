//! A partition as metrics show it.

use std::collections::BTreeMap;

use strandline_model::Timestamp;

use super::{Counters, Pipeline, Ticket};

/// Of instances that wait for a worker elsewhere, so many are looked at for the oldest.
const LOOKED_AT_MAX: usize = 256;

/// What can be read off one partition.
#[derive(Debug)]
pub(crate) struct PipelineSample {
    pub(crate) counters: Counters,
    pub(crate) census: Option<BTreeMap<i32, u64>>,
    pub(crate) timers: usize,
    pub(crate) memory_bytes: usize,
    /// Instances whose turn waits for a worker, here or elsewhere.
    pub(crate) turns_waiting: usize,
    /// Since when the oldest of them has waited, as far as is known without looking at all.
    pub(crate) oldest_turn: Option<Timestamp>,
    pub(crate) entities_waiting: usize,
}

impl<T: Ticket> Pipeline<T> {
    pub(crate) fn sample(&self) -> PipelineSample {
        let parked = self.unserved.values().flatten();
        let waits_since =
            |id| Some(self.partition.instance(AsRef::<str>::as_ref(id))?.inbox.front()?.timestamp);
        let oldest =
            self.ready.iter().take(1).chain(parked.take(LOOKED_AT_MAX)).filter_map(waits_since).min();
        let parked: usize = self.unserved.values().map(|ids| ids.len()).sum();
        let parked_entities: usize = self.unserved_entities.values().map(|ids| ids.len()).sum();
        PipelineSample {
            counters: self.counters.clone(),
            census: self.partition.census().map(|census| census.by_status.clone()),
            timers: self.partition.timer_count(),
            memory_bytes: self.partition.memory_bytes(),
            turns_waiting: self.ready.len() + parked,
            oldest_turn: oldest,
            entities_waiting: self.ready_entities.len() + parked_entities,
        }
    }
}
