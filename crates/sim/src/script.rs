//! Runs a program as an orchestrator, on the context that replay gives it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures::future::{Either, join, join_all, pending, select};
use strandline_model::FailureDetails;
use strandline_replay::{
    ActivityCall, ContextHandle, Ending, RetryPolicy, SubOrchestrationCall, TaskError, TaskHandle, TaskResult,
};

use crate::program::{Activity, Child, End, Op, Program};

/// What the code saw, for checks that only the code's side can make.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Events that completed a wait, in order: name (folded) and input.
    pub(crate) consumed: Vec<(String, Option<String>)>,
    /// What it was started with.
    pub(crate) input: Option<String>,
    /// Critical sections it entered.
    pub(crate) sections: u64,
    /// Calls with a retry policy that it made.
    pub(crate) retried: u64,
    /// Its behaviour depends on the version of the code.
    pub(crate) drifts: bool,
}

/// What surrounds the code of one execution.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) notes: Rc<RefCell<Notes>>,
    /// The version of the code that is deployed.
    pub(crate) version: Rc<Cell<u64>>,
    /// Ids shared by everyone.
    pub(crate) ids: Rc<[String]>,
}

/// What a program says when it panics as told.
pub(crate) const SCRIPTED_PANIC: &str = "a scripted panic";

pub(crate) struct Script {
    pub(crate) ctx: ContextHandle,
    pub(crate) around: Surroundings,
}

pub(crate) async fn run(ctx: ContextHandle, input: Option<String>, around: Surroundings) -> Ending {
    around.notes.borrow_mut().input.clone_from(&input);
    let program = Program::of(input.as_deref().unwrap_or_default());
    let script = Script { ctx, around };
    for op in program.ops {
        if let Err(error) = script.perform(op).await {
            if program.makes_up {
                script.make_up();
            }
            return Ending::Failed { failure: error.failure, origin: error.task_id };
        }
    }
    script.end(program.end)
}

impl Script {
    async fn perform(&self, op: Op) -> Result<(), TaskError> {
        match op {
            Op::Activity { call, handled } => go_on(self.call(&call).await, handled),
            Op::Join(calls) => {
                let tasks: Vec<_> = calls.iter().map(|c| self.call(c)).collect();
                join_all(tasks).await;
                Ok(())
            }
            Op::Race { call, millis, cancelling } => {
                let raced = select(self.call(&call), self.timer(millis)).await;
                if cancelling {
                    self.ctx.cancelling(|| drop(raced))
                } else {
                    drop(raced)
                }
                Ok(())
            }
            Op::Wait { name } => {
                let input = self.ctx.wait_for(name).await;
                self.consumed(name, input);
                Ok(())
            }
            Op::WaitTimeout { name, millis } => {
                let timer = self.timer(millis);
                let event = self.ctx.wait_for(name);
                if let Either::Left((input, _)) = select(event, timer).await {
                    self.consumed(name, input);
                }
                Ok(())
            }
            Op::WaitTwice { name } => {
                let (older, newer) = (self.ctx.wait_for(name), self.ctx.wait_for(name));
                let (first, second) = join(older, newer).await;
                self.consumed(name, first);
                self.consumed(name, second);
                Ok(())
            }
            Op::Timer { millis } => self.timer(millis).await.map(drop),
            Op::CancelTimer => {
                let timer = self.timer(60_000);
                timer.cancel();
                let _cancelled = timer.await;
                Ok(())
            }
            Op::Child { call, handled, beside } => {
                let child = self.ctx.call_sub_orchestration(self.child(&call), policy(call.retry));
                if let Some(activity) = beside {
                    self.call(&activity).await?;
                }
                go_on(child.await, handled)
            }
            Op::CancelChild(call) => {
                let child = self.ctx.call_sub_orchestration(self.child(&call), None);
                let _fired = self.timer(5).await;
                child.cancel();
                let _ended = child.await;
                Ok(())
            }
            Op::Spawn(call) => {
                let started = self.ctx.start_sub_orchestration(self.child(&call));
                started.map(drop).map_err(|failure| TaskError { failure, task_id: None })
            }
            Op::Send { target, name } => {
                // A guid alone is not enough: two generations may run at the same moment.
                let (guid, execution) = (self.ctx.new_guid(), self.ctx.execution_id());
                self.ctx.send_event(self.id(target), name.to_owned(), Some(format!("s{guid:x} {execution}")));
                Ok(())
            }
            Op::Status { bytes } => {
                self.ctx.set_custom_status(Some("s".repeat(bytes)));
                Ok(())
            }
            Op::ClearStatus => {
                self.ctx.set_custom_status(None);
                Ok(())
            }
            Op::CancelActivity(call) => {
                let task = self.call(&call);
                let _fired = self.timer(1).await;
                task.cancel();
                let _ended = task.await;
                Ok(())
            }
            Op::Abandon(call) => {
                drop(self.call(&call));
                Ok(())
            }
            Op::Drift => {
                self.around.notes.borrow_mut().drifts = true;
                let name = format!("ok version {}", self.around.version.get());
                let call = ActivityCall { name, ..ActivityCall::default() };
                let _done = self.ctx.call_activity(call, None).await;
                let _fired = self.timer(50).await;
                Ok(())
            }
            Op::Errand(errand) => self.run_errand(errand).await,
            Op::Stuck => pending().await,
            Op::Guid => {
                let (guid, (seed, stream)) = (self.ctx.new_guid(), self.ctx.random_stream());
                self.ctx.set_custom_status(Some(format!("{guid:x} {seed} {stream}")));
                Ok(())
            }
        }
    }

    fn end(&self, end: End) -> Ending {
        match end {
            End::Complete { bytes } => Ending::Completed(Some("r".repeat(bytes))),
            End::CompleteWithNothing => Ending::Completed(None),
            End::Fail => Ending::Failed { failure: FailureDetails::new("Scripted", "as told"), origin: None },
            // Unwinds as a panic does, without the report on the console.
            End::Panic => std::panic::resume_unwind(Box::new(SCRIPTED_PANIC)),
            End::ContinueAsNew { drop_events, input } => {
                Ending::ContinuedAsNew { input: Some(input), version: None, drop_events }
            }
        }
    }

    pub(crate) fn call(&self, call: &Activity) -> TaskHandle {
        let input = if call.name == "nothing" { None } else { Some("i".repeat(call.bytes)) };
        let request = ActivityCall { name: call.name.to_owned(), input, ..ActivityCall::default() };
        self.around.notes.borrow_mut().retried += u64::from(call.retry.is_some());
        self.ctx.call_activity(request, policy(call.retry))
    }

    fn child(&self, call: &Child) -> SubOrchestrationCall {
        SubOrchestrationCall {
            instance_id: call.target.map(|t| self.id(t)),
            name: "Child".to_owned(),
            input: Some(call.input.clone()),
            ..SubOrchestrationCall::default()
        }
    }

    fn id(&self, target: usize) -> String {
        let ids = &self.around.ids;
        if target == usize::MAX { "@no orchestration".to_owned() } else { ids[target % ids.len()].clone() }
    }

    pub(crate) fn timer(&self, millis: u64) -> TaskHandle {
        // Due times that are not whole milliseconds must be rounded up, never down.
        let nanos = self.ctx.history_len() as u64 % 3;
        self.ctx.timer(self.ctx.now().saturating_add(Duration::from_nanos(millis * 1_000_000 + nanos)))
    }

    pub(crate) fn consumed(&self, name: &str, input: TaskResult) {
        let input = input.unwrap_or_default();
        self.around.notes.borrow_mut().consumed.push((name.to_ascii_lowercase(), input));
    }
}

fn go_on(result: TaskResult, handled: bool) -> Result<(), TaskError> {
    if handled { Ok(()) } else { result.map(drop) }
}

fn policy(retry: Option<(u32, u64)>) -> Option<RetryPolicy> {
    retry.map(|(max_attempts, millis)| RetryPolicy {
        first_interval: Duration::from_millis(millis),
        max_attempts,
        backoff_coefficient: 2.0,
        max_interval: Duration::from_secs(1),
        timeout: None,
        predicate: None,
    })
}
