//! Flushes: the tables catch up with what the log holds durably.

use strandline_hub::Capture;
use strandline_hub::row::PartitionRows;
use strandline_model::Timestamp;

use super::{Pipeline, Sabotage, Ticket};

/// What a flush writes for one partition, once `position` is durable.
#[derive(Debug)]
pub struct PendingFlush {
    pub position: u64,
    time: Timestamp,
    capture: Capture,
}

impl PendingFlush {
    /// How many instances it writes.
    pub fn instances(&self) -> usize {
        self.capture.instances()
    }

    /// Encodes the rows; meant for the flush thread.
    pub fn into_rows(self) -> PartitionRows {
        self.capture.into_rows(self.position, self.time)
    }
}

impl<T: Ticket> Pipeline<T> {
    /// Takes what the tables lack, at the boundary of the last batch. `None` when they lack nothing.
    /// The batch must be closed ([`Pipeline::take_batch`] with `force`). One capture is out at a time: the
    /// next one follows [`Pipeline::flushed`]. After one that never got that far there is none, for what
    /// it held would be missing from the tables; the log keeps everything.
    pub fn capture(&mut self) -> Option<PendingFlush> {
        if self.capturing {
            return None;
        }
        let at_boundary = self.records == 0 || self.sabotage == Sabotage::FlushBeforeDurable;
        if !at_boundary || (self.position == self.flushed_position && self.records == 0) {
            return None;
        }
        self.capturing = true;
        let capture = self.partition.capture();
        Some(PendingFlush { position: self.position, time: self.now, capture })
    }

    /// The rows captured at `position` are in the tables.
    pub fn flushed(&mut self, position: u64) {
        self.capturing = false;
        self.flushed_position = position;
        self.partition.flushed();
        self.evict();
    }

    /// Everything decided is in the tables.
    pub fn is_flushed(&self) -> bool {
        self.position == self.flushed_position && self.records == 0
    }

    /// So much of the memory waits for a flush that one should come soon.
    pub fn wants_flush(&self) -> bool {
        self.partition.memory_bytes() > self.config.cache_bytes && self.partition.dirty() > 0
    }
}
