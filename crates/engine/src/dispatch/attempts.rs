//! How often work was handed out in vain. It is forgotten with the process: a restart is no worker's fault.

use std::collections::BTreeMap;
use std::time::Duration;

use strandline_model::Timestamp;

use super::{ConnectionId, ItemKey, Poison};

/// The first delay of work that was given back; it doubles each time.
const DELAY_MIN: Duration = Duration::from_millis(200);
const DELAY_MAX: Duration = Duration::from_secs(30);
/// What most workers refuse to receive unless told otherwise, in bytes.
const MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// Deliveries of something larger that end with a lost connection before it fails.
const LARGE_DELIVERIES_MAX: u32 = 3;
/// Beyond this many, those that nothing happened to for an hour are forgotten.
const KEPT_MAX: usize = 10_000;
const KEPT_FOR: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
pub(super) struct Attempts {
    items: BTreeMap<ItemKey, Attempt>,
}

#[derive(Debug)]
struct Attempt {
    lost: u32,
    refused: u32,
    /// Of those refused: their answer was wrong. They count as lost, too.
    rejected: u32,
    refused_by: Option<ConnectionId>,
    /// What was wrong with the last answer, if one was.
    problem: Option<String>,
    not_before: Option<Timestamp>,
    touched: Timestamp,
}

/// Characters of a problem that are remembered.
const PROBLEM_MAX: usize = 500;

/// How often a work item was handed out in vain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// The worker was lost, did not answer in time, or answered what can't be carried out.
    pub lost: u32,
    /// The worker gave it back untouched.
    pub refused: u32,
    /// What was wrong with the last answer.
    pub problem: Option<String>,
}

/// What becomes of work whose worker was lost.
#[derive(Debug)]
pub(super) enum Verdict {
    Again,
    Fail(Poison),
}

impl Attempts {
    fn touch(&mut self, key: ItemKey, now: Timestamp) -> &mut Attempt {
        let fresh = Attempt {
            lost: 0,
            refused: 0,
            rejected: 0,
            refused_by: None,
            problem: None,
            not_before: None,
            touched: now,
        };
        let attempt = self.items.entry(key).or_insert(fresh);
        attempt.touched = now;
        attempt
    }

    /// A worker gave it back: it is not for that one, and for nobody until the time returned.
    pub(super) fn refused(&mut self, key: ItemKey, by: ConnectionId, now: Timestamp) -> Timestamp {
        let attempt = self.touch(key, now);
        let delay = DELAY_MIN.saturating_mul(1 << attempt.refused.min(16)).min(DELAY_MAX);
        attempt.refused += 1;
        attempt.refused_by = Some(by);
        let later = now.saturating_add(delay);
        attempt.not_before = Some(later);
        later
    }

    pub(super) fn lost(
        &mut self,
        key: ItemKey,
        bytes: usize,
        deliveries_max: u32,
        now: Timestamp,
    ) -> Verdict {
        let attempt = self.touch(key, now);
        attempt.lost += 1;
        let deliveries = attempt.lost;
        if bytes > MESSAGE_BYTES && deliveries >= LARGE_DELIVERIES_MAX.min(deliveries_max) {
            return Verdict::Fail(Poison::TooLarge { bytes });
        }
        if deliveries >= deliveries_max {
            return Verdict::Fail(Poison::LosesWorkers { deliveries });
        }
        Verdict::Again
    }

    /// What was wrong with the answer of a worker.
    pub(super) fn answered_wrongly(&mut self, key: ItemKey, problem: &str, now: Timestamp) {
        let attempt = self.touch(key, now);
        attempt.rejected += 1;
        attempt.problem = Some(problem.chars().take(PROBLEM_MAX).collect());
    }

    pub(super) fn tries(&self, key: &ItemKey) -> Tries {
        self.items.get(key).map_or_else(Tries::default, |attempt| Tries {
            lost: attempt.lost,
            refused: attempt.refused.saturating_sub(attempt.rejected),
            problem: attempt.problem.clone(),
        })
    }

    /// It was given back, and is for nobody until then.
    pub(super) fn not_before(&self, key: &ItemKey) -> Option<Timestamp> {
        self.items.get(key)?.not_before
    }

    /// Lets all that was given back be handed out at once.
    pub(super) fn relent(&mut self) {
        self.items.values_mut().for_each(|attempt| attempt.not_before = None);
    }

    pub(super) fn refused_by(&self, key: &ItemKey) -> Option<ConnectionId> {
        self.items.get(key)?.refused_by
    }

    pub(super) fn forget(&mut self, key: &ItemKey) {
        self.items.remove(key);
    }

    pub(super) fn sweep(&mut self, now: Timestamp) {
        if self.items.len() > KEPT_MAX {
            self.items.retain(|_, attempt| now.saturating_since(attempt.touched) < KEPT_FOR);
        }
    }
}
