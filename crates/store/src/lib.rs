//! What the engine asks of a store.
//!
//! A store keeps, for every partition of every hub, a log of batches and tables that lag behind it.
//! The unit of durability is the partition's batch, never the work item. All calls block; the engine
//! makes them from threads of its own, the simulator from its single thread.

pub mod conformance;
pub mod disk;
mod scan;

use strandline_hub::EntityStatus;
use strandline_hub::query::EntityQuery;
use strandline_hub::row::{EntityRow, HistoryChunk, InstanceRow, PartitionRow, PartitionRows, TimerKey};
use strandline_model::{ExecutionId, InstanceId, Timestamp};

pub use scan::{Budget, Count, Page, Scan};

/// One partition of one hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionRef {
    /// The hub's number: given at creation, never reused.
    pub hub: u32,
    pub partition: u16,
}

/// A task hub a store knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubInfo {
    pub name: String,
    pub number: u32,
    /// Fixed when the hub was created.
    pub partitions: u16,
}

/// Longest name of a task hub.
pub const HUB_NAME_MAX: usize = 64;

/// Most partitions of a hub.
pub const HUB_PARTITIONS_MAX: u16 = 1024;

/// Whether a text can be the name of a task hub: 1 to [`HUB_NAME_MAX`] of `A-Z a-z 0-9 _ -`.
pub fn is_hub_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=HUB_NAME_MAX).contains(&text.len()) && text.chars().all(allowed)
}

/// What one partition decided in one go: whole or absent after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub at: PartitionRef,
    /// The owner's epoch, from [`Store::acquire`].
    pub epoch: u64,
    /// Counts batches of the partition, from 1 without gaps.
    pub position: u64,
    pub time: Timestamp,
    /// Encoded records; the store does not look inside.
    pub records: Vec<u8>,
}

/// A partition as its owner finds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovered {
    /// Strictly greater than any epoch before it.
    pub epoch: u64,
    /// `None` when nothing was flushed yet.
    pub row: Option<PartitionRow>,
    /// All timers in the tables, in order.
    pub timers: Vec<TimerKey>,
    /// Instances and entities in the tables marked active, in order.
    pub active: Vec<InstanceId>,
    /// The batches after `row.position`, in order.
    pub tail: Vec<Batch>,
}

/// How much of the log waits for flushes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogUsage {
    /// Bytes of log that can't be trimmed yet.
    pub untrimmed_bytes: u64,
    /// The partition that pins the oldest part of the log.
    pub oldest: Option<PartitionRef>,
}

/// Counters for tests and benchmarks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Syncs of the log: one for each group appended.
    pub log_syncs: u64,
    /// Bytes of frames in the log.
    pub log_bytes: u64,
    /// Bytes written to the tables.
    pub table_bytes: u64,
    /// How large the tables are now.
    pub table_file_bytes: u64,
    pub flushes: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The caller no longer owns the partition, or its view of the log is not the store's.
    #[error("partition {at:?} is stale: {reason}")]
    Stale { at: PartitionRef, reason: String },
    #[error("no space left for the log: {0}")]
    Full(String),
    #[error("corrupt: {file} at offset {offset}: {reason}")]
    Corrupt { file: String, offset: u64, reason: String },
    #[error("task hub {0:?} exists already")]
    HubExists(String),
    #[error("there is no task hub {0:?}")]
    NoSuchHub(String),
    /// Another process has the store open.
    #[error("{path} is in use by process {pid}: stop it, or choose another directory")]
    Locked { path: String, pid: String },
    #[error("{0}")]
    Format(String),
    /// A read or write failed. After a failed append the outcome is unknown: the node must discard
    /// what it holds in memory and open the store anew.
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    /// An earlier append failed; nothing more is accepted until the store is opened anew.
    #[error("the store failed and must be opened again: {0}")]
    Failed(String),
}

/// A store. See the crate's documentation.
pub trait Store: Send + Sync + 'static {
    fn hubs(&self) -> Result<Vec<HubInfo>, StoreError>;

    /// Durable when it returns. For names see [`is_hub_name`]; partitions 1 to [`HUB_PARTITIONS_MAX`].
    fn create_hub(&self, name: &str, partitions: u16) -> Result<HubInfo, StoreError>;

    /// Hides the hub at once and durably; its rows go in the background. The name can be used again at
    /// once, the number never is; the hub's batches no longer pin the log.
    fn delete_hub(&self, name: &str) -> Result<(), StoreError>;

    /// Takes a partition over: fences whoever had it and returns what it holds.
    fn acquire(&self, at: PartitionRef) -> Result<Recovered, StoreError>;

    /// Makes sure that `bytes` more of records fit in the log, so that a later append of that
    /// much does not fail for want of space. Called before anything is decided.
    fn reserve(&self, bytes: u64) -> Result<(), StoreError>;

    /// Appends batches in order with one sync; durable when it returns. Refused whole when one
    /// batch has a stale epoch or not the position that comes next in its partition.
    fn append(&self, group: &[Batch]) -> Result<(), StoreError>;

    /// Writes rows of several partitions in one transaction with the positions they reflect.
    /// The caller has seen every one of those positions become durable. When it fails with `Full` the
    /// tables are what they were, and it can be tried again.
    fn flush(&self, rows: &[(PartitionRef, PartitionRows)]) -> Result<(), StoreError>;

    fn instance(&self, at: PartitionRef, id: &str) -> Result<Option<InstanceRow>, StoreError>;

    fn entity(&self, at: PartitionRef, id: &str) -> Result<Option<EntityRow>, StoreError>;

    /// One chunk of an execution's history.
    fn chunk(
        &self,
        at: PartitionRef,
        execution: ExecutionId,
        number: u32,
    ) -> Result<Option<HistoryChunk>, StoreError>;

    /// At most `limit` instances of a hub that the tables hold and a query means, in the order of the
    /// query, as of one moment.
    fn list(&self, scan: &Scan<'_>, limit: usize) -> Result<Page, StoreError>;

    /// As [`Store::list`], for entities.
    fn list_entities(
        &self,
        scan: &Scan<'_, EntityQuery>,
        limit: usize,
    ) -> Result<Page<EntityStatus>, StoreError>;

    /// How many instances [`Store::list`] would find.
    fn count(&self, scan: &Scan<'_>) -> Result<Count, StoreError>;

    /// Random bytes drawn when the store was made, for marks that nobody else can make.
    fn secret(&self) -> Result<[u8; 32], StoreError>;

    fn log_usage(&self) -> LogUsage;

    fn stats(&self) -> StoreStats;

    /// Nothing is queued: a chance to write what marks the newest batches as durable.
    fn idle(&self) -> Result<(), StoreError>;

    /// Marks a clean end. Further calls fail.
    fn close(&self) -> Result<(), StoreError>;
}
