//! How fast work is done, by what was done of late.

use std::collections::BTreeMap;
use std::time::Duration;

use strandline_model::Timestamp;

use super::Line;

/// What is counted together.
const SLICE: Duration = Duration::from_secs(30);
/// Lines whose speed is known, at most.
const LINES_MAX: usize = 1_000;

/// Counts what is done in two slices of time, the one under way and the one before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    /// When the slice under way began; `None`: nothing was counted yet.
    began: Option<Timestamp>,
    now: u64,
    /// In the slice before, and whether there was one.
    before: Option<u64>,
}

impl Rate {
    pub fn count(&mut self, now: Timestamp) {
        match self.began.map(|began| (now.saturating_since(began), began)) {
            Some((age, _)) if age < SLICE => {}
            Some((age, began)) if age < 2 * SLICE => {
                *self = Self { began: began.checked_add(SLICE), now: 0, before: Some(self.now) };
            }
            _ => *self = Self { began: Some(now), now: 0, before: None },
        }
        self.now += 1;
    }

    /// How many a second; `None` when nothing was done for a while.
    pub fn per_second(&self, now: Timestamp) -> Option<f64> {
        let age = now.saturating_since(self.began?);
        if age >= 2 * SLICE {
            return None;
        }
        let (count, time) = match self.before {
            Some(before) => (before + self.now, SLICE + age),
            None => (self.now, age),
        };
        // What was just begun tells nothing of its speed.
        let time = time.max(Duration::from_secs(1));
        Some(count as f64 / time.as_secs_f64())
    }

    fn is_old(&self, now: Timestamp) -> bool {
        self.per_second(now).is_none()
    }
}

/// The rates of lines.
#[derive(Debug, Default)]
pub(super) struct Rates(BTreeMap<Line, Rate>);

impl Rates {
    pub(super) fn count(&mut self, line: Line, now: Timestamp) {
        if self.0.len() >= LINES_MAX && !self.0.contains_key(&line) {
            self.0.retain(|_, rate| !rate.is_old(now));
            if self.0.len() >= LINES_MAX {
                return;
            }
        }
        self.0.entry(line).or_default().count(now);
    }

    pub(super) fn per_second(&self, line: &Line, now: Timestamp) -> Option<f64> {
        self.0.get(line)?.per_second(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_of_late_counts() {
        let begin = Timestamp::from_millis(1_000_000);
        let at = |seconds| begin.saturating_add(Duration::from_secs(seconds));
        let mut rate = Rate::default();
        assert_eq!(rate.per_second(begin), None);
        for second in 0..60 {
            rate.count(at(second));
            rate.count(at(second));
        }
        let speed = rate.per_second(at(59)).unwrap();
        assert!((1.9..2.2).contains(&speed), "{speed}");
        assert!(rate.per_second(at(80)).unwrap() < speed, "nothing was done since");
        assert_eq!(rate.per_second(at(120)), None);
        rate.count(at(500));
        assert_eq!(rate.per_second(at(501)), Some(1.0));
    }
}
