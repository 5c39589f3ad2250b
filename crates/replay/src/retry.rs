//! When a failed call is tried again.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use strandline_model::{FailureDetails, Timestamp};

use crate::follow::{Ended, FollowUp, Next};

/// A predicate over failures: `true` retries.
pub type Predicate = Arc<dyn Fn(&FailureDetails) -> bool + Send + Sync>;

/// How often and after what delay a failed call is made again. The author of the values checks them.
#[derive(Clone)]
pub struct RetryPolicy {
    /// The delay before the second attempt.
    pub first_interval: Duration,
    /// Attempts in all, the first included.
    pub max_attempts: u32,
    /// Each delay is the one before times this.
    pub backoff_coefficient: f64,
    /// No delay is longer.
    pub max_interval: Duration,
    /// No attempt begins its delay later than this after the first attempt began.
    pub timeout: Option<Duration>,
    /// Retries only what it says yes to; `None` says yes to everything.
    pub predicate: Option<Predicate>,
}

impl RetryPolicy {
    /// The delay after the failure of attempt number `attempt` (1 is the first).
    pub fn delay_after(&self, attempt: u32) -> Duration {
        let power = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.first_interval.as_secs_f64() * self.backoff_coefficient.powi(power);
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).min(self.max_interval)
    }

    /// The delay before the next attempt, or `None` when `failure` is final.
    pub(crate) fn next_delay(
        &self,
        attempt: u32,
        begun: Timestamp,
        now: Timestamp,
        failure: &FailureDetails,
    ) -> Option<Duration> {
        if failure.is_non_retriable || attempt >= self.max_attempts {
            return None;
        }
        if self.timeout.is_some_and(|timeout| now >= begun.saturating_add(timeout)) {
            return None;
        }
        if let Some(predicate) = &self.predicate {
            // A predicate that panics answers no, as a handler that throws does in .NET.
            if !catch_unwind(AssertUnwindSafe(|| predicate(failure))).unwrap_or(false) {
                return None;
            }
        }
        Some(self.delay_after(attempt))
    }
}

impl FollowUp for RetryPolicy {
    fn next(&self, ended: &Ended<'_>) -> Next {
        let Err(failure) = ended.result else { return Next::Return };
        match self.next_delay(ended.attempt, ended.begun, ended.now, failure) {
            Some(after) => Next::Retry { after },
            None => Next::Return,
        }
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("first_interval", &self.first_interval)
            .field("max_attempts", &self.max_attempts)
            .field("backoff_coefficient", &self.backoff_coefficient)
            .field("max_interval", &self.max_interval)
            .field("timeout", &self.timeout)
            .field("predicate", &self.predicate.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(first_ms: u64, coefficient: f64, max: Duration) -> RetryPolicy {
        RetryPolicy {
            first_interval: Duration::from_millis(first_ms),
            max_attempts: 5,
            backoff_coefficient: coefficient,
            max_interval: max,
            timeout: None,
            predicate: None,
        }
    }

    #[test]
    fn delays_grow_by_the_coefficient_up_to_the_maximum() {
        let p = policy(1000, 2.0, Duration::from_secs(5));
        let delays: Vec<u64> = (1..=5).map(|n| p.delay_after(n).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 5, 5]);
        assert_eq!(policy(100, 1.5, Duration::MAX).delay_after(3), Duration::from_millis(225));
        assert_eq!(policy(1000, 10.0, Duration::MAX).delay_after(u32::MAX), Duration::MAX);
    }

    #[test]
    fn failures_may_be_final() {
        let t = |seconds| Timestamp { seconds, nanos: 0 };
        let plain = FailureDetails::new("E", "m");
        let mut p = policy(1000, 1.0, Duration::MAX);
        assert!(p.next_delay(4, t(0), t(0), &plain).is_some());
        assert!(p.next_delay(5, t(0), t(0), &plain).is_none(), "attempts used up");
        assert!(p.next_delay(1, t(0), t(0), &plain.clone().non_retriable()).is_none());
        p.timeout = Some(Duration::from_secs(10));
        assert!(p.next_delay(1, t(0), t(9), &plain).is_some());
        assert!(p.next_delay(1, t(0), t(10), &plain).is_none(), "timeout passed");
        p.predicate = Some(Arc::new(|f| f.error_type != "E"));
        assert!(p.next_delay(1, t(0), t(0), &plain).is_none());
    }
}
