//! Where a work item is, and who could take it: for those who ask why it waits.

use std::collections::BTreeSet;

use strandline_model::Timestamp;

use super::hand_out::{room, takes};
use super::{Dispatcher, ItemKey, Kind, Line, Tries, Versions};

/// Where a work item is.
#[derive(Clone, Debug, PartialEq)]
pub enum Whereabouts {
    /// Nowhere: it is not due, or on its way from one place to the next.
    Nowhere,
    /// It runs in this process; an activity also tells since when.
    Here { since: Option<Timestamp> },
    /// It waits, with so much of the same name and version before it.
    Queued { ahead: usize },
    /// It was given back, and waits until then.
    Delayed { until: Timestamp },
    /// A worker has it.
    Leased {
        /// The worker's name for itself.
        worker: String,
        /// Where it connects from.
        peer: Option<String>,
        since: Option<Timestamp>,
        /// When it is given to somebody else.
        until: Option<Timestamp>,
    },
}

/// Who could take work of one name and version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Takers {
    /// Workers of the hub, whatever they take.
    pub workers: usize,
    /// Those that take this.
    pub takers: usize,
    /// How much of this kind of work those may have at a time, and how much they have.
    pub slots: usize,
    pub busy: usize,
    /// None of them has room.
    pub full: bool,
    /// Those that take this name, but in other versions; and which they list, where the empty text
    /// stands for no version.
    pub other_versions: usize,
    pub versions: BTreeSet<String>,
    /// How much of it was done of late.
    pub per_second: Option<f64>,
}

impl Dispatcher {
    /// Where a work item is.
    pub fn whereabouts(&self, key: &ItemKey) -> Whereabouts {
        if let Some(lease) = self.by_key.get(key).and_then(|token| self.leases.get(token)) {
            let worker = self.connections.get(&lease.connection);
            return Whereabouts::Leased {
                worker: worker.map_or_else(String::new, |worker| worker.profile.id.clone()),
                peer: worker.and_then(|worker| worker.profile.peer.clone()),
                since: lease.sent,
                until: lease.expires,
            };
        }
        if let Some(ahead) = self.queue.ahead_of(key) {
            return Whereabouts::Queued { ahead };
        }
        match self.attempts.not_before(key) {
            Some(until) if self.delayed.contains_key(&(until, key.clone())) => Whereabouts::Delayed { until },
            _ => Whereabouts::Nowhere,
        }
    }

    /// What workers choose a work item by, if it waits or is out.
    pub fn line(&self, key: &ItemKey) -> Option<Line> {
        let lease = self.by_key.get(key).and_then(|token| self.leases.get(token));
        lease.map(|lease| lease.item.line()).or_else(|| self.queue.line_of(key).cloned())
    }

    /// How often it was handed out in vain.
    pub fn tries(&self, key: &ItemKey) -> Tries {
        self.attempts.tries(key)
    }

    /// Who could take this.
    pub fn takers(&self, line: &Line, now: Timestamp) -> Takers {
        let mut found = Takers { full: true, ..Takers::default() };
        for worker in self.connections.values() {
            found.workers += 1;
            if takes(worker, line) {
                found.takers += 1;
                found.slots += worker.profile.slots.of(line.kind);
                found.busy += worker.in_flight[line.kind as usize];
                found.full &= room(worker, line.kind) == 0;
            } else if let Some(filters) = &worker.profile.filters {
                let by_name = match line.kind {
                    Kind::Orchestration => &filters.orchestrations,
                    Kind::Activity => &filters.activities,
                    Kind::Entity => continue,
                };
                if let Some(Versions::Only(versions)) = by_name.get(&line.name) {
                    found.other_versions += 1;
                    found.versions.extend(versions.iter().cloned());
                }
            }
        }
        if let Some(most) = self.config.out_max.of(line.kind).filter(|_| found.takers > 0) {
            found.full |= !self.places.has_free(line.kind);
            found.slots = found.slots.min(most);
        }
        found.full &= found.takers > 0;
        found.per_second = self.rates.per_second(line, now);
        found
    }
}
