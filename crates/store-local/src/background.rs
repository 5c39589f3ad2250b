use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use strandline_store::StoreError;

use crate::store::Core;

/// The store's thread: prepares segments and drops the rows of deleted hubs.
pub(crate) struct Background {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    pub(crate) fn start(core: Arc<Core>) -> Result<Self, StoreError> {
        // One pending wake-up is as good as many.
        let (wake, woken) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("strandline-store".into())
            .spawn(move || run(&core, &woken))
            .map_err(|source| StoreError::Io { what: "starting the store's thread".into(), source })?;
        let background = Self { wake: Some(wake), thread: Some(thread) };
        background.wake();
        Ok(background)
    }

    pub(crate) fn wake(&self) {
        if let Some(wake) = &self.wake {
            // Full means that a wake-up is pending already.
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread panicked");
        }
    }
}

/// Between two slices of rows others get their turn at the tables.
const BREATH: Duration = Duration::from_millis(2);

/// Ends when nobody can wake it any more, or once the store was closed.
fn run(core: &Core, woken: &Receiver<()>) {
    // Said once for each time the disk fills up.
    let mut complained = false;
    let mut dropping = core.has_drops();
    loop {
        let wait = if dropping { woken.recv_timeout(BREATH) } else { woken.recv().map_err(Into::into) };
        if wait == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        if core.log.wants_segment() {
            match core.writing(|| core.log.prepare_one()) {
                Ok(()) => complained = false,
                Err(_) if core.is_closed() => return,
                Err(error) if !complained => {
                    tracing::warn!(%error, "cannot prepare a log segment");
                    complained = true;
                }
                Err(_) => {}
            }
        }
        dropping = match core.writing(|| core.drop_some_rows()) {
            Ok(more) => more,
            // What is left goes when the store is opened again.
            Err(_) if core.is_closed() => return,
            Err(error) => {
                tracing::warn!(%error, "cannot drop the rows of a deleted hub");
                // Waits for the next reason to wake up instead of trying at once.
                false
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use strandline_store::Store as _;

    use super::*;
    use crate::{LocalOptions, LocalStore};

    /// Between two looks at the rows it may be closed, which is nothing to complain about.
    #[test]
    fn it_ends_quietly_once_the_store_was_closed() {
        let place = tempfile::tempdir().unwrap();
        let options = LocalOptions { background: false, ..LocalOptions::default() };
        let store = LocalStore::open(place.path(), options).unwrap();
        let core = store.core();
        assert!(!core.is_closed());
        store.close().unwrap();
        assert!(core.is_closed());
        let (wake, woken) = sync_channel(1);
        wake.send(()).unwrap();
        // Though it can be woken still.
        run(&core, &woken);
        drop(wake);
    }
}
