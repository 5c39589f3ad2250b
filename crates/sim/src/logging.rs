//! The log writer and the flusher of the node, one step at a time.

use strandline_store::{Batch, PartitionRef, Store, StoreError};

use crate::Violation;
use crate::node::Flushing;
use crate::world::World;

impl World {
    /// The log writer appends some of what is queued, with one sync.
    pub(crate) fn append(&mut self) -> Result<(), Violation> {
        let Some(node) = &mut self.node else { return Ok(()) };
        if node.queue.is_empty() {
            return Ok(());
        }
        let count = 1 + self.chance.index(node.queue.len());
        let group: Vec<Batch> = node.queue.drain(..count).collect();
        self.trace.tell(|| {
            let list: Vec<_> = group.iter().map(|b| (b.at.hub, b.at.partition, b.position)).collect();
            format!("append {list:?}")
        });
        self.doing = "append";
        if let Err(error) = node.store.append(&group) {
            self.auditor.doubt(&group);
            return self.store_failed(&error);
        }
        let large = group.iter().filter(|b| b.records.len() > self.knobs.store.frame_bytes).count();
        self.coverage.add("log/batch in several frames", large as u64);
        self.coverage.add("log/acknowledged group of several", u64::from(group.len() > 1));
        for batch in &group {
            self.auditor.durable(batch)?;
            node.durable.insert(batch.at, batch.position);
        }
        node.acks.push_back(group.iter().map(|b| (b.at, b.position)).collect());
        node.last_group = group;
        Ok(())
    }

    /// The partitions hear how far the log is durable.
    pub(crate) fn acknowledge(&mut self) -> Result<(), Violation> {
        let Some(node) = &mut self.node else { return Ok(()) };
        for (at, position) in node.acks.pop_front().unwrap_or_default() {
            if let Some(pipeline) = node.pipelines.get_mut(&at) {
                pipeline.durable(position);
            }
        }
        Ok(())
    }

    /// The flusher takes what the tables lack of some partitions.
    pub(crate) fn begin_flush(&mut self) -> Result<(), Violation> {
        let Some(node) = &self.node else { return Ok(()) };
        if !node.flush.is_empty() {
            return Ok(());
        }
        let all: Vec<PartitionRef> = node.pipelines.keys().copied().collect();
        let some = self.chance.one_in(3);
        for at in all {
            if some && self.chance.one_in(2) {
                continue;
            }
            // Without a closed batch there is nothing to take; a pipeline must see that itself.
            if !self.chance.one_in(4) {
                self.hand_over(at, true);
            }
            let Some(node) = &mut self.node else { return Ok(()) };
            let Some(pipeline) = node.pipelines.get_mut(&at) else { continue };
            if let Some(pending) = pipeline.capture() {
                self.trace.tell(|| format!("{at:?} is captured at {}", pending.position));
                node.flush.push((at, Flushing::Captured(pending)));
            }
        }
        Ok(())
    }

    /// The flusher writes what it took, once all of it is durable in the log.
    pub(crate) fn end_flush(&mut self) -> Result<(), Violation> {
        let Some(node) = &mut self.node else { return Ok(()) };
        let durable = |at: &PartitionRef| node.durable.get(at).copied().unwrap_or(0);
        if node.flush.is_empty() || node.flush.iter().any(|(at, f)| f.position() > durable(at)) {
            return Ok(());
        }
        let rows = std::mem::take(&mut node.flush).into_iter().map(|(at, flushing)| match flushing {
            Flushing::Captured(pending) => (at, pending.into_rows()),
            Flushing::Encoded(rows) => (at, rows),
        });
        let rows: Vec<_> = rows.collect();
        self.doing = "flush";
        self.trace.tell(|| format!("flush of {} partitions", rows.len()));
        match node.store.flush(&rows) {
            Ok(()) => {
                for (at, rows) in rows {
                    if let Some(pipeline) = node.pipelines.get_mut(&at) {
                        pipeline.flushed(rows.partition.position);
                    }
                }
                Ok(())
            }
            Err(error) => {
                // The log keeps everything: the same rows are written again later.
                node.flush = rows.into_iter().map(|(at, rows)| (at, Flushing::Encoded(rows))).collect();
                if matches!(error, StoreError::Full(_)) {
                    self.trace.tell(|| "  no space".to_owned());
                    return Ok(());
                }
                self.store_failed(&error)
            }
        }
    }

    /// A confused writer: one that repeats or skips a batch, or whose partitions have a new owner. The
    /// store must refuse.
    pub(crate) fn append_stale(&mut self) -> Result<(), Violation> {
        let Some(node) = &self.node else { return Ok(()) };
        let (group, name) = if self.ghost.is_empty() {
            let mut group = node.last_group.clone();
            if self.chance.one_in(2) {
                for batch in &mut group {
                    batch.position = node.durable.get(&batch.at).copied().unwrap_or(0) + 2;
                }
            }
            (group, "log/stale position refused")
        } else {
            let count = 1 + self.chance.index(self.ghost.len());
            (self.ghost[..count].to_vec(), "log/stale epoch refused")
        };
        if group.is_empty() {
            return Ok(());
        }
        self.doing = "append";
        match node.store.append(&group) {
            Err(StoreError::Stale { .. }) => {
                self.coverage.hit(name);
                Ok(())
            }
            Err(error) => self.store_failed(&error),
            Ok(()) => {
                let list: Vec<_> = group.iter().map(|b| (b.at, b.epoch, b.position)).collect();
                Err(format!("the store took batches that do not come from the owner, or not next: {list:?}"))
            }
        }
    }
}
