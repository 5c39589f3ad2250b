//! The log writer: takes the batches of all partitions, appends them with one sync, acknowledges.
//! At once when idle, whatever queued meanwhile when busy, never with an artificial delay.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use strandline_store::{Batch, Store, StoreError};

use super::driver::Driver;
use super::health::StoreProblem;
use crate::metrics::Metrics;

#[derive(Debug)]
pub(crate) struct LogWriter {
    queue: Mutex<Queue>,
    /// Batches came in, or the end.
    work: Condvar,
    /// The durable end moved, or the log failed.
    progress: Condvar,
    pressure: AtomicU8,
    /// The last attempt to append found no space.
    full: AtomicBool,
    /// Bytes of batches that are queued and not yet appended.
    queued_bytes: AtomicU64,
    flush_above: u64,
    refuse_above: u64,
}

#[derive(Default)]
struct Queue {
    batches: Vec<(Batch, Arc<Driver>)>,
    /// Batches ever queued, and of these how many are durable.
    queued: u64,
    durable: u64,
    /// Attempts to append that began, and of these how many are over.
    begun: u64,
    over: u64,
    /// Hubs that are being deleted: their batches are dropped.
    retired: BTreeSet<u32>,
    failed: bool,
    closed: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("queued", &self.queued).field("durable", &self.durable).finish()
    }
}

/// After so long without work the newest batches are marked as durable in the log itself.
const IDLE_AFTER: Duration = Duration::from_millis(250);

/// An append that found no space is tried again after this long.
const RETRY: Duration = Duration::from_millis(200);

/// Should this fail, the next append will say so.
fn mark_end(store: &dyn Store) {
    if let Err(error) = store.idle() {
        tracing::warn!(%error, "the end of the log could not be marked");
    }
}

/// How full the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Pressure {
    None,
    Flush,
    Refuse,
}

impl LogWriter {
    pub(crate) fn new(flush_above: u64, refuse_above: u64) -> Self {
        Self {
            queue: Mutex::default(),
            work: Condvar::new(),
            progress: Condvar::new(),
            pressure: AtomicU8::new(Pressure::None as u8),
            full: AtomicBool::new(false),
            queued_bytes: AtomicU64::new(0),
            flush_above,
            refuse_above,
        }
    }

    /// Queues batches in order.
    pub(crate) fn append(&self, batches: impl IntoIterator<Item = (Batch, Arc<Driver>)>) {
        let mut queue = self.queue.lock();
        let before = queue.batches.len();
        queue.batches.extend(batches);
        let added = queue.batches.len() - before;
        let bytes: usize = queue.batches[before..].iter().map(|(b, _)| b.records.len()).sum();
        self.queued_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        queue.queued += added as u64;
        if added > 0 && before == 0 {
            self.work.notify_one();
        }
    }

    /// Waits until everything queued so far is durable; false when the log failed or closed first.
    pub(crate) fn wait_durable(&self) -> bool {
        let mut queue = self.queue.lock();
        let target = queue.queued;
        while queue.durable < target && !queue.failed && !queue.closed {
            self.progress.wait(&mut queue);
        }
        queue.durable >= target
    }

    /// From when it returns on, no batch of this hub reaches the store.
    pub(crate) fn retire(&self, hub: u32) {
        let mut queue = self.queue.lock();
        queue.retired.insert(hub);
        let begun = queue.begun;
        while queue.over < begun {
            self.progress.wait(&mut queue);
        }
    }

    pub(crate) fn close(&self) {
        self.queue.lock().closed = true;
        self.work.notify_all();
        self.progress.notify_all();
    }

    /// Room in the log that is spoken for.
    pub(crate) fn queued_bytes(&self) -> u64 {
        self.queued_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn pressure(&self) -> Pressure {
        match self.pressure.load(Ordering::Relaxed) {
            0 => Pressure::None,
            1 => Pressure::Flush,
            _ => Pressure::Refuse,
        }
    }

    /// Why nothing can be appended, if so.
    pub(crate) fn problem(&self) -> Option<StoreProblem> {
        if self.queue.lock().failed {
            Some(StoreProblem::NotOpen)
        } else if self.full.load(Ordering::Relaxed) {
            Some(StoreProblem::Full)
        } else {
            (self.pressure() == Pressure::Refuse).then_some(StoreProblem::Behind)
        }
    }

    /// Measures how much of the log waits for flushes.
    pub(crate) fn measure(&self, store: &dyn Store) -> Pressure {
        let untrimmed = store.log_usage().untrimmed_bytes;
        let pressure = if untrimmed > self.refuse_above {
            Pressure::Refuse
        } else if untrimmed > self.flush_above {
            Pressure::Flush
        } else {
            Pressure::None
        };
        self.pressure.store(pressure as u8, Ordering::Relaxed);
        pressure
    }

    /// The writer's thread. Ends when closed and empty, or at the first failure: a sync is never
    /// retried.
    pub(crate) fn run(
        &self,
        store: &dyn Store,
        metrics: &Metrics,
        on_pressure: impl Fn(),
        on_failure: impl FnOnce(String),
    ) {
        let mut group: Vec<Batch> = Vec::new();
        let mut owners: Vec<Arc<Driver>> = Vec::new();
        loop {
            {
                let mut queue = self.queue.lock();
                let mut busy = true;
                while queue.batches.is_empty() && !queue.closed {
                    if !busy {
                        self.work.wait(&mut queue);
                    } else if self.work.wait_for(&mut queue, IDLE_AFTER).timed_out() {
                        busy = false;
                        MutexGuard::unlocked(&mut queue, || mark_end(store));
                    }
                }
                if queue.batches.is_empty() {
                    return;
                }
                for (batch, owner) in queue.batches.drain(..) {
                    group.push(batch);
                    owners.push(owner);
                }
            }
            let mut complained = false;
            let taken = group.len() as u64;
            let bytes: usize = group.iter().map(|b| b.records.len()).sum();
            let mut began = Instant::now();
            while let Err(error) = self.attempt(store, &mut group, &mut owners) {
                if let StoreError::Full(reason) = &error {
                    self.full.store(true, Ordering::Relaxed);
                    // Nothing was written and no sync failed: it may work once there is room.
                    if !complained {
                        tracing::error!(reason, "no space for the log: everything waits until there is");
                    }
                    complained = true;
                    on_pressure();
                    if self.pause(RETRY) {
                        began = Instant::now();
                        continue;
                    }
                    return;
                }
                self.queue.lock().failed = true;
                self.progress.notify_all();
                on_failure(error.to_string());
                return;
            }
            if complained {
                self.full.store(false, Ordering::Relaxed);
            }
            metrics.commit.observe_time(began.elapsed());
            metrics.commit_batches.observe(taken);
            self.queued_bytes.fetch_sub(bytes as u64, Ordering::Relaxed);
            self.acknowledge(&group, &owners, taken);
            group.clear();
            owners.clear();
            if self.measure(store) > Pressure::None {
                on_pressure();
            }
        }
    }

    /// Appends a group, without what is of hubs that are being deleted.
    fn attempt(
        &self,
        store: &dyn Store,
        group: &mut Vec<Batch>,
        owners: &mut Vec<Arc<Driver>>,
    ) -> Result<(), StoreError> {
        {
            let mut queue = self.queue.lock();
            queue.begun += 1;
            if group.iter().any(|b| queue.retired.contains(&b.at.hub)) {
                let all = group.drain(..).zip(owners.drain(..));
                let kept = all.filter(|(batch, _)| !queue.retired.contains(&batch.at.hub));
                (*group, *owners) = kept.unzip();
            }
        }
        let result = store.append(group);
        self.queue.lock().over += 1;
        self.progress.notify_all();
        result
    }

    /// Waits for `time`; false once closed.
    fn pause(&self, time: Duration) -> bool {
        let mut queue = self.queue.lock();
        let end = Instant::now() + time;
        while !queue.closed && !self.work.wait_until(&mut queue, end).timed_out() {}
        !queue.closed
    }

    /// Tells the owners of a group that it is durable. `taken` counts those that were dropped, too.
    fn acknowledge(&self, group: &[Batch], owners: &[Arc<Driver>], taken: u64) {
        let mut told: Vec<&Arc<Driver>> = Vec::new();
        for owner in owners {
            if !told.iter().any(|t| Arc::ptr_eq(t, owner)) {
                let batches = group.iter().zip(owners).filter(|(_, o)| Arc::ptr_eq(o, owner));
                owner.durable(batches.map(|(b, _)| (b.at.partition, b.position)));
                told.push(owner);
            }
        }
        self.queue.lock().durable += taken;
        self.progress.notify_all();
    }
}
