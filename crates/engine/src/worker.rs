//! What runs user code: the engine offers work, a worker takes it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;
use strandline_model::{
    Action, EntityId, EntityOperation, EntityOutcome, ExecutionId, FailureDetails, HistoryEvent, InstanceId,
    OrchestrationSpan, Timestamp, TraceContext,
};
use tokio_util::sync::CancellationToken;

use crate::metrics::CustomMetrics;

/// One replay of an orchestrator: new events in, actions out.
#[derive(Clone, Debug)]
pub struct Turn {
    pub instance: InstanceId,
    pub execution: ExecutionId,
    /// As in the execution's `ExecutionStarted`.
    pub name: String,
    pub version: Option<String>,
    /// How many events of the history were committed before this turn.
    pub seen: usize,
    /// Those events; `None` when the runner said that it [`holds`](TurnRunner::holds) the execution at `seen`.
    pub past: Option<Vec<Arc<HistoryEvent>>>,
    /// What this turn adds to the history before its own actions: `OrchestratorStarted` (its
    /// timestamp is the turn's current time), then the events delivered, in order.
    pub new: Vec<Arc<HistoryEvent>>,
    /// What the turn before said of the execution's span.
    pub span: Option<OrchestrationSpan>,
}

/// What a turn decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TurnOutcome {
    /// In order; sequence ids continue those of the history. A completion is last.
    pub actions: Vec<Action>,
    /// `None` leaves the custom status as it is; `Some(None)` clears it.
    pub custom_status: Option<Option<String>>,
    /// What the next turn is told of the execution's span; `None` leaves it as it is.
    pub span: Option<OrchestrationSpan>,
    /// The external events the code waits for now, if it does and its worker tells. Nothing depends on
    /// it: it is for those who ask why an instance waits.
    pub awaits: Vec<String>,
    /// Which of the actions do again what failed, by id. For metrics.
    pub retries: Vec<i32>,
}

/// Runs turns on one engine thread, and may keep suspended orchestrators between them. Not `Send`.
pub trait TurnRunner {
    /// Holds the suspended orchestrator of this execution exactly as it was after `seen` events.
    /// `seen` counts what the history holds: a turn adds its `new` events, one event for each action
    /// that leaves one (all but `Cancel` and a completion), and `OrchestratorCompleted`.
    fn holds(&self, instance: &InstanceId, execution: ExecutionId, seen: usize) -> bool;

    /// Runs one turn. Never panics; whatever goes wrong in user code is a failed completion.
    fn run(&mut self, turn: Turn) -> TurnOutcome;

    /// Drops what is held of an instance.
    fn forget(&mut self, instance: &InstanceId);
}

/// One execution of an activity.
pub struct ActivityWork {
    pub instance: InstanceId,
    pub execution: ExecutionId,
    pub task_id: i32,
    pub name: String,
    pub version: Option<String>,
    pub input: Option<String>,
    pub tags: BTreeMap<String, String>,
    /// Of the call.
    pub trace: Option<TraceContext>,
    /// Fires when the result is no longer wanted: the execution that scheduled it ended, was
    /// terminated, continued as new, cancelled the task, or the timeout passed.
    pub cancelled: CancellationToken,
    /// The newest progress the activity reported; visible, not durable.
    pub progress: Arc<Mutex<Option<String>>>,
    /// Where it counts on its own account.
    pub metrics: CustomMetrics,
}

/// Operations of one entity, to be run in order, one after the other.
#[derive(Clone, Debug)]
pub struct EntityBatch {
    pub entity: EntityId,
    /// `None`: it has none yet.
    pub state: Option<Arc<str>>,
    pub operations: Vec<Arc<EntityOperation>>,
}

pub type ActivityResult = Result<Option<String>, FailureDetails>;

/// The code of a program: what it serves and how to run it.
pub trait Worker: Send + Sync + 'static {
    /// Names of the orchestrators it can run, for messages.
    fn orchestrators(&self) -> Vec<String>;
    fn activities(&self) -> Vec<String>;
    /// Whether it takes turns of this version of an orchestrator. What nobody takes waits.
    fn serves_orchestrator(&self, name: &str, _version: Option<&str>) -> bool {
        is_among(&self.orchestrators(), name)
    }
    fn serves_activity(&self, name: &str, _version: Option<&str>) -> bool {
        is_among(&self.activities(), name)
    }
    /// Names of the entities, in lower case.
    fn entities(&self) -> Vec<String>;
    /// A runner for one engine thread.
    fn turn_runner(&self) -> Box<dyn TurnRunner>;
    /// May block or burn CPU: the engine's activity threads expect it. Panics are caught by the worker.
    fn run_activity(&self, work: ActivityWork) -> Pin<Box<dyn Future<Output = ActivityResult> + Send>>;
    /// Like an activity, it may block and do I/O. An operation that fails changes nothing: its error is
    /// its result, and the operations after it go on with the state before it. Panics are caught by the
    /// worker. Nothing of a batch counts before its outcome is committed; after a crash it is run again.
    fn run_entity(&self, batch: EntityBatch) -> Pin<Box<dyn Future<Output = EntityOutcome> + Send>>;
}

/// Names of orchestrators and activities are compared ignoring ASCII case.
pub(crate) fn is_among(names: &[String], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The time a turn or command happens at.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
}
