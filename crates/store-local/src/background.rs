use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

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

fn run(core: &Core, woken: &Receiver<()>) {
    loop {
        let idle = !core.has_drops();
        let gone = if idle {
            woken.recv().is_err()
        } else {
            matches!(woken.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected))
        };
        if gone {
            return;
        }
        if core.log.wants_segment() {
            let prepared = core.writing(|| core.log.prepare_one());
            if let Err(error) = prepared {
                tracing::warn!(%error, "cannot prepare a log segment");
            }
        }
        if core.has_drops()
            && let Err(error) = core.writing(|| core.drop_some_rows())
        {
            tracing::warn!(%error, "cannot drop the rows of a deleted hub");
            // Waits for the next reason to wake up instead of trying at once.
            if woken.recv().is_err() {
                return;
            }
        }
    }
}
