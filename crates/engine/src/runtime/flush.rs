//! The flush thread: tables catch up with the log, for all hubs of a node in one transaction.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use strandline_store::{PartitionRef, Store, StoreError};

use super::Reply;
use super::log::{LogWriter, Pressure};
use super::running::Running;
use crate::pipeline::{PendingFlush, Pipeline, PipelineConfig};

/// Wakes the flush thread.
#[derive(Debug, Default)]
pub(crate) struct FlushSignal {
    state: Mutex<State>,
    wake: Condvar,
    /// One flush at a time: the flush thread's, those asked for, and the last one.
    flushing: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    asked: bool,
    closed: bool,
}

/// A flush that found no space is tried again after this long; the log holds everything meanwhile.
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

/// The flush thread. Ends when closed or when the log has failed. `catch_up` flushes what hubs that do
/// not run left in the log.
pub(crate) fn run(
    signal: &FlushSignal,
    interval: Duration,
    store: &dyn Store,
    log: &LogWriter,
    hubs: impl Fn() -> Vec<Arc<Running>>,
    catch_up: impl Fn(),
) {
    while signal.wait(interval) {
        if !flush(signal, store, log, &hubs()) {
            return;
        }
        if log.pressure() > Pressure::None {
            catch_up();
            log.measure(store);
        }
    }
}

/// What is captured of one partition.
struct Captured {
    running: Arc<Running>,
    at: PartitionRef,
    flush: PendingFlush,
}

/// Instances written in one transaction, about: it bounds the memory their rows take.
const INSTANCES: usize = 2048;

/// One flush; false when the log has failed or the node closes in between.
pub(crate) fn flush(signal: &FlushSignal, store: &dyn Store, log: &LogWriter, hubs: &[Arc<Running>]) -> bool {
    let _one = signal.flushing.lock();
    let mut captured = Vec::new();
    let mut instances = 0;
    for running in hubs {
        for partition in 0..running.info.partitions {
            let driver = running.driver(partition);
            let Some(flush) = driver.and_then(|d| d.capture(running, partition)) else { continue };
            instances += flush.instances();
            let at = PartitionRef { hub: running.info.number, partition };
            captured.push(Captured { running: running.clone(), at, flush });
            if instances >= INSTANCES {
                instances = 0;
                if !write(signal, store, log, std::mem::take(&mut captured)) {
                    return false;
                }
            }
        }
    }
    let done = captured.is_empty() || write(signal, store, log, captured);
    log.measure(store);
    done
}

fn write(signal: &FlushSignal, store: &dyn Store, log: &LogWriter, captured: Vec<Captured>) -> bool {
    // No row reflects a record that is not durable.
    if !log.wait_durable() {
        return false;
    }
    let mut done = Vec::with_capacity(captured.len());
    let mut rows = Vec::with_capacity(captured.len());
    for Captured { running, at, flush } in captured {
        done.push((running, at, flush.position));
        rows.push((at, flush.into_rows()));
    }
    loop {
        match store.flush(&rows) {
            Ok(()) => break,
            Err(StoreError::Full(reason)) => {
                tracing::error!(reason, "no space for the tables; the log keeps everything, trying again");
                if !signal.pause(RETRY) {
                    return false;
                }
            }
            // A hub was deleted meanwhile: its rows are not wanted any more.
            Err(StoreError::Stale { at, .. }) if is_stopped(&done, at.hub) => {
                done.retain(|(_, of, _)| of.hub != at.hub);
                rows.retain(|(of, _)| of.hub != at.hub);
            }
            Err(error) => {
                if let Some((running, ..)) = done.first() {
                    running.fail(error.to_string());
                }
                return false;
            }
        }
    }
    for (running, at, position) in done {
        if let Some(driver) = running.driver(at.partition) {
            driver.flushed(at.partition, position, running.drivers());
        }
    }
    true
}

fn is_stopped(captured: &[(Arc<Running>, PartitionRef, u64)], hub: u32) -> bool {
    captured.iter().any(|(running, at, _)| at.hub == hub && running.is_stopped())
}

/// Flushes one partition that nobody runs. False when the tables lacked nothing.
pub(crate) fn partition(store: &dyn Store, at: PartitionRef, partitions: u16) -> Result<bool, StoreError> {
    let recovered = store.acquire(at)?;
    let mut pipeline: Pipeline<Reply> =
        Pipeline::recover(at, partitions, PipelineConfig::default(), recovered, store)?;
    match pipeline.capture() {
        Some(flush) => store.flush(&[(at, flush.into_rows())]).map(|()| true),
        None => Ok(false),
    }
}
