//! Opening a task hub inside this process.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use strandline_engine::runtime::{Hub, HubOptions, Node, NodeOptions, Opener};
use strandline_engine::worker::Worker as _;
use strandline_store::Store;
use strandline_store::disk::MemoryDisk;
use strandline_store_local::{LocalOptions, LocalStore};

use crate::backend::Embedded;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::register::Register;
use crate::registry::Registry;
use crate::versioning::Versioning;

/// A directory that holds task hubs: one store, used by one process at a time.
///
/// Most programs need just [`TaskHub::open`]. Open a `DataDirectory` to run several hubs, isolated
/// from each other, over one log.
///
/// ```
/// # #[tokio::main] async fn main() -> strandline::Result<()> {
/// # let path = std::env::temp_dir().join(format!("strandline-doc-{}", std::process::id()));
/// use strandline::DataDirectory;
///
/// let directory = DataDirectory::open(&path).await?;
/// let orders = directory.hub("orders").await?;
/// let reports = directory.hub("reports").await?;
/// directory.close().await?;
/// # std::fs::remove_dir_all(path).ok(); Ok(()) }
/// ```
#[derive(Clone)]
pub struct DataDirectory {
    node: Arc<Node>,
    options: HubOptions,
}

/// Settings of a [`DataDirectory`] and of the hubs opened in it. Made by [`DataDirectory::at`].
#[derive(Clone, Debug)]
#[must_use = "nothing is opened until `.open()` is called"]
pub struct DataDirectoryBuilder {
    path: Option<PathBuf>,
    node: NodeOptions,
    hub: HubOptions,
}

/// How long [`TaskHub::close`] lets running activities finish.
const CLOSE_GRACE: Duration = Duration::from_secs(30);
/// The hub that [`TaskHub::open`] opens.
pub(crate) const DEFAULT_HUB: &str = "default";

impl DataDirectory {
    /// Opens the directory, and creates it if it is absent.
    ///
    /// # Errors
    /// When it is in use by another process (named by its pid), holds something else, was written by
    /// a newer version, is damaged (with file and offset), read-only or full. Nothing is changed then.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::at(path).open().await
    }

    /// A directory to open with settings of one's own.
    pub fn at(path: impl AsRef<Path>) -> DataDirectoryBuilder {
        DataDirectoryBuilder {
            path: Some(path.as_ref().to_owned()),
            node: NodeOptions::default(),
            hub: HubOptions::default(),
        }
    }

    /// A store in memory, for tests: everything is gone when it is dropped.
    pub fn in_memory() -> DataDirectoryBuilder {
        DataDirectoryBuilder { path: None, node: NodeOptions::default(), hub: HubOptions::default() }
    }

    /// Runs a hub; creates it if there is none of this name.
    ///
    /// # Errors
    /// For a name that is not 1 to 64 of `A-Z a-z 0-9 _ -`, and when the store fails.
    pub async fn hub(&self, name: &str) -> Result<TaskHub> {
        let (node, options, name) = (self.node.clone(), self.options.clone(), name.to_owned());
        let hub = blocking(move || node.hub(&name, options)).await?;
        Ok(TaskHub { hub, directory: self.clone() })
    }

    /// Names of the hubs in the directory, running or not.
    pub fn hubs(&self) -> Result<Vec<String>> {
        Ok(self.node.hubs()?.into_iter().map(|hub| hub.name).collect())
    }

    /// Lets running activities finish for up to 30 seconds, then commits, flushes and closes.
    /// Whoever still waits for an answer gets an error.
    pub async fn close(&self) -> Result<()> {
        self.close_within(CLOSE_GRACE).await
    }

    /// As [`DataDirectory::close`], with a time of its own.
    pub async fn close_within(&self, grace: Duration) -> Result<()> {
        let node = self.node.clone();
        blocking(move || node.close(grace)).await
    }

    /// Puts all metrics of the directory's hubs into a Prometheus registry: those of the engine, which begin
    /// with `strandline_`, and those that activities define. One registry takes one directory.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> strandline::Result<()> {
    /// use strandline::TaskHub;
    /// use strandline::metrics::prometheus_client::{encoding::text::encode, registry::Registry};
    ///
    /// let hub = TaskHub::in_memory().await?;
    /// let mut registry = Registry::default();
    /// hub.directory().register_metrics(&mut registry);
    /// let mut text = String::new();
    /// encode(&mut text, &registry).expect("a string takes everything");
    /// assert!(text.contains("strandline_work_item_queue_depth"));
    /// # hub.close().await }
    /// ```
    pub fn register_metrics(&self, registry: &mut crate::metrics::prometheus_client::registry::Registry) {
        self.node.register_metrics(registry);
    }

    /// The node behind the directory, for tools.
    #[doc(hidden)]
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }
}

impl DataDirectoryBuilder {
    /// Partitions of hubs that are created from now on: 32 by default, fixed for the hub's life.
    pub fn partitions(mut self, partitions: u16) -> Self {
        self.hub.partitions = partitions;
        self
    }

    /// How many activities of one hub are out at the same time, to workers in this process and elsewhere
    /// together. By default this process runs 100 for each core, and workers elsewhere get as many as they
    /// take.
    pub fn max_concurrent_activities(mut self, activities: usize) -> Self {
        self.hub.activities_max = activities;
        self.hub.dispatch.out_max.activities = Some(activities);
        self
    }

    /// How many entities of one hub run operations at the same time, here and elsewhere together. By default
    /// this process runs those of 100 for each core, and workers elsewhere get as many as they take.
    pub fn max_concurrent_entities(mut self, entities: usize) -> Self {
        self.hub.entities_max = entities;
        self.hub.dispatch.out_max.entities = Some(entities);
        self
    }

    /// How many operations that wait for one entity are run together, between two commits: at most
    /// 5,000, which is the default. 1 commits each by itself.
    pub fn max_entity_batch(mut self, operations: usize) -> Self {
        self.hub.operations_per_batch = operations;
        self
    }

    /// How many turns of one hub are out at the same time, here and elsewhere together, counting those that
    /// block. By default this process runs 64, or two for each core if that is more, and workers elsewhere get
    /// as many as they take. Up to this number, an orchestrator that blocks holds up no other.
    pub fn max_concurrent_turns(mut self, turns: usize) -> Self {
        self.hub.turns_max = turns;
        self.hub.dispatch.out_max.orchestrations = Some(turns);
        self
    }

    /// The version of instances that are started without one: none by default.
    pub fn default_version(mut self, version: impl Into<String>) -> Self {
        self.hub.default_version = Some(version.into());
        self
    }

    /// Memory for the instances of one hub in bytes: 512 MiB by default. Above it, instances leave
    /// memory until they are needed; if they can't, new work is refused for a while.
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.hub.cache_bytes = bytes;
        self
    }

    /// Tables are written at least this often: 4 seconds by default. Nothing is lost in between:
    /// the log has everything.
    pub fn flush_interval(mut self, interval: Duration) -> Self {
        self.node.flush_interval = interval;
        self
    }

    /// Shows inputs, outputs and reasons in the log, which otherwise says how many characters they have.
    pub fn log_payloads(mut self, shown: bool) -> Self {
        self.node.log_payloads = shown;
        self
    }

    /// Opens it; see [`DataDirectory::open`] for what can go wrong.
    pub async fn open(self) -> Result<DataDirectory> {
        let Self { path, node, hub } = self;
        let opener: Opener = match path {
            Some(path) => Box::new(move || {
                Ok(Arc::new(LocalStore::open(&path, LocalOptions::default())?) as Arc<dyn Store>)
            }),
            None => {
                let disk = Arc::new(MemoryDisk::default());
                Box::new(move || {
                    Ok(Arc::new(LocalStore::open_on(disk.clone(), LocalOptions::in_memory())?)
                        as Arc<dyn Store>)
                })
            }
        };
        let node = blocking(move || Node::open(opener, node)).await?;
        Ok(DataDirectory { node: Arc::new(node), options: hub })
    }

    /// Opens it and runs the hub named `default`.
    pub async fn open_hub(self) -> Result<TaskHub> {
        self.open().await?.hub(DEFAULT_HUB).await
    }
}

/// A task hub: instances, their histories, and the worker that serves them, isolated from other hubs.
///
/// ```
/// use strandline::prelude::*;
///
/// #[activity]
/// async fn greet(city: String) -> Result<String> { Ok(format!("Hello {city}!")) }
///
/// #[orchestrator]
/// async fn hello(ctx: OrchestrationContext, city: String) -> Result<String> {
///     ctx.call(greet, city).await
/// }
///
/// # #[tokio::main] async fn main() -> Result<()> {
/// let hub = TaskHub::in_memory().await?;      // or TaskHub::open("./hub")
/// hub.worker().register((greet, hello)).start()?;
/// let run = hub.client().start(hello, "Tokyo".to_owned()).await?;
/// assert_eq!(run.output().await?, "Hello Tokyo!");
/// # hub.close().await }
/// ```
///
/// Cheap to clone. When the last clone (and the last [`Client`] and
/// [`Instance`](crate::Instance) made from it) is dropped, the hub stops at once;
/// nothing acknowledged is lost. [`TaskHub::close`] is the polite way.
#[derive(Clone)]
pub struct TaskHub {
    hub: Hub,
    directory: DataDirectory,
}

impl TaskHub {
    /// Opens the hub `default` in a directory of its own; see [`DataDirectory::open`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        DataDirectory::at(path).open_hub().await
    }

    /// A hub in memory, for tests.
    pub async fn in_memory() -> Result<Self> {
        DataDirectory::in_memory().open_hub().await
    }

    /// Describes the worker that runs this hub's code in this process.
    pub fn worker(&self) -> WorkerBuilder {
        WorkerBuilder { hub: self.clone(), registry: Registry::new() }
    }

    /// A client of this hub.
    pub fn client(&self) -> Client {
        Client::new(Arc::new(Embedded::new(self.hub.clone(), self.directory.clone())))
    }

    /// How many timers of the hub wait to fire.
    pub fn pending_timers(&self) -> usize {
        self.hub.timers()
    }

    /// Closes the directory with all its hubs; see [`DataDirectory::close`].
    pub async fn close(&self) -> Result<()> {
        self.directory.close().await
    }

    /// The directory the hub lives in.
    pub fn directory(&self) -> &DataDirectory {
        &self.directory
    }

    /// The engine's hub, for tools.
    #[doc(hidden)]
    pub fn engine(&self) -> &Hub {
        &self.hub
    }
}

impl fmt::Debug for TaskHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskHub").field(&self.hub.info().name).finish()
    }
}

impl fmt::Debug for DataDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataDirectory").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The worker of a hub before it starts: a [`Registry`] that knows its hub.
#[must_use = "a worker serves nothing until it is started"]
pub struct WorkerBuilder<H = TaskHub> {
    pub(crate) hub: H,
    pub(crate) registry: Registry,
}

impl<H> WorkerBuilder<H> {
    /// Adds functions; see [`Registry::register`].
    pub fn register(mut self, functions: impl Register) -> Self {
        self.registry = self.registry.register(functions);
        self
    }

    /// Gives activities a value; see [`Registry::state`].
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.registry = self.registry.state(value);
        self
    }

    /// Most actions of one execution; see [`Registry::max_actions`].
    pub fn max_actions(mut self, actions: usize) -> Self {
        self.registry = self.registry.max_actions(actions);
        self
    }

    /// Bounds of the suspended orchestrations kept in memory; see [`Registry::cache`].
    pub fn cache(mut self, orchestrations: usize, bytes: usize) -> Self {
        self.registry = self.registry.cache(orchestrations, bytes);
        self
    }

    /// Which versions of orchestrations it takes; see [`Versioning`].
    pub fn versioning(mut self, versioning: Versioning) -> Self {
        self.registry = self.registry.versioning(versioning);
        self
    }
}

impl WorkerBuilder {
    /// Starts serving, in place of the worker before: register everything with one worker.
    /// Instances that waited for a worker go on.
    ///
    /// # Errors
    /// Names everything that was registered wrongly, such as a name registered twice.
    pub fn start(self) -> Result<()> {
        let worker = self.registry.build()?;
        let hub = self.hub.hub;
        if let Some((orchestrators, activities)) = hub.served() {
            let (now, mut lost) = ([worker.orchestrators(), worker.activities()].concat(), orchestrators);
            lost.extend(activities);
            lost.retain(|name| !now.contains(name));
            if !lost.is_empty() {
                tracing::warn!(
                    ?lost,
                    "a new worker replaces the one before: these functions are served no more"
                );
            }
        }
        tracing::debug!(orchestrators = ?worker.orchestrators(), activities = ?worker.activities(), "worker starts");
        hub.attach(Some(Arc::new(worker)));
        Ok(())
    }
}

impl<H> fmt::Debug for WorkerBuilder<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerBuilder").field("registry", &self.registry).finish_non_exhaustive()
    }
}

/// Runs something that blocks without holding up the runtime.
async fn blocking<T, E>(work: impl FnOnce() -> std::result::Result<T, E> + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    E: std::error::Error + Send + 'static,
{
    let done = tokio::task::spawn_blocking(work).await;
    let result =
        done.map_err(|error| Error::new("HubError", format!("opening or closing failed: {error}")))?;
    result.map_err(|error| Error::new("HubError", error))
}
