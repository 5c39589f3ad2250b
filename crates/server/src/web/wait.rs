//! Requests that wait for an instance.

use std::time::Duration;

use strandline_engine::pipeline::{Answer, Read};
use strandline_engine::runtime::{CallError, Hub};
use strandline_hub::InstanceStatus;
use strandline_model::InstanceId;

use super::App;
use crate::access::{AccessError, Caller};

/// Why somebody waits no longer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WaitError {
    #[error(transparent)]
    Call(#[from] CallError),
    /// The key stopped to work.
    #[error(transparent)]
    TurnedAway(AccessError),
    #[error("the server stops: ask again later")]
    Stopping,
    #[error("{0} requests wait already: the limit is limits.waits_max; ask without waiting, or later")]
    TooMany(usize),
}

/// The instance once it is as far as `until` says, or as it is when the time is over. Who goes away, waits no
/// longer: the future is dropped with the request.
pub(crate) async fn wait(
    app: &App,
    caller: &Caller,
    hub: &Hub,
    id: &InstanceId,
    until: Read,
    timeout: Duration,
) -> Result<Option<Box<InstanceStatus>>, WaitError> {
    let Ok(_place) = app.waits.try_acquire() else {
        return Err(WaitError::TooMany(app.settings.limits.waits_max));
    };
    let answer = tokio::select! {
        answer = hub.read(id, until) => answer?,
        () = tokio::time::sleep(timeout) => hub.read(id, Read::Status).await?,
        error = caller.turned_away() => return Err(WaitError::TurnedAway(error)),
        () = app.stopping.cancelled() => return Err(WaitError::Stopping),
    };
    Ok(match answer {
        Answer::Status(status) => status,
        _ => None,
    })
}
