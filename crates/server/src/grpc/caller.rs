//! Who calls, and for which hub.

use strandline_engine::runtime::Hub;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use super::TaskHubService;
use crate::hubs::{DEFAULT_HUB, HubsError};

/// Names the task hub.
pub(crate) const TASK_HUB: &str = "taskhub";
/// How a worker calls itself.
pub(super) const WORKER_ID: &str = "workerid";

/// A text of the metadata, without what can't be text.
pub(super) fn text<'a>(metadata: &'a MetadataMap, key: &str) -> Option<&'a str> {
    metadata.get(key)?.to_str().ok().filter(|text| !text.is_empty())
}

impl TaskHubService {
    /// The hub that a request is for.
    pub(super) async fn hub_of<T>(&self, request: &Request<T>) -> Result<Hub, Status> {
        let name = text(request.metadata(), TASK_HUB).unwrap_or(DEFAULT_HUB);
        self.hubs.get(name).await.map_err(hub_status)
    }
}

pub(super) fn hub_status(error: HubsError) -> Status {
    let text = error.to_string();
    match error {
        HubsError::NotFound(_) => Status::not_found(text),
        HubsError::Exists(_) => Status::already_exists(text),
        HubsError::Name(_) => Status::invalid_argument(text),
        HubsError::Failed(_) => Status::unavailable(text),
    }
}
