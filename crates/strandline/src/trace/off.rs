//! Without the feature `otel` nothing is traced. Each function here does what its twin does while tracing is
//! not installed: nothing.

use strandline_engine::worker::{ActivityResult, ActivityWork, Turn, TurnOutcome};
use strandline_model::{EntityId, EntityOperation, FailureDetails, HistoryEvent, TraceContext};

#[derive(Default)]
pub(crate) struct Execution;

impl Execution {
    pub(crate) fn replay<E: AsRef<HistoryEvent>>(_: &[E]) -> Self {
        Self
    }

    pub(crate) fn turn(&mut self, _: &Turn, _: &mut TurnOutcome) {}
}

pub(crate) fn start(_: &str, _: Option<&str>, _: &str) -> Option<TraceContext> {
    None
}

pub(crate) fn raise(_: &str, _: &str) {}

pub(crate) async fn activity<F>(_: &Activity, run: F) -> ActivityResult
where
    F: Future<Output = ActivityResult>,
{
    run.await
}

pub(crate) struct Activity;

impl Activity {
    pub(crate) fn of(_: &ActivityWork) -> Self {
        Self
    }
}

pub(crate) struct Operation;

impl Operation {
    pub(crate) fn begin(_: &EntityId, _: &EntityOperation) -> Self {
        Self
    }

    pub(crate) fn end(self, _: &Result<Option<String>, FailureDetails>) {}
}
