//! Runs turns, and keeps suspended orchestrators between them.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use strandline_engine::worker::{Turn, TurnOutcome, TurnRunner};
use strandline_model::{
    Action, ActionKind, Completion, ExecutionId, FailureDetails, InstanceId, Origin, Timestamp,
};
use strandline_replay::{ContextHandle, Ending, Execution, Identity, Orchestrator};

use crate::context::OrchestrationContext;
use crate::quiet::Quiet;
use crate::registry::Settings;
use crate::trace;
use crate::versioning::{self, Verdict};
use crate::worker::{Program, not_found};

/// The turns of one engine thread.
pub(crate) struct Runner {
    program: Arc<Program>,
    held: HashMap<InstanceId, Held>,
    /// From the least to the most recently used.
    by_use: BTreeMap<u64, InstanceId>,
    uses: u64,
    bytes: usize,
}

/// Names of awaited events that are told with a turn.
const AWAITED_MAX: usize = 20;

struct Held {
    execution_id: ExecutionId,
    execution: Execution,
    traced: trace::Execution,
    used: u64,
    weight: usize,
    /// When its last turn was handed out.
    #[cfg_attr(not(feature = "remote"), expect(dead_code))]
    turned: Option<Timestamp>,
    /// The engine was told that it is here and may leave the past out of the next turn.
    promised: Cell<bool>,
}

impl Program {
    /// An execution of one of its orchestrators, at its beginning.
    pub(crate) fn execution(
        self: &Arc<Self>,
        instance: InstanceId,
        execution: ExecutionId,
        name: &str,
        version: Option<&str>,
    ) -> Result<Execution, FailureDetails> {
        if self.judge(name, version) == Verdict::Fail {
            return Err(versioning::mismatch());
        }
        let Some(code) = self.functions.orchestrators.find(name, version).cloned() else {
            return Err(not_found("OrchestratorTaskNotFound", "orchestrator", name, version));
        };
        let program = self.clone();
        let orchestrator: Orchestrator = Box::new(move |handle: ContextHandle, input| {
            let ctx = OrchestrationContext::new(handle.clone(), program);
            Box::pin(Quiet::new(handle, async move {
                match code(ctx, input).await {
                    Ok(output) => Ending::Completed(output),
                    Err(error) => error.into_ending(),
                }
            }))
        });
        let identity = Identity { instance, execution, actions_max: self.settings.actions_max };
        Ok(Execution::new(identity, orchestrator))
    }
}

impl Runner {
    pub(crate) fn new(program: Arc<Program>) -> Self {
        Self { program, held: HashMap::new(), by_use: BTreeMap::new(), uses: 0, bytes: 0 }
    }

    fn take(&mut self, instance: &InstanceId) -> Option<Held> {
        let held = self.held.remove(instance)?;
        self.by_use.remove(&held.used);
        self.bytes -= held.weight;
        Some(held)
    }

    fn keep(
        &mut self,
        instance: InstanceId,
        execution_id: ExecutionId,
        execution: Execution,
        traced: trace::Execution,
        turned: Option<Timestamp>,
    ) {
        self.uses += 1;
        let weight = execution.weight();
        self.bytes += weight;
        self.by_use.insert(self.uses, instance.clone());
        let (used, promised) = (self.uses, Cell::new(false));
        let held = Held { execution_id, execution, traced, used, weight, turned, promised };
        self.held.insert(instance, held);
        self.evict();
    }

    /// Makes room; what was promised stays.
    fn evict(&mut self) {
        let Settings { cached_entries_max, cached_bytes_max, .. } = self.program.settings;
        let excess =
            |runner: &Self| runner.held.len() > cached_entries_max || runner.bytes > cached_bytes_max;
        let mut after = 0;
        while excess(self) {
            let next = self.by_use.range(after..).next();
            let Some((used, instance)) = next.map(|(used, instance)| (*used, instance.clone())) else {
                return;
            };
            after = used + 1;
            if self.held.get(&instance).is_some_and(|held| !held.promised.get()) {
                self.take(&instance);
            }
        }
    }

    /// The execution as it was after the turn's past.
    fn restore(&mut self, turn: &Turn) -> Result<(Execution, trace::Execution), FailureDetails> {
        let held = self.take(&turn.instance);
        let Some(past) = &turn.past else {
            return match held {
                Some(held) if held.execution_id == turn.execution && held.execution.seen() == turn.seen => {
                    Ok((held.execution, held.traced))
                }
                _ => {
                    let text = "a turn came without its past, but its execution is not held";
                    Err(FailureDetails::new("EngineError", text))
                }
            };
        };
        drop(held);
        let (instance, version) = (turn.instance.clone(), turn.version.as_deref());
        let mut execution = self.program.execution(instance, turn.execution, &turn.name, version)?;
        execution.replay(past);
        Ok((execution, trace::Execution::replay(past)))
    }
}

impl Runner {
    /// Runs a turn, and also tells which custom status its code set last; see
    /// [`Execution::custom_status`].
    pub(crate) fn run_telling(&mut self, turn: Turn) -> (TurnOutcome, Option<Option<String>>) {
        let (mut execution, mut traced) = match self.restore(&turn) {
            Ok(restored) => restored,
            Err(failure) => return (failed(&turn, failure), None),
        };
        let outcome = execution.turn(&turn.new);
        let mut outcome = TurnOutcome {
            actions: outcome.actions,
            custom_status: outcome.custom_status,
            retries: outcome.retries,
            ..TurnOutcome::default()
        };
        if !execution.is_over() {
            outcome.awaits = execution.awaited_events(AWAITED_MAX);
        }
        traced.turn(&turn, &mut outcome);
        let last = execution.custom_status();
        if !execution.is_over() {
            let turned = turn.new.first().map(|event| event.timestamp);
            self.keep(turn.instance, turn.execution, execution, traced, turned);
        }
        (outcome, last)
    }

    /// When the last turn of what is held of an instance was handed out.
    #[cfg(feature = "remote")]
    pub(crate) fn last_turn(&self, instance: &InstanceId) -> Option<Timestamp> {
        self.held.get(instance)?.turned
    }
}

impl TurnRunner for Runner {
    fn holds(&self, instance: &InstanceId, execution: ExecutionId, seen: usize) -> bool {
        let Some(held) = self.held.get(instance) else { return false };
        let holds = held.execution_id == execution && held.execution.seen() == seen;
        held.promised.set(holds);
        holds
    }

    fn run(&mut self, turn: Turn) -> TurnOutcome {
        self.run_telling(turn).0
    }

    fn forget(&mut self, instance: &InstanceId) {
        self.take(instance);
    }
}

/// The end of an execution whose code never ran.
fn failed(turn: &Turn, failure: FailureDetails) -> TurnOutcome {
    let past = turn.past.iter().flatten();
    let id = past.map(|event| event.id).max().unwrap_or(-1) + 1;
    let kind = ActionKind::Complete(Completion::Failed { failure, origin: Origin::Unknown });
    TurnOutcome { actions: vec![Action { id, kind }], ..TurnOutcome::default() }
}
