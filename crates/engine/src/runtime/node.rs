//! A node: one store, its log writer and flusher, and the hubs that run on it.

mod hubs;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use strandline_hub::{Command, Start};
use strandline_model::{ExecutionId, InstanceId, Timestamp};
use strandline_store::{HubInfo, Store, StoreError, StoreStats};
use tokio::sync::{oneshot, watch};

use super::activities::RunningActivity;
use super::flush;
use super::health::{HubHealth, NodeHealth, StoreProblem};
use super::log::LogWriter;
use super::pool::spawn_named;
use super::running::Running;
use super::{CallError, HubOptions, NodeOptions, OpenError, Shared};
use crate::metrics::Metrics;
use crate::pipeline::{Answer, Counters, Input, Read};
use crate::worker::Worker;

/// Opens the store, again after a failure.
pub type Opener = Box<dyn Fn() -> Result<Arc<dyn Store>, StoreError> + Send + Sync>;

/// What the supervisor hears of.
pub(crate) enum Event {
    /// What is out of order, and in which incarnation: one failure is heard of from several threads.
    Failed {
        incarnation: u64,
        reason: String,
    },
    Closed,
}

/// A running store and its hubs. Dropping it stops everything without a final flush: nothing
/// acknowledged is lost.
pub struct Node {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    opener: Opener,
    options: NodeOptions,
    shared: Arc<Shared>,
    /// `None` after a failure, until the store is open again.
    incarnation: Mutex<Option<Incarnation>>,
    hubs: Mutex<Vec<Arc<HubState>>>,
    events: Mutex<mpsc::Sender<Event>>,
    /// Closed or dropped: nothing is opened again.
    closed: AtomicBool,
    incarnations: AtomicU64,
}

/// A store between opening and failure or close.
struct Incarnation {
    number: u64,
    store: Arc<dyn Store>,
    log: Arc<LogWriter>,
    log_thread: Option<JoinHandle<()>>,
    flush_thread: Option<JoinHandle<()>>,
}

struct HubState {
    info: HubInfo,
    options: HubOptions,
    worker: Mutex<Option<Arc<dyn Worker>>>,
    phase: watch::Sender<Phase>,
}

/// What a hub is doing.
#[derive(Clone)]
enum Phase {
    Running(Arc<Running>),
    /// The store failed; calls wait until it is open again.
    Recovering,
    Closed,
    Deleted,
}

impl HubState {
    fn running(&self) -> Option<Arc<Running>> {
        match &*self.phase.borrow() {
            Phase::Running(running) => Some(running.clone()),
            Phase::Recovering | Phase::Closed | Phase::Deleted => None,
        }
    }
}

/// After a failure the store is tried again this often.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

impl Node {
    /// Opens the store and starts its threads. Must be called inside a tokio runtime.
    pub fn open(opener: Opener, options: NodeOptions) -> Result<Self, OpenError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| OpenError::NoRuntime)?;
        let store = opener()?;
        let (events, heard) = mpsc::channel();
        let shared = Shared {
            runtime,
            flush: flush::FlushSignal::default(),
            metrics: Arc::new(Metrics::new()),
            log_payloads: options.log_payloads,
            failures: Mutex::new(events.clone()),
        };
        let inner = Arc::new(Inner {
            opener,
            options,
            shared: Arc::new(shared),
            incarnation: Mutex::new(None),
            hubs: Mutex::default(),
            events: Mutex::new(events),
            closed: AtomicBool::new(false),
            incarnations: AtomicU64::new(0),
        });
        *inner.incarnation.lock() = Some(inner.incarnate(store));
        let supervised = Arc::downgrade(&inner);
        spawn_named("strandline-supervisor", move || supervise(&supervised, &heard));
        Ok(Self { inner })
    }

    /// The hubs of the store, running or not.
    pub fn hubs(&self) -> Result<Vec<HubInfo>, StoreError> {
        self.inner.store()?.hubs()
    }

    /// Counters of the store.
    pub fn store_stats(&self) -> strandline_store::StoreStats {
        self.inner.store().map(|s| s.stats()).unwrap_or_default()
    }

    /// Flushes now; used by benchmarks to count the tables' share. Blocks.
    pub fn flush(&self) {
        self.inner.flush();
    }

    /// Lets running activities finish for up to `grace`, commits and flushes what there is, and
    /// closes the store. Blocks; waiting callers are told that the hub is closed.
    pub fn close(&self, grace: Duration) -> Result<(), StoreError> {
        self.inner.close(grace)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.inner.closed.store(true, Ordering::Release);
        self.inner.tear_down(&Phase::Closed);
        let _ = self.inner.events.lock().send(Event::Closed);
    }
}

impl Inner {
    fn store(&self) -> Result<Arc<dyn Store>, StoreError> {
        let incarnation = self.incarnation.lock();
        let current = incarnation.as_ref().map(|i| i.store.clone());
        current.ok_or_else(|| StoreError::Failed("the node is closed or recovering".to_owned()))
    }

    fn run(
        &self,
        info: HubInfo,
        options: &HubOptions,
        current: &Incarnation,
    ) -> Result<Arc<Running>, StoreError> {
        let (store, log) = (current.store.clone(), current.log.clone());
        Running::start(info, options.clone(), store, log, self.shared.clone(), current.number)
    }

    fn incarnate(self: &Arc<Self>, store: Arc<dyn Store>) -> Incarnation {
        let options = &self.options;
        let log = Arc::new(LogWriter::new(options.flush_log_bytes, options.refuse_log_bytes));
        let number = self.incarnations.fetch_add(1, Ordering::Relaxed);
        self.shared.flush.open();
        let log_thread = thread("strandline-log", {
            let (log, store, shared) = (log.clone(), store.clone(), self.shared.clone());
            move || {
                let failed = |reason| shared.fail(number, reason);
                log.run(&*store, &shared.metrics, || shared.flush.ask(), failed);
            }
        });
        let flush_thread = thread("strandline-flush", {
            let (log, store, shared) = (log.clone(), store.clone(), self.shared.clone());
            let node = Arc::downgrade(self);
            let interval = options.flush_interval;
            let catch_up = {
                let node = node.clone();
                move || node.upgrade().map_or((), |n| n.catch_up())
            };
            move || flush::run(&shared.flush, interval, &*store, &log, || running_hubs(&node), catch_up)
        });
        Incarnation { number, store, log, log_thread, flush_thread }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn health(&self) -> NodeHealth {
        let store = match &*self.incarnation.lock() {
            Some(current) => current.log.problem(),
            None => Some(StoreProblem::NotOpen),
        };
        let health = |state: &Arc<HubState>| {
            let HubInfo { name, partitions, .. } = state.info.clone();
            let running = if state.running().is_some() { partitions } else { 0 };
            HubHealth { name, partitions, running }
        };
        NodeHealth { store, hubs: self.hubs.lock().iter().map(health).collect() }
    }

    /// What the store has counted, and how many bytes of log wait for the tables.
    pub(super) fn store_use(&self) -> (StoreStats, u64) {
        let store = self.incarnation.lock().as_ref().map(|current| current.store.clone());
        store.map(|store| (store.stats(), store.log_usage().untrimmed_bytes)).unwrap_or_default()
    }

    pub(super) fn running(&self) -> Vec<Arc<Running>> {
        self.hubs.lock().iter().filter_map(|h| h.running()).collect()
    }

    fn flush(&self) {
        let parts = self.incarnation.lock().as_ref().map(|i| (i.store.clone(), i.log.clone()));
        if let Some((store, log)) = parts {
            flush::flush(&self.shared.flush, &*store, &log, &self.running());
        }
    }

    fn close(&self, grace: Duration) -> Result<(), StoreError> {
        let hubs = self.running();
        let end = std::time::Instant::now() + grace;
        let busy = || hubs.iter().filter(|hub| !(hub.activities.drain() & hub.entities.drain())).count() > 0;
        while busy() && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
        // The last results are decided and committed before the drivers stop.
        let unsettled = || hubs.iter().flat_map(|hub| hub.all_drivers()).any(|d| !d.is_settled());
        while unsettled() && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        for hub in &hubs {
            hub.stop();
        }
        self.closed.store(true, Ordering::Release);
        let incarnation = self.incarnation.lock().take();
        self.shared.flush.close();
        let Some(incarnation) = incarnation else {
            self.tear_down(&Phase::Closed);
            return Ok(());
        };
        let Incarnation { store, log, log_thread, flush_thread, .. } = incarnation;
        join(flush_thread);
        self.end(hubs);
        log.close();
        join(log_thread);
        store.close()
    }

    /// Flushes what hubs that do not run left in the log, so that they don't keep it from being trimmed.
    fn catch_up(&self) {
        loop {
            // Held, so that this hub does not begin to run meanwhile; others wait for one partition only.
            let incarnation = self.incarnation.lock();
            let Some(current) = incarnation.as_ref() else { return };
            let Some(at) = current.store.log_usage().oldest else { return };
            if self.hubs.lock().iter().any(|h| h.info.number == at.hub) {
                return;
            }
            let Ok(known) = current.store.hubs() else { return };
            let Some(info) = known.iter().find(|h| h.number == at.hub) else { return };
            match flush::partition(&*current.store, at, info.partitions) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::error!(%error, hub = info.name, "a hub that does not run could not be flushed");
                    return;
                }
            }
        }
    }

    /// Takes the hubs out of service, after a last flush if the log still works.
    fn end(&self, hubs: Vec<Arc<Running>>) {
        for state in self.hubs.lock().iter() {
            state.phase.send_replace(Phase::Closed);
        }
        for hub in hubs {
            flush::flush(&self.shared.flush, &*hub.store, &hub.log, std::slice::from_ref(&hub));
            hub.clear();
        }
    }

    /// Drops all that is in memory; callers learn that the outcome is unknown.
    fn tear_down(&self, next: &Phase) {
        let incarnation = self.incarnation.lock().take();
        for state in self.hubs.lock().iter() {
            if let Phase::Running(running) = state.phase.send_replace(next.clone()) {
                running.stop();
                running.clear();
            }
        }
        self.shared.flush.close();
        if let Some(Incarnation { store, log, log_thread, flush_thread, .. }) = incarnation {
            log.close();
            join(log_thread);
            join(flush_thread);
            // The store may be the one that failed; then there is nothing to mark.
            let _ = store.close();
        }
    }

    /// After a failure: only what is on disk counts.
    fn start_over(self: &Arc<Self>, reason: &str) {
        tracing::error!(reason, "the store failed: recovering from what is durable");
        self.tear_down(&Phase::Recovering);
        while !self.closed.load(Ordering::Acquire) {
            match self.reopen() {
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(%error, "recovery failed; trying again");
                    self.tear_down(&Phase::Recovering);
                    std::thread::sleep(REOPEN_EVERY);
                }
            }
        }
        self.tear_down(&Phase::Closed);
    }

    fn reopen(self: &Arc<Self>) -> Result<(), StoreError> {
        let store = (self.opener)()?;
        let mut incarnation = self.incarnation.lock();
        if self.closed.load(Ordering::Acquire) {
            return store.close();
        }
        let current = incarnation.insert(self.incarnate(store));
        for state in self.hubs.lock().iter() {
            let running = self.run(state.info.clone(), &state.options, current)?;
            running.attach(state.worker.lock().clone());
            state.phase.send_replace(Phase::Running(running));
        }
        Ok(())
    }
}

/// A thread that panicked has said so; there is nothing to add.
fn join(thread: Option<JoinHandle<()>>) {
    let _ = thread.map(JoinHandle::join);
}

fn running_hubs(node: &Weak<Inner>) -> Vec<Arc<Running>> {
    node.upgrade().map(|n| n.running()).unwrap_or_default()
}

fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> Option<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .inspect_err(|error| tracing::error!(%error, thread = name, "the system refused to start a thread"))
        .ok()
}

fn supervise(node: &Weak<Inner>, events: &mpsc::Receiver<Event>) {
    while let Ok(Event::Failed { incarnation, reason }) = events.recv() {
        let Some(node) = node.upgrade() else { return };
        let current = node.incarnation.lock().as_ref().map(|i| i.number);
        if current == Some(incarnation) {
            node.start_over(&reason);
        }
    }
}

/// One hub of a node. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    state: Arc<HubState>,
    node: Arc<Inner>,
}

impl Hub {
    pub fn info(&self) -> &HubInfo {
        &self.state.info
    }

    /// Puts `worker` in charge of running the hub's code, in place of the one before.
    pub fn attach(&self, worker: Option<Arc<dyn Worker>>) {
        *self.state.worker.lock() = worker.clone();
        if let Some(running) = self.state.running() {
            running.attach(worker);
        }
    }

    /// Names the worker serves: orchestrators and activities.
    pub fn served(&self) -> Option<(Vec<String>, Vec<String>)> {
        self.state.worker.lock().as_ref().map(|w| (w.orchestrators(), w.activities()))
    }

    /// What runs the hub's code in this process.
    pub fn worker(&self) -> Option<Arc<dyn Worker>> {
        self.state.worker.lock().clone()
    }

    pub fn options(&self) -> &HubOptions {
        &self.state.options
    }

    /// Carries out a command for one instance.
    pub async fn command(
        &self,
        id: &InstanceId,
        command: Command,
    ) -> Result<strandline_hub::Reply, CallError> {
        let input = |ticket| Input::Command { command, ticket: Some(ticket) };
        match self.call(id, input).await? {
            Answer::Reply(reply) => Ok(reply),
            _ => Err(CallError::OutcomeUnknown),
        }
    }

    /// Starts an instance; its seed is drawn here, as is its execution id if it is zero. One without a version
    /// gets the hub's default.
    pub async fn start(&self, mut start: Start) -> Result<strandline_hub::Reply, CallError> {
        if start.version.is_none() {
            start.version.clone_from(&self.state.options.default_version);
        }
        self.start_as_is(start).await
    }

    /// As [`Hub::start`], in whatever version is said.
    pub(crate) async fn start_as_is(&self, mut start: Start) -> Result<strandline_hub::Reply, CallError> {
        let running = self.running().await?;
        if start.execution == ExecutionId::default() {
            start.execution = ExecutionId(running.entropy());
        }
        start.seed = running.entropy() as u64;
        let id = start.id.clone();
        self.command(&id, Command::Start(Box::new(start))).await
    }

    /// Has a failed instance do again what failed; the id of the execution that goes on is drawn here.
    pub async fn rewind(
        &self,
        id: &InstanceId,
        reason: Option<String>,
    ) -> Result<strandline_hub::Reply, CallError> {
        let execution = ExecutionId(self.running().await?.entropy());
        self.command(id, Command::Rewind { id: id.clone(), reason, execution }).await
    }

    pub async fn read(&self, id: &InstanceId, read: Read) -> Result<Answer, CallError> {
        self.call(id, |ticket| Input::Read { id: id.clone(), read, ticket }).await
    }

    async fn call(
        &self,
        id: &InstanceId,
        input: impl FnOnce(super::Reply) -> Input<super::Reply>,
    ) -> Result<Answer, CallError> {
        let running = self.running().await?;
        let (ticket, answer) = oneshot::channel();
        running.submit_for(id.as_str(), input(ticket));
        drop(running);
        answer.await.map_err(|_| self.explain(CallError::OutcomeUnknown))
    }

    /// Of a hub that was deleted, nothing else need be said.
    pub(super) fn explain<E: From<CallError>>(&self, error: E) -> E {
        match *self.state.phase.borrow() {
            Phase::Deleted => CallError::NoSuchHub(self.state.info.name.clone()).into(),
            _ => error,
        }
    }

    /// The hub as it runs now; waits while it recovers from a failure.
    pub(super) async fn running(&self) -> Result<Arc<Running>, CallError> {
        let mut changes = self.state.phase.subscribe();
        let settled = changes.wait_for(|phase| !matches!(phase, Phase::Recovering)).await;
        match settled.as_deref() {
            Ok(Phase::Running(running)) => Ok(running.clone()),
            Ok(Phase::Deleted) => Err(CallError::NoSuchHub(self.state.info.name.clone())),
            _ => Err(CallError::Closed),
        }
    }

    /// The other hubs of its node that run.
    pub(super) fn neighbours(&self) -> Vec<Arc<Running>> {
        let mut hubs = self.node.running();
        hubs.retain(|hub| hub.info.number != self.state.info.number);
        hubs
    }

    /// How many of its partitions run: none while it recovers, and after it was closed or deleted.
    pub fn running_partitions(&self) -> u16 {
        if self.state.running().is_some() { self.state.info.partitions } else { 0 }
    }

    /// Engine time: timers fire by it.
    pub async fn now(&self) -> Result<Timestamp, CallError> {
        Ok(self.running().await?.now())
    }

    /// Activities that run now.
    pub fn running_activities(&self) -> Vec<RunningActivity> {
        let running = self.state.running();
        running.map(|r| r.activities.list()).unwrap_or_default()
    }

    /// Counters of all partitions, added up.
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        let running = self.state.running();
        for driver in running.iter().flat_map(|r| r.all_drivers()) {
            driver.each(|pipeline| sum.add(pipeline.counters()));
        }
        sum
    }

    /// About how many bytes the instances in memory take.
    pub fn memory_bytes(&self) -> usize {
        let mut sum = 0;
        let running = self.state.running();
        for driver in running.iter().flat_map(|r| r.all_drivers()) {
            driver.each(|pipeline| sum += pipeline.partition().memory_bytes());
        }
        sum
    }

    /// Timers that wait, over all partitions.
    pub fn timers(&self) -> usize {
        let mut sum = 0;
        let running = self.state.running();
        for driver in running.iter().flat_map(|r| r.all_drivers()) {
            driver.each(|pipeline| sum += pipeline.partition().timers().count());
        }
        sum
    }

    /// Counters of the store the hub lives in.
    pub fn store_stats(&self) -> strandline_store::StoreStats {
        self.node.store().map(|s| s.stats()).unwrap_or_default()
    }

    /// Flushes the tables now. Blocks.
    pub fn flush(&self) {
        self.node.flush();
    }
}
