//! When a request is sent again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::span;
use crate::durations::days;
use crate::retry::RetryPolicy;

/// How often and after what delay a request is sent again: the fields of a [`RetryPolicy`], and which
/// statuses count as failures.
///
/// Without retry options every status is a response. With them, every status but `2xx` is a failure, or,
/// once [`status_codes`](Self::status_codes) are named, those. A failure is retried, as are timeouts and
/// connections that fail; when the attempts are used up the call fails with the last failure. Each look at
/// the `Location` of a `202` is a request with attempts of its own.
///
/// ```
/// use strandline::prelude::*;
///
/// let patient = HttpRetryOptions::new(secs(1), 5).backoff_coefficient(2.0).status_codes([429, 503]);
/// let request = HttpRequest::get("https://example.com/").retry(patient);
/// ```
///
/// Values that make no sense are refused as those of a [`RetryPolicy`] are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct HttpRetryOptions {
    pub(crate) policy: RetryPolicy,
    /// The statuses that count as failures; empty: all but `2xx`.
    pub(crate) status_codes: Vec<u16>,
}

impl HttpRetryOptions {
    /// `max_attempts` attempts in all, `first_interval` apart.
    ///
    /// # Panics
    /// When `first_interval` or `max_attempts` is zero.
    #[track_caller]
    pub fn new(first_interval: Duration, max_attempts: u32) -> Self {
        let policy = RetryPolicy::new(first_interval, max_attempts);
        Self { policy: policy.max_interval(days(6).max(first_interval)), status_codes: Vec::new() }
    }

    /// Each delay is the one before times this. 1 by default.
    ///
    /// # Panics
    /// When it is less than 1 or not a finite number.
    #[track_caller]
    #[must_use]
    pub fn backoff_coefficient(mut self, backoff_coefficient: f64) -> Self {
        self.policy = self.policy.backoff_coefficient(backoff_coefficient);
        self
    }

    /// No delay is longer. 6 days by default.
    ///
    /// # Panics
    /// When it is shorter than the first interval.
    #[track_caller]
    #[must_use]
    pub fn max_interval(mut self, max_interval: Duration) -> Self {
        self.policy = self.policy.max_interval(max_interval);
        self
    }

    /// No further attempt once this much time has passed since the first. No limit by default.
    ///
    /// # Panics
    /// When it is shorter than the first interval.
    #[track_caller]
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.policy = self.policy.timeout(timeout);
        self
    }

    /// Only these statuses count as failures; all others are responses.
    #[must_use]
    pub fn status_codes(mut self, codes: impl IntoIterator<Item = u16>) -> Self {
        self.status_codes = codes.into_iter().collect();
        self
    }
}

/// The JSON of Durable Functions, whose names are in Pascal case here.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Written {
    #[serde(with = "span", alias = "firstRetryInterval", default)]
    first_retry_interval: Duration,
    #[serde(with = "span", alias = "maxRetryInterval", default = "longest_interval")]
    max_retry_interval: Duration,
    #[serde(alias = "backoffCoefficient", default = "one")]
    backoff_coefficient: f64,
    #[serde(with = "span::unlimited", alias = "retryTimeout", default)]
    retry_timeout: Option<Duration>,
    #[serde(alias = "maxNumberOfAttempts", default)]
    max_number_of_attempts: u32,
    #[serde(alias = "statusCodesToRetry", default)]
    status_codes_to_retry: Option<Vec<u16>>,
}

fn longest_interval() -> Duration {
    days(6)
}

fn one() -> f64 {
    1.0
}

impl From<HttpRetryOptions> for Written {
    fn from(options: HttpRetryOptions) -> Self {
        let policy = options.policy.inner;
        Self {
            first_retry_interval: policy.first_interval,
            max_retry_interval: policy.max_interval,
            backoff_coefficient: policy.backoff_coefficient,
            retry_timeout: policy.timeout,
            max_number_of_attempts: policy.max_attempts,
            status_codes_to_retry: Some(options.status_codes),
        }
    }
}

impl From<Written> for HttpRetryOptions {
    /// Whatever others wrote: whoever serves a request looks at the statuses only.
    fn from(written: Written) -> Self {
        let inner = strandline_replay::RetryPolicy {
            first_interval: written.first_retry_interval,
            max_attempts: written.max_number_of_attempts,
            backoff_coefficient: written.backoff_coefficient,
            max_interval: written.max_retry_interval,
            timeout: written.retry_timeout,
            predicate: None,
        };
        let status_codes = written.status_codes_to_retry.unwrap_or_default();
        Self { policy: RetryPolicy { inner }, status_codes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durations::secs;

    #[test]
    fn are_written_as_durable_functions_does() {
        let text = serde_json::to_string(&HttpRetryOptions::new(secs(5), 3).status_codes([503])).unwrap();
        assert_eq!(
            text,
            r#"{"FirstRetryInterval":"00:00:05","MaxRetryInterval":"6.00:00:00","BackoffCoefficient":1.0,"RetryTimeout":"10675199.02:48:05.4775807","MaxNumberOfAttempts":3,"StatusCodesToRetry":[503]}"#
        );
        let read: HttpRetryOptions = serde_json::from_str(&text).unwrap();
        assert_eq!((read.policy.inner.timeout, read.status_codes), (None, vec![503]));
    }

    #[test]
    fn are_read_as_others_write_them() {
        let text = r#"{"firstRetryInterval":"00:00:01","maxNumberOfAttempts":2,"statusCodesToRetry":null}"#;
        let read: HttpRetryOptions = serde_json::from_str(text).unwrap();
        assert_eq!((read.policy.inner.max_attempts, read.policy.inner.max_interval), (2, days(6)));
        assert!(serde_json::from_str::<HttpRetryOptions>("{}").is_ok());
    }
}
