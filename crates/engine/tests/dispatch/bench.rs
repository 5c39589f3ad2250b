//! A dispatcher with a clock and a partition that answers what the test says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use strandline_engine::dispatch::{
    ConnectionId, DispatchConfig, Dispatcher, Filters, Item, Kind, Line, Order, Returned, Seat, Slots, Token,
    Versions, WorkerProfile,
};
use strandline_engine::pipeline::{ActivityDispatch, Claimed, ClaimedWork, HandedOut, Offer};
use strandline_engine::worker::Turn;
use strandline_model::{EventKind, ExecutionId, HistoryEvent, InstanceId, TaskScheduled, Timestamp};
use strandline_store::PartitionRef;

pub(crate) struct Bench {
    pub(crate) dispatcher: Dispatcher,
    pub(crate) now: Timestamp,
    random: u128,
    /// Claims that nobody answered, by id.
    claims: BTreeMap<InstanceId, Token>,
}

impl Default for Bench {
    fn default() -> Self {
        Self::new(DispatchConfig::default())
    }
}

/// A token that nobody was given.
pub(crate) fn foreign() -> Token {
    Token(0)
}

impl Bench {
    pub(crate) fn new(config: DispatchConfig) -> Self {
        let now = Timestamp::from_millis(1_700_000_000_000);
        Self { dispatcher: Dispatcher::new(config), now, random: 0, claims: BTreeMap::new() }
    }

    fn with<R>(
        &mut self,
        change: impl FnOnce(&mut Dispatcher, Timestamp, &mut dyn FnMut() -> u128) -> R,
    ) -> R {
        let random = &mut self.random;
        change(&mut self.dispatcher, self.now, &mut || {
            *random += 1;
            random.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
        })
    }

    pub(crate) fn connect(&mut self, profile: WorkerProfile) -> ConnectionId {
        self.with(|dispatcher, now, random| dispatcher.connect(profile, now, random))
    }

    pub(crate) fn disconnect(&mut self, connection: ConnectionId) {
        self.with(|dispatcher, now, random| dispatcher.disconnect(connection, now, random));
    }

    pub(crate) fn offer(&mut self, item: Item) {
        self.with(|dispatcher, now, random| dispatcher.offer(item, now, random));
    }

    pub(crate) fn finish(&mut self, token: Token) -> Returned {
        self.with(|dispatcher, now, random| dispatcher.finished(token, now, random))
    }

    pub(crate) fn abandon(&mut self, token: Token) -> bool {
        self.with(|dispatcher, now, random| dispatcher.abandon(token, now, random))
    }

    pub(crate) fn reject(&mut self, token: Token) -> bool {
        self.with(|dispatcher, now, random| dispatcher.reject(token, "nonsense", now, random))
    }

    pub(crate) fn killed(&mut self, instance: &str, execution: u128) {
        let (instance, execution) = (InstanceId::trusted(instance), ExecutionId(execution));
        self.with(|dispatcher, _, random| dispatcher.killed(&instance, execution, random));
    }

    /// Lets time pass, and the dispatcher look at it.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
        self.with(|dispatcher, now, random| dispatcher.tick(now, random));
    }

    pub(crate) fn orders(&mut self) -> Vec<Order> {
        let orders = self.dispatcher.take_orders();
        for order in &orders {
            if let Order::Claim { offer, token, .. } = order {
                self.claims.insert(offer.id.clone(), *token);
            }
        }
        orders
    }

    /// The ids claimed; nothing else is ordered.
    pub(crate) fn claims(&mut self) -> Vec<String> {
        let claims = self.orders().into_iter().map(|order| match order {
            Order::Claim { offer, .. } => offer.id.to_string(),
            other => panic!("{other:?} instead of a claim"),
        });
        claims.collect()
    }

    /// The activities sent: to whom, which task, and the token; nothing else is ordered.
    pub(crate) fn sends(&mut self) -> Vec<(ConnectionId, i32, Token)> {
        let orders = self.orders();
        let sends = sent(&orders);
        assert_eq!(sends.len(), orders.len(), "{orders:?}");
        sends
    }

    /// As [`Bench::sends`], with claims among them.
    pub(crate) fn sends_and_claims(&mut self) -> Vec<(ConnectionId, i32, Token)> {
        sent(&self.orders())
    }

    /// Answers the claim of a turn of execution 1. Returns who gets it.
    pub(crate) fn claimed_turn(&mut self, id: &str, claimed: u64) -> Option<ConnectionId> {
        self.claimed_turn_of(id, 1, claimed)
    }

    pub(crate) fn claimed_turn_of(
        &mut self,
        id: &str,
        execution: u128,
        claimed: u64,
    ) -> Option<ConnectionId> {
        let token = self.claims.remove(&InstanceId::trusted(id)).expect("it is claimed");
        self.answer(id, token, Some((execution, claimed)))
    }

    /// Answers a claim, with a turn of an execution and the partition's token for it. Returns who gets it.
    pub(crate) fn answer(
        &mut self,
        id: &str,
        token: Token,
        turn: Option<(u128, u64)>,
    ) -> Option<ConnectionId> {
        let id = InstanceId::trusted(id);
        let work = turn.map(|(execution, claimed)| {
            let turn = Turn {
                instance: id.clone(),
                execution: ExecutionId(execution),
                name: "a".to_owned(),
                version: None,
                seen: 0,
                past: None,
                new: Vec::new(),
                span: None,
            };
            ClaimedWork::Turn(HandedOut { token: claimed, turn })
        });
        let claimed = Claimed { claim: token.0, id, work };
        self.with(|dispatcher, now, random| dispatcher.claimed(0, &claimed, now, random))
    }

    pub(crate) fn claimed_token(&mut self, id: &str, claimed: u64) -> Token {
        let token = self.claims[&InstanceId::trusted(id)];
        self.claimed_turn(id, claimed).expect("somebody waits for it");
        token
    }

    /// Claims an offer as ordered. Returns the token under which it is out.
    pub(crate) fn send_turn(&mut self, id: &str, claimed: u64) -> Token {
        assert_eq!(self.claims(), [id]);
        self.claimed_token(id, claimed)
    }

    pub(crate) fn claimed_nothing(&mut self, id: &str) {
        let token = self.claims.remove(&InstanceId::trusted(id)).expect("it is claimed");
        assert_eq!(self.answer(id, token, None), None);
    }

    /// Asks for a place for an activity in this process.
    pub(crate) fn begin_here(&mut self, seat: Seat) -> bool {
        self.dispatcher.begin_here(Kind::Activity, seat)
    }

    pub(crate) fn over_here(&mut self) {
        self.with(|dispatcher, _, random| dispatcher.over_here(Kind::Activity, random));
    }

    pub(crate) fn sent(&mut self, token: Token, bytes: usize) {
        self.with(|dispatcher, now, _| dispatcher.sent(token, bytes, now));
    }

    pub(crate) fn in_flight(&self, connection: ConnectionId) -> [usize; 3] {
        let found = self.dispatcher.workers().find(|worker| worker.connection == connection);
        found.expect("it is connected").in_flight
    }
}

fn sent(orders: &[Order]) -> Vec<(ConnectionId, i32, Token)> {
    let sends = orders.iter().filter_map(|order| match order {
        Order::Send { connection, token, activity } => Some((*connection, activity.task_id, *token)),
        _ => None,
    });
    sends.collect()
}

pub(crate) fn offer(id: &str, name: &str, version: Option<&str>) -> Item {
    let (name, version) = (name.to_owned(), version.map(str::to_owned));
    Item::Offer { partition: 0, offer: Offer { id: InstanceId::trusted(id), name, version } }
}

/// Of execution 1.
pub(crate) fn activity(
    instance: &str,
    task_id: i32,
    name: &str,
    version: Option<&str>,
    orchestration_version: Option<&str>,
) -> Item {
    let (name, version) = (name.to_owned(), version.map(str::to_owned));
    let task = TaskScheduled { name, version, ..TaskScheduled::default() };
    let kind = EventKind::TaskScheduled(task);
    Item::Activity(ActivityDispatch {
        at: PartitionRef { hub: 1, partition: 0 },
        instance: InstanceId::trusted(instance),
        execution: ExecutionId(1),
        task_id,
        scheduled: Arc::new(HistoryEvent::of_action(task_id, Timestamp::default(), kind)),
        orchestration_version: orchestration_version.map(str::to_owned),
    })
}

pub(crate) fn takes_all() -> WorkerProfile {
    WorkerProfile::default()
}

/// Names of orchestrations and activities, with their versions.
pub(crate) fn filters(orchestrations: &[(&str, &[&str])], activities: &[(&str, &[&str])]) -> WorkerProfile {
    let map = |list: &[(&str, &[&str])]| {
        let entries = list.iter().map(|(name, versions)| {
            ((*name).to_owned(), Versions::listed(versions.iter().map(|v| (*v).to_owned())))
        });
        entries.collect()
    };
    let (orchestrations, activities) = (map(orchestrations), map(activities));
    let filters = Some(Filters { orchestrations, activities, ..Filters::default() });
    WorkerProfile { filters, ..WorkerProfile::default() }
}

/// So many of each kind.
pub(crate) fn slots(profile: WorkerProfile, count: usize) -> WorkerProfile {
    WorkerProfile { slots: Slots::asked([count; 3]), ..profile }
}

pub(crate) fn line(kind: Kind, name: &str) -> Line {
    Line { kind, name: name.to_owned(), version: None }
}
