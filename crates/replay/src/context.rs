//! What an orchestrator's code can ask for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use strandline_model::limits::CUSTOM_STATUS_BYTES_MAX;
use strandline_model::{
    ActionKind, EventKind, ExecutionId, ExecutionStarted, FailureDetails, InstanceId, Timestamp,
};

use crate::core::Core;
use crate::follow::FollowUp;
use crate::guid;
use crate::retry::RetryPolicy;
use crate::task::TaskHandle;
use crate::violation;

/// An activity to call.
#[derive(Clone, Debug, Default)]
pub struct ActivityCall {
    pub name: String,
    pub version: Option<String>,
    pub input: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub timeout: Option<Duration>,
}

/// A sub-orchestration to call or to start.
#[derive(Clone, Debug, Default)]
pub struct SubOrchestrationCall {
    /// `None` gives it the id `{execution id}:{sequence id, 4 hex digits}`.
    pub instance_id: Option<String>,
    pub name: String,
    pub version: Option<String>,
    pub input: Option<String>,
    pub tags: BTreeMap<String, String>,
}

#[derive(Clone)]
pub(crate) enum Request {
    Activity(ActivityCall),
    SubOrchestration(SubOrchestrationCall),
}

impl Request {
    /// Each attempt of a sub-orchestration without an id of its own gets a new one.
    pub(crate) fn into_action(self, core: &mut Core) -> ActionKind {
        match self {
            Self::Activity(call) => ActionKind::ScheduleTask {
                name: call.name,
                version: call.version,
                input: call.input,
                tags: call.tags,
                timeout: call.timeout,
                trace: None,
            },
            Self::SubOrchestration(call) => create(core, call, false),
        }
    }

    pub(crate) fn input(&self) -> Option<&str> {
        match self {
            Self::Activity(call) => call.input.as_deref(),
            Self::SubOrchestration(call) => call.input.as_deref(),
        }
    }

    pub(crate) fn with_input(&self, input: Option<String>) -> Self {
        let mut request = self.clone();
        match &mut request {
            Self::Activity(call) => call.input = input,
            Self::SubOrchestration(call) => call.input = input,
        }
        request
    }
}

fn rule_of(retry: Option<RetryPolicy>) -> Option<Rc<dyn FollowUp>> {
    retry.map(|policy| Rc::new(policy) as Rc<dyn FollowUp>)
}

fn create(core: &mut Core, call: SubOrchestrationCall, fire_and_forget: bool) -> ActionKind {
    ActionKind::CreateSubOrchestration {
        instance_id: call.instance_id.unwrap_or_else(|| core.child_id()),
        name: call.name,
        version: call.version,
        input: call.input,
        tags: call.tags,
        fire_and_forget,
        trace: None,
    }
}

/// The code's side of an execution. Cheap to clone, bound to the thread of its turn.
///
/// Every call acts at once; a returned task only waits. Once the turn is over, calls made by
/// destructors have no effect.
#[derive(Clone)]
pub struct ContextHandle {
    pub(crate) core: Rc<RefCell<Core>>,
}

impl ContextHandle {
    fn task(&self, make: impl FnOnce(&mut Core) -> u64) -> TaskHandle {
        let key = self.guarded(make);
        TaskHandle { core: self.core.clone(), key }
    }

    /// Does something to the core; unwinds out of the code if that broke a rule.
    fn guarded<R>(&self, act: impl FnOnce(&mut Core) -> R) -> R {
        let mut core = self.core.borrow_mut();
        let was_closed = core.closed;
        let result = act(&mut core);
        let violated = !was_closed && core.violation.is_some();
        drop(core);
        if violated {
            // The code must not go on: it may be a loop without an await. Not a panic, so no hook
            // reports it; the driver catches it and finds the violation.
            resume_unwind(Box::new("the orchestrator broke a rule"));
        }
        result
    }

    pub fn call_activity(&self, call: ActivityCall, retry: Option<RetryPolicy>) -> TaskHandle {
        self.task(|core| core.call(Request::Activity(call), rule_of(retry)))
    }

    /// Calls an activity, and goes on by a rule when it ended: the task's result is that of its last call.
    pub fn call_activity_by(&self, call: ActivityCall, rule: Rc<dyn FollowUp>) -> TaskHandle {
        self.task(|core| core.call(Request::Activity(call), Some(rule)))
    }

    pub fn call_sub_orchestration(
        &self,
        call: SubOrchestrationCall,
        retry: Option<RetryPolicy>,
    ) -> TaskHandle {
        self.task(|core| core.call(Request::SubOrchestration(call), rule_of(retry)))
    }

    /// Starts a sub-orchestration nobody waits for; returns its instance id.
    pub fn start_sub_orchestration(&self, call: SubOrchestrationCall) -> Result<String, FailureDetails> {
        self.guarded(|core| {
            if !core.closed {
                core.sections.check_sub_orchestration()?;
            }
            let kind = create(core, call, true);
            let ActionKind::CreateSubOrchestration { instance_id, .. } = &kind else {
                return Ok(String::new());
            };
            let instance_id = instance_id.clone();
            core.act(kind);
            Ok(instance_id)
        })
    }

    /// Sends an operation to an entity (`@name@key`), one-way.
    pub fn signal_entity(
        &self,
        target: String,
        operation: String,
        input: Option<String>,
        scheduled_time: Option<Timestamp>,
    ) -> Result<(), FailureDetails> {
        self.guarded(|core| core.signal_entity(target, operation, input, scheduled_time))
    }

    /// Sends an operation to an entity (`@name@key`) and waits for its result.
    pub fn call_entity(
        &self,
        target: String,
        operation: String,
        input: Option<String>,
    ) -> Result<TaskHandle, FailureDetails> {
        let key = self.guarded(|core| core.call_entity(target, operation, input))?;
        Ok(TaskHandle { core: self.core.clone(), key })
    }

    /// Asks for a critical section over entities (`@name@key`), in any order. Returns its id, for
    /// [`unlock_entities`](Self::unlock_entities), and a task that is done once all are locked.
    pub fn lock_entities(&self, targets: Vec<String>) -> Result<(String, TaskHandle), FailureDetails> {
        let (section_id, key) = self.guarded(|core| core.lock_entities(targets))?;
        Ok((section_id, TaskHandle { core: self.core.clone(), key }))
    }

    /// Leaves a critical section; one that was left already, or never was, stays so. For destructors:
    /// it does not unwind.
    pub fn unlock_entities(&self, section_id: &str) {
        let waker = self.core.borrow_mut().unlock(section_id);
        waker.into_iter().for_each(Waker::wake);
    }

    /// The entities that are locked, sorted, if the code is in a critical section.
    pub fn critical_section(&self) -> Option<Vec<String>> {
        self.core.borrow().sections.held().map(<[String]>::to_vec)
    }

    pub fn timer(&self, fire_at: Timestamp) -> TaskHandle {
        self.task(|core| core.timer(fire_at))
    }

    /// Waits for an external event; names are compared ignoring ASCII case.
    pub fn wait_for(&self, name: &str) -> TaskHandle {
        self.task(|core| core.wait_for(name))
    }

    pub fn send_event(&self, instance_id: String, name: String, input: Option<String>) {
        self.guarded(|core| core.act(ActionKind::SendEvent { instance_id, name, input }));
    }

    /// Fails the execution when the text is longer than a custom status may be.
    pub fn set_custom_status(&self, status: Option<String>) {
        self.guarded(|core| {
            let bytes = status.as_ref().map_or(0, String::len);
            if core.closed {
            } else if bytes > CUSTOM_STATUS_BYTES_MAX {
                core.violate(violation::custom_status_too_long(bytes, CUSTOM_STATUS_BYTES_MAX));
            } else {
                core.last_custom_status = Some(status.clone());
                if !core.replaying {
                    core.custom_status = Some(status);
                }
            }
        });
    }

    /// Fails the execution for a rule the code broke; does not return unless the turn is over.
    pub fn abort(&self, failure: FailureDetails) {
        self.guarded(|core| {
            if !core.closed {
                core.violate(failure);
            }
        });
    }

    /// Runs `f`; the unfinished tasks it drops are not abandoned but cancelled.
    pub fn cancelling<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Restore<'a>(&'a RefCell<Core>, bool);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.borrow_mut().cancel_dropped = self.1;
            }
        }
        let outer = std::mem::replace(&mut self.core.borrow_mut().cancel_dropped, true);
        let _restore = Restore(&self.core, outer);
        f()
    }

    /// The time of the turn.
    pub fn now(&self) -> Timestamp {
        self.core.borrow().now
    }

    pub fn new_guid(&self) -> u128 {
        let mut core = self.core.borrow_mut();
        let counter = core.guids;
        core.guids += 1;
        guid::deterministic(core.instance.as_str(), core.now, counter)
    }

    /// The execution's seed, and a stream number no other call returns.
    pub fn random_stream(&self) -> (u64, u64) {
        let mut core = self.core.borrow_mut();
        let stream = core.random_streams;
        core.random_streams += 1;
        let seed = read_started(&core, |started| started.seed);
        (seed.unwrap_or_default(), stream)
    }

    pub fn instance_id(&self) -> InstanceId {
        self.core.borrow().instance.clone()
    }

    pub fn execution_id(&self) -> ExecutionId {
        self.core.borrow().execution
    }

    /// Looks at the execution's `ExecutionStarted`.
    pub fn started<R>(&self, read: impl FnOnce(&ExecutionStarted) -> R) -> Option<R> {
        read_started(&self.core.borrow(), read)
    }

    pub fn is_replaying(&self) -> bool {
        self.core.borrow().replaying
    }

    /// How many events of the history the code has seen so far.
    pub fn history_len(&self) -> usize {
        self.core.borrow().history_len
    }

    /// The turn is over: the code is being torn down.
    pub fn is_closed(&self) -> bool {
        self.core.borrow().closed
    }
}

fn read_started<R>(core: &Core, read: impl FnOnce(&ExecutionStarted) -> R) -> Option<R> {
    match core.started.as_ref()?.kind() {
        EventKind::ExecutionStarted(started) => Some(read(started)),
        _ => None,
    }
}
