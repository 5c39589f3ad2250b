//! A worker of a server's hub: it gets work over one stream and returns it call by call.

mod activities;
mod entities;
mod orchestrations;
mod request;
mod response;
mod session;
mod turns;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use strandline_engine::runtime::ActivityPool;
use strandline_proto::wire;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::connection::{Connection, Repeat};
use super::error::{Failed, Subject, is_passing};
use super::hub::{RemoteHub, header};
use super::running::RunningActivities;
use crate::error::Result;
use crate::hub::WorkerBuilder;
use crate::registry::Registry;
use crate::worker::RustWorker;
use session::Session;
use turns::TurnThreads;

/// How long a worker that is replaced lets work in hand finish.
const REPLACE_GRACE: Duration = Duration::from_secs(30);

/// Where a worker gets its work: a server's hub, and how much of each kind at a time.
#[derive(Clone, Debug)]
pub struct RemoteWork {
    hub: RemoteHub,
    id: Option<String>,
    slots: Slots,
}

/// How much of each kind is in hand at a time.
#[derive(Clone, Copy, Debug)]
struct Slots {
    turns: usize,
    activities: usize,
    entities: usize,
}

impl RemoteWork {
    pub(super) fn of(hub: RemoteHub) -> Self {
        let each = 100 * cores();
        Self { hub, id: None, slots: Slots { turns: each, activities: each, entities: each } }
    }
}

/// More is not asked for of one kind: it is more than a server gives.
const SLOTS_MAX: usize = 100_000;

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

impl WorkerBuilder<RemoteWork> {
    /// How many turns the worker takes at a time, those on their way included: 100 for each core by
    /// default. One thread for each core runs them; an orchestrator that blocks holds up others.
    pub fn max_concurrent_turns(mut self, turns: usize) -> Self {
        self.hub.slots.turns = turns.clamp(1, SLOTS_MAX);
        self
    }

    /// How many activities run at the same time: 100 for each core by default.
    pub fn max_concurrent_activities(mut self, activities: usize) -> Self {
        self.hub.slots.activities = activities.clamp(1, SLOTS_MAX);
        self
    }

    /// How many entities run operations at the same time: 100 for each core by default.
    pub fn max_concurrent_entities(mut self, entities: usize) -> Self {
        self.hub.slots.entities = entities.clamp(1, SLOTS_MAX);
        self
    }

    /// What the worker is called in the server's lists: by default host, process and a GUID.
    pub fn worker_id(mut self, id: impl Into<String>) -> Self {
        self.hub.id = Some(id.into());
        self
    }

    /// Starts serving, in place of this program's worker before, if there is one; that one finishes what
    /// it has in hand first. It works until [`RemoteHub::close`], or until hub, clients and instances are
    /// dropped, and connects again whenever the server is lost, with growing pauses.
    ///
    /// # Errors
    /// Names everything that was registered wrongly. `Unauthenticated` and `PermissionDenied` when the
    /// server does not let it in. That the server can't be reached is no error: the worker waits for it.
    pub async fn start(self) -> Result<()> {
        let RemoteWork { hub, id, slots } = self.hub;
        let worker = self.registry.build()?;
        let connection = hub.connection();
        let mut stub = connection.stub();
        if let Err(status) = stub.hello(()).await {
            let failed = Failed { status, in_doubt: false };
            if !is_passing(&failed.status) {
                return Err(failed.into_error(Subject::Hub, "InvalidRequest", &connection.address));
            }
            tracing::warn!(address = %connection.address, error = %failed.status, "the worker waits for its server");
        }
        let id = id.unwrap_or_else(default_id);
        let worker = Serving::start(worker, connection.clone(), hub.running(), slots, &id)?;
        if let Some(before) = hub.put_worker(worker) {
            tracing::warn!("a new worker replaces the one before");
            before.stop(REPLACE_GRACE).await;
        }
        Ok(())
    }
}

/// As other SDKs call theirs.
fn default_id() -> String {
    let host = std::env::var("HOSTNAME").or_else(|_| std::env::var("COMPUTERNAME"));
    format!("{},{},{}", host.as_deref().unwrap_or("localhost"), std::process::id(), Uuid::new_v4().simple())
}

/// A worker that serves. When it is dropped, it stops at once, and its work goes to others.
pub(super) struct Serving {
    worker: Arc<Worker>,
    /// Takes nothing more.
    stopping: CancellationToken,
    /// Lets go of what is in hand.
    stopped: CancellationToken,
    task: JoinHandle<()>,
}

/// What all connections of a worker share.
struct Worker {
    rust: RustWorker,
    connection: Arc<Connection>,
    request: wire::GetWorkItemsRequest,
    headers: super::connection::Headers,
    turns: TurnThreads,
    activity_pool: ActivityPool,
    entity_pool: ActivityPool,
    activities: Arc<Semaphore>,
    entities: Arc<Semaphore>,
    /// Held by whatever is in hand. There is some room for work on its way, and for servers that send
    /// more than they are asked for; then the stream is held up.
    places: Arc<Semaphore>,
    places_max: u32,
    running: Arc<RunningActivities>,
}

impl Serving {
    fn start(
        rust: RustWorker,
        connection: Arc<Connection>,
        running: Arc<RunningActivities>,
        slots: Slots,
        id: &str,
    ) -> Result<Self> {
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let places = 2 * (slots.turns + slots.activities + slots.entities).min(100_000);
        let threads = cores();
        let pool = |max| ActivityPool::new(Handle::current(), threads, max + threads);
        let worker = Arc::new(Worker {
            request: wire::GetWorkItemsRequest {
                max_concurrent_orchestration_work_items: count(slots.turns),
                max_concurrent_activity_work_items: count(slots.activities),
                max_concurrent_entity_work_items: count(slots.entities),
                capabilities: vec![wire::WorkerCapability::HistoryStreaming as i32],
                work_item_filters: Some(filters(&rust)),
                worker_instance_id: id.to_owned(),
            },
            headers: connection.headers.with("workerid", header("worker id", id)?),
            turns: TurnThreads::start(&rust.program, u16::try_from(threads).unwrap_or(u16::MAX))?,
            activity_pool: pool(slots.activities),
            entity_pool: pool(slots.entities),
            activities: Arc::new(Semaphore::new(slots.activities)),
            entities: Arc::new(Semaphore::new(slots.entities)),
            places: Arc::new(Semaphore::new(places)),
            places_max: u32::try_from(places).unwrap_or(u32::MAX),
            running,
            rust,
            connection,
        });
        let (stopping, stopped) = (CancellationToken::new(), CancellationToken::new());
        let task = tokio::spawn(session::serve(worker.clone(), stopping.clone(), stopped.clone()));
        Ok(Self { worker, stopping, stopped, task })
    }

    /// Takes nothing more, lets what is in hand finish for this long, and lets go of the rest.
    pub(super) async fn stop(mut self, grace: Duration) {
        self.stopping.cancel();
        let drained = self.worker.places.clone().acquire_many_owned(self.worker.places_max);
        let _ = tokio::time::timeout(grace, drained).await;
        self.stopped.cancel();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stopping.cancel();
        self.stopped.cancel();
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Serving").field(&self.worker.rust).finish()
    }
}

/// What the worker serves. A name without versions is served whatever the version.
fn filters(worker: &RustWorker) -> wire::WorkItemFilters {
    let functions = &worker.program.functions;
    let orchestrations = functions.orchestrators.served();
    let activities = functions.activities.served();
    wire::WorkItemFilters {
        orchestrations: orchestrations
            .map(|(name, versions)| wire::OrchestrationFilter { name, versions })
            .collect(),
        activities: activities.map(|(name, versions)| wire::ActivityFilter { name, versions }).collect(),
        entities: functions
            .entities
            .names()
            .iter()
            .map(|name| wire::EntityFilter { name: name.to_ascii_lowercase() })
            .collect(),
    }
}

/// Returns work with a call that is repeated while the server is lost for a moment.
async fn deliver<T, F, A>(session: &Session, call: F) -> Result<tonic::Response<T>, tonic::Status>
where
    F: Fn() -> A,
    A: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
{
    let delivered = session.worker.connection.call(Repeat::Harmless, call).await;
    delivered.map_err(|failed| failed.status)
}

impl WorkerBuilder<RemoteWork> {
    pub(super) fn remote(work: RemoteWork) -> Self {
        Self { hub: work, registry: Registry::new() }
    }
}
