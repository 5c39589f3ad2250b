//! Work that is out to workers elsewhere: it is durable, it is out once, and only who has it may return it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use strandline_engine::dispatch::{
    ConnectionId, Dispatcher, Filters, ItemKey, Kind, Line, OutMax, Poison, Token, Versions, WorkerProfile,
};
use strandline_engine::worker::Turn;
use strandline_model::{EventKind, ExecutionId, InstanceId, Timestamp};
use strandline_store::PartitionRef;

use super::Auditor;
use crate::Violation;
use crate::remote::Load;

/// Error type of work that nobody could carry out.
pub(crate) const POISON: &str = "PoisonWorkItem";

/// Above this, losses count as caused by the size, three of them.
const LARGE: usize = 4 << 20;

#[derive(Debug, Default)]
pub(super) struct Leases {
    workers: BTreeMap<(u32, ConnectionId), WorkerProfile>,
    live: BTreeMap<Token, Lease>,
    /// Asked for and not there yet.
    claims: BTreeMap<Token, (u32, ConnectionId, Kind)>,
    /// Returned to this node, done.
    returned: BTreeSet<(u32, Token)>,
    /// Every token there ever was.
    tokens: BTreeSet<Token>,
    /// How often the worker that had it was lost.
    lost: BTreeMap<(u32, ItemKey), u32>,
    /// Lost too often: it must fail.
    doomed: BTreeMap<Token, Doom>,
    turn_lease: Duration,
    deliveries_max: u32,
}

#[derive(Debug)]
struct Lease {
    hub: u32,
    connection: ConnectionId,
    key: ItemKey,
    /// Of a turn or an activity.
    execution: Option<ExecutionId>,
    since: Timestamp,
    bytes: usize,
    at: PartitionRef,
}

/// Work that nobody is to get any more.
#[derive(Debug)]
struct Doom {
    item: (u32, ItemKey),
    /// Because of its size.
    large: bool,
}

/// What returning an item should come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Return {
    Leased,
    Before,
    Unknown,
}

impl Auditor {
    /// How long turns and batches may stay out, and how often they may be lost.
    pub(crate) fn lease_terms(&mut self, turn_lease: Duration, deliveries_max: u32) {
        (self.leases.turn_lease, self.leases.deliveries_max) = (turn_lease, deliveries_max);
    }

    /// The node is gone, and all connections and counts with it.
    pub(super) fn leases_lost(&mut self) {
        let Leases { tokens, turn_lease, deliveries_max, .. } = std::mem::take(&mut self.leases);
        self.leases = Leases { tokens, turn_lease, deliveries_max, ..Leases::default() };
    }

    pub(crate) fn connected(&mut self, hub: u32, connection: ConnectionId, profile: WorkerProfile) {
        self.leases.workers.insert((hub, connection), profile);
    }

    pub(crate) fn disconnected(&mut self, hub: u32, connection: ConnectionId) {
        self.leases.workers.remove(&(hub, connection));
        self.leases.claims.retain(|_, (of, to, _)| (*of, *to) != (hub, connection));
        self.lose(|lease| (lease.hub, lease.connection) == (hub, connection));
    }

    /// The tokens that are no longer good.
    pub(crate) fn expire(&mut self, hub: u32) -> Vec<Token> {
        let (now, turn_lease) = (self.now, self.leases.turn_lease);
        self.lose(|lease| {
            let expires = lease.since.saturating_add(turn_lease);
            lease.hub == hub && lease.key.kind() != Kind::Activity && expires <= now
        })
    }

    fn lose(&mut self, gone: impl Fn(&Lease) -> bool) -> Vec<Token> {
        let tokens: Vec<Token> =
            self.leases.live.iter().filter(|(_, lease)| gone(lease)).map(|(token, _)| *token).collect();
        for token in &tokens {
            let Some(lease) = self.end_lease(*token) else { continue };
            let item = (lease.hub, lease.key);
            let losses = self.leases.lost.entry(item.clone()).or_default();
            *losses += 1;
            let max = self.leases.deliveries_max;
            let large = lease.bytes > LARGE && *losses >= max.min(3);
            if large || *losses >= max {
                self.leases.doomed.insert(*token, Doom { item, large });
            }
        }
        tokens
    }

    fn end_lease(&mut self, token: Token) -> Option<Lease> {
        let lease = self.leases.live.remove(&token)?;
        if let ItemKey::Entity(id) = &lease.key {
            self.works.out.remove(&(lease.at, id.clone()));
        }
        Some(lease)
    }

    pub(crate) fn claim_begins(
        &mut self,
        hub: u32,
        connection: Option<ConnectionId>,
        token: Token,
        id: &InstanceId,
    ) -> Result<(), Violation> {
        let kind = if id.is_entity() { Kind::Entity } else { Kind::Orchestration };
        // Its worker may be gone already.
        if let Some(connection) = connection {
            self.leases.claims.insert(token, (hub, connection, kind));
        }
        self.new_token(token)
    }

    pub(crate) fn claim_ends(&mut self, token: Token) {
        self.leases.claims.remove(&token);
    }

    fn new_token(&mut self, token: Token) -> Result<(), Violation> {
        if self.leases.tokens.insert(token) { Ok(()) } else { Err(format!("{token:?} is used twice")) }
    }

    /// An item leaves for a worker that takes it and has a slot for it; it is durable, and nobody else has
    /// it.
    pub(crate) fn leaves(
        &mut self,
        hub: u32,
        connection: ConnectionId,
        token: Token,
        load: &Load,
    ) -> Result<(), Violation> {
        let (key, line, at) = describe(load);
        let execution = match load {
            Load::Turn { at, turn, .. } => {
                self.check_turn(*at, turn)?;
                Some(turn.execution)
            }
            Load::Activity(activity) => {
                self.new_token(token)?;
                self.dispatched(activity)?;
                Some(activity.execution)
            }
            Load::Batch(batch) => {
                self.batch_out(batch)?;
                None
            }
        };
        let Some(profile) = self.leases.workers.get(&(hub, connection)) else {
            return Err(format!("{key:?} is sent to {connection:?}, which is not there"));
        };
        if !takes(profile.filters.as_ref(), &line) {
            return Err(format!("{line:?} is sent to {connection:?}, which does not take it: {profile:?}"));
        }
        if let Some((other, _)) =
            self.leases.live.iter().find(|(_, lease)| lease.hub == hub && lease.key == key)
        {
            return Err(format!("{key:?} is sent while it is out under {other:?}"));
        }
        let lost = self.leases.lost.get(&(hub, key.clone())).copied().unwrap_or(0);
        if lost >= self.leases.deliveries_max {
            return Err(format!("{key:?} is sent again after {lost} workers were lost"));
        }
        let lease = Lease { hub, connection, key, execution, since: self.now, bytes: 0, at };
        self.leases.live.insert(token, lease);
        Ok(())
    }

    /// It contains what is durable, all that is durable of its past, and nothing else.
    fn check_turn(&self, at: PartitionRef, turn: &Turn) -> Result<(), Violation> {
        let Turn { instance, execution, past, new, .. } = turn;
        let history = self.reference.history(*execution);
        let Some(past) = past else { return Err(format!("a turn of {instance} leaves without its past")) };
        let begun = matches!(new.first().map(|e| e.kind()), Some(EventKind::OrchestratorStarted(_)));
        let durable = past.len() == turn.seen
            && history.len() >= past.len()
            && history.iter().zip(past).all(|(durable, event)| *durable == **event);
        let known = self.reference.instance(at, instance);
        let known = known.filter(|known| known.execution == *execution && !known.is_over());
        // What was ended meanwhile may leave; it comes back for nothing.
        let fits = known.is_none_or(|known| {
            let events = new.iter().skip(1);
            history.len() == past.len()
                && known.inbox.len() >= events.len()
                && events.zip(&known.inbox).all(|(event, durable)| **event == *durable)
        });
        let there = self.reference.executions.contains_key(execution);
        if there && begun && durable && fits && new.len() > 1 {
            return Ok(());
        }
        Err(format!("a turn of {instance} leaves that is not durable: {turn:?}, {known:?}, {history:?}"))
    }

    pub(crate) fn was_large(&mut self, token: Token, bytes: usize) {
        if let Some(lease) = self.leases.live.get_mut(&token) {
            lease.bytes = bytes;
        }
    }

    /// What returning this should come to.
    pub(crate) fn returned(&mut self, hub: u32, token: Token) -> Return {
        match self.leases.live.get(&token).filter(|lease| lease.hub == hub) {
            Some(lease) => {
                self.leases.lost.remove(&(hub, lease.key.clone()));
                // An entity's batch stays out until it is committed.
                self.leases.live.remove(&token);
                self.leases.returned.insert((hub, token));
                Return::Leased
            }
            None if self.leases.returned.contains(&(hub, token)) => Return::Before,
            None => Return::Unknown,
        }
    }

    /// Whether giving this back should count.
    pub(crate) fn abandoned(&mut self, token: Token) -> bool {
        self.end_lease(token).is_some()
    }

    /// Whether a turn was out that need not come back.
    pub(crate) fn lease_killed(&mut self, hub: u32, instance: &InstanceId, execution: ExecutionId) -> bool {
        let key = ItemKey::Turn(instance.clone());
        let before = self.leases.live.len();
        self.leases
            .live
            .retain(|_, lease| lease.hub != hub || lease.key != key || lease.execution != Some(execution));
        self.leases.lost.remove(&(hub, key));
        before != self.leases.live.len()
    }

    /// Nobody tries again: that is right only after so many workers were lost.
    pub(crate) fn failed(&mut self, token: Token, reason: &Poison) -> Result<(), Violation> {
        match self.leases.doomed.remove(&token) {
            Some(Doom { item, large }) if large == matches!(reason, Poison::TooLarge { .. }) => {
                self.coverage.add("remote/too large", u64::from(large));
                // The next one under its key is another.
                self.leases.lost.remove(&item);
                Ok(())
            }
            expected => Err(format!("{token:?} fails because {reason}, expected: {expected:?}")),
        }
    }

    /// After everything it ordered is carried out, the dispatcher has no room for what waits, and counts
    /// what is out.
    pub(crate) fn check_dispatcher(
        &mut self,
        hub: u32,
        dispatcher: &Dispatcher,
        out_max: OutMax,
        turns_here: usize,
    ) -> Result<(), Violation> {
        if let Some(token) = self.leases.doomed.keys().next() {
            return Err(format!("{token:?} was lost too often and does not fail"));
        }
        let mut has_place = [true; 3];
        for kind in Kind::ALL {
            let elsewhere: usize = dispatcher.workers().map(|worker| worker.in_flight[kind as usize]).sum();
            let out = elsewhere + if kind == Kind::Orchestration { turns_here } else { 0 };
            if out != dispatcher.out(kind) {
                return Err(format!("{out} of {kind:?} are out, {} are counted", dispatcher.out(kind)));
            }
            let most = out_max.of(kind).unwrap_or(usize::MAX);
            if out > most {
                return Err(format!("{out} of {kind:?} are out, of {most} that may be"));
            }
            has_place[kind as usize] = out < most;
            if out == most && dispatcher.waiting().any(|(line, _)| line.kind == kind) {
                self.coverage.hit("remote/no place");
            }
        }
        for worker in dispatcher.workers() {
            for kind in Kind::ALL {
                let ours = (hub, worker.connection);
                let live = self.leases.live.values();
                let out = live.filter(|l| (l.hub, l.connection) == ours && l.key.kind() == kind).count();
                let claims = self.leases.claims.values();
                let claimed = claims.filter(|(of, to, what)| (*of, *to) == ours && *what == kind).count();
                let (counted, slots) = (worker.in_flight[kind as usize], worker.profile.slots.of(kind));
                if counted != out + claimed || counted > slots {
                    return Err(format!(
                        "{worker:?} counts {counted} of {kind:?}; {out} are out, {claimed} claimed"
                    ));
                }
                let waits = |line: &Line| line.kind == kind && takes(worker.profile.filters.as_ref(), line);
                if counted < slots
                    && has_place[kind as usize]
                    && let Some((line, count)) = dispatcher.waiting().find(|(line, _)| waits(line))
                {
                    return Err(format!("{count} of {line:?} wait though {worker:?} has room"));
                }
            }
        }
        Ok(())
    }
}

fn describe(load: &Load) -> (ItemKey, Line, PartitionRef) {
    let line = |kind, name: &str, version: Option<&String>| Line {
        kind,
        name: name.to_owned(),
        version: version.cloned(),
    };
    match load {
        Load::Turn { at, turn, .. } => {
            let line = line(Kind::Orchestration, &turn.name, turn.version.as_ref());
            (ItemKey::Turn(turn.instance.clone()), line, *at)
        }
        Load::Activity(activity) => {
            let (name, version) = match activity.scheduled.kind() {
                EventKind::TaskScheduled(task) => (task.name.as_str(), task.version.as_ref()),
                other => (other.name(), None),
            };
            let version = version.or(activity.orchestration_version.as_ref());
            let key = ItemKey::Activity(activity.instance.clone(), activity.execution, activity.task_id);
            (key, line(Kind::Activity, name, version), activity.at)
        }
        Load::Batch(batch) => {
            let name = batch.id.as_str().trim_start_matches('@').split('@').next().unwrap_or_default();
            (ItemKey::Entity(batch.id.clone()), line(Kind::Entity, name, None), batch.at)
        }
    }
}

/// A worker takes what it lists: a name alone in any version, otherwise those versions, of which the empty
/// one is none.
fn takes(filters: Option<&Filters>, line: &Line) -> bool {
    let Some(filters) = filters else { return true };
    let versions = match line.kind {
        Kind::Orchestration => filters.orchestrations.get(&line.name),
        Kind::Activity => filters.activities.get(&line.name),
        Kind::Entity => return filters.entities.contains(&line.name),
    };
    match versions {
        None => false,
        Some(Versions::Any) => true,
        Some(Versions::Only(list)) => list.iter().any(|v| *v == line.version.clone().unwrap_or_default()),
    }
}
