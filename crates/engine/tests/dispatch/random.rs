//! Whatever happens in whichever order: nothing is lost, nothing is out twice, and the counts are right.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use strandline_engine::dispatch::{
    ConnectionId, DispatchConfig, Kind, Line, Order, OutMax, Returned, Seat, Token, WorkerProfile,
};

use crate::bench::{Bench, activity, filters, offer, slots, takes_all};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A worker's view, and the partition's.
struct Model {
    bench: Bench,
    out_max: OutMax,
    seed: u64,
    connected: Vec<ConnectionId>,
    /// Out, by token: to whom, the key, and the partition's token.
    out: BTreeMap<Token, (ConnectionId, Key, Option<u64>)>,
    old: Vec<Token>,
    /// Turns the partition handed out, and those that are still to be done.
    turns_out: BTreeMap<String, u64>,
    turns_left: BTreeMap<String, u32>,
    activities_left: BTreeSet<i32>,
    claims: Vec<(String, Token)>,
    /// Activities that run here, and who waits for a place for one.
    here: usize,
    seats: Vec<Seat>,
    next: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Turn(String),
    Activity(i32),
}

impl Model {
    fn below(&mut self, n: usize) -> usize {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn profile(&mut self) -> WorkerProfile {
        let taken: Vec<(&str, &[&str])> =
            NAMES.iter().filter(|_| self.below(2) == 0).map(|name| (*name, &[] as &[&str])).collect();
        let profile = if self.below(3) == 0 { takes_all() } else { filters(&taken, &taken) };
        let count = 1 + self.below(3);
        slots(profile, count)
    }

    fn offer_turn(&mut self, id: &str) {
        let name = NAMES[id.len() % NAMES.len()];
        self.bench.offer(offer(id, name, None));
    }

    fn step(&mut self) {
        match self.below(14) {
            0 if self.connected.len() < 4 => {
                let profile = self.profile();
                self.connected.push(self.bench.connect(profile));
            }
            1 if !self.connected.is_empty() => {
                let at = self.below(self.connected.len());
                let gone = self.connected.swap_remove(at);
                self.bench.disconnect(gone);
                self.lose(|(to, ..)| *to == gone);
            }
            2 => {
                let task = self.next as i32;
                self.next += 1;
                self.activities_left.insert(task);
                let name = NAMES[self.below(NAMES.len())];
                self.bench.offer(activity("i", task, name, None, None));
            }
            3 => {
                let id = "x".repeat(1 + self.below(8));
                *self.turns_left.entry(id.clone()).or_default() += 1;
                if !self.turns_out.contains_key(&id) {
                    self.offer_turn(&id);
                }
            }
            // A partition may repeat itself.
            4 => {
                let waiting: Vec<String> = self.turns_left.keys().cloned().collect();
                if let Some(id) = waiting.get(self.below(waiting.len().max(1))) {
                    self.offer_turn(&id.clone());
                }
            }
            5..=7 => self.answer_claim(),
            8 => {
                let late = self.bench.now.saturating_add(Duration::from_millis(150));
                let due = self.bench.dispatcher.next_due().is_some_and(|due| due <= late);
                self.bench.pass(Duration::from_millis(150));
                assert!(due || self.bench.dispatcher.next_due().is_none_or(|due| due > late));
            }
            9 => {
                if let Some(token) = self.some_token() {
                    self.out.remove(&token).expect("it is out");
                    assert!(self.bench.abandon(token));
                    self.old.push(token);
                }
            }
            12 => {
                let seat = Seat(self.below(3));
                if !self.seats.contains(&seat) {
                    match self.bench.begin_here(seat) {
                        true => self.here += 1,
                        false => self.seats.push(seat),
                    }
                }
            }
            13 if self.here > 0 => self.over_here(),
            10 if !self.old.is_empty() => {
                let at = self.below(self.old.len());
                let token = self.old[at];
                assert!(!matches!(self.bench.finish(token), Returned::Leased(_)), "an old token");
            }
            _ => {
                if let Some(token) = self.some_token() {
                    self.finish(token);
                }
            }
        }
        self.carry_out();
        self.check();
    }

    fn over_here(&mut self) {
        self.here -= 1;
        self.bench.over_here();
    }

    fn some_token(&mut self) -> Option<Token> {
        let at = self.below(self.out.len().max(1));
        self.out.keys().nth(at).copied()
    }

    fn lose(&mut self, gone: impl Fn(&(ConnectionId, Key, Option<u64>)) -> bool) {
        let lost: Vec<Token> =
            self.out.iter().filter(|(_, out)| gone(out)).map(|(token, _)| *token).collect();
        for token in lost {
            self.out.remove(&token);
            self.old.push(token);
        }
    }

    fn answer_claim(&mut self) {
        if self.claims.is_empty() {
            return;
        }
        let at = self.below(self.claims.len());
        let (id, token) = self.claims.remove(at);
        if self.turns_out.contains_key(&id) || !self.turns_left.contains_key(&id) {
            self.bench.answer(&id, token, None);
            return;
        }
        self.next += 1;
        let claimed = self.next;
        self.turns_out.insert(id.clone(), claimed);
        if let Some(to) = self.bench.answer(&id, token, Some((1, claimed))) {
            self.sent(to, Key::Turn(id), token, Some(claimed));
        }
    }

    fn sent(&mut self, to: ConnectionId, key: Key, token: Token, claimed: Option<u64>) {
        assert!(self.out.values().all(|(_, other, _)| *other != key), "{key:?} is out twice");
        assert!(self.connected.contains(&to), "nobody is there");
        self.out.insert(token, (to, key, claimed));
    }

    fn finish(&mut self, token: Token) {
        let (_, key, _) = self.out.remove(&token).expect("it is out");
        assert!(matches!(self.bench.finish(token), Returned::Leased(_)));
        self.old.push(token);
        match key {
            Key::Activity(task) => assert!(self.activities_left.remove(&task), "{task} is done twice"),
            Key::Turn(id) => {
                self.turns_out.remove(&id).expect("it is out");
                let left = self.turns_left.get_mut(&id).expect("it is to be done");
                *left -= 1;
                if *left == 0 {
                    self.turns_left.remove(&id);
                } else {
                    self.offer_turn(&id);
                }
            }
        }
    }

    fn carry_out(&mut self) {
        loop {
            let orders = self.bench.dispatcher.take_orders();
            if orders.is_empty() {
                return;
            }
            for order in orders {
                match order {
                    Order::Claim { offer, token, .. } => self.claims.push((offer.id.to_string(), token)),
                    Order::Send { connection, token, activity } => {
                        self.sent(connection, Key::Activity(activity.task_id), token, None);
                    }
                    Order::GiveBack { id, claimed, .. } => {
                        let id = id.to_string();
                        // Its lease is over, whatever the reason.
                        self.lose(|(.., of)| *of == Some(claimed));
                        if self.turns_out.get(&id) == Some(&claimed) {
                            self.turns_out.remove(&id);
                            self.offer_turn(&id);
                        }
                    }
                    Order::Here { kind, seat } => {
                        assert_eq!(
                            (kind, self.seats.remove(0)),
                            (Kind::Activity, seat),
                            "the longest waiting"
                        );
                        self.here += 1;
                    }
                    Order::Fail { lease, reason } => panic!("{lease:?} fails: {reason}"),
                }
            }
        }
    }

    /// What is counted as out is out, or claimed and not there yet.
    fn check(&self) {
        let workers: Vec<_> = self.bench.dispatcher.workers().collect();
        assert_eq!(workers.len(), self.connected.len());
        for kind in Kind::ALL {
            let here = if kind == Kind::Activity { self.here } else { 0 };
            let out = here + workers.iter().map(|w| w.in_flight[kind as usize]).sum::<usize>();
            assert_eq!(self.bench.dispatcher.out(kind), out);
            assert!(self.out_max.of(kind).is_none_or(|most| out <= most), "{out} of {kind:?} are out");
            if self.out_max.of(kind).is_none_or(|most| out < most) {
                assert!(
                    kind != Kind::Activity || self.seats.is_empty(),
                    "a place is free, {:?} wait",
                    self.seats
                );
                for worker in workers.iter().filter(|w| w.in_flight[kind as usize] < w.profile.slots.of(kind))
                {
                    let takes = |line: &Line| match (&worker.profile.filters, kind) {
                        (None, _) => true,
                        (Some(filters), Kind::Orchestration) => {
                            filters.orchestrations.contains_key(&line.name)
                        }
                        (Some(filters), _) => filters.activities.contains_key(&line.name),
                    };
                    let waits = self.bench.dispatcher.waiting().find(|(l, _)| l.kind == kind && takes(l));
                    assert_eq!(waits, None, "{worker:?} has room, and there is a place");
                }
            }
        }
        for worker in workers {
            let ours = self.out.values().filter(|(to, ..)| *to == worker.connection);
            let (turns, activities): (Vec<_>, Vec<_>) =
                ours.partition(|(_, key, _)| matches!(key, Key::Turn(_)));
            let leased = |token: &Token| self.bench.dispatcher.lease_of(*token).map(|l| l.connection);
            let claims = self.claims.iter().filter(|(_, token)| leased(token) == Some(worker.connection));
            assert_eq!(worker.in_flight, [turns.len() + claims.count(), activities.len(), 0]);
            for kind in Kind::ALL {
                assert!(worker.in_flight[kind as usize] <= worker.profile.slots.of(kind));
            }
        }
    }

    fn drain(&mut self) {
        self.connected.push(self.bench.connect(takes_all()));
        self.carry_out();
        for _ in 0..10_000 {
            if self.turns_left.is_empty() && self.activities_left.is_empty() {
                break;
            }
            while !self.claims.is_empty() {
                self.answer_claim();
                self.carry_out();
            }
            for token in self.out.keys().copied().collect::<Vec<_>>() {
                if self.out.contains_key(&token) {
                    self.finish(token);
                    self.carry_out();
                }
            }
            while self.here > 0 {
                self.over_here();
                self.carry_out();
            }
            self.bench.pass(Duration::from_millis(100));
            self.carry_out();
            self.check();
        }
        assert!(self.activities_left.is_empty(), "lost: {:?}", self.activities_left);
        assert!(self.turns_left.is_empty(), "lost: {:?}, out: {:?}", self.turns_left, self.turns_out);
        assert_eq!(self.bench.dispatcher.waiting().count(), 0);
    }
}

fn few(seed: u64) -> OutMax {
    let most = Some(1 + (seed / 2) as usize % 3);
    OutMax { orchestrations: most, activities: most, entities: most }
}

#[test]
fn nothing_is_lost_or_doubled() {
    for seed in 0..300 {
        let config = DispatchConfig {
            turn_lease: Duration::from_secs(2),
            deliveries_max: u32::MAX,
            // Every other seed has no bounds.
            out_max: if seed % 2 == 0 { OutMax::default() } else { few(seed) },
            ..DispatchConfig::default()
        };
        let mut model = Model {
            bench: Bench::new(config),
            out_max: config.out_max,
            here: 0,
            seats: Vec::new(),
            seed,
            connected: Vec::new(),
            out: BTreeMap::new(),
            old: Vec::new(),
            turns_out: BTreeMap::new(),
            turns_left: BTreeMap::new(),
            activities_left: BTreeSet::new(),
            claims: Vec::new(),
            next: 0,
        };
        for _ in 0..400 {
            model.step();
        }
        model.drain();
    }
}
