//! Waiting between attempts.

use std::time::Duration;

use uuid::Uuid;

const FIRST: Duration = Duration::from_millis(50);

/// Pauses that double up to a limit. Each is cut by up to a half at random, so that those who lost the
/// same server don't come back at the same moment.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(super) fn up_to(longest: Duration) -> Self {
        Self { next: FIRST, longest }
    }

    /// All is well again.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }

    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.next.min(self.longest);
        self.next = (pause * 2).min(self.longest);
        // Random bytes: those that say the version are elsewhere.
        let chance = f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
        pause.mul_f64(1.0 - chance / 2.0)
    }

    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.pause()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_vary() {
        let longest = Duration::from_secs(2);
        let mut backoff = Backoff::up_to(longest);
        for n in 0..20 {
            let full = (FIRST * (1 << n.min(10))).min(longest);
            let pause = backoff.pause();
            assert!(full / 2 <= pause && pause <= full, "{n}: {pause:?}");
        }
        backoff.reset();
        assert!(backoff.pause() <= FIRST);
    }
}
