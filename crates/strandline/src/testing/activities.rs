//! The activities of a test: real code, fakes, failures, and how long they take.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use strandline_engine::worker::{ActivityResult, ActivityWork, Worker};
use strandline_model::{ExecutionId, FailureDetails, InstanceId, TaskScheduled, Timestamp};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

use crate::worker::RustWorker;

/// Takes an input and gives a result, in place of an activity's code.
pub(super) type Fake = Box<dyn FnMut(Option<&str>) -> ActivityResult>;

#[derive(Default)]
pub(super) struct Activities {
    /// By folded name, as is all that follows.
    pub(super) fakes: BTreeMap<String, Fake>,
    /// How many more calls fail, and with what.
    pub(super) failures: BTreeMap<String, VecDeque<(u32, FailureDetails)>>,
    pub(super) durations: BTreeMap<String, Duration>,
    queued: VecDeque<Call>,
    /// By the time at which they are done, then by order.
    working: BTreeMap<(Timestamp, u64), Call>,
    /// Nobody serves them.
    unserved: Vec<Call>,
    calls: u64,
    runtime: Option<Runtime>,
}

/// One call of an activity.
pub(super) struct Call {
    pub(super) instance: InstanceId,
    pub(super) execution: ExecutionId,
    pub(super) task_id: i32,
    task: TaskScheduled,
    cancelled: CancellationToken,
}

impl Activities {
    pub(super) fn schedule(
        &mut self,
        instance: InstanceId,
        execution: ExecutionId,
        task_id: i32,
        task: TaskScheduled,
    ) {
        let cancelled = CancellationToken::new();
        self.queued.push_back(Call { instance, execution, task_id, task, cancelled });
    }

    /// What nobody served may be served now.
    pub(super) fn served_anew(&mut self) {
        self.queued.extend(self.unserved.drain(..));
    }

    /// The result of the next call that is done at once, if there is any call to begin.
    pub(super) fn next(&mut self, now: Timestamp, worker: &RustWorker) -> Option<(Call, ActivityResult)> {
        while let Some(call) = self.queued.pop_front() {
            match self.durations.get(&call.task.name.to_ascii_lowercase()) {
                Some(duration) => {
                    self.calls += 1;
                    let duration = call.timeout().map_or(*duration, |timeout| timeout.min(*duration));
                    self.working.insert((now.saturating_add(duration), self.calls), call);
                }
                None => {
                    if let Some(done) = self.finish(call, worker) {
                        return Some(done);
                    }
                }
            }
        }
        None
    }

    /// When the next call under way is done.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.working.first_key_value().map(|((due, _), _)| *due)
    }

    /// The result of a call that is done by now.
    pub(super) fn done(&mut self, now: Timestamp, worker: &RustWorker) -> Option<(Call, ActivityResult)> {
        while self.next_due().is_some_and(|due| due <= now) {
            let (_, call) = self.working.pop_first()?;
            let duration = self.durations.get(&call.task.name.to_ascii_lowercase());
            if let Some(limit) = call.timeout().filter(|limit| duration.is_some_and(|taken| taken > limit)) {
                call.cancelled.cancel();
                let text = format!("the activity did not finish within {limit:?}");
                return Some((call, Err(FailureDetails::new("TimeoutError", text))));
            }
            if let Some(done) = self.finish(call, worker) {
                return Some(done);
            }
        }
        None
    }

    fn finish(&mut self, call: Call, worker: &RustWorker) -> Option<(Call, ActivityResult)> {
        let name = call.task.name.to_ascii_lowercase();
        if let Some(failures) = self.failures.get_mut(&name)
            && let Some((times, failure)) = failures.front_mut()
        {
            let failure = failure.clone();
            *times -= 1;
            if *times == 0 {
                failures.pop_front();
            }
            return Some((call, Err(failure)));
        }
        let result = if let Some(fake) = self.fakes.get_mut(&name) {
            fake(call.task.input.as_deref())
        } else if worker.serves_activity(&call.task.name, call.task.version.as_deref()) {
            self.run(worker.run_activity(call.work()))
        } else {
            self.unserved.push(call);
            return None;
        };
        Some((call, result))
    }

    /// Runs user code on a runtime, since it may need one; a test that runs on a runtime itself must
    /// not block it, so the code gets a thread.
    pub(super) fn run<T: Send>(&mut self, code: impl Future<Output = T> + Send) -> T {
        let runtime = self.runtime.get_or_insert_with(|| {
            let built = Builder::new_current_thread().enable_all().build();
            built.expect("the system gives no resources for a runtime to run activities on")
        });
        if Handle::try_current().is_err() {
            return runtime.block_on(code);
        }
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| runtime.block_on(code));
            thread.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
        })
    }

    /// The result of one call is no longer wanted.
    pub(super) fn cancel(&self, instance: &InstanceId, execution: ExecutionId, task_id: i32) {
        for call in self.open().filter(|call| call.is_of(instance, execution) && call.task_id == task_id) {
            call.cancelled.cancel();
        }
    }

    /// Nobody waits for the calls of an execution any more.
    pub(super) fn ended(&self, instance: &InstanceId, execution: ExecutionId) {
        for call in self.open().filter(|call| call.is_of(instance, execution)) {
            call.cancelled.cancel();
        }
    }

    /// As [`Activities::ended`]; those that did not begin never will.
    pub(super) fn killed(&mut self, instance: &InstanceId, execution: ExecutionId) {
        self.ended(instance, execution);
        self.queued.retain(|call| !call.is_of(instance, execution));
        self.unserved.retain(|call| !call.is_of(instance, execution));
    }

    fn open(&self) -> impl Iterator<Item = &Call> {
        self.queued.iter().chain(self.working.values()).chain(&self.unserved)
    }

    /// The name of a call that waits for somebody to serve it.
    pub(super) fn unserved(&self, instance: &InstanceId, task_id: i32) -> Option<&str> {
        let call = self.unserved.iter().find(|call| call.instance == *instance && call.task_id == task_id)?;
        Some(&call.task.name)
    }
}

impl Drop for Activities {
    /// A test on a runtime of its own must not wait for another one to end.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Call {
    fn is_of(&self, instance: &InstanceId, execution: ExecutionId) -> bool {
        self.instance == *instance && self.execution == execution
    }

    fn timeout(&self) -> Option<Duration> {
        self.task.timeout_nanos.map(Duration::from_nanos)
    }

    fn work(&self) -> ActivityWork {
        ActivityWork {
            instance: self.instance.clone(),
            execution: self.execution,
            task_id: self.task_id,
            name: self.task.name.clone(),
            version: self.task.version.clone(),
            input: self.task.input.clone(),
            tags: self.task.tags.clone(),
            trace: None,
            cancelled: self.cancelled.clone(),
            progress: Arc::default(),
            metrics: Default::default(),
        }
    }
}
