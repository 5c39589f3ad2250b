//! Waiting for an instance to end.

use std::time::{Duration, Instant};

use strandline_proto::wire;
use tonic::{Code, Request};

use super::connection::Connection;
use super::error::Error;
use super::instance::RuntimeStatus;

/// How long one call waits: what is between the two, such as a proxy, sees a sign of life this often.
pub(super) const POLL: Duration = Duration::from_secs(30);
/// How long a server may be away, say for a restart, before waiting for it ends.
const ABSENCE_MAX: Duration = Duration::from_secs(30);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Waits until an instance is over, but no longer than `limit`. Each `poll`, and at the end, `seen` is told
/// how it stands.
pub(super) async fn until_over(
    connection: &Connection,
    id: &str,
    limit: Option<Duration>,
    poll: Duration,
    mut seen: impl FnMut(&wire::OrchestrationState) -> Result<(), Error>,
) -> Result<wire::OrchestrationState, Error> {
    let begun = Instant::now();
    let mut absence = Absence::default();
    // A call for an instance that does not exist would wait for it to appear.
    let mut state = connection.instance(id).await?;
    loop {
        seen(&state)?;
        if RuntimeStatus::of(&state).is_over() {
            return Ok(state);
        }
        let mut left = poll;
        if let Some(limit) = limit {
            left = left.min(limit.saturating_sub(begun.elapsed()));
            if left.is_zero() {
                return Err(Error::TimedOut { id: id.to_owned(), after: limit });
            }
        }
        let polled = match over(connection, id, left).await {
            Ok(Some(state)) => Ok(state),
            Ok(None) => connection.instance(id).await,
            Err(error) => Err(error),
        };
        match polled {
            Ok(now) => {
                absence = Absence::default();
                state = now;
            }
            Err(error) => absence.bear(error).await?,
        }
    }
}

/// The instance, if it is over within that time.
pub(super) async fn over(
    connection: &Connection,
    id: &str,
    within: Duration,
) -> Result<Option<wire::OrchestrationState>, Error> {
    let mut request =
        Request::new(wire::GetInstanceRequest { instance_id: id.to_owned(), get_inputs_and_outputs: true });
    request.set_timeout(within);
    let mut tasks = connection.tasks();
    match tokio::time::timeout(within, tasks.wait_for_instance_completion(request)).await {
        Ok(Ok(answer)) => connection.existing(id, answer.into_inner()).map(Some),
        Ok(Err(status)) if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) => Ok(None),
        Ok(Err(status)) => Err(Error::from_status(status, &connection.server)),
        Err(_) => Ok(None),
    }
}

/// How long the server has been away.
#[derive(Default)]
pub(super) struct Absence {
    since: Option<Instant>,
    pause: Duration,
}

impl Absence {
    /// Lets a while pass if the error may do so too; otherwise returns it.
    pub(super) async fn bear(&mut self, error: Error) -> Result<(), Error> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let passing = matches!(error, Error::Unreachable { .. } | Error::NoAnswer { .. });
        if !passing || since.elapsed() >= ABSENCE_MAX {
            return Err(error);
        }
        self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        tokio::time::sleep(self.pause).await;
        Ok(())
    }
}
