//! How much of a hub is out at a time, to all its workers together: those in this process and those elsewhere.

use std::collections::VecDeque;

use super::Kind;

/// How much may be out at a time, by kind. `None`: as much as workers take. There is always room for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutMax {
    pub orchestrations: Option<usize>,
    pub activities: Option<usize>,
    pub entities: Option<usize>,
}

impl OutMax {
    pub fn of(&self, kind: Kind) -> Option<usize> {
        let most = match kind {
            Kind::Orchestration => self.orchestrations,
            Kind::Activity => self.activities,
            Kind::Entity => self.entities,
        };
        most.map(|most| most.max(1))
    }
}

/// Who asks for a place in this process: of turns, each driver for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat(pub usize);

/// Who gets a place that is free.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Here(Seat),
    Elsewhere,
    Nobody,
}

/// The places of one kind.
#[derive(Debug, Default)]
struct Place {
    out: usize,
    /// Who waits in this process, longest first.
    seats: VecDeque<Seat>,
    /// When both wait they take turns.
    elsewhere_is_next: bool,
}

/// What is out, here and elsewhere. A place is free only while nobody waits for one whom it would help.
#[derive(Debug)]
pub(super) struct Places {
    most: OutMax,
    places: [Place; 3],
}

impl Places {
    pub(super) fn new(most: OutMax) -> Self {
        Self { most, places: Default::default() }
    }

    pub(super) fn is_bounded(&self, kind: Kind) -> bool {
        self.most.of(kind).is_some()
    }

    pub(super) fn has_free(&self, kind: Kind) -> bool {
        self.most.of(kind).is_none_or(|most| self.places[kind as usize].out < most)
    }

    pub(super) fn out(&self, kind: Kind) -> usize {
        self.places[kind as usize].out
    }

    pub(super) fn take(&mut self, kind: Kind) {
        self.places[kind as usize].out += 1;
    }

    pub(super) fn give_back(&mut self, kind: Kind) {
        self.places[kind as usize].out -= 1;
    }

    /// Takes a place for somebody in this process, who waits for one otherwise.
    pub(super) fn take_here(&mut self, kind: Kind, seat: Seat) -> bool {
        let free = self.has_free(kind);
        let place = &mut self.places[kind as usize];
        if free {
            place.out += 1;
        } else if !place.seats.contains(&seat) {
            place.seats.push_back(seat);
        }
        free
    }

    /// Who gets a free place; it is taken then, unless it goes elsewhere.
    pub(super) fn next(&mut self, kind: Kind, wanted_elsewhere: bool) -> Next {
        let place = &mut self.places[kind as usize];
        if wanted_elsewhere && (place.elsewhere_is_next || place.seats.is_empty()) {
            place.elsewhere_is_next = false;
            return Next::Elsewhere;
        }
        match place.seats.pop_front() {
            Some(seat) => {
                place.elsewhere_is_next = true;
                place.out += 1;
                Next::Here(seat)
            }
            None => Next::Nobody,
        }
    }
}
