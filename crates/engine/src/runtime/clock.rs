//! Engine time: wall clock at start plus monotonic time, slewed towards the wall clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use strandline_model::Timestamp;

use crate::worker::Clock;

/// Never jumps and never goes back: it follows the wall clock by at most 1 % of the time passed.
#[derive(Debug)]
pub(crate) struct EngineClock {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    at: Instant,
    nanos: i128,
}

/// A difference to the wall clock worth a warning when the engine starts.
const WARN_ABOVE: Duration = Duration::from_secs(1);

impl EngineClock {
    /// Begins at the wall clock, or at `last` (the last time recorded) if that is later.
    pub(crate) fn starting_at(last: Timestamp) -> Self {
        let wall = wall_nanos();
        let ahead = last.as_nanos() - wall;
        if ahead > WARN_ABOVE.as_nanos() as i128 {
            let seconds = ahead / 1_000_000_000;
            tracing::warn!(
                seconds,
                "the wall clock is behind the last time recorded: timers fire by the latter"
            );
        }
        Self { state: Mutex::new(State { at: Instant::now(), nanos: wall.max(last.as_nanos()) }) }
    }
}

impl Clock for EngineClock {
    fn now(&self) -> Timestamp {
        let mut state = self.state.lock();
        let now = Instant::now();
        let passed = now.saturating_duration_since(state.at).as_nanos() as i128;
        let straight = state.nanos + passed;
        let slew = passed / 100;
        state.nanos = straight + (wall_nanos() - straight).clamp(-slew, slew);
        state.at = now;
        Timestamp::from_nanos(state.nanos)
    }
}

fn wall_nanos() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_at_the_last_recorded_time_and_never_goes_back() {
        let future = Timestamp::from_nanos(wall_nanos()).saturating_add(Duration::from_secs(3600));
        let clock = EngineClock::starting_at(future);
        let mut last = future;
        for _ in 0..1000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
