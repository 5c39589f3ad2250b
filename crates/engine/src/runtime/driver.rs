//! A thread that drives some partitions of a hub, and runs their turns.
//!
//! Turns run on the driver's own thread while it does not hold the partitions. When a turn takes too
//! long the monitor puts a fresh thread in charge of the partitions; the old one finishes its turn,
//! hands the outcome over and leaves. So the common turn costs no hand-over, and a slow one stalls
//! nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use strandline_hub::Refusal;
use strandline_model::{ActionKind, EntityOutcome, InstanceId};
use strandline_store::{Batch, StoreError};

use super::Reply;
use super::log::Pressure;
use super::running::Running;
use super::tell::ready_since;
use crate::dispatch::{Item, Kind, Seat};
use crate::metrics::histogram::Tally;
use crate::metrics::hub::HubMetrics;
use crate::pipeline::{Input, Intake, Offer, PendingFlush, Pipeline, Ticket};
use crate::worker::{TurnOutcome, TurnRunner};

type PartitionInput = Input<Reply>;

/// How long a driver runs turns before it closes batches and looks at its mailbox again.
const TURN_SLICE: Duration = Duration::from_millis(1);

pub(crate) struct Driver {
    seat: Seat,
    /// Turns it may begin without asking.
    places: AtomicUsize,
    mailbox: Mutex<Mailbox>,
    wake: Condvar,
    core: Mutex<Core>,
    /// Which thread is in charge.
    generation: AtomicU64,
    /// When the turn under way began, in nanoseconds of the hub's run; 0: none.
    turn_began: AtomicU64,
    turn_of: Mutex<Option<InstanceId>>,
    /// Grows while the thread in charge goes round.
    beats: AtomicU64,
    reported: AtomicBool,
}

#[derive(Default)]
struct Mailbox {
    taken: Taken,
    /// Look again though nothing is here.
    poked: bool,
    stopped: bool,
    sleeping: bool,
}

/// Work on its way back to a partition, or from it to a worker elsewhere.
pub(crate) struct Handover {
    pub(crate) id: InstanceId,
    pub(crate) what: HandoverKind,
}

pub(crate) enum HandoverKind {
    /// A worker elsewhere has room for what was offered under this name and version.
    Claim {
        name: String,
        version: Option<String>,
        claim: u128,
    },
    /// Comes back undone.
    GiveBack(u64),
    Turn(u64, TurnOutcome, Option<Reply>),
    Entity(u64, EntityOutcome, Option<Reply>),
}

struct Core {
    /// By partition number divided by the number of drivers.
    pipelines: Vec<Pipeline<Reply>>,
    random: ChaCha8Rng,
    /// Counts worker changes seen.
    worker_version: u64,
    /// The partition whose turns come first next time: no partition keeps the others waiting.
    first: usize,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

/// What a driver finds in its mailbox, by partition.
#[derive(Default)]
struct Taken {
    inputs: Vec<(u16, PartitionInput)>,
    handovers: Vec<(u16, Handover)>,
    durable: Vec<(u16, u64)>,
}

impl Taken {
    fn is_empty(&self) -> bool {
        self.inputs.is_empty() && self.handovers.is_empty() && self.durable.is_empty()
    }
}

/// Why a driver's thread ends.
enum Exit {
    /// Another thread is in charge.
    Superseded,
    Stopped,
    Failed(StoreError),
}

impl From<StoreError> for Exit {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl Driver {
    pub(crate) fn new(seat: Seat, pipelines: Vec<Pipeline<Reply>>) -> Self {
        let mut seed = [0; 32];
        if let Err(error) = getrandom::fill(&mut seed) {
            tracing::error!(%error, "the system gives no randomness: ids are unique only by time");
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            seed[..16].copy_from_slice(&now.map_or(0, |d| d.as_nanos()).to_be_bytes());
        }
        let core = Core { pipelines, random: ChaCha8Rng::from_seed(seed), worker_version: 0, first: 0 };
        Self {
            seat,
            places: AtomicUsize::new(0),
            mailbox: Mutex::default(),
            wake: Condvar::new(),
            core: Mutex::new(core),
            generation: AtomicU64::new(0),
            turn_began: AtomicU64::new(0),
            turn_of: Mutex::new(None),
            beats: AtomicU64::new(0),
            reported: AtomicBool::new(false),
        }
    }

    /// Queues input for a partition of this driver.
    pub(crate) fn submit(&self, partition: u16, input: PartitionInput) {
        self.put(|mailbox| mailbox.taken.inputs.push((partition, input)));
    }

    pub(crate) fn hand(&self, partition: u16, handover: Handover) {
        self.put(|mailbox| mailbox.taken.handovers.push((partition, handover)));
    }

    pub(crate) fn durable(&self, positions: impl Iterator<Item = (u16, u64)>) {
        self.put(|mailbox| mailbox.taken.durable.extend(positions));
    }

    /// A place for a turn that was waited for is there.
    pub(crate) fn may_begin(&self) {
        self.places.fetch_add(1, Ordering::AcqRel);
        self.poke();
    }

    pub(crate) fn poke(&self) {
        self.put(|mailbox| mailbox.poked = true);
    }

    /// Signs of life: not the same after a [`Driver::poke`] that was heard.
    pub(crate) fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// Ends the driver's thread; what waits is dropped.
    pub(crate) fn stop(&self) {
        self.put(|mailbox| mailbox.stopped = true);
    }

    /// Drops all partitions and everyone who waits.
    pub(crate) fn clear(&self) {
        let pipelines = std::mem::take(&mut self.core.lock().pipelines);
        let stopped = Mailbox { stopped: true, ..Mailbox::default() };
        let mailbox = std::mem::replace(&mut *self.mailbox.lock(), stopped);
        self.wake.notify_all();
        drop((pipelines, mailbox));
    }

    /// Everything that came in is decided and durable.
    pub(crate) fn is_settled(&self) -> bool {
        let idle = self.mailbox.lock().taken.is_empty();
        idle && self.core.lock().pipelines.iter().all(Pipeline::is_settled)
    }

    fn put(&self, change: impl FnOnce(&mut Mailbox)) {
        let mut mailbox = self.mailbox.lock();
        if mailbox.stopped {
            // Nobody will look: whoever waits for an answer must learn that there is none.
            let mut unread = Mailbox::default();
            change(&mut unread);
            drop(mailbox);
            return;
        }
        change(&mut mailbox);
        if mailbox.sleeping || mailbox.stopped {
            mailbox.sleeping = false;
            // All: a thread that is no longer in charge may wait here, too.
            self.wake.notify_all();
        }
    }

    /// Visits every pipeline.
    pub(crate) fn each(&self, mut visit: impl FnMut(&mut Pipeline<Reply>)) {
        self.core.lock().pipelines.iter_mut().for_each(&mut visit);
    }

    /// Puts another thread in charge if a turn has been running since before `since` (nanoseconds of
    /// the hub's run). Returns the new generation.
    pub(crate) fn supersede(&self, since: u64) -> Option<u64> {
        let began = self.turn_began.load(Ordering::Acquire);
        if began == 0 || began > since {
            return None;
        }
        let mut mailbox = self.mailbox.lock();
        // The turn may have ended meanwhile; a spare change of thread does no harm.
        self.turn_began.store(0, Ordering::Release);
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        mailbox.poked = true;
        self.wake.notify_all();
        Some(generation)
    }

    /// The instance whose turn is under way, and when it began.
    pub(crate) fn current_turn(&self) -> Option<(u64, InstanceId)> {
        let began = self.turn_began.load(Ordering::Acquire);
        if began == 0 { None } else { Some((began, self.turn_of.lock().clone()?)) }
    }

    /// Captures what the tables lack of one partition, closing its batch first.
    pub(crate) fn capture(self: &Arc<Self>, running: &Running, partition: u16) -> Option<PendingFlush> {
        let mut core = self.core.lock();
        let pipeline = core.pipelines.get_mut(usize::from(partition) / running.drivers())?;
        if pipeline.is_flushed() {
            return None;
        }
        hand_over(running, self, std::iter::once(&mut *pipeline), true);
        pipeline.capture()
    }

    /// The rows captured of a partition are in the tables.
    pub(crate) fn flushed(&self, partition: u16, position: u64, drivers: usize) {
        if let Some(pipeline) = self.core.lock().pipelines.get_mut(usize::from(partition) / drivers) {
            pipeline.flushed(position);
        }
    }

    /// The driver's thread, as long as it is in charge.
    pub(crate) fn drive(self: Arc<Self>, running: Arc<Running>, generation: u64) {
        // An orchestrator that awaits a tokio timer or task is told so by name; without a runtime
        // around it, it would just panic.
        let _context = running.enter_runtime();
        match self.drive_until_exit(&running, generation) {
            // Another thread has taken its place among those that may run turns.
            Exit::Superseded => running.slow_turn_over(),
            Exit::Stopped => {}
            // Its hub was deleted under it.
            Exit::Failed(_) if running.is_stopped() => {}
            Exit::Failed(error) => running.fail(error.to_string()),
        }
    }

    fn drive_until_exit(self: &Arc<Self>, running: &Arc<Running>, generation: u64) -> Exit {
        let mut runner: Option<Box<dyn TurnRunner>> = None;
        let mut runner_version = 0;
        let mut more = true;
        let mut tallies = Tallies::new(&running.metrics);
        loop {
            let Taken { inputs, handovers, durable } = match self.wait(running, generation, more) {
                Ok(taken) => taken,
                Err(exit) => return exit,
            };
            self.beats.fetch_add(1, Ordering::Relaxed);
            let mut core = self.core.lock();
            self.serve(running, &mut core);
            if runner_version != core.worker_version {
                runner_version = core.worker_version;
                runner = running.worker().map(|w| w.turn_runner());
            }
            let drivers = running.drivers();
            for (partition, input) in inputs {
                if let Some(pipeline) = core.pipelines.get_mut(usize::from(partition) / drivers) {
                    pipeline.submit(input);
                }
            }
            let Core { pipelines, random, .. } = &mut *core;
            for (partition, handover) in handovers {
                if let Some(pipeline) = pipelines.get_mut(usize::from(partition) / drivers) {
                    take(pipeline, handover, &mut || entropy(random));
                }
            }
            for (partition, position) in durable {
                if let Some(pipeline) = core.pipelines.get_mut(usize::from(partition) / drivers) {
                    pipeline.durable(position);
                }
            }
            match self.step(running, core, runner.as_deref_mut(), generation, &mut tallies) {
                Ok(again) => more = again,
                Err(exit) => return exit,
            }
        }
    }

    /// Waits for input, a due timer, or until poked.
    fn wait(&self, running: &Running, generation: u64, more: bool) -> Result<Taken, Exit> {
        let mut mailbox = self.mailbox.lock();
        let mut looked = more;
        loop {
            if self.generation.load(Ordering::Acquire) != generation {
                return Err(Exit::Superseded);
            }
            if mailbox.stopped {
                return Err(Exit::Stopped);
            }
            if looked || mailbox.poked || !mailbox.taken.is_empty() {
                mailbox.poked = false;
                return Ok(std::mem::take(&mut mailbox.taken));
            }
            let due = MutexGuard::unlocked(&mut mailbox, || self.until_due(running));
            if self.generation.load(Ordering::Acquire) != generation {
                return Err(Exit::Superseded);
            }
            if mailbox.poked || mailbox.stopped || !mailbox.taken.is_empty() {
                continue;
            }
            mailbox.sleeping = true;
            match due {
                Some(wait) => looked = self.wake.wait_for(&mut mailbox, wait).timed_out(),
                None => self.wake.wait(&mut mailbox),
            }
            if self.generation.load(Ordering::Acquire) == generation {
                mailbox.sleeping = false;
            }
        }
    }

    /// Time until the next timer of these partitions is due.
    fn until_due(&self, running: &Running) -> Option<Duration> {
        let core = self.core.lock();
        let due = core.pipelines.iter().filter_map(Pipeline::next_due_millis).min()?;
        let due = strandline_model::Timestamp::from_millis(due);
        Some(due.saturating_since(running.now()) + Duration::from_micros(50))
    }

    fn serve(&self, running: &Running, core: &mut Core) {
        let (version, worker) = running.serving();
        if core.worker_version != version {
            core.worker_version = version;
            for pipeline in &mut core.pipelines {
                pipeline.serve(worker.clone());
            }
        }
    }

    /// Works on what is there; true when more waits.
    fn step<'a>(
        self: &'a Arc<Self>,
        running: &Arc<Running>,
        mut core: MutexGuard<'a, Core>,
        mut runner: Option<&mut (dyn TurnRunner + 'static)>,
        generation: u64,
        tallies: &mut Tallies,
    ) -> Result<bool, Exit> {
        let store = &*running.store;
        let intake = self.intake(running, &core)?;
        let now = running.now();
        let watch = running.watch();
        for pipeline in &mut core.pipelines {
            pipeline.watch(watch);
            pipeline.run(now, store, &intake)?;
        }
        let slice_end = Instant::now() + TURN_SLICE;
        let mut refused = false;
        let mut may_begin = || {
            refused = refused || !self.takes_place(running);
            !refused
        };
        let count = core.pipelines.len().max(1);
        let mut visited = 0;
        core.first = (core.first + 1) % count;
        while visited < count {
            let index = (core.first + visited) % count;
            let Some(pipeline) = core.pipelines.get_mut(index) else { break };
            // Without a runner nothing is handed out here, but what is ready is offered elsewhere.
            let holds = |id: &InstanceId, execution, seen| {
                runner.as_deref().is_some_and(|runner| runner.holds(id, execution, seen))
            };
            let now = running.now();
            let Some(handed_out) = pipeline.next_turn(now, store, &holds, &mut may_begin)? else {
                visited += 1;
                continue;
            };
            let id = handed_out.turn.instance.clone();
            let Some(runner) = runner.as_deref_mut() else {
                pipeline.turn_abandoned(&id, handed_out.token);
                running.workers.over_here(running, Kind::Orchestration);
                break;
            };
            let began = self.turn_begins(running, &id, generation);
            if let Some(since) = ready_since(&handed_out.turn.new) {
                tallies.waits.observe(nanos(now.saturating_since(since)));
            }
            drop(core);
            running.tell_of_turn(&handed_out.turn);
            let outcome = runner.run(handed_out.turn);
            tallies.turns.observe(running.nanos().saturating_sub(began));
            count_retries(running, &outcome);
            running.workers.over_here(running, Kind::Orchestration);
            core = self.core.lock();
            let still_in_charge = self.turn_ends(generation);
            let Core { pipelines, random, .. } = &mut *core;
            let Some(pipeline) = pipelines.get_mut(index) else { return Err(Exit::Stopped) };
            pipeline.turn_finished(&id, handed_out.token, outcome, None, &mut || entropy(random));
            if !still_in_charge {
                tallies.pass_on(&running.metrics);
                drop(core);
                self.poke();
                return Err(Exit::Superseded);
            }
            pipeline.run(running.now(), store, &Intake::Open)?;
            if Instant::now() > slice_end {
                break;
            }
        }
        tallies.pass_on(&running.metrics);
        hand_over(running, self, core.pipelines.iter_mut(), false);
        let releases: Vec<_> = core.pipelines.iter_mut().flat_map(Pipeline::take_releases).collect();
        let has_turns = core.pipelines.iter().any(Pipeline::has_turns);
        // Without a place it goes on when it has one.
        let more = core.pipelines.iter().any(Pipeline::has_input) || (has_turns && !refused);
        let wants_flush = core.pipelines.iter().any(Pipeline::wants_flush);
        let offers = core.pipelines.iter_mut().flat_map(|pipeline| {
            let partition = pipeline.at().partition;
            pipeline.take_offers().into_iter().map(move |offer| Item::Offer { partition, offer })
        });
        let offers: Vec<_> = offers.collect();
        drop(core);
        running.release(releases);
        if !offers.is_empty() {
            running.workers.offer(running, offers);
        }
        if !has_turns {
            for _ in 0..self.places.swap(0, Ordering::AcqRel) {
                running.workers.over_here(running, Kind::Orchestration);
            }
        }
        if wants_flush {
            running.ask_for_flush();
        }
        Ok(more)
    }

    /// Takes a place for a turn: one that was waited for, or a free one.
    fn takes_place(&self, running: &Running) -> bool {
        let waited_for = self.places.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
        waited_for.is_ok() || running.workers.begin_here(Kind::Orchestration, self.seat)
    }

    /// Makes room in the log before anything is decided; without room, new work is refused.
    fn intake(&self, running: &Running, core: &Core) -> Result<Intake, Exit> {
        if running.log.pressure() == Pressure::Refuse {
            return Ok(Intake::Refuse(Refusal::Overloaded("the log waits for the tables")));
        }
        let waiting = running.activities.waiting_bytes() + running.workers.waiting_bytes();
        if waiting > running.options.cache_bytes / 2 {
            return Ok(Intake::Refuse(Refusal::Overloaded("too many activities wait to be run")));
        }
        let bytes: usize = core.pipelines.iter().map(Pipeline::queued_bytes).sum();
        match running.store.reserve(bytes as u64 + running.log.queued_bytes()) {
            Ok(()) => Ok(Intake::Open),
            Err(StoreError::Full(what)) => Ok(Intake::Refuse(Refusal::StorageFull(what))),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns when that is, in nanoseconds of the hub's run.
    fn turn_begins(&self, running: &Running, id: &InstanceId, generation: u64) -> u64 {
        let now = running.nanos().max(1);
        if self.generation.load(Ordering::Acquire) == generation {
            *self.turn_of.lock() = Some(id.clone());
            self.reported.store(false, Ordering::Relaxed);
            self.turn_began.store(now, Ordering::Release);
            running.wake_monitor();
        }
        now
    }

    /// False when another thread took over meanwhile.
    fn turn_ends(&self, generation: u64) -> bool {
        let in_charge = self.generation.load(Ordering::Acquire) == generation;
        if in_charge {
            self.turn_began.store(0, Ordering::Release);
        }
        in_charge
    }
}

/// What a driver counts of its turns, until it passes it on.
struct Tallies {
    turns: Tally,
    waits: Tally,
}

impl Tallies {
    fn new(metrics: &HubMetrics) -> Self {
        let waits = metrics.schedule_to_start[Kind::Orchestration as usize].tally();
        Self { turns: metrics.turns.tally(), waits }
    }

    fn pass_on(&mut self, metrics: &HubMetrics) {
        metrics.turns.absorb(&mut self.turns);
        metrics.schedule_to_start[Kind::Orchestration as usize].absorb(&mut self.waits);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Activities that are done again because they failed.
fn count_retries(running: &Running, outcome: &TurnOutcome) {
    for id in &outcome.retries {
        let again = outcome.actions.iter().find(|action| action.id == *id);
        if let Some(ActionKind::ScheduleTask { name, .. }) = again.map(|action| &action.kind) {
            running.metrics.activities.of(name).retries.add(1);
        }
    }
}

fn take(pipeline: &mut Pipeline<Reply>, handover: Handover, entropy: &mut dyn FnMut() -> u128) {
    let Handover { id, what } = handover;
    match what {
        HandoverKind::Claim { name, version, claim } => pipeline.claim(Offer { id, name, version }, claim),
        HandoverKind::GiveBack(token) if id.is_entity() => pipeline.entity_abandoned(&id, token),
        HandoverKind::GiveBack(token) => pipeline.turn_abandoned(&id, token),
        HandoverKind::Turn(token, outcome, ticket) => {
            pipeline.turn_finished(&id, token, outcome, ticket, entropy);
        }
        HandoverKind::Entity(token, outcome, ticket) => {
            pipeline.entity_finished(&id, token, outcome, ticket, entropy);
        }
    }
}

/// 128 random bits for an id.
pub(crate) fn entropy(random: &mut ChaCha8Rng) -> u128 {
    (u128::from(random.next_u64()) << 64) | u128::from(random.next_u64())
}

/// Queues closed batches in the log, then routes messages: a message may be consumed before it is
/// durable only because the receiver's batch is queued behind it.
fn hand_over<'a>(
    running: &Running,
    driver: &Arc<Driver>,
    pipelines: impl Iterator<Item = &'a mut Pipeline<Reply>>,
    force: bool,
) {
    let mut batches: Vec<(Batch, Arc<Driver>)> = Vec::new();
    let mut senders = Vec::new();
    for pipeline in pipelines {
        if let Some(batch) = pipeline.take_batch(force) {
            batches.push((batch, driver.clone()));
        }
        senders.push(pipeline);
    }
    running.log.append(batches);
    for pipeline in senders {
        let (messages, acknowledgements) = pipeline.take_messages();
        for message in messages {
            running.route_message(&message);
        }
        for (partition, command) in acknowledgements {
            running.submit(partition, Input::Command { command, ticket: None });
        }
    }
}

impl Ticket for Reply {
    fn is_abandoned(&self) -> bool {
        self.is_closed()
    }
}
