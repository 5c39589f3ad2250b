//! Which worker elsewhere gets which work, without threads, clock or I/O of its own.
//!
//! Turns and entities are offered by their ids and claimed when a worker has room; activities come as they
//! are. Whatever is out is *leased*: under a token that nobody can guess, to one worker, until it is done or
//! given back, the worker is gone, or the lease expires. Then somebody else gets it under another token.
//!
//! Of each kind, a hub may have no more than so much out at a time. Workers in this process ask for their places
//! here, too, and take turns with those elsewhere when there are too few.

mod attempts;
mod hand_out;
mod places;
mod profile;
mod queue;
mod rate;
mod redelivered;
mod whereabouts;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use strandline_model::{ActionKind, EventKind, ExecutionId, InstanceId, Timestamp};

pub use attempts::Tries;
pub use places::{OutMax, Seat};
pub use profile::{Filters, Slots, Versions, WorkerProfile};
pub use queue::Line;
pub use rate::Rate;
pub use redelivered::Redelivered;
pub use whereabouts::{Takers, Whereabouts};

use self::attempts::{Attempts, Verdict};
use self::places::Places;
use self::queue::{End, Queue};
use self::rate::Rates;
use crate::pipeline::{ActivityDispatch, Claimed, ClaimedWork, Offer};
use crate::worker::TurnOutcome;

/// A kind of work. Each has slots of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Orchestration,
    Activity,
    Entity,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Orchestration, Self::Activity, Self::Entity];

    /// In metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Orchestration => "orchestration",
            Self::Activity => "activity",
            Self::Entity => "entity",
        }
    }
}

/// What completes a work item: random, and good for one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u128);

/// A connected worker. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Which work item, however often it is handed out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemKey {
    /// The next turn of an instance.
    Turn(InstanceId),
    Activity(InstanceId, ExecutionId, i32),
    /// The next operations of an entity: `@name@key`.
    Entity(InstanceId),
}

impl ItemKey {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Turn(_) => Kind::Orchestration,
            Self::Activity(..) => Kind::Activity,
            Self::Entity(_) => Kind::Entity,
        }
    }
}

/// Work for somebody.
#[derive(Clone, Debug)]
pub enum Item {
    /// A turn or an entity, of this partition.
    Offer {
        partition: u16,
        offer: Offer,
    },
    Activity(ActivityDispatch),
}

impl Item {
    pub fn key(&self) -> ItemKey {
        match self {
            Self::Offer { offer, .. } if offer.id.is_entity() => ItemKey::Entity(offer.id.clone()),
            Self::Offer { offer, .. } => ItemKey::Turn(offer.id.clone()),
            Self::Activity(activity) => {
                ItemKey::Activity(activity.instance.clone(), activity.execution, activity.task_id)
            }
        }
    }

    /// What workers choose it by.
    pub fn line(&self) -> Line {
        let kind = self.key().kind();
        match self {
            Self::Offer { offer, .. } => {
                Line { kind, name: offer.name.clone(), version: offer.version.clone() }
            }
            Self::Activity(activity) => {
                let (name, version) = match activity.scheduled.kind() {
                    EventKind::TaskScheduled(task) => (task.name.clone(), task.version.clone()),
                    _ => Default::default(),
                };
                // One that names no version belongs to its orchestration's.
                let version = version.or_else(|| activity.orchestration_version.clone());
                Line { kind, name, version }
            }
        }
    }

    /// How long one delivery may take, if the call says so.
    fn time_limit(&self) -> Option<Duration> {
        let Self::Activity(activity) = self else { return None };
        match activity.scheduled.kind() {
            EventKind::TaskScheduled(task) => task.timeout_nanos.map(Duration::from_nanos),
            _ => None,
        }
    }

    /// About how many bytes of memory it takes. An offer takes next to nothing: what it is for waits in its
    /// partition.
    fn weight(&self) -> usize {
        const ITEM_BYTES: usize = 512;
        match self {
            Self::Offer { .. } => 0,
            Self::Activity(activity) => match activity.scheduled.kind() {
                EventKind::TaskScheduled(task) => ITEM_BYTES + task.input.as_ref().map_or(0, String::len),
                _ => ITEM_BYTES,
            },
        }
    }
}

/// What the dispatcher wants done. In order.
#[derive(Debug)]
pub enum Order {
    /// Claim this offer; [`Dispatcher::claimed`] takes the answer.
    Claim { partition: u16, offer: Offer, token: Token },
    /// Send this activity to that worker.
    Send { connection: ConnectionId, token: Token, activity: ActivityDispatch },
    /// Give claimed work back to its partition, under the partition's own token.
    GiveBack { partition: u16, id: InstanceId, claimed: u64 },
    /// Somebody in this process may have one more out, who was refused before. Whoever does not need it any more
    /// [gives it back](Dispatcher::over_here).
    Here { kind: Kind, seat: Seat },
    /// It can't be carried out: it fails for good.
    Fail { lease: Box<Lease>, reason: Poison },
}

/// Why work fails that nobody carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Poison {
    #[error(
        "no worker survived it: {deliveries} times it was handed out and the worker was lost or did not answer in time; look at the workers' logs"
    )]
    LosesWorkers { deliveries: u32 },
    #[error(
        "the work item has {bytes} bytes, and workers broke off the connection each time it was sent: most refuse messages over 4 MiB; raise the worker's limit for received messages and rewind, or keep the history short with continue-as-new and payloads small"
    )]
    TooLarge { bytes: usize },
    #[error("workers answer what can't be carried out: {problem}")]
    BadAnswers { problem: String },
    #[error("the activity did not finish within {limit:?}")]
    TimedOut { limit: Duration },
}

/// Work that is out.
#[derive(Clone, Debug)]
pub struct Lease {
    pub token: Token,
    pub connection: ConnectionId,
    pub item: Item,
    /// The partition's token, once an offer was claimed.
    pub claimed: Option<u64>,
    /// Of a turn.
    pub execution: ExecutionId,
    /// Of an entity: how many it holds.
    pub operations: usize,
    /// What of a turn's outcome is back, if it comes in parts.
    pub parts: Option<Box<Parts>>,
    /// When it left.
    pub sent: Option<Timestamp>,
    /// How large it was then.
    bytes: usize,
    expires: Option<Timestamp>,
    /// Offered while it was out.
    next: Option<Item>,
}

impl Lease {
    /// Without the parts that are back.
    pub fn in_short(&self) -> Self {
        Self { parts: None, next: None, item: self.item.clone(), ..*self }
    }
}

/// The parts of a turn's outcome that are back. They live and die with the lease.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    pub outcome: TurnOutcome,
    bytes: usize,
    count: usize,
}

impl Parts {
    /// Puts the last part behind those before.
    pub fn complete(self, last: TurnOutcome) -> TurnOutcome {
        let mut whole = self.outcome;
        whole.actions.extend(last.actions);
        // A completion is last, in whichever part it came.
        whole.actions.sort_by_key(|action| matches!(action.kind, ActionKind::Complete(_)));
        whole.custom_status = match (last.custom_status, whole.custom_status) {
            (None | Some(None), Some(Some(text))) => Some(Some(text)),
            (last, _) => last,
        };
        whole.span = last.span.or(whole.span);
        whole.awaits = last.awaits;
        whole
    }
}

/// Why a part of a turn's outcome is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    #[error("no such turn is out under this completion token")]
    NotOut,
    #[error("the actions of one turn have more than {PART_BYTES_MAX} bytes: schedule less in one turn")]
    TurnTooLarge,
    #[error(
        "the parts of turns that are not complete have more than {ALL_PART_BYTES_MAX} bytes: try again later"
    )]
    TooMany,
}

/// Bytes of actions of one turn that comes in parts, and of all such turns of a hub.
pub const PART_BYTES_MAX: usize = 64 * 1024 * 1024;
pub const ALL_PART_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What somebody returned.
#[derive(Debug)]
pub enum Returned {
    Leased(Box<Lease>),
    /// It was returned before; that is fine.
    Before,
    /// It was never out, was given to somebody else, or its worker was taken for lost.
    Unknown,
}

/// How dispatching behaves.
#[derive(Clone, Copy, Debug)]
pub struct DispatchConfig {
    /// A turn or a batch of operations that is out longer is given to somebody else. Activities take
    /// their time.
    pub turn_lease: Duration,
    /// Deliveries that end with a lost worker before the work fails.
    pub deliveries_max: u32,
    /// Connections of workers; more are refused.
    pub connections_max: usize,
    /// How much may be out at a time, here and elsewhere together.
    pub out_max: OutMax,
}

impl Default for DispatchConfig {
    fn default() -> Self {
        Self {
            turn_lease: Duration::from_secs(300),
            deliveries_max: 10,
            connections_max: 2_000,
            out_max: OutMax::default(),
        }
    }
}

/// Bugs the simulator plants to see that it finds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Sabotage {
    #[default]
    None,
    /// One of the items that a worker had when it left goes to nobody.
    ForgetOnDisconnect,
    /// What was given to somebody else can still be returned under its old token.
    AcceptOldTokens,
    /// What is given back is handed out to nobody.
    DropAbandoned,
    /// What is returned stays counted.
    KeepSlots,
}

/// A worker elsewhere, as it is now.
#[derive(Clone, Debug)]
pub struct ConnectedWorker {
    pub connection: ConnectionId,
    pub profile: WorkerProfile,
    pub since: Timestamp,
    /// Out to it now: orchestrations, activities, entities.
    pub in_flight: [usize; 3],
}

/// Tokens of returned work that are remembered, so that who returns twice is told that all is well.
const RETURNED_MAX: usize = 10_000;

#[derive(Debug)]
pub struct Dispatcher {
    config: DispatchConfig,
    connections: BTreeMap<ConnectionId, ConnectedWorker>,
    next_connection: u64,
    queue: Queue,
    places: Places,
    leases: BTreeMap<Token, Lease>,
    by_key: BTreeMap<ItemKey, Token>,
    by_connection: BTreeSet<(ConnectionId, Token)>,
    expiries: BTreeSet<(Timestamp, Token)>,
    attempts: Attempts,
    /// Given back, until their time comes.
    delayed: BTreeMap<(Timestamp, ItemKey), Item>,
    /// Of all leases.
    part_bytes: usize,
    returned: (VecDeque<Token>, BTreeSet<Token>),
    /// How much of each line comes back done.
    rates: Rates,
    orders: Vec<Order>,
    redelivered: Redelivered,
    sabotage: Sabotage,
}

impl Dispatcher {
    pub fn new(config: DispatchConfig) -> Self {
        Self {
            config,
            connections: BTreeMap::new(),
            next_connection: 0,
            queue: Queue::default(),
            places: Places::new(config.out_max),
            leases: BTreeMap::new(),
            by_key: BTreeMap::new(),
            by_connection: BTreeSet::new(),
            expiries: BTreeSet::new(),
            attempts: Attempts::default(),
            delayed: BTreeMap::new(),
            part_bytes: 0,
            returned: Default::default(),
            rates: Rates::default(),
            orders: Vec::new(),
            redelivered: Redelivered::default(),
            sabotage: Sabotage::None,
        }
    }

    pub fn sabotage(&mut self, sabotage: Sabotage) {
        self.sabotage = sabotage;
    }

    /// What is to be done since the last call.
    pub fn take_orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.orders)
    }

    /// A worker is there: it gets what waits and fits.
    pub fn connect(
        &mut self,
        profile: WorkerProfile,
        now: Timestamp,
        random: &mut dyn FnMut() -> u128,
    ) -> ConnectionId {
        self.next_connection += 1;
        let connection = ConnectionId(self.next_connection);
        let worker = ConnectedWorker { connection, profile, since: now, in_flight: [0; 3] };
        self.connections.insert(connection, worker);
        // What others gave back may be just for this one.
        self.attempts.relent();
        for item in std::mem::take(&mut self.delayed).into_values() {
            self.enqueue(item, End::Front, random);
        }
        for kind in Kind::ALL {
            self.refill(connection, kind, random);
        }
        connection
    }

    /// A worker is gone: what it had goes to others at once.
    pub fn disconnect(&mut self, connection: ConnectionId, now: Timestamp, random: &mut dyn FnMut() -> u128) {
        if self.connections.remove(&connection).is_none() {
            return;
        }
        let range = (connection, Token(0))..=(connection, Token(u128::MAX));
        let mut tokens: Vec<_> = self.by_connection.range(range).map(|(_, token)| *token).collect();
        if self.sabotage == Sabotage::ForgetOnDisconnect {
            tokens.pop();
        }
        for token in tokens {
            if self.lost(token, now, random) {
                self.redelivered.worker_lost += 1;
            }
        }
    }

    /// How often work came back undone, since the dispatcher was made.
    pub fn redelivered(&self) -> Redelivered {
        self.redelivered
    }

    /// The oldest that waits, of a kind.
    pub fn oldest(&self, kind: Kind) -> Option<&Item> {
        self.queue.oldest(kind, None)
    }

    /// No further worker may connect.
    pub fn is_full(&self) -> bool {
        self.connections.len() >= self.config.connections_max
    }

    pub fn workers(&self) -> impl Iterator<Item = &ConnectedWorker> {
        self.connections.values()
    }

    /// What waits because nobody takes it or has room, and how much of it.
    pub fn waiting(&self) -> impl Iterator<Item = (&Line, usize)> {
        self.queue.lines()
    }

    /// Somebody takes this, with or without room for it now.
    pub fn serves(&self, line: &Line) -> bool {
        self.connections.values().any(|worker| hand_out::takes(worker, line))
    }

    /// The names that connected workers list, of a kind.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &str> {
        let filters = self.connections.values().filter_map(|worker| worker.profile.filters.as_ref());
        filters.flat_map(move |filters| filters.names(kind))
    }

    /// About how many bytes wait.
    pub fn waiting_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Takes work to hand out. What waits or is out already is not doubled.
    pub fn offer(&mut self, item: Item, now: Timestamp, random: &mut dyn FnMut() -> u128) {
        let key = item.key();
        let later = self.attempts.not_before(&key).filter(|later| *later > now);
        match later.filter(|_| !self.by_key.contains_key(&key)) {
            Some(later) => drop(self.delayed.insert((later, key), item)),
            None => self.enqueue(item, End::Back, random),
        }
    }

    /// The answer to [`Order::Claim`]. Returns the worker that is to get what was claimed.
    pub fn claimed(
        &mut self,
        partition: u16,
        claimed: &Claimed,
        now: Timestamp,
        random: &mut dyn FnMut() -> u128,
    ) -> Option<ConnectionId> {
        let token = Token(claimed.claim);
        let Some(work) = &claimed.work else {
            self.end(token, random);
            return None;
        };
        let Some(lease) = self.leases.get_mut(&token) else {
            // Whoever was to get it is gone.
            let id = claimed.id.clone();
            self.orders.push(Order::GiveBack { partition, id, claimed: work.token() });
            return None;
        };
        let expires = now.saturating_add(self.config.turn_lease);
        lease.claimed = Some(work.token());
        lease.sent = Some(now);
        lease.expires = Some(expires);
        match work {
            ClaimedWork::Turn(out) => lease.execution = out.turn.execution,
            ClaimedWork::Entity(out) => lease.operations = out.batch.operations.len(),
        }
        self.expiries.insert((expires, token));
        Some(lease.connection)
    }

    /// A work item leaves, of this many bytes. From now on the time limit of an activity counts.
    pub fn sent(&mut self, token: Token, bytes: usize, now: Timestamp) {
        let Some(lease) = self.leases.get_mut(&token) else { return };
        lease.bytes = bytes;
        lease.sent = Some(now);
        if let Some(limit) = lease.item.time_limit() {
            let expires = now.saturating_add(limit);
            lease.expires = Some(expires);
            self.expiries.insert((expires, token));
        }
    }

    /// Keeps a part of a turn's outcome, of so many bytes, until the last one comes. One whose number was kept
    /// before is a repetition.
    pub fn keep_part(
        &mut self,
        token: Token,
        number: Option<usize>,
        part: TurnOutcome,
        bytes: usize,
    ) -> Result<(), PartError> {
        let turn = |lease: &&mut Lease| lease.item.key().kind() == Kind::Orchestration;
        let lease = self.leases.get_mut(&token).filter(turn).ok_or(PartError::NotOut)?;
        let parts = lease.parts.get_or_insert_default();
        if number.is_some_and(|number| number < parts.count) {
            return Ok(());
        }
        if parts.bytes + bytes > PART_BYTES_MAX {
            return Err(PartError::TurnTooLarge);
        }
        if self.part_bytes + bytes > ALL_PART_BYTES_MAX {
            return Err(PartError::TooMany);
        }
        self.part_bytes += bytes;
        let before = std::mem::take(&mut **parts);
        parts.bytes = before.bytes + bytes;
        parts.count = before.count + 1;
        parts.outcome = before.complete(part);
        Ok(())
    }

    /// Somebody returns work, done.
    pub fn finished(&mut self, token: Token, now: Timestamp, random: &mut dyn FnMut() -> u128) -> Returned {
        let Some(item) = self.leases.get(&token).map(|lease| &lease.item) else {
            let before = self.returned.1.contains(&token);
            return if before { Returned::Before } else { Returned::Unknown };
        };
        self.rates.count(item.line(), now);
        self.attempts.forget(&item.key());
        let Some(lease) = self.end(token, random) else { return Returned::Unknown };
        self.remember(token);
        Returned::Leased(Box::new(lease))
    }

    /// Whether work came back under this token, of late.
    pub fn was_returned(&self, token: Token) -> bool {
        self.returned.1.contains(&token)
    }

    fn remember(&mut self, token: Token) {
        let (order, known) = &mut self.returned;
        order.push_back(token);
        known.insert(token);
        if order.len() > RETURNED_MAX
            && let Some(oldest) = order.pop_front()
        {
            known.remove(&oldest);
        }
    }

    /// Somebody returns work untouched: after a while it is handed out again. False when it is not out.
    pub fn abandon(&mut self, token: Token, now: Timestamp, random: &mut dyn FnMut() -> u128) -> bool {
        let Some((later, lease)) = self.refuse(token, now, random) else { return false };
        self.redelivered.abandoned += 1;
        if self.sabotage == Sabotage::DropAbandoned {
            return true;
        }
        // Of what its partition offers again, the delay is remembered until then.
        if let Some(item) = self.give_back(lease) {
            self.delayed.insert((later, item.key()), item);
        }
        true
    }

    /// Ends a lease whose work is for nobody until the time returned.
    fn refuse(
        &mut self,
        token: Token,
        now: Timestamp,
        random: &mut dyn FnMut() -> u128,
    ) -> Option<(Timestamp, Lease)> {
        let lease = self.leases.get(&token)?;
        let later = self.attempts.refused(lease.item.key(), lease.connection, now);
        Some((later, self.end(token, random)?))
    }

    /// Somebody returns work with an answer that can't be. After a while it is handed out again; if all
    /// answers are like that, it fails. False when it is not out.
    pub fn reject(
        &mut self,
        token: Token,
        problem: &str,
        now: Timestamp,
        random: &mut dyn FnMut() -> u128,
    ) -> bool {
        let Some((later, lease)) = self.refuse(token, now, random) else { return false };
        self.attempts.answered_wrongly(lease.item.key(), problem, now);
        if let Verdict::Fail(_) = self.attempts.lost(lease.item.key(), 0, self.config.deliveries_max, now) {
            self.fail(lease, Poison::BadAnswers { problem: problem.to_owned() });
        } else {
            self.redelivered.rejected += 1;
            if let Some(item) = self.give_back(lease) {
                self.delayed.insert((later, item.key()), item);
            }
        }
        true
    }

    /// What is out of this kind for an instance, by somebody who returns it without a token.
    pub fn leased(&self, key: &ItemKey) -> Option<Token> {
        self.by_key.get(key).copied()
    }

    /// The activity that is out for an instance and task, of whichever execution.
    pub fn leased_activity(&self, instance: &InstanceId, task_id: i32) -> Option<Token> {
        let key = |execution| ItemKey::Activity(instance.clone(), execution, task_id);
        let range = key(ExecutionId(0))..=key(ExecutionId(u128::MAX));
        let mut found = self.by_key.range(range).filter(
            |(key, _)| matches!(key, ItemKey::Activity(of, _, id) if of == instance && *id == task_id),
        );
        found.next().map(|(_, token)| *token)
    }

    /// The lease under a token.
    pub fn lease_of(&self, token: Token) -> Option<&Lease> {
        self.leases.get(&token)
    }

    /// An execution was ended from outside: what of it waits is dropped, its turn need not come back.
    pub fn killed(
        &mut self,
        instance: &InstanceId,
        execution: ExecutionId,
        random: &mut dyn FnMut() -> u128,
    ) {
        let key = |task| ItemKey::Activity(instance.clone(), execution, task);
        for key in self.queue.keys(key(i32::MIN)..=key(i32::MAX)) {
            self.queue.remove(&key);
        }
        self.delayed.retain(
            |(_, key), _| !matches!(key, ItemKey::Activity(of, by, _) if of == instance && *by == execution),
        );
        let turn = ItemKey::Turn(instance.clone());
        self.attempts.forget(&turn);
        // A claim that is not answered is another's: what is out leaves before the news of its end.
        let of = |lease: &Lease| lease.claimed.is_some() && lease.execution == execution;
        let token = self.by_key.get(&turn).copied();
        let token = token.filter(|token| self.leases.get(token).is_some_and(of));
        if let Some(lease) = token.and_then(|token| self.end(token, random)) {
            self.give_back(lease);
        }
    }

    /// Takes out what waits and is served here from now on.
    pub fn withdraw(&mut self, is_meant: impl Fn(&Line) -> bool) -> Vec<Item> {
        let delayed = std::mem::take(&mut self.delayed);
        let (meant, others): (BTreeMap<_, _>, _) =
            delayed.into_iter().partition(|(_, item)| is_meant(&item.line()));
        self.delayed = others;
        let mut items = self.queue.withdraw(is_meant);
        items.extend(meant.into_values());
        items
    }

    /// When [`Dispatcher::tick`] has something to do.
    pub fn next_due(&self) -> Option<Timestamp> {
        let expiry = self.expiries.first().map(|(at, _)| *at);
        let delayed = self.delayed.first_key_value().map(|((at, _), _)| *at);
        expiry.into_iter().chain(delayed).min()
    }

    /// Takes back what expired, and hands out what was delayed.
    pub fn tick(&mut self, now: Timestamp, random: &mut dyn FnMut() -> u128) {
        while let Some((at, token)) = self.expiries.first().copied().filter(|(at, _)| *at <= now) {
            self.expiries.remove(&(at, token));
            let limit = self.leases.get(&token).and_then(|lease| lease.item.time_limit());
            match limit {
                Some(limit) => {
                    if let Some(lease) = self.end(token, random) {
                        self.fail(lease, Poison::TimedOut { limit });
                    }
                }
                None => {
                    if self.lost(token, now, random) {
                        self.redelivered.lease_expired += 1;
                    }
                }
            }
        }
        while let Some(entry) = self.delayed.first_entry().filter(|e| e.key().0 <= now) {
            let item = entry.remove();
            self.enqueue(item, End::Back, random);
        }
        self.attempts.sweep(now);
    }

    /// A worker was lost with work, or keeps it for too long. True when somebody gets it again.
    fn lost(&mut self, token: Token, now: Timestamp, random: &mut dyn FnMut() -> u128) -> bool {
        let Some(lease) = self.end(token, random) else { return false };
        if self.sabotage == Sabotage::AcceptOldTokens {
            self.places.take(lease.item.key().kind());
            self.leases.insert(token, lease.clone());
        }
        // What was not sent was not the reason.
        let sent = lease.claimed.is_some() || matches!(lease.item, Item::Activity(_));
        let verdict = match sent {
            true => self.attempts.lost(lease.item.key(), lease.bytes, self.config.deliveries_max, now),
            false => Verdict::Again,
        };
        if let Verdict::Fail(reason) = verdict {
            self.fail(lease, reason);
            return false;
        }
        if let Some(item) = self.give_back(lease) {
            self.enqueue(item, End::Front, random);
        }
        true
    }

    fn fail(&mut self, lease: Lease, reason: Poison) {
        self.attempts.forget(&lease.item.key());
        self.orders.push(Order::Fail { lease: Box::new(lease), reason });
    }

    /// Ends a lease and fills its slot.
    fn end(&mut self, token: Token, random: &mut dyn FnMut() -> u128) -> Option<Lease> {
        let mut lease = self.end_lease(token)?;
        let kind = lease.item.key().kind();
        match self.places.is_bounded(kind) {
            true => self.fill(kind, random),
            // It helps nobody else.
            false => self.refill(lease.connection, kind, random),
        }
        if let Some(next) = lease.next.take() {
            // Behind what this one goes back with.
            let key = next.key();
            let at = self.attempts.not_before(&key).unwrap_or_default();
            self.delayed.insert((at, key), next);
        }
        Some(lease)
    }

    fn end_lease(&mut self, token: Token) -> Option<Lease> {
        let lease = self.leases.remove(&token)?;
        let key = lease.item.key();
        self.places.give_back(key.kind());
        if let Some(worker) = self.connections.get_mut(&lease.connection)
            && self.sabotage != Sabotage::KeepSlots
        {
            worker.in_flight[key.kind() as usize] -= 1;
        }
        if self.by_key.get(&key) == Some(&token) {
            self.by_key.remove(&key);
        }
        self.part_bytes -= lease.parts.as_ref().map_or(0, |parts| parts.bytes);
        self.by_connection.remove(&(lease.connection, token));
        if let Some(expires) = lease.expires {
            self.expiries.remove(&(expires, token));
        }
        Some(lease)
    }

    /// What was claimed goes back to its partition, which offers it again; an activity is returned. A claim
    /// that is not answered yet goes back when it is.
    fn give_back(&mut self, lease: Lease) -> Option<Item> {
        match (lease.item, lease.claimed) {
            (Item::Offer { partition, offer }, Some(claimed)) => {
                self.orders.push(Order::GiveBack { partition, id: offer.id, claimed });
                None
            }
            (Item::Offer { .. }, None) => None,
            (item, _) => Some(item),
        }
    }
}
