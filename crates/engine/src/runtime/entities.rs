//! Handing batches of entity operations to the worker: by name, within the limit.

use std::collections::{BTreeSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use parking_lot::Mutex;
use strandline_model::{EntityOutcome, FailureDetails, InstanceId};
use tokio::runtime::Handle;

use super::pool::ActivityPool;
use super::running::Running;
use crate::dispatch::{Kind, Seat};
use crate::metrics::Waiting;
use crate::pipeline::EntityDispatch;
use crate::worker::Worker;

/// All entities of this process ask together.
const SEAT: Seat = Seat(0);

pub(crate) struct Entities {
    state: Mutex<State>,
    pool: ActivityPool,
    limit: usize,
}

/// A batch that waits for a place in this process.
pub(crate) struct LocalBatch {
    /// Batches before it.
    pub(crate) ahead: usize,
    /// Batches that run, and how many may.
    pub(crate) running: usize,
    pub(crate) limit: usize,
}

#[derive(Default)]
struct State {
    worker: Option<Arc<dyn Worker>>,
    /// In lower case, as the names of entities are.
    served: BTreeSet<String>,
    /// With when they came.
    waiting: VecDeque<(Instant, EntityDispatch)>,
    running: usize,
    closed: bool,
}

impl Entities {
    pub(crate) fn new(handle: Handle, limit: usize) -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let limit = limit.max(1);
        Self { state: Mutex::default(), pool: ActivityPool::new(handle, threads, limit + threads), limit }
    }

    /// Puts a worker in place of the one before. Returns what it does not serve.
    pub(crate) fn serve(
        &self,
        running: &Arc<Running>,
        worker: Option<Arc<dyn Worker>>,
    ) -> Vec<EntityDispatch> {
        let mut state = self.state.lock();
        state.served = worker.iter().flat_map(|w| w.entities()).collect();
        state.worker = worker;
        let State { waiting, served, .. } = &mut *state;
        let (kept, others): (VecDeque<_>, VecDeque<_>) =
            waiting.drain(..).partition(|(_, dispatch)| served.contains(dispatch.batch.entity.name()));
        *waiting = kept;
        self.start_waiting(&mut state, running);
        others.into_iter().map(|(_, dispatch)| dispatch).collect()
    }

    /// Takes a batch that the worker serves; gives back one that it does not.
    pub(crate) fn dispatch(
        &self,
        running: &Arc<Running>,
        dispatch: EntityDispatch,
    ) -> Result<(), EntityDispatch> {
        let mut state = self.state.lock();
        if state.closed {
            return Ok(());
        }
        if !state.served.contains(dispatch.batch.entity.name()) {
            return Err(dispatch);
        }
        state.waiting.push_back((Instant::now(), dispatch));
        self.start_waiting(&mut state, running);
        Ok(())
    }

    fn start_waiting(&self, state: &mut State, running: &Arc<Running>) {
        while self.can_start(state) && running.workers.begin_here(Kind::Entity, SEAT) {
            self.start_next(state, running);
        }
    }

    /// A place that was waited for is there.
    pub(crate) fn may_begin(&self, running: &Arc<Running>) {
        let mut state = self.state.lock();
        if self.can_start(&state) {
            self.start_next(&mut state, running);
            self.start_waiting(&mut state, running);
        } else {
            drop(state);
            running.workers.over_here(running, Kind::Entity);
        }
    }

    fn can_start(&self, state: &State) -> bool {
        state.running < self.limit && !state.closed && state.worker.is_some() && !state.waiting.is_empty()
    }

    fn start_next(&self, state: &mut State, running: &Arc<Running>) {
        let (Some(worker), Some((since, dispatch))) = (state.worker.clone(), state.waiting.pop_front())
        else {
            return;
        };
        state.running += 1;
        running.metrics.began(Kind::Entity, since.elapsed());
        running.tell_of_operations(&dispatch);
        let running = Arc::downgrade(running);
        self.pool.spawn(async move {
            let EntityDispatch { at, id, token, batch } = dispatch;
            let operations = batch.operations.len();
            let run = AssertUnwindSafe(async move { worker.run_entity(batch).await });
            let outcome = run.catch_unwind().await.unwrap_or_else(|_| panicked(operations));
            if let Some(running) = running.upgrade() {
                running.entity_finished(at.partition, id, token, outcome, None);
                running.entities.finished(&running);
            }
        });
    }

    fn finished(&self, running: &Arc<Running>) {
        self.state.lock().running -= 1;
        running.workers.over_here(running, Kind::Entity);
        self.start_waiting(&mut self.state.lock(), running);
    }

    /// The batch of this entity, if it did not begin.
    pub(crate) fn waits(&self, id: &InstanceId) -> Option<LocalBatch> {
        let state = self.state.lock();
        let ahead = state.waiting.iter().position(|(_, dispatch)| dispatch.id == *id)?;
        Some(LocalBatch { ahead, running: state.running, limit: self.limit })
    }

    /// What did not begin.
    pub(crate) fn waiting(&self) -> Waiting {
        let state = self.state.lock();
        let oldest = state.waiting.front().map(|(since, _)| since.elapsed());
        Waiting { count: state.waiting.len(), oldest }
    }

    /// How many batches run.
    pub(crate) fn running(&self) -> usize {
        self.state.lock().running
    }

    /// Hands out nothing more; true once nothing runs.
    pub(crate) fn drain(&self) -> bool {
        let mut state = self.state.lock();
        state.closed = true;
        state.running == 0
    }

    /// Hands out nothing more.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.waiting.clear();
    }
}

/// The worker catches what operations do; this is its own fault.
fn panicked(operations: usize) -> EntityOutcome {
    let failure = FailureDetails::new("panic", "the entity panicked outside of its operations");
    EntityOutcome { results: vec![Err(failure); operations], ..EntityOutcome::default() }
}
