//! The flush thread: tables catch up with the log, for all hubs of a node in one transaction.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use strandline_store::{PartitionRef, Store};

use super::log::LogWriter;
use super::running::Running;

/// Wakes the flush thread.
#[derive(Debug, Default)]
pub(crate) struct FlushSignal {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    asked: bool,
    closed: bool,
}

/// A failed flush is tried again after this long; the log holds everything meanwhile.
const RETRY: Duration = Duration::from_secs(1);

impl FlushSignal {
    pub(crate) fn ask(&self) {
        self.state.lock().asked = true;
        self.wake.notify_all();
    }

    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.wake.notify_all();
    }

    pub(crate) fn open(&self) {
        *self.state.lock() = State::default();
    }

    /// Waits until asked or for `interval`; false once closed.
    fn wait(&self, interval: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.asked && !state.closed {
            self.wake.wait_for(&mut state, interval);
        }
        state.asked = false;
        !state.closed
    }

    /// Waits for `time` whatever is asked; false once closed.
    fn pause(&self, time: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.closed {
            self.wake.wait_for(&mut state, time);
        }
        !state.closed
    }
}

/// The flush thread. Ends when closed or when the log has failed.
pub(crate) fn run(
    signal: &FlushSignal,
    interval: Duration,
    store: &dyn Store,
    log: &LogWriter,
    hubs: impl Fn() -> Vec<Arc<Running>>,
) {
    while signal.wait(interval) {
        if !flush(signal, store, log, &hubs()) {
            return;
        }
    }
}

/// One flush; false when the log has failed or the node closes in between.
pub(crate) fn flush(signal: &FlushSignal, store: &dyn Store, log: &LogWriter, hubs: &[Arc<Running>]) -> bool {
    let mut pending = Vec::new();
    for running in hubs {
        for (index, driver) in running.all_drivers().iter().enumerate() {
            let hub = running.info.number;
            let captured = driver.capture(running, driver);
            pending.extend(
                captured.into_iter().map(|(partition, flush)| {
                    (running.clone(), index, PartitionRef { hub, partition }, flush)
                }),
            );
        }
    }
    if pending.is_empty() {
        return true;
    }
    // No row reflects a record that is not durable.
    if !log.wait_durable() {
        return false;
    }
    let mut done = Vec::new();
    let mut rows = Vec::new();
    for (running, driver, at, flush) in pending {
        done.push((running, driver, at, flush.position));
        rows.push((at, flush.into_rows()));
    }
    loop {
        match store.flush(&rows) {
            Ok(()) => break,
            Err(error) => {
                tracing::error!(%error, "the tables could not be written; the log keeps everything, trying again");
                if !signal.pause(RETRY) {
                    return false;
                }
            }
        }
    }
    drop(rows);
    for (running, driver, at, position) in done {
        if let Some(driver) = running.all_drivers().get(driver) {
            driver.flushed(at.partition, position, running.drivers());
        }
    }
    log.measure(store);
    true
}
