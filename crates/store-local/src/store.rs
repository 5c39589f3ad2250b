use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use strandline_hub::EntityStatus;
use strandline_hub::query::EntityQuery;
use strandline_hub::row::{EntityRow, HistoryChunk, InstanceRow, PartitionRows};
use strandline_model::ExecutionId;
use strandline_store::disk::Disk;
use strandline_store::{
    Batch, Count, HubInfo, LogUsage, Page, PartitionRef, Recovered, Scan, Store, StoreError, StoreStats,
};

use crate::background::Background;
use crate::fs_disk::FsDisk;
use crate::hubs::{HubChange, Hubs};
use crate::lock::{self, DirLock};
use crate::log::Log;
use crate::options::LocalOptions;
use crate::recover::{self, Opened};
use crate::tables::{LogMeta, Tables};

/// Rows of a deleted hub that go in one transaction.
const DROP_SLICE: usize = 1000;

/// The embedded store. See the crate's documentation.
pub struct LocalStore {
    core: Arc<Core>,
    /// `None` without a thread, and once closed.
    background: Mutex<Option<Background>>,
    // Dropped last: until then nobody else may touch the files.
    lock: Mutex<Option<DirLock>>,
}

/// What the callers and the background thread share.
pub(crate) struct Core {
    tables: Tables,
    pub(crate) log: Log,
    /// Never held during I/O: reads ask it.
    hubs: Mutex<Hubs>,
    /// Hubs are created and deleted one at a time.
    changing_hubs: Mutex<()>,
    /// Flushes one at a time, and nothing leaves the log while a partition is taken over.
    flushing: Mutex<()>,
    /// The upper half of every epoch.
    incarnation: u64,
    acquired: AtomicU64,
    flushes: AtomicU64,
    failed: OnceLock<String>,
    closed: AtomicBool,
}

impl fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalStore").finish_non_exhaustive()
    }
}

impl LocalStore {
    /// Opens the store in a directory, which is created when absent, for this process alone.
    ///
    /// # Errors
    /// `Locked` when another process has it open; `Format` when the directory holds something else, a newer
    /// format or cannot be written; `Corrupt` with file and offset when something that was durable cannot be
    /// read. Nothing is changed then.
    pub fn open(path: impl AsRef<Path>, options: LocalOptions) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let lock = lock::take(path)?;
        Self::start(Arc::new(FsDisk::new(path)), &path.display().to_string(), options, Some(lock))
    }

    /// Opens the store on a disk of the caller's, without a lock.
    pub fn open_on(disk: Arc<dyn Disk>, options: LocalOptions) -> Result<Self, StoreError> {
        Self::start(disk, "the data directory", options, None)
    }

    fn start(
        disk: Arc<dyn Disk>,
        place: &str,
        options: LocalOptions,
        lock: Option<DirLock>,
    ) -> Result<Self, StoreError> {
        let options = options.checked();
        let threaded = options.background;
        let Opened { tables, log, meta } = recover::open(disk, place, options)?;
        let core = Arc::new(Core {
            tables,
            log,
            changing_hubs: Mutex::new(()),
            hubs: Mutex::new(meta.hubs),
            flushing: Mutex::new(()),
            incarnation: meta.incarnation,
            acquired: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            failed: OnceLock::new(),
            closed: AtomicBool::new(false),
        });
        let background = if threaded { Some(Background::start(core.clone())?) } else { None };
        Ok(Self { core, background: Mutex::new(background), lock: Mutex::new(lock) })
    }

    /// Rows of deleted hubs remain to be dropped.
    pub fn is_dropping(&self) -> bool {
        !self.core.hubs.lock().dropping.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn core(&self) -> Arc<Core> {
        self.core.clone()
    }

    /// Lets the background thread look for work, or does it here when there is none.
    fn tend(&self) -> Result<(), StoreError> {
        match &*self.background.lock() {
            Some(background) => {
                background.wake();
                Ok(())
            }
            None if self.core.log.wants_segment() => match self.core.log.prepare_one() {
                // Whoever needs the room will hear of it.
                Err(StoreError::Full(_)) => Ok(()),
                other => other,
            },
            None => Ok(()),
        }
    }
}

impl Core {
    fn usable(&self) -> Result<(), StoreError> {
        if let Some(reason) = self.failed.get() {
            return Err(StoreError::Failed(reason.clone()));
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Failed("it is closed".into()));
        }
        Ok(())
    }

    /// Whether it was closed, and nothing else is the matter with it.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire) && self.failed.get().is_none()
    }

    /// Runs what may write. When it fails so that the disk's state is unknown, the store is finished.
    pub(crate) fn writing<T>(&self, f: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.usable()?;
        let result = f();
        if let Err(error @ (StoreError::Io { .. } | StoreError::Corrupt { .. } | StoreError::Failed(_))) =
            &result
        {
            // Only the first failure matters.
            let _ = self.failed.set(error.to_string());
        }
        result
    }

    /// Drops some rows of deleted hubs. True when there are more.
    pub(crate) fn drop_some_rows(&self) -> Result<bool, StoreError> {
        let Some(hub) = self.hubs.lock().dropping.first().copied() else { return Ok(false) };
        let _one = self.flushing.lock();
        let changes = self.log.ledger.lock().hubs.clone();
        if self.tables.drop_rows(hub, DROP_SLICE, &changes)? {
            self.hubs.lock().dropping.remove(&hub);
        }
        self.log.ledger.lock().hubs.drain(..changes.len());
        Ok(self.has_drops())
    }

    pub(crate) fn has_drops(&self) -> bool {
        !self.hubs.lock().dropping.is_empty()
    }

    /// How many partitions a hub has.
    fn partitions(&self, hub: u32) -> Result<u16, StoreError> {
        let partitions = self.hubs.lock().partitions(hub);
        partitions.ok_or_else(|| StoreError::NoSuchHub(format!("number {hub}")))
    }

    fn check_partition(&self, at: PartitionRef) -> Result<(), StoreError> {
        let partitions = self.partitions(at.hub)?;
        if at.partition < partitions {
            return Ok(());
        }
        Err(StoreError::Stale { at, reason: format!("the hub has {partitions} partitions") })
    }

    fn flush(&self, rows: &[(PartitionRef, PartitionRows)]) -> Result<(), StoreError> {
        let _one = self.flushing.lock();
        let mut positions = BTreeMap::new();
        let (log, trim, hubs) = {
            let ledger = self.log.ledger.lock();
            for (at, rows) in rows {
                let position = rows.partition.position;
                let entry = ledger.get(*at).filter(|e| e.epoch > 0);
                let entry = entry.ok_or_else(|| StoreError::Stale {
                    at: *at,
                    reason: "it was never acquired, or its hub is gone".into(),
                })?;
                if position > entry.last || position < entry.flushed {
                    let (from, to) = (entry.flushed, entry.last);
                    let reason = format!("rows of position {position} are not between {from} and {to}");
                    return Err(StoreError::Stale { at: *at, reason });
                }
                positions.insert(*at, position);
            }
            let trim = ledger.segments_before(ledger.pin_after(&positions));
            let first = ledger.segments.get(trim);
            let first = first.ok_or_else(|| StoreError::Failed("the log has no segment".into()))?;
            let (first_segment, first_lsn) = (first.segment.number, first.first_lsn);
            (LogMeta { durable: self.log.durable(), first_segment, first_lsn }, trim, ledger.hubs.clone())
        };
        // A hub may be deleted meanwhile, and what is written then would never be dropped.
        self.tables.flush(rows, log, &hubs, |hub| self.partitions(hub).is_err())?;
        self.flushes.fetch_add(1, Ordering::Relaxed);
        {
            let mut ledger = self.log.ledger.lock();
            ledger.hubs.drain(..hubs.len());
            for (at, position) in positions {
                ledger.flushed(at, position);
            }
        }
        self.log.drop_oldest(trim)
    }

    fn acquire(&self, at: PartitionRef) -> Result<Recovered, StoreError> {
        self.check_partition(at)?;
        let epoch = self.incarnation << 32 | (self.acquired.fetch_add(1, Ordering::Relaxed) + 1);
        // Where nothing was ever written nothing can be under way: no flush need be waited for.
        if self.log.ledger.lock().take_new(at, epoch) {
            return Ok(Recovered { epoch, row: None, timers: vec![], active: vec![], tail: vec![] });
        }
        let _still = self.flushing.lock();
        let (last, recovered) = {
            // An append under way still belongs to the former owner; its batches are in the tail.
            let _paused = self.log.pause();
            let mut ledger = self.log.ledger.lock();
            let entry = ledger.entry(at);
            let first = entry.epoch == 0;
            entry.epoch = epoch;
            (entry.last, first.then(|| std::mem::take(&mut entry.recovered)))
        };
        let tables = self.tables.partition(at)?;
        let position = tables.row.as_ref().map_or(0, |r| r.position);
        let tail = match recovered {
            Some(tail) => tail,
            None => self.log.read_tail(at, position)?,
        };
        if position + tail.len() as u64 != last || tail.last().is_some_and(|b| b.position != last) {
            let reason = format!("the batches of {at:?} from {} to {last} cannot be read back", position + 1);
            return Err(StoreError::Corrupt { file: "log".into(), offset: 0, reason });
        }
        Ok(Recovered { epoch, row: tables.row, timers: tables.timers, active: tables.active, tail })
    }

    fn create_hub(&self, name: &str, partitions: u16) -> Result<HubInfo, StoreError> {
        let _one = self.changing_hubs.lock();
        let hub = self.hubs.lock().admit(name, partitions)?;
        self.change(HubChange::Created(hub.clone()))?;
        Ok(hub)
    }

    fn delete_hub(&self, name: &str) -> Result<(), StoreError> {
        let _one = self.changing_hubs.lock();
        let hub = self.hubs.lock().live.get(name).cloned();
        let hub = hub.ok_or_else(|| StoreError::NoSuchHub(name.into()))?;
        let number = hub.number;
        self.change(HubChange::Deleted(hub))?;
        self.log.ledger.lock().forget(number);
        Ok(())
    }

    fn change(&self, change: HubChange) -> Result<(), StoreError> {
        self.log.append_hub(change.clone())?;
        self.hubs.lock().apply(&change);
        Ok(())
    }
}

impl Store for LocalStore {
    fn hubs(&self) -> Result<Vec<HubInfo>, StoreError> {
        Ok(self.core.hubs.lock().live.values().cloned().collect())
    }

    fn create_hub(&self, name: &str, partitions: u16) -> Result<HubInfo, StoreError> {
        self.core.writing(|| self.core.create_hub(name, partitions))
    }

    fn delete_hub(&self, name: &str) -> Result<(), StoreError> {
        self.core.writing(|| self.core.delete_hub(name))?;
        if let Some(background) = &*self.background.lock() {
            background.wake();
        }
        Ok(())
    }

    fn acquire(&self, at: PartitionRef) -> Result<Recovered, StoreError> {
        self.core.usable()?;
        self.core.acquire(at)
    }

    fn reserve(&self, bytes: u64) -> Result<(), StoreError> {
        self.core.writing(|| self.core.log.reserve(bytes))
    }

    fn append(&self, group: &[Batch]) -> Result<(), StoreError> {
        self.core.writing(|| self.core.log.append(group))?;
        if self.core.log.wants_segment() {
            // The batches are durable whatever becomes of this.
            let _ = self.core.writing(|| self.tend());
        }
        Ok(())
    }

    fn flush(&self, rows: &[(PartitionRef, PartitionRows)]) -> Result<(), StoreError> {
        self.core.writing(|| self.core.flush(rows))
    }

    fn instance(&self, at: PartitionRef, id: &str) -> Result<Option<InstanceRow>, StoreError> {
        self.core.check_partition(at)?;
        self.core.tables.instance(at, id)
    }

    fn entity(&self, at: PartitionRef, id: &str) -> Result<Option<EntityRow>, StoreError> {
        self.core.check_partition(at)?;
        self.core.tables.entity(at, id)
    }

    fn chunk(
        &self,
        at: PartitionRef,
        execution: ExecutionId,
        number: u32,
    ) -> Result<Option<HistoryChunk>, StoreError> {
        self.core.check_partition(at)?;
        self.core.tables.chunk(at, execution, number)
    }

    fn list(&self, scan: &Scan<'_>, limit: usize) -> Result<Page, StoreError> {
        self.core.tables.list(scan, self.core.partitions(scan.hub)?, limit)
    }

    fn list_entities(
        &self,
        scan: &Scan<'_, EntityQuery>,
        limit: usize,
    ) -> Result<Page<EntityStatus>, StoreError> {
        self.core.tables.list_entities(scan, self.core.partitions(scan.hub)?, limit)
    }

    fn count(&self, scan: &Scan<'_>) -> Result<Count, StoreError> {
        self.core.tables.count(scan, self.core.partitions(scan.hub)?)
    }

    fn secret(&self) -> Result<[u8; 32], StoreError> {
        self.core.tables.secret()
    }

    fn log_usage(&self) -> LogUsage {
        self.core.log.ledger.lock().usage()
    }

    fn stats(&self) -> StoreStats {
        StoreStats {
            log_syncs: self.core.log.syncs.load(Ordering::Relaxed),
            log_bytes: self.core.log.bytes.load(Ordering::Relaxed),
            table_bytes: self.core.tables.written(),
            table_file_bytes: self.core.tables.file_bytes(),
            flushes: self.core.flushes.load(Ordering::Relaxed),
        }
    }

    fn idle(&self) -> Result<(), StoreError> {
        self.core.writing(|| {
            self.core.log.mark_durable(false)?;
            self.tend()?;
            if self.background.lock().is_none() && self.core.has_drops() {
                self.core.drop_some_rows()?;
            }
            Ok(())
        })
    }

    fn close(&self) -> Result<(), StoreError> {
        let marked = self.core.writing(|| self.core.log.mark_durable(true));
        self.core.closed.store(true, Ordering::Release);
        // Whoever still holds the store may drop it late: nothing of it touches the files from here on,
        // so the directory can be opened again at once.
        drop(self.background.lock().take());
        if self.core.failed.get().is_some() {
            self.core.tables.abandon_file();
        } else {
            self.core.tables.close();
        }
        drop(self.lock.lock().take());
        marked
    }
}
