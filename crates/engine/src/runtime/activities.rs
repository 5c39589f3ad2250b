//! Handing activities to the worker: by name and version, within the limit, cancellable.

use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use parking_lot::Mutex;
use strandline_model::{EventKind, ExecutionId, FailureDetails, InstanceId, TaskScheduled, Timestamp};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::pool::ActivityPool;
use super::running::Running;
use crate::dispatch::{Kind, Rate, Seat, Whereabouts};
use crate::metrics::Waiting;
use crate::pipeline::ActivityDispatch;
use crate::worker::{ActivityWork, Worker};

type Key = (InstanceId, ExecutionId, i32);

/// All activities of this process ask together.
const SEAT: Seat = Seat(0);

pub(crate) struct Activities {
    state: Mutex<State>,
    pool: ActivityPool,
    handle: Handle,
    limit: usize,
}

#[derive(Default)]
struct State {
    worker: Option<Arc<dyn Worker>>,
    waiting: VecDeque<ActivityDispatch>,
    /// About how many bytes what waits takes.
    waiting_bytes: usize,
    running: usize,
    /// How much comes to its end.
    rate: Rate,
    /// Everything handed out and not finished, running or waiting.
    open: BTreeMap<Key, Open>,
    closed: bool,
}

struct Open {
    cancelled: CancellationToken,
    progress: Arc<Mutex<Option<String>>>,
    /// Since when it runs; `None`: it waits.
    since: Option<Timestamp>,
}

/// Where an activity is that this process runs, and how busy the process is.
pub(crate) struct LocalActivity {
    pub(crate) whereabouts: Whereabouts,
    /// Activities that run, and how many may.
    pub(crate) running: usize,
    pub(crate) limit: usize,
    pub(crate) per_second: Option<f64>,
}

/// An activity that runs now, for those who look.
#[derive(Clone, Debug)]
pub struct RunningActivity {
    pub instance: InstanceId,
    pub task_id: i32,
    /// What it reported last.
    pub progress: Option<String>,
}

fn scheduled(dispatch: &ActivityDispatch) -> Option<&TaskScheduled> {
    match dispatch.scheduled.kind() {
        EventKind::TaskScheduled(task) => Some(task),
        _ => None,
    }
}

/// About how many bytes of memory it takes while it waits.
fn weight(dispatch: &ActivityDispatch) -> usize {
    const DISPATCH_BYTES: usize = 512;
    DISPATCH_BYTES + scheduled(dispatch).and_then(|t| t.input.as_ref()).map_or(0, String::len)
}

fn is_served(worker: Option<&dyn Worker>, dispatch: &ActivityDispatch) -> bool {
    let (Some(worker), Some(task)) = (worker, scheduled(dispatch)) else { return false };
    worker.serves_activity(&task.name, task.version.as_deref())
}

fn key(dispatch: &ActivityDispatch) -> Key {
    (dispatch.instance.clone(), dispatch.execution, dispatch.task_id)
}

impl Activities {
    pub(crate) fn new(handle: Handle, limit: usize) -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let limit = limit.max(1);
        Self {
            state: Mutex::default(),
            pool: ActivityPool::new(handle.clone(), threads, limit + threads),
            handle,
            limit,
        }
    }

    /// Puts a worker in place of the one before. Returns what it does not serve.
    pub(crate) fn serve(
        &self,
        running: &Arc<Running>,
        worker: Option<Arc<dyn Worker>>,
    ) -> Vec<ActivityDispatch> {
        let mut state = self.state.lock();
        state.worker = worker;
        let State { worker, waiting, waiting_bytes, open, .. } = &mut *state;
        let (kept, others): (VecDeque<_>, VecDeque<_>) =
            waiting.drain(..).partition(|dispatch| is_served(worker.as_deref(), dispatch));
        *waiting = kept;
        for dispatch in &others {
            *waiting_bytes -= weight(dispatch);
            open.remove(&key(dispatch));
        }
        self.start_waiting(&mut state, running);
        others.into()
    }

    /// The worker that activities go to now.
    pub(crate) fn worker(&self) -> Option<Arc<dyn Worker>> {
        self.state.lock().worker.clone()
    }

    /// Takes an activity that the worker serves; gives back one that it does not.
    pub(crate) fn dispatch(
        &self,
        running: &Arc<Running>,
        dispatch: ActivityDispatch,
    ) -> Result<(), ActivityDispatch> {
        let mut state = self.state.lock();
        if state.closed {
            return Ok(());
        }
        if !is_served(state.worker.as_deref(), &dispatch) {
            return Err(dispatch);
        }
        let open = Open { cancelled: CancellationToken::new(), progress: Arc::default(), since: None };
        state.open.insert(key(&dispatch), open);
        state.waiting_bytes += weight(&dispatch);
        state.waiting.push_back(dispatch);
        self.start_waiting(&mut state, running);
        Ok(())
    }

    fn start_waiting(&self, state: &mut State, running: &Arc<Running>) {
        while self.can_start(state) && running.workers.begin_here(Kind::Activity, SEAT) {
            self.start_next(state, running);
        }
    }

    /// A place that was waited for is there.
    pub(crate) fn may_begin(&self, running: &Arc<Running>) {
        let mut state = self.state.lock();
        if self.can_start(&mut state) {
            self.start_next(&mut state, running);
            self.start_waiting(&mut state, running);
        } else {
            drop(state);
            running.workers.over_here(running, Kind::Activity);
        }
    }

    /// What waits and is over already is dropped.
    fn can_start(&self, state: &mut State) -> bool {
        while let Some(first) = state.waiting.front().filter(|first| !state.open.contains_key(&key(first))) {
            state.waiting_bytes -= weight(first);
            state.waiting.pop_front();
        }
        state.running < self.limit && !state.closed && state.worker.is_some() && !state.waiting.is_empty()
    }

    fn start_next(&self, state: &mut State, running: &Arc<Running>) {
        let (Some(worker), Some(dispatch)) = (state.worker.clone(), state.waiting.pop_front()) else {
            return;
        };
        state.waiting_bytes -= weight(&dispatch);
        self.start(state, running, worker, dispatch);
    }

    fn start(
        &self,
        state: &mut State,
        running: &Arc<Running>,
        worker: Arc<dyn Worker>,
        dispatch: ActivityDispatch,
    ) {
        let Some(task) = scheduled(&dispatch) else { return };
        let Some(open) = state.open.get_mut(&key(&dispatch)) else { return };
        open.since = Some(running.now());
        state.running += 1;
        let work = ActivityWork {
            instance: dispatch.instance.clone(),
            execution: dispatch.execution,
            task_id: dispatch.task_id,
            name: task.name.clone(),
            version: task.version.clone(),
            input: task.input.clone(),
            tags: task.tags.clone(),
            trace: task.trace.as_deref().cloned(),
            cancelled: open.cancelled.clone(),
            progress: open.progress.clone(),
            metrics: running.custom_metrics().clone(),
        };
        running.metrics.began(Kind::Activity, running.now().saturating_since(dispatch.scheduled.timestamp));
        running.tell_of_start(&dispatch, None);
        let timeout = task.timeout_nanos.map(Duration::from_nanos);
        let timer = timeout.map(|limit| self.arm(running, dispatch.clone(), limit, open.cancelled.clone()));
        let running = Arc::downgrade(running);
        self.pool.spawn(async move {
            let began = Instant::now();
            // The worker is asked inside, so that code before the first await runs here too.
            let run = AssertUnwindSafe(async move { worker.run_activity(work).await });
            let result = run.catch_unwind().await.unwrap_or_else(|_| {
                Err(FailureDetails::new("panic", "the activity panicked outside of its body"))
            });
            if let Some(timer) = timer {
                timer.abort();
            }
            if let Some(running) = running.upgrade() {
                let name = scheduled(&dispatch).map_or("", |task| task.name.as_str());
                running.metrics.activity_ran(name, result.is_ok(), began.elapsed());
                running.activity_finished(&dispatch, result, None);
                running.activities.finished(&running, &key(&dispatch));
            }
        });
    }

    fn arm(
        &self,
        running: &Arc<Running>,
        dispatch: ActivityDispatch,
        limit: Duration,
        cancelled: CancellationToken,
    ) -> tokio::task::JoinHandle<()> {
        let running = Arc::downgrade(running);
        self.handle.spawn(async move {
            tokio::time::sleep(limit).await;
            if let Some(running) = running.upgrade() {
                running.activity_timed_out(&dispatch, limit);
            }
            cancelled.cancel();
        })
    }

    fn finished(&self, running: &Arc<Running>, key: &Key) {
        {
            let mut state = self.state.lock();
            state.running -= 1;
            state.rate.count(running.now());
            state.open.remove(key);
        }
        running.workers.over_here(running, Kind::Activity);
        self.start_waiting(&mut self.state.lock(), running);
    }

    /// The result of one activity is no longer wanted. False when it is not here.
    pub(crate) fn cancel(&self, instance: &InstanceId, execution: ExecutionId, task_id: i32) -> bool {
        let state = self.state.lock();
        let open = state.open.get(&(instance.clone(), execution, task_id));
        open.inspect(|open| open.cancelled.cancel()).is_some()
    }

    /// Nobody waits for the activities of an execution any more.
    pub(crate) fn ended(&self, instance: &InstanceId, execution: ExecutionId) {
        let state = self.state.lock();
        for (_, open) in of_execution(&state, instance, execution) {
            open.cancelled.cancel();
        }
    }

    /// As [`Activities::ended`]; those that did not begin never will.
    pub(crate) fn killed(&self, instance: &InstanceId, execution: ExecutionId) {
        let mut state = self.state.lock();
        let mut never = Vec::new();
        for (key, open) in of_execution(&state, instance, execution) {
            open.cancelled.cancel();
            if open.since.is_none() {
                never.push(key.clone());
            }
        }
        if never.is_empty() {
            return;
        }
        for key in &never {
            state.open.remove(key);
        }
        let State { waiting, waiting_bytes, .. } = &mut *state;
        waiting.retain(|dispatch| {
            let gone = dispatch.instance == *instance && dispatch.execution == execution;
            *waiting_bytes -= if gone { weight(dispatch) } else { 0 };
            !gone
        });
    }

    /// About how many bytes the activities take that did not begin.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.state.lock().waiting_bytes
    }

    /// What did not begin, and since when the oldest of it could have.
    pub(crate) fn sample(&self, now: Timestamp) -> Waiting {
        let state = self.state.lock();
        let oldest = state.waiting.front().map(|first| now.saturating_since(first.scheduled.timestamp));
        Waiting { count: state.waiting.len(), oldest }
    }

    /// How many run.
    pub(crate) fn running(&self) -> usize {
        self.state.lock().running
    }

    /// Activities that run now.
    pub(crate) fn list(&self) -> Vec<RunningActivity> {
        let state = self.state.lock();
        let running = state.open.iter().filter(|(_, open)| open.since.is_some());
        let describe = |((instance, _, task_id), open): (&Key, &Open)| RunningActivity {
            instance: instance.clone(),
            task_id: *task_id,
            progress: open.progress.lock().clone(),
        };
        running.map(describe).collect()
    }

    /// Where an activity is, if this process has it.
    pub(crate) fn whereabouts(&self, key: &Key, now: Timestamp) -> Option<LocalActivity> {
        let state = self.state.lock();
        let whereabouts = match state.open.get(key)?.since {
            Some(since) => Whereabouts::Here { since: Some(since) },
            None => {
                let (instance, execution, task_id) = key;
                let is_meant = |d: &ActivityDispatch| {
                    d.task_id == *task_id && d.execution == *execution && d.instance == *instance
                };
                let ahead = state.waiting.iter().position(is_meant)?;
                Whereabouts::Queued { ahead }
            }
        };
        let per_second = state.rate.per_second(now);
        Some(LocalActivity { whereabouts, running: state.running, limit: self.limit, per_second })
    }

    /// Hands out nothing more; true once nothing runs.
    pub(crate) fn drain(&self) -> bool {
        let mut state = self.state.lock();
        state.closed = true;
        state.running == 0
    }

    /// Hands out nothing more and cancels what runs.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.waiting_bytes = 0;
        state.waiting.clear();
        for open in state.open.values() {
            open.cancelled.cancel();
        }
    }
}

fn of_execution<'a>(
    state: &'a State,
    instance: &InstanceId,
    execution: ExecutionId,
) -> impl Iterator<Item = (&'a Key, &'a Open)> {
    let from = (instance.clone(), execution, i32::MIN);
    let to = (instance.clone(), execution, i32::MAX);
    state.open.range(from..=to)
}
