//! Purging many instances, as far as the time goes.

use strandline_engine::maintenance::{MaintenanceError, PurgeOptions, Purged};
use strandline_engine::runtime::Hub;
use strandline_hub::query::InstanceQuery;
use tokio::time::Instant;

/// What one request for a purge did.
pub(crate) struct Slice {
    pub(crate) done: Purged,
    /// All that was meant was looked at. What is not over is not waited for.
    pub(crate) complete: bool,
}

/// Purges what a query means, within the time of the options.
pub(crate) async fn slice(
    hub: &Hub,
    query: InstanceQuery,
    options: PurgeOptions,
) -> Result<Slice, MaintenanceError> {
    let began = Instant::now();
    let done = hub.purge_where(query, options).await?;
    let in_time = options.timeout.is_none_or(|timeout| began.elapsed() < timeout);
    Ok(Slice { done, complete: done.complete || (done.not_over > 0 && in_time) })
}
