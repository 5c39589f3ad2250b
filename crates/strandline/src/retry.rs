//! When a failed call is tried again.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::context::OrchestrationContext;
use crate::durations::hours;
use crate::error::{Error, Result};

/// How often and after what delay a failed activity or sub-orchestration is called again.
///
/// Attempts and the timers between them stand in the history, so a retry survives restarts. Errors
/// marked non-retriable stop it at once.
///
/// ```
/// use strandline::prelude::*;
///
/// let policy = RetryPolicy::new(secs(1), 5)
///     .backoff_coefficient(2.0)
///     .max_interval(minutes(1))
///     .timeout(hours(1))
///     .when(|error| error.error_type() != "CardDeclined");
/// # let _ = policy;
/// ```
///
/// Values that make no sense are refused where they are given: those methods panic, which inside an
/// orchestrator fails the instance with the panic's text.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    pub(crate) inner: strandline_replay::RetryPolicy,
}

/// The longest delay unless the policy says otherwise.
const DEFAULT_MAX_INTERVAL: Duration = hours(1);

impl RetryPolicy {
    /// `max_attempts` attempts in all, `first_interval` apart.
    ///
    /// # Panics
    /// When `first_interval` or `max_attempts` is zero.
    #[track_caller]
    pub fn new(first_interval: Duration, max_attempts: u32) -> Self {
        assert!(!first_interval.is_zero(), "RetryPolicy: first_interval must be longer than zero");
        check_attempts(max_attempts);
        let inner = strandline_replay::RetryPolicy {
            first_interval,
            max_attempts,
            backoff_coefficient: 1.0,
            max_interval: DEFAULT_MAX_INTERVAL.max(first_interval),
            timeout: None,
            predicate: None,
        };
        Self { inner }
    }

    /// Delays that double, beginning with `first_interval`; 10 attempts unless
    /// [`max_attempts`](RetryPolicy::max_attempts) says otherwise.
    ///
    /// # Panics
    /// When `first_interval` is zero.
    #[track_caller]
    pub fn exponential(first_interval: Duration) -> Self {
        Self::new(first_interval, 10).backoff_coefficient(2.0)
    }

    /// Attempts in all, the first included.
    ///
    /// # Panics
    /// When it is zero.
    #[track_caller]
    #[must_use]
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        check_attempts(max_attempts);
        self.inner.max_attempts = max_attempts;
        self
    }

    /// Each delay is the one before times this. 1 by default.
    ///
    /// # Panics
    /// When it is less than 1 or not a finite number.
    #[track_caller]
    #[must_use]
    pub fn backoff_coefficient(mut self, backoff_coefficient: f64) -> Self {
        assert!(
            backoff_coefficient >= 1.0 && backoff_coefficient.is_finite(),
            "RetryPolicy: backoff_coefficient must be a finite number of at least 1, not {backoff_coefficient}"
        );
        self.inner.backoff_coefficient = backoff_coefficient;
        self
    }

    /// No delay is longer. 1 hour by default, or `first_interval` where that is longer.
    ///
    /// # Panics
    /// When it is shorter than `first_interval`.
    #[track_caller]
    #[must_use]
    pub fn max_interval(mut self, max_interval: Duration) -> Self {
        let first = self.inner.first_interval;
        assert!(
            max_interval >= first,
            "RetryPolicy: max_interval ({max_interval:?}) must not be shorter than first_interval ({first:?})"
        );
        self.inner.max_interval = max_interval;
        self
    }

    /// No further attempt once this much time has passed since the first; looked at only between
    /// attempts. No limit by default.
    ///
    /// # Panics
    /// When it is shorter than `first_interval`.
    #[track_caller]
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        let first = self.inner.first_interval;
        assert!(
            timeout >= first,
            "RetryPolicy: timeout ({timeout:?}) must not be shorter than first_interval ({first:?})"
        );
        self.inner.timeout = Some(timeout);
        self
    }

    /// Retries only errors the predicate says yes to. It must be deterministic: it runs again on replay.
    #[must_use]
    pub fn when(mut self, predicate: impl Fn(&Error) -> bool + Send + Sync + 'static) -> Self {
        self.inner.predicate =
            Some(Arc::new(move |failure| predicate(&Error::from_failure(failure.clone()))));
        self
    }
}

#[track_caller]
fn check_attempts(max_attempts: u32) {
    assert!(max_attempts > 0, "RetryPolicy: max_attempts must be at least 1");
}

/// What a retry handler decides on; see [`Callable::retry_with`](crate::Callable::retry_with).
#[derive(Debug)]
#[non_exhaustive]
pub struct RetryContext {
    /// The orchestration, for timers between attempts.
    pub ctx: OrchestrationContext,
    /// How many attempts have been made.
    pub attempt: u32,
    /// Why the last one failed.
    pub failure: Error,
    /// Time since the first attempt.
    pub elapsed: Duration,
}

type Decision = Pin<Box<dyn Future<Output = Result<bool>>>>;

#[derive(Clone)]
pub(crate) struct RetryHandler(Rc<dyn Fn(RetryContext) -> Decision>);

impl RetryHandler {
    pub(crate) fn new<F, Fut>(handler: F) -> Self
    where
        F: Fn(RetryContext) -> Fut + 'static,
        Fut: Future<Output = Result<bool>> + 'static,
    {
        Self(Rc::new(move |context| Box::pin(handler(context))))
    }

    pub(crate) async fn decide(&self, context: RetryContext) -> bool {
        self.0(context).await.unwrap_or(false)
    }
}

impl fmt::Debug for RetryHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RetryHandler")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let hour = Duration::from_secs(3600);
        let plain = RetryPolicy::new(Duration::from_secs(1), 3).inner;
        assert_eq!((plain.max_interval, plain.backoff_coefficient, plain.timeout), (hour, 1.0, None));
        let slow = RetryPolicy::new(2 * hour, 3).inner;
        assert_eq!(slow.max_interval, 2 * hour, "never below the first interval");
        let doubling = RetryPolicy::exponential(Duration::from_secs(1)).inner;
        assert_eq!((doubling.max_attempts, doubling.backoff_coefficient), (10, 2.0));
    }
}
