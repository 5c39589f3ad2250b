//! Ctrl-C and SIGTERM.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Listens from now on; done at the first signal.
pub(super) fn asked_to_stop() -> io::Result<impl Future<Output = ()>> {
    let mut signals = Signals::listen()?;
    Ok(async move { signals.next().await })
}

/// What is opened, unless a signal comes first. Then the process ends at once, which harms nothing: a crash is
/// safe, and opening may take long.
pub(super) async fn unless_stopped<T>(
    stop: &mut (impl Future<Output = ()> + Unpin),
    opening: impl Future<Output = T>,
) -> T {
    tokio::select! {
        opened = opening => opened,
        () = stop => std::process::exit(0),
    }
}

/// From now on a signal ends the process at once, which harms nothing: a crash is safe.
pub(super) fn exit_at_the_second() {
    if let Ok(mut signals) = Signals::listen() {
        tokio::spawn(async move {
            signals.next().await;
            std::process::exit(130);
        });
    }
}
