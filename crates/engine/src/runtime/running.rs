//! A hub while it runs: drivers, activities, and the way between them.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use strandline_hub::Command;
use strandline_hub::message::Message;
use strandline_model::{EntityOutcome, ExecutionId, FailureDetails, InstanceId, Timestamp, partition_of};
use strandline_store::{HubInfo, PartitionRef, Store, StoreError};

use super::Reply;
use super::activities::Activities;
use super::clock::EngineClock;
use super::driver::{Driver, Handover, HandoverKind, entropy};
use super::entities::Entities;
use super::log::LogWriter;
use super::pool::spawn_named;
use super::workers::Workers;
use super::{HubOptions, Shared};
use crate::dispatch::{Item, Kind, Line, Seat};
use crate::metrics::CustomMetrics;
use crate::metrics::hub::HubMetrics;
use crate::pipeline::{ActivityDispatch, Input, Pipeline, Release};
use crate::worker::{ActivityResult, Clock, Worker};

/// A turn this old gets its driver replaced.
const TURN_PATIENCE: Duration = Duration::from_millis(20);
/// A turn this old is reported.
const TURN_REPORT: Duration = Duration::from_secs(10);
/// How often the monitor looks while turns run.
const MONITOR_PERIOD: Duration = Duration::from_millis(10);

pub(crate) struct Running {
    pub(crate) info: HubInfo,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) log: Arc<LogWriter>,
    clock: EngineClock,
    began: Instant,
    drivers: OnceLock<Vec<Arc<Driver>>>,
    pub(crate) activities: Activities,
    pub(crate) entities: Entities,
    /// Workers elsewhere.
    pub(crate) workers: Workers,
    worker: Mutex<(u64, Option<Arc<dyn Worker>>)>,
    worker_version: AtomicU64,
    random: Mutex<ChaCha8Rng>,
    monitor: Monitor,
    pub(crate) options: HubOptions,
    /// Threads that finish a slow turn without being in charge.
    slow_turns: AtomicUsize,
    shared: Arc<Shared>,
    pub(crate) metrics: Arc<HubMetrics>,
    /// Which opening of the store this is.
    incarnation: u64,
    /// What marks this store's continuation tokens.
    pub(crate) secret: [u8; 32],
}

#[derive(Default)]
struct Monitor {
    parked: AtomicBool,
    stopped: Mutex<bool>,
    wake: Condvar,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("hub", &self.info.name).finish_non_exhaustive()
    }
}

impl Running {
    /// Recovers all partitions of a hub and starts its threads.
    pub(crate) fn start(
        info: HubInfo,
        options: HubOptions,
        store: Arc<dyn Store>,
        log: Arc<LogWriter>,
        shared: Arc<Shared>,
        incarnation: u64,
    ) -> Result<Arc<Self>, StoreError> {
        let count = options.drivers.clamp(1, usize::from(info.partitions));
        let config = options.pipeline(info.partitions);
        let mut pipelines: Vec<Vec<Pipeline<Reply>>> = (0..count).map(|_| Vec::new()).collect();
        for partition in 0..info.partitions {
            let at = PartitionRef { hub: info.number, partition };
            let recovered = store.acquire(at)?;
            let pipeline = Pipeline::recover(at, info.partitions, config, recovered, &*store)?;
            pipelines[usize::from(partition) % count].push(pipeline);
        }
        let last = pipelines.iter().flatten().map(Pipeline::time).max().unwrap_or(Timestamp::EPOCH);
        let mut seed = [0; 32];
        let _ = getrandom::fill(&mut seed);
        let activities = Activities::new(shared.runtime.clone(), options.activities_max);
        let entities = Entities::new(shared.runtime.clone(), options.entities_max);
        let workers = Workers::new(shared.runtime.clone(), options.dispatch);
        let secret = store.secret()?;
        let metrics = shared.metrics.hub(&info.name);
        let running = Arc::new(Self {
            info,
            secret,
            store,
            log,
            clock: EngineClock::starting_at(last),
            began: Instant::now(),
            drivers: OnceLock::new(),
            activities,
            entities,
            workers,
            worker: Mutex::new((0, None)),
            worker_version: AtomicU64::new(0),
            random: Mutex::new(ChaCha8Rng::from_seed(seed)),
            monitor: Monitor::default(),
            options,
            slow_turns: AtomicUsize::new(0),
            shared,
            metrics,
            incarnation,
        });
        let drivers: Vec<_> =
            pipelines.into_iter().enumerate().map(|(n, p)| Arc::new(Driver::new(Seat(n), p))).collect();
        let _ = running.drivers.set(drivers.clone());
        for driver in drivers {
            running.spawn_driver(driver, 0);
        }
        let monitored = running.clone();
        spawn_named("strandline-monitor", move || monitored.watch_turns());
        Ok(running)
    }

    fn spawn_driver(self: &Arc<Self>, driver: Arc<Driver>, generation: u64) {
        let running = self.clone();
        spawn_named("strandline-partitions", move || driver.drive(running, generation));
    }

    pub(crate) fn enter_runtime(&self) -> tokio::runtime::EnterGuard<'_> {
        self.shared.runtime.enter()
    }

    /// What activities count on their own account.
    pub(crate) fn custom_metrics(&self) -> &CustomMetrics {
        self.shared.metrics.custom()
    }

    pub(crate) fn log_payloads(&self) -> bool {
        self.shared.log_payloads
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Nanoseconds since the hub began to run.
    pub(crate) fn nanos(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn drivers(&self) -> usize {
        self.all_drivers().len().max(1)
    }

    pub(crate) fn all_drivers(&self) -> &[Arc<Driver>] {
        self.drivers.get().map_or(&[], Vec::as_slice)
    }

    /// The driver of a partition.
    pub(crate) fn driver(&self, partition: u16) -> Option<&Arc<Driver>> {
        self.all_drivers().get(usize::from(partition) % self.drivers())
    }

    pub(crate) fn submit(&self, partition: u16, input: Input<Reply>) {
        if let Some(driver) = self.driver(partition) {
            driver.submit(partition, input);
        }
    }

    /// Input for the partition of an instance.
    pub(crate) fn submit_for(&self, id: &str, input: Input<Reply>) {
        self.submit(partition_of(id, self.info.partitions), input);
    }

    pub(crate) fn route_message(&self, message: &Arc<Message>) {
        let (execution, seed) = {
            let mut random = self.random.lock();
            (ExecutionId(entropy(&mut random)), entropy(&mut random) as u64)
        };
        let to = message.to as u16;
        let command = Command::Message { message: Box::new(Message::clone(message)), execution, seed };
        self.submit(to, Input::Command { command, ticket: None });
    }

    /// Fresh ids for a start.
    pub(crate) fn entropy(&self) -> u128 {
        entropy(&mut self.random.lock())
    }

    /// Puts a worker in place of the one before.
    pub(crate) fn attach(self: &Arc<Self>, worker: Option<Arc<dyn Worker>>) {
        {
            let mut current = self.worker.lock();
            current.0 += 1;
            current.1 = worker.clone();
            self.worker_version.store(current.0, Ordering::Release);
        }
        for driver in self.all_drivers() {
            driver.poke();
        }
        let activities = self.activities.serve(self, worker.clone());
        let entities = self.entities.serve(self, worker);
        self.workers.offer(self, activities.into_iter().map(Item::Activity).collect());
        for dispatch in entities {
            self.hand(dispatch.at.partition, dispatch.id, HandoverKind::GiveBack(dispatch.token));
        }
        self.take_served();
    }

    /// An activity runs here if it can, and elsewhere if not.
    fn dispatch_activity(self: &Arc<Self>, dispatch: ActivityDispatch) {
        if let Err(dispatch) = self.activities.dispatch(self, dispatch) {
            self.workers.offer(self, vec![Item::Activity(dispatch)]);
            // A worker that came in between looked for its work before this was there.
            self.take_served();
        }
    }

    /// Takes what waits for workers elsewhere and can run here now.
    fn take_served(self: &Arc<Self>) {
        let Some(worker) = self.activities.worker() else { return };
        let entities = worker.entities();
        let serves = |line: &Line| match line.kind {
            Kind::Orchestration => worker.serves_orchestrator(&line.name, line.version.as_deref()),
            Kind::Activity => worker.serves_activity(&line.name, line.version.as_deref()),
            Kind::Entity => entities.contains(&line.name),
        };
        for item in self.workers.withdraw(serves) {
            // The partitions look again at what they offered when a worker comes.
            let Item::Activity(dispatch) = item else { continue };
            if let Err(dispatch) = self.activities.dispatch(self, dispatch) {
                self.workers.offer(self, vec![Item::Activity(dispatch)]);
            }
        }
    }

    /// Somebody here who waited for a place has one.
    pub(crate) fn may_begin(self: &Arc<Self>, kind: Kind, seat: Seat) {
        match kind {
            Kind::Activity => self.activities.may_begin(self),
            Kind::Entity => self.entities.may_begin(self),
            Kind::Orchestration => match self.all_drivers().get(seat.0) {
                Some(driver) => driver.may_begin(),
                None => self.workers.over_here(self, kind),
            },
        }
    }

    pub(crate) fn hand(&self, partition: u16, id: InstanceId, what: HandoverKind) {
        if let Some(driver) = self.driver(partition) {
            driver.hand(partition, Handover { id, what });
        }
    }

    pub(crate) fn worker(&self) -> Option<Arc<dyn Worker>> {
        self.worker.lock().1.clone()
    }

    /// The worker, and how many came before it.
    pub(crate) fn serving(&self) -> (u64, Option<Arc<dyn Worker>>) {
        let version = self.worker_version.load(Ordering::Acquire);
        if version == 0 {
            return (0, None);
        }
        let worker = self.worker.lock();
        (worker.0, worker.1.clone())
    }

    /// Lets out what has become durable.
    pub(crate) fn release(self: &Arc<Self>, releases: Vec<Release<Reply>>) {
        for release in releases {
            match release {
                // Nobody may be waiting any more; that is fine.
                Release::Answer(ticket, answer) => drop(ticket.send(answer)),
                Release::Activity(dispatch) => self.dispatch_activity(dispatch),
                Release::Entity(dispatch) => {
                    // The worker changed meanwhile.
                    if let Err(dispatch) = self.entities.dispatch(self, dispatch) {
                        self.hand(dispatch.at.partition, dispatch.id, HandoverKind::GiveBack(dispatch.token));
                    }
                }
                Release::Claimed(claimed) => self.workers.claimed(self, claimed),
                Release::Fact(fact) => self.tell(fact),
                Release::CancelActivity { instance, execution, task_id } => {
                    if self.activities.cancel(&instance, execution, task_id) {
                        self.tell_of_abort(&instance, execution, task_id);
                    }
                }
                Release::Ended { instance, execution } => self.activities.ended(&instance, execution),
                Release::Killed { instance, execution } => {
                    self.activities.killed(&instance, execution);
                    self.workers.killed(self, &instance, execution);
                }
            }
        }
    }

    /// Takes the result of an activity.
    pub(crate) fn activity_finished(
        &self,
        dispatch: &ActivityDispatch,
        result: ActivityResult,
        ticket: Option<Reply>,
    ) {
        let command = Command::ActivityFinished {
            id: dispatch.instance.clone(),
            execution: dispatch.execution,
            task_id: dispatch.task_id,
            result,
        };
        self.submit(dispatch.at.partition, Input::Command { command, ticket });
    }

    /// Takes the outcome of a batch of entity operations.
    pub(crate) fn entity_finished(
        &self,
        partition: u16,
        id: InstanceId,
        token: u64,
        outcome: EntityOutcome,
        ticket: Option<Reply>,
    ) {
        self.hand(partition, id, HandoverKind::Entity(token, outcome, ticket));
    }

    /// Fails an activity that takes longer than its call allows.
    pub(crate) fn activity_timed_out(&self, dispatch: &ActivityDispatch, limit: Duration) {
        let message = format!("the activity did not finish within {limit:?}");
        self.activity_finished(dispatch, Err(FailureDetails::new("TimeoutError", message)), None);
    }

    pub(crate) fn ask_for_flush(&self) {
        self.shared.flush.ask();
    }

    /// The store failed: everything in memory goes, the hub starts over from what is durable.
    pub(crate) fn fail(&self, reason: String) {
        self.shared.fail(self.incarnation, reason);
    }

    pub(crate) fn wake_monitor(&self) {
        if self.monitor.parked.load(Ordering::Relaxed) {
            self.monitor.wake.notify_one();
        }
    }

    /// Replaces drivers that are stuck in a turn, and reports turns that never end.
    fn watch_turns(self: Arc<Self>) {
        let mut stopped = self.monitor.stopped.lock();
        let mut quiet = 0;
        while !*stopped {
            let now = self.nanos();
            let mut turns = 0;
            for driver in self.all_drivers() {
                let Some((began, instance)) = driver.current_turn() else { continue };
                turns += 1;
                if now.saturating_sub(began) < TURN_PATIENCE.as_nanos() as u64 {
                    continue;
                }
                // Within what may be out, a turn that blocks holds up no partition.
                let bounded = self.options.dispatch.out_max.orchestrations.is_some();
                let threads = self.slow_turns.load(Ordering::Relaxed) + self.drivers();
                if !bounded && threads >= self.options.turns_max {
                    continue;
                }
                let since = now - TURN_PATIENCE.as_nanos() as u64;
                if let Some(generation) = driver.supersede(since) {
                    self.slow_turns.fetch_add(1, Ordering::Relaxed);
                    self.spawn_driver(driver.clone(), generation);
                    self.report_slow(instance, began);
                }
            }
            quiet = if turns > 0 { 0 } else { quiet + 1 };
            if quiet > 100 {
                self.monitor.parked.store(true, Ordering::Relaxed);
                self.monitor.wake.wait_for(&mut stopped, Duration::from_secs(1));
                self.monitor.parked.store(false, Ordering::Relaxed);
            } else {
                self.monitor.wake.wait_for(&mut stopped, MONITOR_PERIOD);
            }
        }
    }

    fn report_slow(self: &Arc<Self>, instance: strandline_model::InstanceId, began: u64) {
        let running = Arc::downgrade(self);
        self.shared.runtime.spawn(async move {
            let age = running.upgrade().map_or(0, |r| r.nanos().saturating_sub(began));
            tokio::time::sleep(TURN_REPORT.saturating_sub(Duration::from_nanos(age))).await;
            if let Some(running) = running.upgrade()
                && running.slow_turn_runs(&instance)
            {
                tracing::error!(
                    instance = instance.as_str(),
                    "an orchestrator's turn takes more than 10 s: it blocks or loops"
                );
            }
        });
    }

    fn slow_turn_runs(&self, instance: &strandline_model::InstanceId) -> bool {
        self.all_drivers().iter().any(|driver| {
            let mut out = false;
            driver.each(|pipeline| out |= pipeline.is_out(instance));
            out
        })
    }

    /// A thread that was replaced has finished its turn.
    pub(crate) fn slow_turn_over(&self) {
        self.slow_turns.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.monitor.stopped.lock()
    }

    /// Stops all threads of the hub; what is in memory and not durable is lost.
    pub(crate) fn stop(&self) {
        *self.monitor.stopped.lock() = true;
        self.monitor.wake.notify_all();
        for driver in self.all_drivers() {
            driver.stop();
        }
        self.activities.close();
        self.entities.close();
        self.workers.close();
    }

    /// Drops all partitions and everyone who waits for an answer.
    pub(crate) fn clear(&self) {
        for driver in self.all_drivers() {
            driver.clear();
        }
    }
}
