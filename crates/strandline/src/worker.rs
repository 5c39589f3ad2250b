//! The worker of a program: its functions behind the engine's interface.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use futures::FutureExt;
use strandline_engine::worker::{ActivityResult, ActivityWork, EntityBatch, TurnRunner, Worker};
use strandline_model::{EntityOutcome, FailureDetails};
use strandline_replay::PANIC;

use crate::activity::{ActivityRequest, States};
use crate::entity::run_batch;
use crate::registry::{Functions, Settings};
use crate::runner::Runner;
use crate::trace;
use crate::versioning::Verdict;

/// Runs the activities, orchestrators and entities of a [`Registry`](crate::Registry) inside this process.
#[derive(Clone)]
pub struct RustWorker {
    pub(crate) program: Arc<Program>,
}

pub(crate) struct Program {
    pub(crate) functions: Functions,
    pub(crate) states: Arc<States>,
    pub(crate) settings: Settings,
}

impl Program {
    pub(crate) fn judge(&self, name: &str, version: Option<&str>) -> Verdict {
        let orchestrators = &self.functions.orchestrators;
        if !orchestrators.knows(name) {
            return Verdict::Wait;
        }
        self.settings.versioning.judge(version, orchestrators.find(name, version).is_some())
    }
}

impl RustWorker {
    pub(crate) fn new(functions: Functions, states: States, settings: Settings) -> Self {
        Self { program: Arc::new(Program { functions, states: Arc::new(states), settings }) }
    }

    /// Whether it takes instances of this orchestrator and version, if only to fail them.
    pub fn serves_orchestrator(&self, name: &str, version: Option<&str>) -> bool {
        self.program.judge(name, version) != Verdict::Wait
    }

    /// Whether a call of this activity can be served.
    pub fn serves_activity(&self, name: &str, version: Option<&str>) -> bool {
        self.program.functions.activities.find(name, version).is_some()
    }
}

impl Worker for RustWorker {
    fn orchestrators(&self) -> Vec<String> {
        self.program.functions.orchestrators.names()
    }

    fn activities(&self) -> Vec<String> {
        self.program.functions.activities.names()
    }

    fn serves_orchestrator(&self, name: &str, version: Option<&str>) -> bool {
        Self::serves_orchestrator(self, name, version)
    }

    fn serves_activity(&self, name: &str, version: Option<&str>) -> bool {
        Self::serves_activity(self, name, version)
    }

    fn turn_runner(&self) -> Box<dyn TurnRunner> {
        Box::new(Runner::new(self.program.clone()))
    }

    fn entities(&self) -> Vec<String> {
        self.program.functions.entities.names().iter().map(|name| name.to_ascii_lowercase()).collect()
    }

    fn run_entity(&self, batch: EntityBatch) -> Pin<Box<dyn Future<Output = EntityOutcome> + Send>> {
        Box::pin(run_batch(self.program.clone(), batch))
    }

    fn run_activity(&self, work: ActivityWork) -> Pin<Box<dyn Future<Output = ActivityResult> + Send>> {
        let program = self.program.clone();
        Box::pin(async move {
            let Some(code) = program.functions.activities.find(&work.name, work.version.as_deref()) else {
                return Err(not_found(
                    "ActivityTaskNotFound",
                    "activity",
                    &work.name,
                    work.version.as_deref(),
                ));
            };
            let traced = trace::Activity::of(&work);
            let request = ActivityRequest::new(work, program.states.clone());
            let run = AssertUnwindSafe(async { code(request).await }).catch_unwind();
            let run = run.map(|ran| match ran {
                Ok(result) => result.map_err(crate::Error::into_failure),
                Err(payload) => Err(panicked(&*payload)),
            });
            trace::activity(&traced, run).await
        })
    }
}

/// No retry helps: the engine hands out only what a worker announced.
pub(crate) fn not_found(error_type: &str, kind: &str, name: &str, version: Option<&str>) -> FailureDetails {
    let version = version.map(|v| format!(" (version '{v}')")).unwrap_or_default();
    let text = format!("this worker has no {kind} named '{name}'{version}");
    FailureDetails::new(error_type, text).non_retriable()
}

pub(crate) fn panicked(payload: &(dyn Any + Send)) -> FailureDetails {
    FailureDetails::new(PANIC, strandline_replay::panic_text(payload))
}

impl fmt::Debug for RustWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RustWorker")
            .field("orchestrators", &self.orchestrators())
            .field("activities", &self.activities())
            .field("entities", &self.entities())
            .finish()
    }
}
