//! Who calls, and for which hub.

use std::time::Duration;

use strandline_engine::runtime::Hub;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Status};

use super::TaskHubService;
use super::error::ERROR_TYPE;
use crate::hubs::{Hubs, HubsError};

/// Names the task hub.
pub(crate) const TASK_HUB: &str = "taskhub";
/// How a worker calls itself.
pub(super) const WORKER_ID: &str = "workerid";

/// A text of the metadata, without what can't be text.
pub(super) fn text<'a>(metadata: &'a MetadataMap, key: &str) -> Option<&'a str> {
    metadata.get(key)?.to_str().ok().filter(|text| !text.is_empty())
}

/// The name of the hub that a request is for.
pub(super) fn hub_name<'a>(hubs: &'a Hubs, metadata: &'a MetadataMap) -> Result<&'a str, Status> {
    let named = metadata.get(TASK_HUB).filter(|name| !name.is_empty());
    let Some(name) = named else { return Ok(hubs.default_name()) };
    // What can't be read must not end up in the default hub.
    name.to_str()
        .map_err(|_| Status::invalid_argument(format!("metadata {TASK_HUB:?}: this is not ASCII text")))
}

impl TaskHubService {
    /// The hub that a request is for.
    pub(super) async fn hub_of<T>(&self, request: &Request<T>) -> Result<Hub, Status> {
        hub_of(&self.hubs, request.metadata()).await
    }
}

/// The hub that a request with this metadata is for.
pub(super) async fn hub_of(hubs: &Hubs, metadata: &MetadataMap) -> Result<Hub, Status> {
    hubs.get(hub_name(hubs, metadata)?).await.map_err(hub_status)
}

pub(super) fn hub_status(error: HubsError) -> Status {
    let text = error.to_string();
    match error {
        HubsError::NotFound(_) => {
            let mut status = Status::not_found(text);
            status.metadata_mut().insert(ERROR_TYPE, MetadataValue::from_static("HubNotFound"));
            status
        }
        HubsError::Exists(_) => Status::already_exists(text),
        HubsError::Name(_) => Status::invalid_argument(text),
        HubsError::Failed(_) => Status::unavailable(text),
    }
}

/// How long the caller waits, by `grpc-timeout`.
pub(super) fn deadline(metadata: &MetadataMap) -> Option<Duration> {
    text(metadata, "grpc-timeout").and_then(timeout)
}

/// Returns after this time; without one, never.
pub(super) async fn passed(deadline: Option<Duration>) {
    match deadline {
        Some(deadline) => tokio::time::sleep(deadline).await,
        None => std::future::pending().await,
    }
}

/// At most eight digits and a unit.
fn timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit).filter(|digits| (1..=8).contains(&digits.len()))?;
    let count = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u64>().ok())??;
    match unit {
        'H' => Some(Duration::from_secs(count * 3600)),
        'M' => Some(Duration::from_secs(count * 60)),
        'S' => Some(Duration::from_secs(count)),
        'm' => Some(Duration::from_millis(count)),
        'u' => Some(Duration::from_micros(count)),
        'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_timeouts() {
        assert_eq!(timeout("3S"), Some(Duration::from_secs(3)));
        assert_eq!(timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(timeout("250m"), Some(Duration::from_millis(250)));
        for wrong in ["", "S", "3", "3s", "-3S", "+3S", "123456789S", "\u{fc}"] {
            assert_eq!(timeout(wrong), None, "{wrong}");
        }
    }
}
