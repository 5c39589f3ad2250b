//! One partition's commit pipeline, without threads, clock or I/O of its own.
//!
//! The runtime and the simulator drive it alike:
//! 1. [`Pipeline::submit`] queues input; [`Pipeline::run`] decides and applies what is queued.
//! 2. [`Pipeline::next_turn`] hands out turns that are ready, [`Pipeline::turn_finished`] takes their
//!    outcome; in one process this happens before anything is durable.
//! 3. [`Pipeline::take_batch`] closes the batch for the log; then, in this order, the caller queues it
//!    in the log and routes [`Pipeline::take_messages`].
//! 4. [`Pipeline::durable`] says how far the log is synced; only then does
//!    [`Pipeline::take_releases`] give out answers and activities.
//! 5. [`Pipeline::capture`] takes what the tables lack.

mod claims;
mod entities;
mod facts;
mod flush;
mod read;
mod recover;
mod sample;
mod standing;
mod turns;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use strandline_hub::message::Message;
use strandline_hub::query::{Cursor, EntityQuery, InstanceQuery};
use strandline_hub::row::TimerKey;
use strandline_hub::{Command, Decision, Discard, Effect, Lookup, Partition, Refusal, Reply, decide, evolve};
use strandline_model::{EventKind, ExecutionId, HistoryEvent, InstanceId, Timestamp};
use strandline_store::{Batch, PartitionRef, Store, StoreError};

pub use claims::{Claimed, ClaimedWork, Offer};
pub use entities::EntityDispatch;
pub use facts::{Fact, Happening, Note, Payload, Watch};
pub use flush::PendingFlush;
pub use read::{Answer, HistoryPage, Read};
pub use standing::{EntityStanding, Standing, TurnStanding};
pub use turns::{HandedOut, Served};

/// Bounds of one pipeline.
#[derive(Clone, Copy, Debug)]
pub struct PipelineConfig {
    /// Bytes of records that may wait for the log before the partition stops and waits.
    pub undurable_bytes_max: usize,
    pub undurable_records_max: usize,
    /// Operations of one entity handed out together, at most.
    pub operations_per_batch: usize,
    /// Turns of one instance in one batch.
    pub consecutive_turns_max: u32,
    /// Memory for loaded instances. Instances that equal their rows leave above it; above twice as
    /// much, new work is refused until a flush lets others leave.
    pub cache_bytes: usize,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self {
            undurable_bytes_max: 8 * 1024 * 1024,
            undurable_records_max: 4096,
            operations_per_batch: strandline_model::limits::OPERATIONS_PER_BATCH,
            consecutive_turns_max: 16,
            cache_bytes: 16 * 1024 * 1024,
        }
    }
}

/// Instances looked at for eviction in one go.
const EVICTIONS_MAX: usize = 64;

/// Timers fired in one decision.
const TIMERS_MAX: usize = 1000;

/// Who waits for an answer.
pub trait Ticket {
    /// Nobody waits any more.
    fn is_abandoned(&self) -> bool;
}

/// What comes into a partition.
#[derive(Debug)]
pub enum Input<T> {
    Command {
        command: Command,
        ticket: Option<T>,
    },
    Read {
        id: InstanceId,
        read: Read,
        ticket: T,
    },
    /// Asks for what the tables do not show yet of a list: at most `max` instances after a cursor.
    Overlay {
        query: Asked,
        after: Option<Cursor>,
        max: usize,
        ticket: T,
    },
}

/// What a list is asked for.
#[derive(Clone, Debug)]
pub enum Asked {
    Instances(Arc<InstanceQuery>),
    Entities(Arc<EntityQuery>),
}

/// Whether new work is taken. Results of work under way always are.
#[derive(Clone, Debug, PartialEq)]
pub enum Intake {
    Open,
    Refuse(Refusal),
}

/// An activity to run, at least once.
#[derive(Clone, Debug)]
pub struct ActivityDispatch {
    pub at: PartitionRef,
    pub instance: InstanceId,
    pub execution: ExecutionId,
    pub task_id: i32,
    /// Its `TaskScheduled`.
    pub scheduled: Arc<HistoryEvent>,
    /// The version of the orchestration that scheduled it.
    pub orchestration_version: Option<String>,
}

/// What leaves a partition, once its cause is durable.
#[derive(Debug)]
pub enum Release<T> {
    Answer(T, Answer),
    Activity(ActivityDispatch),
    Entity(EntityDispatch),
    /// What somebody claimed, or that it is no longer to be had.
    Claimed(Claimed),
    CancelActivity {
        instance: InstanceId,
        execution: ExecutionId,
        task_id: i32,
    },
    /// The execution came to its own end: nobody waits for its activities any more.
    Ended {
        instance: InstanceId,
        execution: ExecutionId,
    },
    /// The execution was ended from outside: what it scheduled and did not begin should not begin.
    Killed {
        instance: InstanceId,
        execution: ExecutionId,
    },
    /// Something happened, for those who [watch](Pipeline::watch).
    Fact(Fact),
}

/// Bugs the simulator plants to see that it finds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Sabotage {
    #[default]
    None,
    /// Releases effects when the batch is made, not when it is durable.
    ReleaseBeforeDurable,
    /// Hands out what was claimed when it is claimed, not when it is durable.
    ClaimBeforeDurable,
    /// Captures rows that reflect records not yet in the log.
    FlushBeforeDurable,
    /// Fires timers a second early.
    FireEarly,
    /// A bug of the state machine.
    Hub(strandline_hub::Sabotage),
}

/// Counters of one pipeline, since it was made.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    pub commands: u64,
    pub turns: u64,
    /// Turns that could not continue a suspended orchestrator and replayed the history.
    pub replays: u64,
    /// Events that turns were given again.
    pub replayed_events: u64,
    /// Events that entered histories, and bytes of the records that brought them.
    pub history_events: u64,
    pub history_bytes: u64,
    pub entity_batches: u64,
    pub entity_operations: u64,
    pub discarded: BTreeMap<Discard, u64>,
    pub refused: u64,
    pub evicted: u64,
    pub loaded: u64,
}

impl Counters {
    /// Adds those of another pipeline.
    pub fn add(&mut self, other: &Self) {
        self.commands += other.commands;
        self.turns += other.turns;
        self.replays += other.replays;
        self.replayed_events += other.replayed_events;
        self.history_events += other.history_events;
        self.history_bytes += other.history_bytes;
        self.entity_batches += other.entity_batches;
        self.entity_operations += other.entity_operations;
        self.refused += other.refused;
        self.evicted += other.evicted;
        self.loaded += other.loaded;
        for (discard, count) in &other.discarded {
            *self.discarded.entry(*discard).or_default() += count;
        }
    }
}

struct InFlight<T> {
    position: u64,
    bytes: usize,
    records: usize,
    releases: Vec<Release<T>>,
}

pub struct Pipeline<T> {
    pub(crate) at: PartitionRef,
    epoch: u64,
    config: PipelineConfig,
    pub(crate) partition: Partition,
    /// The latest time anything was decided at; never goes back.
    now: Timestamp,
    mailbox: VecDeque<Input<T>>,

    // The batch being built.
    batch: Vec<u8>,
    records: usize,
    /// Records that are worth a sync of their own; acknowledgements are not.
    eager_records: usize,
    releases: Vec<Release<T>>,

    // Batches on their way to the log.
    position: u64,
    in_flight: VecDeque<InFlight<T>>,
    in_flight_bytes: usize,
    in_flight_records: usize,
    /// May leave now.
    free: Vec<Release<T>>,

    // Turns.
    ready: VecDeque<InstanceId>,
    queued: Lookup<InstanceId, ()>,
    /// Had their share of turns in this batch.
    resting: Vec<InstanceId>,
    streaks: Lookup<InstanceId, u32>,
    turns_out: Lookup<InstanceId, turns::TurnOut>,
    next_token: u64,
    served: Option<Served>,
    /// By name and version.
    unserved: BTreeMap<(String, Option<String>), BTreeSet<InstanceId>>,

    /// Entities whose next batch goes out with the batch under construction.
    ready_entities: entities::Queue,
    batches_out: Lookup<InstanceId, entities::BatchOut>,
    /// Entities that nobody serves, by name.
    unserved_entities: BTreeMap<String, BTreeSet<InstanceId>>,
    /// Entities that somebody may serve now.
    revived: Vec<InstanceId>,
    /// What waits because nobody here serves it, and was not told of yet.
    offers: Vec<Offer>,
    claims: VecDeque<(Offer, u128)>,

    waiters: Lookup<InstanceId, Vec<read::Waiter<T>>>,
    /// Of loaded instances, as far as workers tell.
    awaited: Lookup<InstanceId, standing::Awaited>,
    chunk_starts: read::ChunkStarts,
    /// Messages up to this sequence are on their way, by receiver.
    routed: BTreeMap<u16, u64>,
    /// Senders to acknowledge.
    to_acknowledge: BTreeMap<u16, ()>,

    /// Loaded instances in the order they came, for eviction.
    residents: VecDeque<InstanceId>,
    flushed_position: u64,
    /// A capture is on its way to the tables.
    capturing: bool,
    sabotage: Sabotage,
    counters: Counters,
    watch: Watch,
}

impl<T: Ticket> Pipeline<T> {
    pub fn at(&self) -> PartitionRef {
        self.at
    }

    pub fn submit(&mut self, input: Input<T>) {
        self.mailbox.push_back(input);
    }

    /// Input waits that could be worked on.
    pub fn has_input(&self) -> bool {
        (!self.mailbox.is_empty() || !self.claims.is_empty()) && self.has_room()
    }

    /// A turn could be handed out.
    pub fn has_turns(&self) -> bool {
        !self.ready.is_empty() && self.has_room()
    }

    /// A turn of this instance is out.
    pub fn is_out(&self, id: &InstanceId) -> bool {
        self.turns_out.contains(id)
    }

    /// The earliest moment at which a timer is due.
    pub fn next_due_millis(&self) -> Option<i64> {
        self.partition.next_due_millis()
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    pub fn sabotage(&mut self, sabotage: Sabotage) {
        self.sabotage = sabotage;
        if let Sabotage::Hub(sabotage) = sabotage {
            self.partition.sabotage(sabotage);
        }
    }

    /// About how many bytes of records the next run will make of the queued input, at most.
    pub fn queued_bytes(&self) -> usize {
        let mut bytes = 0;
        for input in self.mailbox.iter().take(self.config.undurable_records_max) {
            if bytes >= self.config.undurable_bytes_max {
                break;
            }
            if let Input::Command { command, .. } = input {
                bytes += command.weight();
            }
        }
        bytes
    }

    fn has_room(&self) -> bool {
        self.in_flight_bytes + self.batch.len() < self.config.undurable_bytes_max
            && self.in_flight_records + self.records < self.config.undurable_records_max
    }

    /// Decides and applies what is queued and due, as far as there is room. An error means that the
    /// store can't be read: the node must start over.
    pub fn run(&mut self, now: Timestamp, store: &dyn Store, intake: &Intake) -> Result<(), StoreError> {
        self.now = self.now.max(now);
        self.look_at_revived(store)?;
        self.fire_timers(store)?;
        while self.has_room() {
            let Some(input) = self.mailbox.pop_front() else { break };
            match input {
                Input::Command { command, ticket } => self.take_command(command, ticket, store, intake)?,
                Input::Read { id, read, ticket } => self.read(id, read, ticket, store)?,
                Input::Overlay { query, after, max, ticket } => {
                    let after = after.as_ref();
                    let answer = match query {
                        Asked::Instances(query) => {
                            Answer::Overlay(self.partition.overlay(&query, after, max))
                        }
                        Asked::Entities(query) => {
                            Answer::EntityOverlay(self.partition.overlay_entities(&query, after, max))
                        }
                    };
                    self.answer(ticket, answer);
                }
            }
        }
        self.hand_out_claims(store)?;
        self.evict();
        Ok(())
    }

    fn fire_timers(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let now = match self.sabotage {
            Sabotage::FireEarly => self.now.saturating_add(std::time::Duration::from_secs(1)),
            _ => self.now,
        };
        while self.has_room() {
            let due = self.partition.due(now, TIMERS_MAX);
            if due.is_empty() {
                break;
            }
            let real = std::mem::replace(&mut self.now, now);
            let applied = self.apply(Command::TimersDue(due.clone()), store);
            self.now = real;
            applied?;
            self.tell_of_timers(&due);
            self.drop_orphans(&due);
        }
        Ok(())
    }

    /// A timer that no instance knows can't fire; none should exist.
    fn drop_orphans(&mut self, due: &[TimerKey]) {
        if self.partition.timers().next().is_some_and(|first| due.first() == Some(first)) {
            tracing::error!(timer = ?due[0], "a timer belongs to no open task; it is dropped");
            self.partition.drop_timer(&due[0]);
        }
    }

    fn take_command(
        &mut self,
        command: Command,
        ticket: Option<T>,
        store: &dyn Store,
        intake: &Intake,
    ) -> Result<(), StoreError> {
        if command.is_intake()
            && let Some(refusal) = self.refusal(intake)
        {
            self.counters.refused += 1;
            if let Some(ticket) = ticket {
                self.answer(ticket, Answer::Reply(Reply::Refused(refusal)));
            }
            return Ok(());
        }
        let reply = self.apply(command, store)?;
        if let Some(ticket) = ticket {
            self.answer(ticket, Answer::Reply(reply));
        }
        Ok(())
    }

    fn refusal(&self, intake: &Intake) -> Option<Refusal> {
        match intake {
            Intake::Refuse(refusal) => Some(refusal.clone()),
            Intake::Open if self.partition.memory_bytes() > 2 * self.config.cache_bytes => {
                Some(Refusal::Overloaded("too much unfinished work in memory"))
            }
            Intake::Open => None,
        }
    }

    /// Decides one command and applies its records.
    fn apply(&mut self, command: Command, store: &dyn Store) -> Result<Reply, StoreError> {
        if let Command::PurgeEntity { id } = &command
            && self.batches_out.contains(id)
        {
            return Ok(Reply::Refused(Refusal::EntityInUse("its operations run")));
        }
        let mut keys = command.keys();
        for id in &keys {
            self.load(id, store)?;
            if command.needs_history() {
                self.load_history(id, store)?;
            }
        }
        let from = match &command {
            Command::Message { message, .. } => Some(message.from as u16),
            _ => None,
        };
        let lazy = matches!(command, Command::Acknowledged { .. });
        if let Command::TurnFinished(turn) = &command {
            self.turn_is_over(&turn.id, turn.execution);
        }
        if let Command::EntityFinished(batch) = &command {
            self.batches_out.remove(&batch.id);
        }
        let Decision { records, effects, reply, discarded } = decide(&self.partition, self.now, command);
        self.counters.commands += 1;
        if let Some(discard) = discarded {
            *self.counters.discarded.entry(discard).or_default() += 1;
            self.tell_of_discarded(keys.first(), discard);
        }
        self.records += records.len();
        self.eager_records += if lazy { 0 } else { records.len() };
        for record in records {
            let seen = self.look_at(&record);
            let before = self.batch.len();
            record.encode(&mut self.batch);
            if seen.events > 0 {
                self.counters.history_events += seen.events;
                self.counters.history_bytes += (self.batch.len() - before) as u64;
            }
            evolve(&mut self.partition, record);
            self.tell(seen);
        }
        if let Some(from) = from {
            self.to_acknowledge.insert(from, ());
        }
        for effect in effects {
            self.effect(effect, store)?;
        }
        keys.dedup();
        for id in keys {
            self.changed(&id);
        }
        Ok(reply)
    }

    fn effect(&mut self, effect: Effect, store: &dyn Store) -> Result<(), StoreError> {
        let release = match effect {
            Effect::Activity { id, execution, task_id, scheduled } => {
                match self.dispatch(&id, execution, task_id, scheduled, store)? {
                    Some(dispatch) => Release::Activity(dispatch),
                    None => return Ok(()),
                }
            }
            Effect::CancelActivity { id, execution, task_id } => {
                Release::CancelActivity { instance: id, execution, task_id }
            }
            Effect::Ended { id, execution } => {
                self.turns_out.remove(&id);
                self.awaited.remove(&id);
                Release::Ended { instance: id, execution }
            }
            Effect::Killed { id, execution } => {
                self.turns_out.remove(&id);
                self.awaited.remove(&id);
                Release::Killed { instance: id, execution }
            }
        };
        self.releases.push(release);
        Ok(())
    }

    /// The activity `task_id` as work to hand out.
    fn dispatch(
        &mut self,
        id: &InstanceId,
        execution: ExecutionId,
        task_id: i32,
        scheduled: Option<Arc<HistoryEvent>>,
        store: &dyn Store,
    ) -> Result<Option<ActivityDispatch>, StoreError> {
        use strandline_hub::OpenTask;
        let Some(instance) = self.partition.instance(id.as_str()) else { return Ok(None) };
        let scheduled = match instance.open.get(&task_id) {
            _ if scheduled.is_some() => scheduled,
            Some(OpenTask::Activity { index }) => {
                let index = *index;
                if index < instance.history.base() {
                    self.load_history(id, store)?;
                }
                self.partition.instance(id.as_str()).and_then(|i| i.history.get(index)).cloned()
            }
            // Scheduled by the turn that ended the execution: it runs all the same.
            _ => {
                let mut newest = instance.history.in_memory().iter().rev();
                newest.find(|e| e.id == task_id && matches!(e.kind(), EventKind::TaskScheduled(_))).cloned()
            }
        };
        let instance = self.partition.instance(id.as_str());
        let orchestration_version = instance.and_then(|i| i.start().version.clone());
        Ok(scheduled.map(|scheduled| ActivityDispatch {
            at: self.at,
            instance: id.clone(),
            execution,
            task_id,
            scheduled,
            orchestration_version,
        }))
    }

    /// An instance may have become ready, or be what somebody waits for.
    fn changed(&mut self, id: &InstanceId) {
        if id.is_entity() {
            self.entity_changed(id);
            return;
        }
        if let Some(instance) = self.partition.instance(id.as_str())
            && instance.is_ready()
            && !self.turns_out.contains(id)
            && !self.queued.contains(id)
        {
            self.queued.insert(id.clone(), ());
            self.ready.push_back(id.clone());
        }
        self.wake_waiters(id);
    }

    /// An answer leaves when what it says is durable.
    fn answer(&mut self, ticket: T, answer: Answer) {
        self.release(Release::Answer(ticket, answer));
    }

    /// Lets something out when all that was decided so far is durable.
    fn release(&mut self, release: Release<T>) {
        if self.eager_records > 0 {
            self.releases.push(release);
        } else if let Some(last) = self.in_flight.back_mut() {
            last.releases.push(release);
        } else {
            self.free.push(release);
        }
    }

    fn load(&mut self, id: &InstanceId, store: &dyn Store) -> Result<(), StoreError> {
        if self.partition.is_missing(id) {
            if id.is_entity() {
                let row = store.entity(self.at, id.as_str())?;
                self.partition.install_entity(id.clone(), row);
            } else {
                let row = store.instance(self.at, id.as_str())?;
                self.partition.install(id.clone(), row);
            }
            self.counters.loaded += 1;
            self.residents.push_back(id.clone());
        }
        Ok(())
    }

    /// Brings the whole history of a loaded instance into memory.
    fn load_history(&mut self, id: &InstanceId, store: &dyn Store) -> Result<(), StoreError> {
        let Some(instance) = self.partition.instance(id.as_str()) else { return Ok(()) };
        let (base, execution) = (instance.history.base(), instance.execution);
        if base == 0 {
            return Ok(());
        }
        let events = self.chunk_starts.read(store, self.at, execution, 0, base)?;
        self.partition.restore_history(id.as_str(), events);
        Ok(())
    }

    /// Closes the batch and returns it for the log. Without `force`, acknowledgements alone wait
    /// for company.
    pub fn take_batch(&mut self, force: bool) -> Option<Batch> {
        for id in std::mem::take(&mut self.resting) {
            self.changed(&id);
        }
        self.streaks = Lookup::default();
        self.hand_out_entities();
        if self.records == 0 || (self.eager_records == 0 && !force) {
            return None;
        }
        self.position += 1;
        let records = std::mem::take(&mut self.batch);
        let in_flight = InFlight {
            position: self.position,
            bytes: records.len(),
            records: self.records,
            releases: std::mem::take(&mut self.releases),
        };
        self.in_flight_bytes += in_flight.bytes;
        self.in_flight_records += in_flight.records;
        self.in_flight.push_back(in_flight);
        self.records = 0;
        self.eager_records = 0;
        if self.sabotage == Sabotage::ReleaseBeforeDurable {
            let early: Vec<_> =
                self.in_flight.iter_mut().flat_map(|f| std::mem::take(&mut f.releases)).collect();
            self.free.extend(early);
        }
        Some(Batch { at: self.at, epoch: self.epoch, position: self.position, time: self.now, records })
    }

    /// Messages for other partitions (and this one) that are on no way yet, and acknowledgements.
    /// To be routed after the batch that made them is queued in the log.
    pub fn take_messages(&mut self) -> (Vec<Arc<Message>>, Vec<(u16, Command)>) {
        let mut messages = Vec::new();
        for (to, last) in self.partition.sent() {
            let routed = self.routed.entry(*to).or_default();
            if *routed < *last {
                messages.extend(self.partition.outbox(*to, *routed).cloned());
                *routed = *last;
            }
        }
        let by = self.at.partition;
        let acknowledge = std::mem::take(&mut self.to_acknowledge).into_keys();
        let acknowledgements = acknowledge
            .map(|from| (from, Command::Acknowledged { by, sequence: self.partition.received(from) }))
            .collect();
        (messages, acknowledgements)
    }

    /// All batches up to `position` are durable.
    pub fn durable(&mut self, position: u64) {
        while self.in_flight.front().is_some_and(|f| f.position <= position) {
            let Some(batch) = self.in_flight.pop_front() else { break };
            self.in_flight_bytes -= batch.bytes;
            self.in_flight_records -= batch.records;
            self.free.extend(batch.releases);
        }
    }

    /// What may leave now.
    pub fn take_releases(&mut self) -> Vec<Release<T>> {
        std::mem::take(&mut self.free)
    }

    /// Everything decided is durable.
    pub fn is_durable(&self) -> bool {
        self.in_flight.is_empty() && self.records == 0
    }

    /// What came in is decided and durable. Acknowledgements may still wait for company.
    pub fn is_settled(&self) -> bool {
        !self.has_input() && self.in_flight.is_empty() && self.eager_records == 0
    }

    /// Nothing is queued, being decided, or out as a turn.
    pub fn is_quiet(&self) -> bool {
        self.mailbox.is_empty()
            && self.ready.is_empty()
            && self.ready_entities.is_empty()
            && self.revived.is_empty()
            && self.claims.is_empty()
            && self.turns_out.is_empty()
            && self.resting.is_empty()
    }

    fn evict(&mut self) {
        // Instances that left at the end of their lives leave their names here.
        if self.residents.len() > 2 * self.partition.loaded() + EVICTIONS_MAX {
            let mut seen = BTreeSet::new();
            self.residents.retain(|id| !self.partition.is_missing(id) && seen.insert(id.clone()));
        }
        // A bounded number of tries: instances that must stay go to the back of the line.
        for _ in 0..EVICTIONS_MAX {
            let over = self.partition.memory_bytes() > self.config.cache_bytes
                || self.partition.loaded() > self.config.cache_bytes / 256;
            let Some(id) = over.then(|| self.residents.pop_front()).flatten() else { break };
            let busy = self.turns_out.contains(&id)
                || self.queued.contains(&id)
                || self.batches_out.contains(&id)
                || self.ready_entities.contains(&id);
            if !busy && self.partition.evict(&id) {
                self.awaited.remove(&id);
                self.counters.evicted += 1;
            } else {
                self.residents.push_back(id);
            }
        }
    }
}
