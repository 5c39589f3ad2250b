//! Runs the operations of a batch, in order, each as a transaction.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use strandline_engine::worker::EntityBatch;
use strandline_model::limits::PAYLOAD_BYTES_MAX;
use strandline_model::{EntityAction, EntityOutcome, NewState};

use super::context::{Draft, EntityContext};
use super::methods::OperationFuture;
use crate::error::{Error, Result};
use crate::trace;
use crate::worker::{Program, not_found, panicked};

/// A batch that has run for this long hands over what it has: nothing of it is durable until then, a
/// crash has all of it run again, and callers wait for all of it.
const TIME: Duration = Duration::from_secs(10);
/// What a batch leaves is written as one, so it is cut when it is about this large.
const BYTES: usize = 4 * 1024 * 1024;
/// A large state leaves this much for the rest. It is written once for all operations of a batch: batches
/// of one would have it written more often.
const BYTES_BESIDES_STATE: usize = 1024 * 1024;

/// Makes what runs one batch.
pub(crate) type EntityCode = Arc<dyn Fn() -> Box<dyn EntityRun> + Send + Sync>;

/// The code of an entity while it runs a batch.
pub(crate) trait EntityRun: Send {
    /// Runs one operation. What it writes and sends goes into the context.
    fn run(&mut self, ctx: EntityContext) -> OperationFuture<'_>;
}

/// Runs the operations of a batch, at least one of them. Those it has no result for when it is cut are
/// handed out again.
pub(crate) async fn run_batch(program: Arc<Program>, batch: EntityBatch) -> EntityOutcome {
    run_for(TIME, program, batch).await
}

async fn run_for(time: Duration, program: Arc<Program>, batch: EntityBatch) -> EntityOutcome {
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
    let begin = Instant::now();
    // Of results and of what is sent.
    let mut bytes = 0;
    for (position, operation) in operations.into_iter().enumerate() {
        let draft = Draft::of(state.clone());
        let span = trace::Operation::begin(&entity, &operation);
        let ctx = EntityContext::new(program.clone(), entity.clone(), operation, (position, size), draft);
        let run = AssertUnwindSafe(code.run(ctx.clone())).catch_unwind().await;
        let draft = ctx.close();
        let result = match run {
            Ok(result) => result.and_then(|output| check(output, &draft)).map_err(Error::into_failure),
            Err(payload) => Err(panicked(&*payload)),
        };
        span.end(&result);
        if result.is_ok() {
            state = draft.state;
            bytes += draft.actions.iter().filter_map(input_of).map(str::len).sum::<usize>();
            outcome.actions.extend(draft.actions);
        } else {
            // Whatever the code still holds may be half changed.
            code = make();
        }
        bytes += match &result {
            Ok(output) => output.as_ref().map_or(0, String::len),
            Err(failure) => failure.message.len(),
        };
        outcome.results.push(result);
        let room = BYTES.saturating_sub(state.as_ref().map_or(0, |text| text.len()));
        if bytes > room.max(BYTES_BESIDES_STATE) || begin.elapsed() >= time {
            break;
        }
    }
    if state != before {
        outcome.state = NewState::Set(state.map(|text| text.to_string()));
    }
    outcome
}

/// The hub refuses payloads that are too long, so the operation fails here.
fn check(output: Option<String>, draft: &Draft) -> Result<Option<String>> {
    let inputs = draft.actions.iter().filter_map(input_of);
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

fn input_of(action: &EntityAction) -> Option<&str> {
    match action {
        EntityAction::Signal { input, .. } | EntityAction::Start { input, .. } => input.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use strandline_model::{EntityId as Id, EntityOperation};

    use super::*;
    use crate::Registry;
    use crate::entity::entity_fn;

    #[test]
    fn a_batch_out_of_time_has_a_result_at_least() {
        let counts = entity_fn("Counts", |ctx: EntityContext<u32>| async move {
            ctx.set_state(ctx.state()? + 1)?;
            ctx.state()
        });
        let program = Registry::new().register(counts).build().unwrap().program;
        let run = |time| {
            let operation = Arc::new(EntityOperation { name: "count".into(), ..EntityOperation::default() });
            let entity = Id::new("Counts", "a").unwrap();
            let batch = EntityBatch { entity, state: None, operations: vec![operation; 3] };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(run_for(time, program.clone(), batch))
        };
        let cut = run(Duration::ZERO);
        assert_eq!(cut.results, [Ok(Some("1".to_owned()))]);
        assert_eq!(cut.state, NewState::Set(Some("1".to_owned())));
        assert_eq!(run(TIME).results.len(), 3);
    }
}
