//! What the store knows in memory about its partitions and about the segments in use.

use std::collections::{BTreeMap, VecDeque};

use strandline_store::{Batch, LogUsage, PartitionRef, StoreError};

use crate::hubs::HubChange;
use crate::segment::Segment;

/// One partition that has batches or an owner.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// Zero: nobody has acquired it since the store was opened.
    pub(crate) epoch: u64,
    /// The position of the newest durable batch.
    pub(crate) last: u64,
    /// The position of the newest batch of the append under way; `last` when there is none.
    appending: u64,
    /// The position that the tables reflect.
    pub(crate) flushed: u64,
    /// Places in the log of some batches, oldest first; the first is at or before every batch not flushed.
    marks: VecDeque<Mark>,
    /// Batches after `flushed`, found when the store was opened; taken by the first owner.
    pub(crate) recovered: Vec<Batch>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    position: u64,
    address: u64,
}

/// A segment in use. Addresses count the bytes of all segments since the store was opened.
#[derive(Clone, Debug)]
pub(crate) struct Used {
    pub(crate) segment: Segment,
    pub(crate) start: u64,
    pub(crate) first_lsn: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    partitions: BTreeMap<PartitionRef, Entry>,
    /// Oldest first; the last one is being written.
    pub(crate) segments: VecDeque<Used>,
    /// The address after the newest durable frame.
    pub(crate) end: u64,
    /// What became of hubs and the tables don't show yet, in order. Every flush writes all of it, so it
    /// pins no segment.
    pub(crate) hubs: Vec<HubChange>,
    /// Least distance of two marks in bytes.
    spacing: u64,
}

impl Ledger {
    pub(crate) fn new(spacing: u64) -> Self {
        Self { spacing, ..Self::default() }
    }

    pub(crate) fn get(&self, at: PartitionRef) -> Option<&Entry> {
        self.partitions.get(&at)
    }

    /// The partition, known from now on.
    pub(crate) fn entry(&mut self, at: PartitionRef) -> &mut Entry {
        self.partitions.entry(at).or_default()
    }

    /// Gives a partition without any batch, durable or under way, to a new owner. False for others.
    pub(crate) fn take_new(&mut self, at: PartitionRef, epoch: u64) -> bool {
        let entry = self.entry(at);
        let new = entry.last == 0 && entry.appending == 0;
        if new {
            entry.epoch = epoch;
        }
        new
    }

    /// Sets what the tables reflect of a partition, when the store is opened.
    pub(crate) fn restore(&mut self, at: PartitionRef, flushed: u64) {
        let entry = self.entry(at);
        (entry.last, entry.appending, entry.flushed) = (flushed, flushed, flushed);
    }

    /// Forgets all partitions of a hub.
    pub(crate) fn forget(&mut self, hub: u32) {
        self.partitions.retain(|at, _| at.hub != hub);
    }

    /// Checks that every batch comes from the owner and is the next one, and notes them as under way.
    pub(crate) fn begin(&mut self, group: &[Batch], check: Checks) -> Result<(), StoreError> {
        for (i, batch) in group.iter().enumerate() {
            let refused = match self.partitions.get_mut(&batch.at) {
                None => Some("it was never acquired, or its hub is gone".to_owned()),
                Some(entry) if check.epoch && (entry.epoch != batch.epoch || entry.epoch == 0) => {
                    Some(format!("epoch {} is over, the newest is {}", batch.epoch, entry.epoch))
                }
                Some(entry) if check.position && entry.appending + 1 != batch.position => {
                    let (next, given) = (entry.appending + 1, batch.position);
                    Some(format!("its next position is {next}, not {given}"))
                }
                Some(entry) => {
                    entry.appending = batch.position;
                    None
                }
            };
            if let Some(reason) = refused {
                self.abandon(&group[..i]);
                return Err(StoreError::Stale { at: batch.at, reason });
            }
        }
        Ok(())
    }

    /// Takes [`Ledger::begin`] back.
    pub(crate) fn abandon(&mut self, group: &[Batch]) {
        for batch in group {
            if let Some(entry) = self.partitions.get_mut(&batch.at) {
                entry.appending = entry.last;
            }
        }
    }

    /// Notes that a batch at `address` is durable.
    pub(crate) fn commit(&mut self, at: PartitionRef, position: u64, address: u64) {
        let spacing = self.spacing;
        // A partition may have vanished with its hub meanwhile.
        if let Some(entry) = self.partitions.get_mut(&at) {
            entry.last = position;
            entry.appending = entry.appending.max(position);
            if entry.marks.back().is_none_or(|m| address >= m.address + spacing) {
                entry.marks.push_back(Mark { position, address });
            }
        }
    }

    /// Notes that the tables reflect `position`.
    pub(crate) fn flushed(&mut self, at: PartitionRef, position: u64) {
        if let Some(entry) = self.partitions.get_mut(&at) {
            entry.flushed = entry.flushed.max(position);
            let keep = entry.marks_after(entry.flushed);
            entry.marks.drain(..keep);
        }
    }

    /// The address before which nothing is needed once the tables reflect `positions` as well.
    pub(crate) fn pin_after(&self, positions: &BTreeMap<PartitionRef, u64>) -> u64 {
        let pins = self.partitions.iter().filter_map(|(at, entry)| {
            let flushed = positions.get(at).map_or(entry.flushed, |p| entry.flushed.max(*p));
            entry.marks.get(entry.marks_after(flushed)).map(|m| m.address)
        });
        pins.min().unwrap_or(self.end)
    }

    /// How many of the oldest segments lie before `address`, never the one being written.
    pub(crate) fn segments_before(&self, address: u64) -> usize {
        let all_but_last = self.segments.len().saturating_sub(1);
        self.segments.iter().take(all_but_last).take_while(|u| u.start + u.segment.size <= address).count()
    }

    /// Where to begin reading for the batches of a partition that are not flushed.
    pub(crate) fn oldest_mark(&self, at: PartitionRef) -> Option<u64> {
        self.partitions.get(&at)?.marks.front().map(|m| m.address)
    }

    pub(crate) fn usage(&self) -> LogUsage {
        let fronts = self.partitions.iter().filter_map(|(at, e)| e.marks.front().map(|m| (m.address, *at)));
        match fronts.min() {
            None => LogUsage::default(),
            Some((address, at)) => {
                LogUsage { untrimmed_bytes: self.end.saturating_sub(address), oldest: Some(at) }
            }
        }
    }
}

impl Entry {
    /// How many marks can go when the tables reflect `flushed`.
    fn marks_after(&self, flushed: u64) -> usize {
        if flushed >= self.last {
            return self.marks.len();
        }
        // The batch after `flushed` may lie just before the first mark with a greater position.
        let greater = self.marks.iter().take_while(|m| m.position <= flushed + 1).count();
        greater.saturating_sub(1)
    }
}

/// Which checks an append makes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checks {
    pub(crate) epoch: bool,
    pub(crate) position: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: PartitionRef = PartitionRef { hub: 1, partition: 0 };

    #[test]
    fn a_pin_never_passes_an_unflushed_batch() {
        let mut ledger = Ledger::new(100);
        ledger.entry(AT).epoch = 1;
        // Batch n lies at 40 * n.
        for n in 1..=20 {
            ledger.commit(AT, n, 40 * n);
            ledger.end = 40 * (n + 1);
        }
        for flushed in 0..20 {
            ledger.flushed(AT, flushed);
            let pin = ledger.pin_after(&BTreeMap::new());
            assert!(pin <= 40 * (flushed + 1), "{flushed}: {pin}");
            assert!(pin + 160 > 40 * (flushed + 1), "{flushed}: {pin} is too early");
        }
        assert_eq!(ledger.pin_after(&BTreeMap::from([(AT, 20)])), ledger.end);
        ledger.flushed(AT, 20);
        assert_eq!(ledger.usage(), LogUsage::default());
    }
}
