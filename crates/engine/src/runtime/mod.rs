//! The threads around the pipelines: drivers of partitions, one log writer, one flusher, activities.

mod activities;
mod clock;
mod driver;
mod entities;
mod flush;
mod health;
mod log;
mod node;
mod pool;
mod query;
mod running;
mod tell;
mod why;
mod workers;

use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::Mutex;
use strandline_model::limits::OPERATIONS_PER_BATCH;
use strandline_store::StoreError;
use tokio::runtime::Handle;

pub use activities::RunningActivity;
pub use health::{HubHealth, NodeHealth, StoreProblem};
pub use node::{Hub, Node, Opener};
pub use pool::ActivityPool;
pub use query::{EntityPage, InstancePage, ListError};
pub use tell::LIFECYCLE;
pub use why::{Reach, WhyError};
pub use workers::{Completed, Connection, Work, WorkItem};

use crate::dispatch::DispatchConfig;
use crate::metrics::Metrics;
use crate::pipeline::{Answer, PipelineConfig};

/// Where an answer goes.
pub(crate) type Reply = tokio::sync::oneshot::Sender<Answer>;

/// How a node runs.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Tables are flushed at least this often while there is anything to flush.
    pub flush_interval: Duration,
    /// Bytes of log above which a flush starts at once.
    pub flush_log_bytes: u64,
    /// Bytes of log above which new work is refused until a flush is done.
    pub refuse_log_bytes: u64,
    /// Whether the log shows inputs, outputs and reasons. Otherwise it says how many characters they have.
    pub log_payloads: bool,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            flush_interval: Duration::from_secs(4),
            flush_log_bytes: 64 << 20,
            refuse_log_bytes: 256 << 20,
            log_payloads: false,
        }
    }
}

/// How a hub runs.
#[derive(Clone, Debug)]
pub struct HubOptions {
    /// Partitions of the hub, if it is created now.
    pub partitions: u16,
    /// Threads that own partitions and run turns.
    pub drivers: usize,
    /// Turns that run in this process at the same time, counting those that block.
    pub turns_max: usize,
    /// Activities that run in this process at the same time.
    pub activities_max: usize,
    /// Batches of entity operations that run in this process at the same time.
    pub entities_max: usize,
    /// Operations of one entity handed out together.
    pub operations_per_batch: usize,
    /// Memory for instances and entities, in bytes, over all partitions.
    pub cache_bytes: usize,
    /// The version of instances that clients start without one.
    pub default_version: Option<String>,
    /// How work is handed to workers elsewhere, and how much may be out to all workers.
    pub dispatch: DispatchConfig,
}

impl Default for HubOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            partitions: 32,
            drivers: cores,
            turns_max: 64.max(2 * cores),
            activities_max: 100 * cores,
            entities_max: 100 * cores,
            operations_per_batch: OPERATIONS_PER_BATCH,
            cache_bytes: 512 << 20,
            default_version: None,
            dispatch: DispatchConfig::default(),
        }
    }
}

impl HubOptions {
    pub(crate) fn pipeline(&self, partitions: u16) -> PipelineConfig {
        let cache_bytes = (self.cache_bytes / usize::from(partitions.max(1))).max(64 << 10);
        let operations_per_batch = self.operations_per_batch;
        PipelineConfig { cache_bytes, operations_per_batch, ..PipelineConfig::default() }
    }
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The hub failed after it took the call: it may have been carried out or not. Ask again, or
    /// repeat the call if it is safe to.
    #[error(
        "the hub failed before it could answer: the outcome is unknown; ask for the status, or repeat the call if that is safe"
    )]
    OutcomeUnknown,
    #[error("the hub is closed: open it again to go on")]
    Closed,
    /// Its name may be another hub's by now.
    #[error("there is no task hub {0:?} any more: it was deleted")]
    NoSuchHub(String),
    #[error(
        "{0} workers are connected to the task hub, and more are not taken: connect again later, or give fewer workers more to do"
    )]
    TooManyWorkers(usize),
}

/// What all hubs of a node share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) runtime: Handle,
    pub(crate) flush: flush::FlushSignal,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) log_payloads: bool,
    failures: Mutex<mpsc::Sender<node::Event>>,
}

impl Shared {
    pub(crate) fn fail(&self, incarnation: u64, reason: String) {
        let _ = self.failures.lock().send(node::Event::Failed { incarnation, reason });
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a hub needs a tokio runtime: call this from inside one")]
    NoRuntime,
}
