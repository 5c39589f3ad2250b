//! What is counted of one hub.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use strandline_model::RuntimeStatus;

use super::histogram::{Histogram, LONG, MEDIUM, SHORT};
use super::names::ByName;
use crate::dispatch::Kind;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Of one hub, as long as its node runs: it outlasts failures of the store.
#[derive(Debug)]
pub(crate) struct HubMetrics {
    pub(crate) orchestrations: ByName<Orchestration>,
    pub(crate) activities: ByName<Activity>,
    pub(crate) entities: ByName<Entity>,
    pub(crate) turns: Histogram,
    /// By kind of work.
    pub(crate) schedule_to_start: [Histogram; 3],
    pub(crate) timer_lateness: Histogram,
    pub(crate) lock_wait: Histogram,
}

/// How executions end, as labels show it.
pub(crate) const ENDS: [RuntimeStatus; 5] = [
    RuntimeStatus::Completed,
    RuntimeStatus::Failed,
    RuntimeStatus::Terminated,
    RuntimeStatus::Canceled,
    RuntimeStatus::ContinuedAsNew,
];

#[derive(Debug)]
pub(crate) struct Orchestration {
    pub(crate) started: Count,
    /// As [`ENDS`].
    pub(crate) ended: [Count; 5],
    pub(crate) duration: Histogram,
    pub(crate) nondeterminism: Count,
}

impl Orchestration {
    fn new() -> Self {
        Self {
            started: Count::default(),
            ended: Default::default(),
            duration: Histogram::new(&LONG),
            nondeterminism: Count::default(),
        }
    }

    /// Its execution came to this end, so long after the instance was created.
    pub(crate) fn ended(&self, status: RuntimeStatus, after: Duration) {
        if let Some(at) = ENDS.iter().position(|end| *end == status) {
            self.ended[at].add(1);
        }
        if status != RuntimeStatus::ContinuedAsNew {
            self.duration.observe_time(after);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Activity {
    pub(crate) completed: Histogram,
    pub(crate) failed: Histogram,
    pub(crate) retries: Count,
}

impl Activity {
    fn new() -> Self {
        Self {
            completed: Histogram::new(&MEDIUM),
            failed: Histogram::new(&MEDIUM),
            retries: Count::default(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Entity {
    pub(crate) completed: Count,
    pub(crate) failed: Count,
}

impl HubMetrics {
    pub(crate) fn new() -> Self {
        Self {
            orchestrations: ByName::new(Orchestration::new),
            activities: ByName::new(Activity::new),
            entities: ByName::new(Entity::default),
            turns: Histogram::new(&SHORT),
            schedule_to_start: Kind::ALL.map(|_| Histogram::new(&MEDIUM)),
            timer_lateness: Histogram::new(&MEDIUM),
            lock_wait: Histogram::new(&MEDIUM),
        }
    }

    /// Work of a kind began so long after it could have.
    pub(crate) fn began(&self, kind: Kind, after: Duration) {
        self.schedule_to_start[kind as usize].observe_time(after);
    }

    /// One execution of an activity is over.
    pub(crate) fn activity_ran(&self, name: &str, succeeded: bool, time: Duration) {
        let activity = self.activities.of(name);
        if succeeded { &activity.completed } else { &activity.failed }.observe_time(time);
    }
}
