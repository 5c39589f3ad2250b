//! From a server that runs to one that is gone, in order.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use strandline::DataDirectory;

use super::Server;
use crate::signals;

/// Runs a server until it is asked to stop. Then nothing new begins, connections end, and what runs in this
/// process has up to `grace` to finish; the rest is done after the next start. A second signal ends the process
/// at once, which loses nothing either.
///
/// A service manager that asked for it is told when the server is ready, that it is alive, and that it stops.
pub(super) async fn until_stopped(
    server: Server,
    directory: DataDirectory,
    stop: impl Future<Output = ()>,
    grace: Duration,
) -> anyhow::Result<()> {
    tell(&[NotifyState::Ready]);
    tracing::info!(addresses = ?server.addresses(), "the server is ready");
    tokio::select! {
        () = stop => {}
        () = keep_watchdog(&directory) => {}
    }
    signals::exit_at_the_second();
    let end = Instant::now() + grace;
    tell(&[NotifyState::Stopping]);
    tracing::info!(?grace, "the server stops");
    directory.node().drain();
    server.stop().await;
    let left = end.saturating_duration_since(Instant::now());
    directory.close_within(left).await.map_err(|error| anyhow::anyhow!("{error:#}"))?;
    tracing::info!("the server is gone");
    Ok(())
}

/// Tells the service manager that all is well, as long as that is so and as often as it wants to hear it.
async fn keep_watchdog(directory: &DataDirectory) {
    let Some(within) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    loop {
        let pause = if directory.node().stuck_drivers(within / 4).await == 0 {
            tell(&[NotifyState::Watchdog]);
            within / 2
        } else {
            // There is time for it to go on before the service manager ends the process.
            within / 20
        };
        tokio::time::sleep(pause).await;
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told how the server is");
    }
}
