//! Workers elsewhere: each has a connection over which it gets work, and returns it by token.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use strandline_hub::Reply;
use strandline_model::{
    Action, ActionKind, Completion, EntityOutcome, EventKind, ExecutionId, FailureDetails, InstanceId,
    Origin, Timestamp,
};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot};

use super::driver::HandoverKind;
use super::running::Running;
use super::tell::ready_since;
use super::{CallError, Hub};
use crate::dispatch::{
    ConnectedWorker, ConnectionId, DispatchConfig, Dispatcher, Item, ItemKey, Kind, Lease, Line, Order,
    OutMax, PartError, Poison, Redelivered, Returned, Seat, Token, WorkerProfile,
};
use crate::metrics::Waiting;
use crate::pipeline::{ActivityDispatch, Answer, Claimed, ClaimedWork, Offer};
use crate::worker::{ActivityResult, EntityBatch, Turn, TurnOutcome};

/// What a worker gets to do.
#[derive(Clone, Debug)]
pub struct WorkItem {
    /// Returns it.
    pub token: Token,
    pub work: Work,
}

#[derive(Clone, Debug)]
pub enum Work {
    /// With its whole history.
    Turn(Box<Turn>),
    Activity(Box<ActivityDispatch>),
    Entity(Box<EntityBatch>),
}

/// A worker's way to its work. When it is dropped, what the worker has goes to others.
#[derive(Debug)]
pub struct Connection {
    id: ConnectionId,
    running: Weak<Running>,
    items: mpsc::UnboundedReceiver<WorkItem>,
}

impl Connection {
    /// The next item. `None`: the hub is closed or starts over after a failure; connect again.
    pub async fn next(&mut self) -> Option<WorkItem> {
        self.items.recv().await
    }

    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Says how large an item was when it was sent, in bytes: one that is too large for its workers fails
    /// with that reason instead of being sent again and again.
    pub fn sent(&self, token: Token, bytes: usize) {
        if let Some(running) = self.running.upgrade() {
            running.workers.with(&running, |state, now, _| state.dispatcher.sent(token, bytes, now));
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(running) = self.running.upgrade() {
            running.workers.disconnect(&running, self.id);
        }
    }
}

pub(crate) struct Workers {
    state: Mutex<State>,
    out_max: OutMax,
    handle: Handle,
    /// The next due time may have changed.
    changed: Arc<Notify>,
}

/// Workers elsewhere at one moment.
pub(crate) struct WorkersSample {
    pub(crate) workers: usize,
    /// Activities that wait for one of them.
    pub(crate) activities: Waiting,
    /// What is out to them, by kind.
    pub(crate) out: [usize; 3],
    pub(crate) redelivered: Redelivered,
}

struct State {
    dispatcher: Dispatcher,
    channels: BTreeMap<ConnectionId, mpsc::UnboundedSender<WorkItem>>,
    /// Names that wait and were reported.
    reported: BTreeSet<Line>,
    ticking: bool,
    closed: bool,
}

impl Workers {
    pub(crate) fn new(handle: Handle, config: DispatchConfig) -> Self {
        let state = State {
            dispatcher: Dispatcher::new(config),
            channels: BTreeMap::new(),
            reported: BTreeSet::new(),
            ticking: false,
            closed: false,
        };
        Self { state: Mutex::new(state), out_max: config.out_max, handle, changed: Arc::default() }
    }

    /// Changes the dispatcher and carries out what it orders.
    fn with<R>(
        &self,
        running: &Arc<Running>,
        change: impl FnOnce(&mut State, Timestamp, &mut dyn FnMut() -> u128) -> R,
    ) -> R {
        let now = running.now();
        let mut state = self.state.lock();
        let due = state.dispatcher.next_due();
        let result = change(&mut state, now, &mut || running.entropy());
        let orders = state.dispatcher.take_orders();
        let (mut failed, mut here) = (Vec::new(), Vec::new());
        for order in orders {
            match order {
                Order::Claim { partition, offer, token } => {
                    let Offer { id, name, version } = offer;
                    running.hand(partition, id, HandoverKind::Claim { name, version, claim: token.0 });
                }
                Order::Send { connection, token, activity } => {
                    let waited = now.saturating_since(activity.scheduled.timestamp);
                    running.metrics.began(Kind::Activity, waited);
                    let mut workers = state.dispatcher.workers();
                    let worker = workers.find(|worker| worker.connection == connection);
                    running.tell_of_start(&activity, worker.map(|worker| worker.profile.id.as_str()));
                    state.send(connection, WorkItem { token, work: Work::Activity(Box::new(activity)) });
                }
                Order::GiveBack { partition, id, claimed } => {
                    running.hand(partition, id, HandoverKind::GiveBack(claimed));
                }
                Order::Here { kind, seat } => here.push((kind, seat)),
                Order::Fail { lease, reason } => failed.push((lease, reason)),
            }
        }
        let next = state.dispatcher.next_due();
        let starts = next.is_some() && !state.ticking;
        state.ticking |= starts;
        drop(state);
        if starts {
            self.handle.spawn(tick(Arc::downgrade(running), self.changed.clone()));
        } else if next != due {
            self.changed.notify_one();
        }
        for (lease, reason) in failed {
            running.fail_work(*lease, &reason);
        }
        for (kind, seat) in here {
            running.may_begin(kind, seat);
        }
        result
    }

    /// Asks for a place for work in this process. Without one, [`Running::may_begin`] is called some time.
    pub(crate) fn begin_here(&self, kind: Kind, seat: Seat) -> bool {
        self.out_max.of(kind).is_none() || self.state.lock().dispatcher.begin_here(kind, seat)
    }

    /// Gives back a place of work in this process. Not to be called while what waits is locked: somebody may
    /// begin then.
    pub(crate) fn over_here(&self, running: &Arc<Running>, kind: Kind) {
        if self.out_max.of(kind).is_some() {
            self.with(running, |state, _, random| state.dispatcher.over_here(kind, random));
        }
    }

    /// Takes what nobody here serves.
    pub(crate) fn offer(&self, running: &Arc<Running>, items: Vec<Item>) {
        self.with(running, |state, now, random| {
            if state.closed {
                return;
            }
            for item in items {
                state.report(&item, running);
                state.dispatcher.offer(item, now, random);
            }
        });
    }

    pub(crate) fn claimed(&self, running: &Arc<Running>, claimed: Claimed) {
        let partition = strandline_model::partition_of(claimed.id.as_str(), running.info.partitions);
        self.with(running, |state, now, random| {
            let connection = state.dispatcher.claimed(partition, &claimed, now, random);
            let work = claimed.work.map(|work| match work {
                ClaimedWork::Turn(out) => Work::Turn(Box::new(out.turn)),
                ClaimedWork::Entity(out) => Work::Entity(Box::new(out.batch)),
            });
            if let (Some(connection), Some(work)) = (connection, work) {
                if let Work::Turn(turn) = &work
                    && let Some(since) = ready_since(&turn.new)
                {
                    running.metrics.began(Kind::Orchestration, now.saturating_since(since));
                }
                state.send(connection, WorkItem { token: Token(claimed.claim), work });
            }
        });
    }

    fn disconnect(&self, running: &Arc<Running>, connection: ConnectionId) {
        self.with(running, |state, now, random| {
            state.channels.remove(&connection);
            state.dispatcher.disconnect(connection, now, random);
        });
    }

    pub(crate) fn killed(&self, running: &Arc<Running>, instance: &InstanceId, execution: ExecutionId) {
        self.with(running, |state, _, random| state.dispatcher.killed(instance, execution, random));
    }

    /// Takes out what waits and is served here from now on.
    pub(crate) fn withdraw(&self, serves: impl Fn(&Line) -> bool) -> Vec<Item> {
        self.state.lock().dispatcher.withdraw(serves)
    }

    pub(crate) fn sample(&self, now: Timestamp) -> WorkersSample {
        let state = self.state.lock();
        let dispatcher = &state.dispatcher;
        let of_activities = dispatcher.waiting().filter(|(line, _)| line.kind == Kind::Activity);
        let oldest = dispatcher.oldest(Kind::Activity).and_then(|item| match item {
            Item::Activity(activity) => Some(now.saturating_since(activity.scheduled.timestamp)),
            Item::Offer { .. } => None,
        });
        let mut sample = WorkersSample {
            workers: dispatcher.workers().count(),
            activities: Waiting { count: of_activities.map(|(_, count)| count).sum(), oldest },
            out: [0; 3],
            redelivered: dispatcher.redelivered(),
        };
        for worker in dispatcher.workers() {
            for (sum, count) in sample.out.iter_mut().zip(worker.in_flight) {
                *sum += count;
            }
        }
        sample
    }

    pub(crate) fn waiting_bytes(&self) -> usize {
        self.state.lock().dispatcher.waiting_bytes()
    }

    /// What somebody wants to know of the dispatcher, which he does not keep for long.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Dispatcher) -> R) -> R {
        look(&self.state.lock().dispatcher)
    }

    /// Ends all connections.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.channels.clear();
        self.changed.notify_one();
    }
}

impl State {
    fn send(&self, connection: ConnectionId, item: WorkItem) {
        // One that is gone says so with its disconnect, which gives the item to somebody else.
        let _ = self.channels.get(&connection).map(|channel| channel.send(item));
    }

    /// Says once of each name that nobody takes it. Before the first worker came, that is no news.
    fn report(&mut self, item: &Item, running: &Running) {
        let line = item.line();
        if self.reported.len() >= REPORTS_MAX
            || self.dispatcher.serves(&line)
            || self.reported.contains(&line)
        {
            return;
        }
        let local = running.worker();
        if local.is_none() && self.channels.is_empty() {
            return;
        }
        let served = local.map(|worker| match line.kind {
            Kind::Orchestration => worker.orchestrators(),
            Kind::Activity => worker.activities(),
            Kind::Entity => worker.entities(),
        });
        let elsewhere = self.dispatcher.names(line.kind);
        let names = served.iter().flatten().map(String::as_str).chain(elsewhere);
        let nearest = crate::nearest(&line.name, names);
        tracing::warn!(kind = ?line.kind, name = line.name, version = ?line.version, ?nearest,
            "no worker serves this: it waits");
        self.reported.insert(line);
    }
}

/// Names reported as served by nobody, at most.
const REPORTS_MAX: usize = 1000;

/// Wakes the dispatcher when something is due.
async fn tick(running: Weak<Running>, changed: Arc<Notify>) {
    loop {
        let due = {
            let Some(running) = running.upgrade() else { return };
            let state = running.workers.state.lock();
            if state.closed {
                return;
            }
            state.dispatcher.next_due().map(|due| due.saturating_since(running.now()))
        };
        match due {
            None => changed.notified().await,
            Some(wait) => {
                tokio::select! {
                    () = changed.notified() => continue,
                    () = tokio::time::sleep(wait + Duration::from_micros(50)) => {}
                }
                let Some(running) = running.upgrade() else { return };
                running.workers.with(&running, |state, now, random| state.dispatcher.tick(now, random));
            }
        }
    }
}

impl Running {
    /// Work that nobody could carry out ends with the reason as its failure.
    fn fail_work(&self, lease: Lease, reason: &Poison) {
        let failure = match reason {
            Poison::TimedOut { .. } => FailureDetails::new("TimeoutError", reason.to_string()),
            _ => FailureDetails::new("PoisonWorkItem", reason.to_string()).non_retriable(),
        };
        match (lease.item, lease.claimed) {
            (Item::Activity(activity), _) => self.activity_finished(&activity, Err(failure), None),
            (Item::Offer { partition, offer }, Some(claimed)) if offer.id.is_entity() => {
                let results = vec![Err(failure); lease.operations];
                let outcome = EntityOutcome { results, ..EntityOutcome::default() };
                self.entity_finished(partition, offer.id, claimed, outcome, None);
            }
            (Item::Offer { partition, offer }, Some(claimed)) => {
                let completion = Completion::Failed { failure, origin: Origin::Code };
                let actions = vec![Action { id: -1, kind: ActionKind::Complete(completion) }];
                let outcome = TurnOutcome { actions, ..TurnOutcome::default() };
                self.hand(partition, offer.id, HandoverKind::Turn(claimed, outcome, None));
            }
            (Item::Offer { .. }, None) => {}
        }
    }
}

/// What returning work came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Completed {
    /// It is taken, and durable.
    Taken,
    /// It was returned before, or nobody waits for it any more; nothing changed.
    Stale,
    /// No such work is out under this token.
    Unknown,
}

impl Hub {
    /// Connects a worker elsewhere.
    ///
    /// # Errors
    /// `TooManyWorkers` when as many as the hub takes are connected already.
    pub async fn connect(&self, profile: WorkerProfile) -> Result<Connection, CallError> {
        let running = self.running().await?;
        let (sender, items) = mpsc::unbounded_channel();
        let id = running.workers.with(&running, |state, now, random| {
            if state.closed {
                return Err(self.explain(CallError::Closed));
            }
            if state.dispatcher.is_full() {
                return Err(CallError::TooManyWorkers(running.options.dispatch.connections_max));
            }
            let id = state.dispatcher.connect(profile, now, random);
            state.channels.insert(id, sender);
            state.reported.clear();
            Ok(id)
        })?;
        Ok(Connection { id, running: Arc::downgrade(&running), items })
    }

    /// Workers elsewhere that are connected now.
    pub async fn workers(&self) -> Result<Vec<ConnectedWorker>, CallError> {
        let running = self.running().await?;
        let state = running.workers.state.lock();
        Ok(state.dispatcher.workers().cloned().collect())
    }

    /// The token of what is out for an instance or entity: for workers that return work without one.
    pub async fn leased(&self, key: &ItemKey) -> Result<Option<Token>, CallError> {
        let running = self.running().await?;
        let state = running.workers.state.lock();
        Ok(match key {
            ItemKey::Activity(instance, _, task_id) => state.dispatcher.leased_activity(instance, *task_id),
            other => state.dispatcher.leased(other),
        })
    }

    /// What is out under a token.
    pub async fn lease(&self, token: Token) -> Result<Option<Lease>, CallError> {
        let running = self.running().await?;
        let state = running.workers.state.lock();
        Ok(state.dispatcher.lease_of(token).map(Lease::in_short))
    }

    /// What returning work under a token that is not out comes to.
    pub async fn returned(&self, token: Token) -> Result<Completed, CallError> {
        let running = self.running().await?;
        let before = running.workers.state.lock().dispatcher.was_returned(token);
        Ok(if before { Completed::Stale } else { Completed::Unknown })
    }

    /// Takes a part of a turn's outcome, with its number from 0 and of so many bytes; [`Hub::complete_turn`] takes the last one. A turn
    /// that is too large counts as answered wrongly.
    pub async fn keep_part(
        &self,
        token: Token,
        number: Option<usize>,
        part: TurnOutcome,
        bytes: usize,
    ) -> Result<Result<(), PartError>, CallError> {
        let running = self.running().await?;
        Ok(running.workers.with(&running, |state, now, random| {
            let kept = state.dispatcher.keep_part(token, number, part, bytes);
            if let Err(error @ PartError::TurnTooLarge) = kept {
                state.dispatcher.reject(token, &error.to_string(), now, random);
            }
            kept
        }))
    }

    /// Returns a turn, done. Durable when it is taken.
    pub async fn complete_turn(&self, token: Token, outcome: TurnOutcome) -> Result<Completed, CallError> {
        self.complete(token, Kind::Orchestration, |running, lease, reply| {
            let outcome = match lease.parts {
                Some(parts) => parts.complete(outcome),
                None => outcome,
            };
            if let (Item::Offer { partition, offer }, Some(claimed)) = (lease.item, lease.claimed) {
                if let Some(sent) = lease.sent {
                    running.metrics.turns.observe_time(running.now().saturating_since(sent));
                }
                running.hand(partition, offer.id, HandoverKind::Turn(claimed, outcome, Some(reply)));
            }
        })
        .await
    }

    /// Returns an activity, done. Durable when it is taken.
    pub async fn complete_activity(
        &self,
        token: Token,
        result: ActivityResult,
    ) -> Result<Completed, CallError> {
        self.complete(token, Kind::Activity, |running, lease, reply| {
            if let Item::Activity(activity) = lease.item {
                if let EventKind::TaskScheduled(task) = activity.scheduled.kind() {
                    let time = lease.sent.map_or(Duration::ZERO, |sent| running.now().saturating_since(sent));
                    running.metrics.activity_ran(&task.name, result.is_ok(), time);
                }
                running.activity_finished(&activity, result, Some(reply));
            }
        })
        .await
    }

    /// Returns operations of an entity, done. Durable when it is taken.
    pub async fn complete_entity(
        &self,
        token: Token,
        outcome: EntityOutcome,
    ) -> Result<Completed, CallError> {
        self.complete(token, Kind::Entity, |running, lease, reply| {
            if let (Item::Offer { partition, offer }, Some(claimed)) = (lease.item, lease.claimed) {
                running.entity_finished(partition, offer.id, claimed, outcome, Some(reply));
            }
        })
        .await
    }

    async fn complete(
        &self,
        token: Token,
        kind: Kind,
        hand: impl FnOnce(&Arc<Running>, Lease, super::Reply),
    ) -> Result<Completed, CallError> {
        let running = self.running().await?;
        let returned = running.workers.with(&running, |state, now, random| {
            // A token of another kind of work is a foreign one.
            match state.dispatcher.lease_of(token) {
                Some(lease) if lease.item.key().kind() != kind => Returned::Unknown,
                _ => state.dispatcher.finished(token, now, random),
            }
        });
        let lease = match returned {
            Returned::Leased(lease) => *lease,
            Returned::Before => return Ok(Completed::Stale),
            Returned::Unknown => return Ok(Completed::Unknown),
        };
        let (reply, answer) = oneshot::channel();
        hand(&running, lease, reply);
        drop(running);
        match answer.await {
            Ok(Answer::Reply(Reply::Refused(_))) => Ok(Completed::Stale),
            Ok(_) => Ok(Completed::Taken),
            Err(_) => Err(self.explain(CallError::OutcomeUnknown)),
        }
    }

    /// Returns work with an answer that can't be carried out, for this reason: it is handed out again, and
    /// fails if that happens each time. False when no such work is out under this token.
    pub async fn reject(&self, token: Token, kind: Kind, problem: &str) -> Result<bool, CallError> {
        let running = self.running().await?;
        Ok(running.workers.with(&running, |state, now, random| {
            let fits = state.dispatcher.lease_of(token).is_some_and(|l| l.item.key().kind() == kind);
            fits && state.dispatcher.reject(token, problem, now, random)
        }))
    }

    /// Returns work untouched: after a while it is handed out again, and it does not count as tried. False
    /// when no such work is out under this token.
    pub async fn abandon(&self, token: Token, kind: Kind) -> Result<bool, CallError> {
        let running = self.running().await?;
        Ok(running.workers.with(&running, |state, now, random| {
            let fits = state.dispatcher.lease_of(token).is_some_and(|l| l.item.key().kind() == kind);
            fits && state.dispatcher.abandon(token, now, random)
        }))
    }
}
