//! The lagging tables: one redb file for all hubs.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use redb::{
    Builder, Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};
use strandline_hub::row::{
    EntityRow, HistoryChunk, InstanceHead, InstanceRow, PartitionRow, PartitionRows, TimerKey,
};
use strandline_model::{ExecutionId, InstanceId};
use strandline_store::disk::Disk;
use strandline_store::{HubInfo, PartitionRef, StoreError};

use crate::backend::{Backend, TablesFile};
use crate::error::io_error;
use crate::hubs::{HubChange, Hubs};
use crate::index::{Changes, Indexed};
use crate::keys;
use crate::options::Sabotage;
use crate::schema::{
    ACTIVE, ALL_INDEXES, BY_COMPLETED, BY_NAME, BY_STATUS, CHUNKS, DROPPING, DURABLE, ENTITIES, FIRST_LSN,
    FIRST_SEGMENT, HUBS, HubRow, IDENTITY, INCARNATION, INDEXED, INSTANCES, MARKS, META, NEXT_HUB,
    PARTITIONS, POSITIONS, SECRETS, TIMERS, corrupt, decode, encode,
};

pub(crate) const FILE: &str = "tables.redb";

pub(crate) struct Tables {
    file: Arc<TablesFile>,
    cache_bytes: usize,
    /// `None` after a failed write until the database is opened again.
    database: RwLock<Option<Database>>,
    /// One writer at a time.
    writing: Mutex<()>,
    closed: AtomicBool,
    sabotage: Sabotage,
}

/// What must be known of the tables when a store is opened.
#[derive(Debug, Default)]
pub(crate) struct Meta {
    pub(crate) incarnation: u64,
    pub(crate) durable: u64,
    pub(crate) first_segment: u64,
    pub(crate) first_lsn: u64,
    pub(crate) identity: u64,
    pub(crate) hubs: Hubs,
    pub(crate) positions: Vec<(PartitionRef, u64)>,
    /// All indexes are there and agree with the rows.
    pub(crate) indexed: bool,
}

/// What a flush says of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogMeta {
    pub(crate) durable: u64,
    pub(crate) first_segment: u64,
    pub(crate) first_lsn: u64,
}

/// What is in the tables of one partition.
#[derive(Debug, Default)]
pub(crate) struct PartitionTables {
    pub(crate) row: Option<PartitionRow>,
    pub(crate) timers: Vec<TimerKey>,
    pub(crate) active: Vec<InstanceId>,
}

impl Tables {
    /// Makes the tables of a new store. They appear whole or not at all.
    pub(crate) fn create(
        disk: &dyn Disk,
        identity: u64,
        secret: &[u8; 32],
        cache_bytes: usize,
    ) -> Result<(), StoreError> {
        let unfinished = format!("{FILE}{}", crate::segment::UNFINISHED);
        let io = |source| StoreError::Io { what: format!("creating {FILE}"), source };
        if disk.list().map_err(io)?.contains(&unfinished) {
            disk.remove(&unfinished).and_then(|()| disk.sync_dir()).map_err(io)?;
        }
        let file = disk.create(&unfinished).map_err(io)?;
        let tables = Self::start(Arc::new(TablesFile::new(file, false).map_err(io)?), cache_bytes)?;
        tables.write(|txn| {
            let mut meta = txn.open_table(META)?;
            meta.insert(IDENTITY, identity)?;
            meta.insert(INCARNATION, 0)?;
            meta.insert(NEXT_HUB, 1)?;
            meta.insert(DURABLE, 0)?;
            meta.insert(FIRST_SEGMENT, 1)?;
            meta.insert(FIRST_LSN, 1)?;
            meta.insert(INDEXED, ALL_INDEXES)?;
            txn.open_table(SECRETS)?.insert(MARKS, &secret[..])?;
            txn.open_table(HUBS)?;
            txn.open_table(DROPPING)?;
            txn.open_table(POSITIONS)?;
            txn.open_table(TIMERS)?;
            txn.open_table(ACTIVE)?;
            txn.open_table(BY_STATUS)?;
            txn.open_table(BY_NAME)?;
            txn.open_table(BY_COMPLETED)?;
            for table in [PARTITIONS, INSTANCES, ENTITIES, CHUNKS] {
                txn.open_table(table)?;
            }
            Ok(())
        })?;
        drop(tables);
        disk.rename(&unfinished, FILE).map_err(io)?;
        disk.sync_dir().map_err(io)
    }

    /// Opens the tables; nothing is written before [`Tables::release`].
    pub(crate) fn open(disk: &dyn Disk, cache_bytes: usize) -> Result<Self, StoreError> {
        let io = |source| StoreError::Io { what: format!("opening {FILE}"), source };
        let file = disk.open(FILE).map_err(io)?;
        Self::start(Arc::new(TablesFile::new(file, true).map_err(io)?), cache_bytes)
    }

    fn start(file: Arc<TablesFile>, cache_bytes: usize) -> Result<Self, StoreError> {
        let database = open_database(&file, cache_bytes)?;
        Ok(Self {
            file,
            cache_bytes,
            database: RwLock::new(Some(database)),
            writing: Mutex::new(()),
            closed: AtomicBool::new(false),
            sabotage: Sabotage::None,
        })
    }

    /// Plants a bug.
    pub(crate) fn sabotage(&mut self, sabotage: Sabotage) {
        self.sabotage = sabotage;
    }

    /// Bytes written since it was opened.
    pub(crate) fn written(&self) -> u64 {
        self.file.written()
    }

    /// How large the file is; 0 if that can't be told.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file.file_bytes()
    }

    /// Lets go of the file without touching it again; for a store that failed.
    pub(crate) fn abandon_file(&self) {
        self.file.hold_back();
        self.close();
    }

    /// Lets go of the file; every later call fails.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let _one = self.writing.lock();
        let database = self.database.write().take();
        discard(database);
    }

    pub(crate) fn release(&self) -> Result<(), StoreError> {
        self.file.release().map_err(io_error(|| format!("writing {FILE}")))
    }

    pub(crate) fn read<T>(
        &self,
        f: impl FnOnce(&ReadTransaction) -> Result<T, Problem>,
    ) -> Result<T, StoreError> {
        if self.database.read().is_none() {
            self.reopen()?;
        }
        let result = {
            let guard = self.database.read();
            let database = guard.as_ref().ok_or_else(|| StoreError::Failed(format!("{FILE} is not open")))?;
            shielded(|| database.begin_read().map_err(Problem::from).and_then(|txn| f(&txn)))
        };
        result.map_err(|problem| {
            if matches!(problem, Problem::Damaged) {
                self.abandon();
            }
            // redb refuses everything after a failed read; the next call starts it anew.
            if matches!(problem, Problem::Tables(redb::Error::Io(_) | redb::Error::PreviousIo)) {
                *self.database.write() = None;
            }
            problem.into_error()
        })
    }

    /// One durable transaction. When it fails for want of space the old tables stay and everything goes
    /// on; the error is `Full` then.
    pub(crate) fn write<T>(
        &self,
        f: impl FnOnce(&WriteTransaction) -> Result<T, Problem>,
    ) -> Result<T, StoreError> {
        let _one = self.writing.lock();
        if self.database.read().is_none() {
            self.reopen()?;
        }
        self.file.take_failure();
        let result = {
            let guard = self.database.read();
            let database = guard.as_ref().ok_or_else(|| StoreError::Failed(format!("{FILE} is not open")))?;
            shielded(|| {
                let mut txn = database.begin_write().map_err(redb::Error::from)?;
                // Without it the file would be walked whole after a crash.
                txn.set_quick_repair(true);
                let value = f(&txn)?;
                txn.commit().map_err(redb::Error::from)?;
                Ok(value)
            })
        };
        let failure = self.file.take_failure();
        match (result, failure) {
            (Ok(value), _) => Ok(value),
            (Err(Problem::Damaged), _) => {
                self.abandon();
                Err(Problem::Damaged.into_error())
            }
            (Err(problem), None) => Err(Problem::into_error(problem)),
            (Err(_), Some(failure)) => {
                // redb refuses everything after a failed write: start it anew on what the file holds.
                *self.database.write() = None;
                if failure.full {
                    // When this fails too, the next call tries again.
                    let _ = self.reopen();
                    return Err(full(&failure.message));
                }
                let source = std::io::Error::other(failure.message);
                Err(StoreError::Io { what: format!("writing {FILE}"), source })
            }
        }
    }

    /// Leaves a database alone whose pages turned out to be damaged: even dropping it may fail.
    fn abandon(&self) {
        std::mem::forget(self.database.write().take());
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut database = self.database.write();
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Failed("it is closed".into()));
        }
        if database.is_none() {
            let opened = open_database(&self.file, self.cache_bytes);
            *database = Some(opened.map_err(|error| match self.file.take_failure() {
                Some(failure) if failure.full => full(&failure.message),
                _ => error,
            })?);
        }
        Ok(())
    }

    pub(crate) fn meta(&self) -> Result<Meta, StoreError> {
        self.read(|txn| {
            let table = txn.open_table(META)?;
            let number = |key: &str| -> Result<u64, Problem> {
                let value = table.get(key)?;
                value.map(|v| v.value()).ok_or_else(|| corrupt(format!("meta row {key} is missing")).into())
            };
            let mut meta = Meta {
                incarnation: number(INCARNATION)?,
                durable: number(DURABLE)?,
                first_segment: number(FIRST_SEGMENT)?,
                first_lsn: number(FIRST_LSN)?,
                identity: number(IDENTITY)?,
                indexed: table.get(INDEXED)?.is_some_and(|indexes| indexes.value() >= ALL_INDEXES),
                ..Meta::default()
            };
            let mut live = BTreeMap::new();
            for row in txn.open_table(HUBS)?.iter()? {
                let (name, value) = row?;
                let hub: HubRow = decode("hubs", value.value())?;
                let partitions =
                    u16::try_from(hub.partitions).map_err(|_| corrupt("partition count".into()))?;
                let name = name.value().to_owned();
                live.insert(name.clone(), HubInfo { name, number: hub.number, partitions });
            }
            let mut dropping = Vec::new();
            for row in txn.open_table(DROPPING)?.iter()? {
                dropping.push(row?.0.value());
            }
            meta.hubs = Hubs::new(live, number(NEXT_HUB)? as u32, dropping);
            for row in txn.open_table(POSITIONS)?.iter()? {
                let (key, value) = row?;
                let at =
                    keys::partition_of(key.value()).ok_or_else(|| corrupt("a key of positions".into()))?;
                meta.positions.push((at, value.value()));
            }
            Ok(meta)
        })
    }

    /// Starts a new incarnation, after recovery, which found these changes of hubs in the log.
    pub(crate) fn begin(&self, incarnation: u64, durable: u64, hubs: &[HubChange]) -> Result<(), StoreError> {
        self.write(|txn| {
            write_hubs(txn, hubs)?;
            let mut meta = txn.open_table(META)?;
            meta.insert(INCARNATION, incarnation)?;
            meta.insert(DURABLE, durable)?;
            Ok(())
        })
    }

    /// Removes up to `slice` rows of a deleted hub, once `hubs` is written. True when none are left.
    pub(crate) fn drop_rows(&self, hub: u32, slice: usize, hubs: &[HubChange]) -> Result<bool, StoreError> {
        self.write(|txn| {
            write_hubs(txn, hubs)?;
            let mut left = slice;
            // First: no list finds an entry whose row is gone.
            for table in [BY_STATUS, BY_NAME, BY_COMPLETED] {
                drop_from(txn, table, hub, &mut left)?;
            }
            for table in [INSTANCES, ENTITIES, CHUNKS, PARTITIONS] {
                drop_from(txn, table, hub, &mut left)?;
            }
            for table in [TIMERS, ACTIVE] {
                drop_from(txn, table, hub, &mut left)?;
            }
            drop_from(txn, POSITIONS, hub, &mut left)?;
            if left > 0 {
                txn.open_table(DROPPING)?.remove(hub)?;
            }
            Ok(left > 0)
        })
    }

    /// Writes rows, and what became of hubs. Rows of hubs that are gone when it comes to that are left out.
    pub(crate) fn flush(
        &self,
        rows: &[(PartitionRef, PartitionRows)],
        log: LogMeta,
        hubs: &[HubChange],
        is_gone: impl Fn(u32) -> bool,
    ) -> Result<(), StoreError> {
        self.write(|txn| {
            write_hubs(txn, hubs)?;
            let mut partitions = txn.open_table(PARTITIONS)?;
            let mut positions = txn.open_table(POSITIONS)?;
            let mut instances = txn.open_table(INSTANCES)?;
            let mut entities = txn.open_table(ENTITIES)?;
            let mut chunks = txn.open_table(CHUNKS)?;
            let mut timers = txn.open_table(TIMERS)?;
            let mut active = txn.open_table(ACTIVE)?;
            let mut index = Changes::new(self.sabotage);
            let mut buffer = Vec::new();
            for (at, rows) in rows.iter().filter(|(at, _)| !is_gone(at.hub)) {
                let at = *at;
                for timer in &rows.timers_removed {
                    timers.remove(&*keys::timer(at, timer))?;
                }
                for timer in &rows.timers_added {
                    timers.insert(&*keys::timer(at, timer), ())?;
                }
                // In the order of their keys, pages are touched once.
                let mut order: Vec<_> = rows.instances.iter().collect();
                order.sort_by(|a, b| a.id.cmp(&b.id));
                for instance in order {
                    let id = instance.id.as_str();
                    let key = keys::instance(at, id);
                    for execution in &instance.dropped {
                        let (from, to) =
                            (keys::chunk(at, *execution, 0), keys::chunk(at, *execution, u32::MAX));
                        chunks.retain_in::<&[u8], _>(&from[..]..=&to[..], |_, _| false)?;
                    }
                    let old = match &instance.row {
                        Some(row) => instances.insert(&*key, encode(row, &mut buffer))?,
                        None => instances.remove(&*key)?,
                    };
                    let old = old.map(|old| decode::<InstanceHead>("instances", old.value())).transpose()?;
                    let new = instance.row.as_ref().map(Indexed::row);
                    index.replaced(at, id, old.as_ref().map(Indexed::head), new);
                    if let Some(row) = &instance.row {
                        let execution = execution_of(row)?;
                        for (number, chunk) in &instance.chunks {
                            let key = keys::chunk(at, execution, *number);
                            chunks.insert(&key[..], encode(chunk, &mut buffer))?;
                        }
                    }
                    if instance.active && instance.row.is_some() {
                        active.insert(&*key, ())?;
                    } else {
                        active.remove(&*key)?;
                    }
                }
                for entity in &rows.entities {
                    let key = keys::instance(at, entity.id.as_str());
                    match &entity.row {
                        Some(row) => entities.insert(&*key, encode(row, &mut buffer))?,
                        None => entities.remove(&*key)?,
                    };
                    if entity.active {
                        active.insert(&*key, ())?;
                    } else {
                        active.remove(&*key)?;
                    }
                }
                let key = keys::partition(at);
                partitions.insert(&key[..], encode(&rows.partition, &mut buffer))?;
                positions.insert(&key[..], rows.partition.position)?;
            }
            index.apply(txn)?;
            let mut meta = txn.open_table(META)?;
            meta.insert(DURABLE, log.durable)?;
            meta.insert(FIRST_SEGMENT, log.first_segment)?;
            meta.insert(FIRST_LSN, log.first_lsn)?;
            Ok(())
        })
    }

    pub(crate) fn partition(&self, at: PartitionRef) -> Result<PartitionTables, StoreError> {
        self.read(|txn| {
            let from = keys::partition(at);
            let row = txn.open_table(PARTITIONS)?.get(&from[..])?;
            let row = row.map(|v| decode("partitions", v.value())).transpose()?;
            let mut found = PartitionTables { row, ..PartitionTables::default() };
            for row in txn.open_table(TIMERS)?.range::<&[u8]>(&from[..]..)? {
                let key = row?.0;
                if !key.value().starts_with(&from) {
                    break;
                }
                let timer = keys::timer_of(key.value()).ok_or_else(|| corrupt("a key of timers".into()))?;
                found.timers.push(timer);
            }
            for row in txn.open_table(ACTIVE)?.range::<&[u8]>(&from[..]..)? {
                let key = row?.0;
                if !key.value().starts_with(&from) {
                    break;
                }
                let id = keys::instance_of(key.value()).ok_or_else(|| corrupt("a key of active".into()))?;
                found.active.push(id);
            }
            Ok(found)
        })
    }

    pub(crate) fn instance(&self, at: PartitionRef, id: &str) -> Result<Option<InstanceRow>, StoreError> {
        self.read(|txn| {
            let value = txn.open_table(INSTANCES)?.get(&*keys::instance(at, id))?;
            Ok(value.map(|v| decode("instances", v.value())).transpose()?)
        })
    }

    pub(crate) fn entity(&self, at: PartitionRef, id: &str) -> Result<Option<EntityRow>, StoreError> {
        self.read(|txn| {
            let value = txn.open_table(ENTITIES)?.get(&*keys::instance(at, id))?;
            Ok(value.map(|v| decode("entities", v.value())).transpose()?)
        })
    }

    pub(crate) fn chunk(
        &self,
        at: PartitionRef,
        execution: ExecutionId,
        number: u32,
    ) -> Result<Option<HistoryChunk>, StoreError> {
        self.read(|txn| {
            let value = txn.open_table(CHUNKS)?.get(&keys::chunk(at, execution, number)[..])?;
            Ok(value.map(|v| decode("chunks", v.value())).transpose()?)
        })
    }
}

fn full(message: &str) -> StoreError {
    StoreError::Full(format!("cannot write {FILE}: {message}"))
}

impl Drop for Tables {
    fn drop(&mut self) {
        discard(self.database.get_mut().take());
    }
}

/// Damaged pages can make redb panic even here.
fn discard(database: Option<Database>) {
    if catch_unwind(AssertUnwindSafe(|| drop(database))).is_err() {
        tracing::error!("{FILE} is damaged: it could not be closed");
    }
}

fn open_database(file: &Arc<TablesFile>, cache_bytes: usize) -> Result<Database, StoreError> {
    let open = || {
        let opened = Builder::new().set_cache_size(cache_bytes).create_with_backend(Backend(file.clone()));
        opened.map_err(|e| Problem::from(redb::Error::from(e)))
    };
    shielded(open).map_err(Problem::into_error)
}

/// redb trusts its pages: some kinds of damage make it panic.
fn shielded<T>(f: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    // What was being used is abandoned afterwards.
    catch_unwind(AssertUnwindSafe(f)).unwrap_or(Err(Problem::Damaged))
}

fn execution_of(row: &InstanceRow) -> Result<ExecutionId, Problem> {
    let bytes = <[u8; 16]>::try_from(&*row.execution_id);
    bytes.map(|b| ExecutionId(u128::from_be_bytes(b))).map_err(|_| {
        Problem::Store(StoreError::Format(format!(
            "a row has an execution id of {} bytes, not 16",
            row.execution_id.len()
        )))
    })
}

/// What became of hubs; what was written before does no harm.
fn write_hubs(txn: &WriteTransaction, changes: &[HubChange]) -> Result<(), Problem> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut hubs = txn.open_table(HUBS)?;
    let mut dropping = txn.open_table(DROPPING)?;
    let mut meta = txn.open_table(META)?;
    for change in changes {
        match change {
            HubChange::Created(hub) => {
                let row = HubRow { number: hub.number, partitions: hub.partitions.into() };
                hubs.insert(&*hub.name, encode(&row, &mut Vec::new()))?;
                meta.insert(NEXT_HUB, u64::from(hub.number) + 1)?;
            }
            HubChange::Deleted(hub) => {
                hubs.remove(&*hub.name)?;
                dropping.insert(hub.number, ())?;
            }
        }
    }
    Ok(())
}

fn drop_from<V: redb::Value + 'static>(
    txn: &WriteTransaction,
    table: TableDefinition<'static, &'static [u8], V>,
    hub: u32,
    left: &mut usize,
) -> Result<(), Problem> {
    if *left == 0 {
        return Ok(());
    }
    let mut table = txn.open_table(table)?;
    let from = hub.to_be_bytes();
    let mut doomed: Vec<Vec<u8>> = Vec::new();
    for row in table.range::<&[u8]>(&from[..]..)? {
        let key = row?.0;
        if *left == 0 || !key.value().starts_with(&from) {
            break;
        }
        doomed.push(key.value().to_vec());
        *left -= 1;
    }
    for key in doomed {
        table.remove(&*key)?;
    }
    Ok(())
}

/// What can go wrong inside a transaction.
pub(crate) enum Problem {
    Store(StoreError),
    Tables(redb::Error),
    /// redb panicked.
    Damaged,
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => {$(
        impl From<$error> for Problem {
            fn from(error: $error) -> Self {
                Self::Tables(error.into())
            }
        }
    )*};
}
from_redb!(redb::Error, redb::StorageError, redb::TableError, redb::TransactionError);

impl Problem {
    fn into_error(self) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Tables(redb::Error::Io(source)) => {
                StoreError::Io { what: format!("reading or writing {FILE}"), source }
            }
            Self::Tables(error @ redb::Error::UpgradeRequired(_)) => {
                StoreError::Format(format!("{FILE}: {error}"))
            }
            Self::Tables(error) => corrupt(error.to_string()),
            Self::Damaged => corrupt("its pages contradict each other; restore it from a backup".into()),
        }
    }
}
