//! Runs the operations of a batch, in order, each as a transaction.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use strandline_engine::worker::EntityBatch;
use strandline_model::limits::PAYLOAD_BYTES_MAX;
use strandline_model::{EntityAction, EntityOutcome, NewState};

use super::context::{Draft, EntityContext};
use super::methods::OperationFuture;
use crate::error::{Error, Result};
use crate::worker::{Program, not_found, panicked};

/// Makes what runs one batch.
pub(crate) type EntityCode = Arc<dyn Fn() -> Box<dyn EntityRun> + Send + Sync>;

/// The code of an entity while it runs a batch.
pub(crate) trait EntityRun: Send {
    /// Runs one operation. What it writes and sends goes into the context.
    fn run(&mut self, ctx: EntityContext) -> OperationFuture<'_>;
}

pub(crate) async fn run_batch(program: Arc<Program>, batch: EntityBatch) -> EntityOutcome {
    let EntityBatch { entity, state: before, operations } = batch;
    let Some(make) = program.functions.entities.find(entity.name(), None).cloned() else {
        let failure = not_found("EntityTaskNotFound", "entity", entity.name(), None);
        let results = operations.iter().map(|_| Err(failure.clone())).collect();
        return EntityOutcome { results, ..EntityOutcome::default() };
    };
    let mut code = make();
    let mut state = before.clone();
    let mut outcome = EntityOutcome::default();
    let size = operations.len();
    for (position, operation) in operations.into_iter().enumerate() {
        let draft = Draft::of(state.clone());
        let ctx = EntityContext::new(program.clone(), entity.clone(), operation, (position, size), draft);
        let run = AssertUnwindSafe(code.run(ctx.clone())).catch_unwind().await;
        let draft = ctx.close();
        let result = match run {
            Ok(result) => result.and_then(|output| check(output, &draft)).map_err(Error::into_failure),
            Err(payload) => Err(panicked(&*payload)),
        };
        if result.is_ok() {
            state = draft.state;
            outcome.actions.extend(draft.actions);
        } else {
            // Whatever the code still holds may be half changed.
            code = make();
        }
        outcome.results.push(result);
    }
    if state != before {
        outcome.state = NewState::Set(state.map(|text| text.to_string()));
    }
    outcome
}

/// The hub refuses payloads that are too long, so the operation fails here.
fn check(output: Option<String>, draft: &Draft) -> Result<Option<String>> {
    let inputs = draft.actions.iter().filter_map(|action| match action {
        EntityAction::Signal { input, .. } | EntityAction::Start { input, .. } => input.as_deref(),
    });
    let result = output.iter().map(|text| ("its result", text.len()));
    let state = draft.state.iter().map(|text| ("the state after it", text.len()));
    let sent = inputs.map(|text| ("an input it sends", text.len()));
    match result.chain(state).chain(sent).find(|(_, bytes)| *bytes > PAYLOAD_BYTES_MAX) {
        None => Ok(output),
        Some((what, bytes)) => {
            let text = format!("{what} has {bytes} bytes: the limit is {PAYLOAD_BYTES_MAX}");
            Err(Error::new("PayloadTooLarge", text).non_retriable())
        }
    }
}
