//! Finding somebody for work, and work for somebody, within what may be out.

use strandline_model::ExecutionId;

use super::places::Next;
use super::queue::End;
use super::{
    ConnectedWorker, ConnectionId, Dispatcher, Item, ItemKey, Kind, Lease, Line, Order, Seat, Token,
};

impl Dispatcher {
    pub(super) fn enqueue(&mut self, item: Item, end: End, random: &mut dyn FnMut() -> u128) {
        let (line, key) = (item.line(), item.key());
        if let Some(lease) = self.by_key.get(&key).and_then(|token| self.leases.get_mut(token)) {
            // An instance that was ended and begun anew is ready before the news of its end is here.
            if matches!(item, Item::Offer { .. }) {
                lease.next = Some(item);
            }
            return;
        }
        // Only what finds nobody now needs to wait: while a place is free, whoever has room has no older work
        // waiting.
        let worker = self.places.has_free(line.kind).then(|| self.choose(&line, &key)).flatten();
        match worker {
            Some(connection) => {
                // It may wait under another name.
                self.queue.remove(&key);
                self.lease(item, connection, random);
            }
            None => self.queue.put(item, end),
        }
    }

    /// The worker with the most room among those that take it; not the one that gave it back, if others do.
    fn choose(&self, line: &Line, key: &ItemKey) -> Option<ConnectionId> {
        let refused_by = self.attempts.refused_by(key);
        let taking = self.connections.values().filter(|w| takes(w, line) && room(w, line.kind) > 0);
        let share = |w: &ConnectedWorker| {
            let again = refused_by == Some(w.connection);
            let slots = w.profile.slots.of(line.kind).max(1);
            (again, w.in_flight[line.kind as usize] * 10_000 / slots)
        };
        taking.min_by_key(|w| share(w)).map(|w| w.connection)
    }

    /// Asks for a place for work in this process. Without one, the answer is [`Order::Here`], some time.
    pub fn begin_here(&mut self, kind: Kind, seat: Seat) -> bool {
        self.places.take_here(kind, seat)
    }

    /// A place is not needed any more by who has it in this process.
    pub fn over_here(&mut self, kind: Kind, random: &mut dyn FnMut() -> u128) {
        self.places.give_back(kind);
        if self.places.is_bounded(kind) {
            self.fill(kind, random);
        }
    }

    /// What is out of a kind, here and elsewhere.
    pub fn out(&self, kind: Kind) -> usize {
        self.places.out(kind)
    }

    /// Gives free places to who waits for them, the work that waits longest first.
    pub(super) fn fill(&mut self, kind: Kind, random: &mut dyn FnMut() -> u128) {
        while self.places.has_free(kind) {
            let elsewhere = self.next_elsewhere(kind);
            match (self.places.next(kind, elsewhere.is_some()), elsewhere) {
                (Next::Here(seat), _) => self.orders.push(Order::Here { kind, seat }),
                (Next::Elsewhere, Some((connection, key))) => {
                    if let Some(item) = self.queue.remove(&key) {
                        self.lease(item, connection, random);
                    }
                }
                _ => return,
            }
        }
    }

    /// The work that waits longest among what somebody elsewhere takes and has room for, and who gets it.
    fn next_elsewhere(&self, kind: Kind) -> Option<(ConnectionId, ItemKey)> {
        let chosen = |item: &Item| {
            let key = item.key();
            Some((self.choose(&item.line(), &key)?, key))
        };
        let mut with_room = self.connections.values().filter(|w| room(w, kind) > 0).peekable();
        with_room.peek()?;
        // Mostly the oldest of all finds somebody. There may be many names that nobody takes: those of workers
        // are few.
        if let Some(found) = self.queue.oldest(kind, None).and_then(chosen) {
            return Some(found);
        }
        let oldest = with_room.filter_map(|w| self.queue.oldest_numbered(kind, w.profile.filters.as_ref()));
        oldest.min_by_key(|(number, _)| *number).and_then(|(_, item)| chosen(item))
    }

    /// Gives a worker what waits and fits.
    pub(super) fn refill(&mut self, connection: ConnectionId, kind: Kind, random: &mut dyn FnMut() -> u128) {
        while let Some(worker) = self.connections.get(&connection).filter(|w| room(w, kind) > 0)
            && self.places.has_free(kind)
        {
            let oldest = self.queue.oldest(kind, worker.profile.filters.as_ref()).map(Item::key);
            let Some(item) = oldest.and_then(|key| self.queue.remove(&key)) else { return };
            self.lease(item, connection, random);
        }
    }

    fn lease(&mut self, item: Item, connection: ConnectionId, random: &mut dyn FnMut() -> u128) {
        let token = Token(random());
        let key = item.key();
        self.places.take(key.kind());
        if let Some(worker) = self.connections.get_mut(&connection) {
            worker.in_flight[key.kind() as usize] += 1;
        }
        self.by_connection.insert((connection, token));
        self.by_key.insert(key, token);
        self.orders.push(match &item {
            Item::Offer { partition, offer } => {
                Order::Claim { partition: *partition, offer: offer.clone(), token }
            }
            Item::Activity(activity) => Order::Send { connection, token, activity: activity.clone() },
        });
        let lease = Lease {
            token,
            connection,
            item,
            claimed: None,
            execution: ExecutionId::default(),
            operations: 0,
            parts: None,
            sent: None,
            bytes: 0,
            expires: None,
            next: None,
        };
        self.leases.insert(token, lease);
    }
}

pub(super) fn takes(worker: &ConnectedWorker, line: &Line) -> bool {
    worker.profile.filters.as_ref().is_none_or(|filters| filters.take(line))
}

pub(super) fn room(worker: &ConnectedWorker, kind: Kind) -> usize {
    worker.profile.slots.of(kind).saturating_sub(worker.in_flight[kind as usize])
}
