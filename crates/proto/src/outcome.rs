//! What came of a batch of an entity's operations.

use strandline_model::{EntityAction, EntityOutcome, FailureDetails, NewState};

use crate::wire::operation_action::Kind;
use crate::wire::operation_result::Outcome;
use crate::{InvalidMessage, failure, ids, required, time, trace, wire};

/// The outcome of a batch of `operations` operations. When the whole batch failed, those without a result
/// fail with it, and the state stays. An absent state is a deleted one.
pub fn from_wire(
    result: wire::EntityBatchResult,
    operations: usize,
) -> Result<EntityOutcome, InvalidMessage> {
    let mut results = result.results.into_iter().map(result_from_wire).collect::<Result<Vec<_>, _>>()?;
    let state = match result.failure_details {
        Some(failure) => {
            let failure = failure::from_wire(failure);
            let missing = operations.saturating_sub(results.len());
            results.extend(std::iter::repeat_n(Err(failure), missing));
            NewState::Unchanged
        }
        None if result.state_unchanged => NewState::Unchanged,
        None => NewState::Set(result.entity_state),
    };
    let actions = result.actions.into_iter().map(action_from_wire).collect::<Result<_, _>>()?;
    Ok(EntityOutcome { results, state, actions })
}

/// The completion token is left for the caller to put in.
pub fn to_wire(outcome: EntityOutcome) -> wire::EntityBatchResult {
    let (entity_state, state_unchanged) = match outcome.state {
        NewState::Unchanged => (None, true),
        NewState::Set(state) => (state, false),
    };
    let actions = (0..).zip(outcome.actions).map(|(id, action)| action_to_wire(id, action));
    wire::EntityBatchResult {
        results: outcome.results.into_iter().map(result_to_wire).collect(),
        actions: actions.collect(),
        entity_state,
        state_unchanged,
        ..Default::default()
    }
}

fn result_to_wire(result: Result<Option<String>, FailureDetails>) -> wire::OperationResult {
    let outcome = match result {
        Ok(result) => Outcome::Success(wire::OperationResultSuccess { result, ..Default::default() }),
        Err(error) => Outcome::Failure(wire::OperationResultFailure {
            failure_details: Some(failure::to_wire(&error)),
            ..Default::default()
        }),
    };
    wire::OperationResult { outcome: Some(outcome) }
}

fn result_from_wire(
    result: wire::OperationResult,
) -> Result<Result<Option<String>, FailureDetails>, InvalidMessage> {
    match required(result.outcome, "OperationResult.outcome")? {
        Outcome::Success(success) => Ok(Ok(success.result)),
        Outcome::Failure(failed) => {
            let field = "OperationResultFailure.failureDetails";
            failure::required_from_wire(failed.failure_details, field).map(Err)
        }
    }
}

fn action_to_wire(id: i32, action: EntityAction) -> wire::OperationAction {
    let kind = match action {
        EntityAction::Signal { target, operation, input, scheduled_time, trace } => {
            Kind::SendSignal(wire::SendSignalAction {
                instance_id: target,
                name: operation,
                input,
                scheduled_time: scheduled_time.map(time::to_wire),
                request_time: None,
                parent_trace_context: trace.as_deref().map(trace::to_wire),
            })
        }
        EntityAction::Start { instance_id, name, version, input, scheduled_start, trace } => {
            Kind::StartNewOrchestration(wire::StartNewOrchestrationAction {
                instance_id,
                name,
                version,
                input,
                scheduled_time: scheduled_start.map(time::to_wire),
                request_time: None,
                parent_trace_context: trace.as_deref().map(trace::to_wire),
            })
        }
    };
    wire::OperationAction { id, kind: Some(kind) }
}

fn action_from_wire(action: wire::OperationAction) -> Result<EntityAction, InvalidMessage> {
    let boxed = |trace: Option<wire::TraceContext>| trace.map(|trace| Box::new(trace::from_wire(trace)));
    Ok(match required(action.kind, "OperationAction.kind")? {
        Kind::SendSignal(action) => EntityAction::Signal {
            target: ids::entity_from_wire(&action.instance_id, "sendSignal.instanceId")?.to_string(),
            operation: action.name,
            input: action.input,
            scheduled_time: action.scheduled_time.map(time::from_wire),
            trace: boxed(action.parent_trace_context),
        },
        Kind::StartNewOrchestration(action) => EntityAction::Start {
            instance_id: action.instance_id,
            name: action.name,
            version: action.version,
            input: action.input,
            scheduled_start: action.scheduled_time.map(time::from_wire),
            trace: boxed(action.parent_trace_context),
        },
    })
}
