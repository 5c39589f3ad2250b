//! Batches of entity operations.

use std::sync::Arc;

use strandline_engine::worker::{EntityBatch, Worker as _};
use strandline_model::{EntityOperation, FailureDetails, NewState};
use strandline_proto::entity::{self, EntityWork};
use strandline_proto::{InvalidMessage, failure, ids, outcome, trace, wire};
use tokio::sync::oneshot;

use super::deliver;
use super::session::{Server, Session};

pub(super) async fn handle(session: &Session, token: String, request: wire::EntityRequest) {
    let infos = request.operation_requests.iter().map(info).collect();
    let work = entity::request_from_wire(request);
    run(session, token, work, infos).await;
}

/// The form for workers that don't know the other one.
pub(super) async fn handle_first_form(session: &Session, token: String, request: wire::EntityBatchRequest) {
    let operation = |operation: wire::OperationRequest| EntityOperation {
        request_id: operation.request_id,
        name: operation.operation,
        input: operation.input,
        caller: None,
        scheduled_time: None,
        trace: operation.trace_context.map(|context| Box::new(trace::from_wire(context))),
    };
    let work = ids::entity_from_wire(&request.instance_id, "EntityBatchRequest.instanceId");
    let work = work.map(|entity| EntityWork {
        entity,
        state: request.entity_state,
        operations: request.operations.into_iter().map(operation).collect(),
    });
    run(session, token, work, Vec::new()).await;
}

async fn run(
    session: &Session,
    token: String,
    work: Result<EntityWork, InvalidMessage>,
    operation_infos: Vec<wire::OperationInfo>,
) {
    let worker = &session.worker;
    let work = match work {
        Ok(work) => work,
        Err(error) => {
            tracing::warn!(%error, "operations can't be read: they are given back");
            return session.abandon_entity(token).await;
        }
    };
    let EntityWork { entity, state, operations } = work;
    if worker.rust.program.functions.entities.find(entity.name(), None).is_none() {
        return session.abandon_entity(token).await;
    }
    let Ok(_slot) = worker.entities.clone().acquire_owned().await else { return };
    if session.lost.is_cancelled() {
        return;
    }
    let state: Option<Arc<str>> = state.map(Into::into);
    let operations = operations.into_iter().map(Arc::new).collect();
    let batch = EntityBatch { entity: entity.clone(), state: state.clone(), operations };
    let (done, result) = oneshot::channel();
    let rust = worker.rust.clone();
    worker.entity_pool.spawn(async move {
        let _ = done.send(rust.run_entity(batch).await);
    });
    let mut result = match result.await {
        Ok(outcome) => {
            let unchanged = outcome.state == NewState::Unchanged;
            let mut result = outcome::to_wire(outcome);
            if unchanged && session.server == Server::Other {
                // There, an absent state is a deleted one.
                result.entity_state = state.map(|text| text.to_string());
            }
            result
        }
        Err(_) => {
            let failure = FailureDetails::new("panic", "the entity panicked outside of its operations");
            let failure_details = Some(failure::to_wire(&failure));
            wire::EntityBatchResult { failure_details, ..wire::EntityBatchResult::default() }
        }
    };
    result.completion_token = token;
    result.operation_infos = operation_infos;
    result.operation_infos.truncate(result.results.len());
    let call = || {
        let (mut stub, result) = (session.stub.clone(), result.clone());
        async move { stub.complete_entity_task(result).await }
    };
    if let Err(status) = deliver(session, call).await {
        tracing::debug!(%entity, error = %status, "the server did not take operations' results");
    }
}

/// Whom the server answers, given back to it.
fn info(event: &wire::HistoryEvent) -> wire::OperationInfo {
    use wire::history_event::Kind;
    match &event.kind {
        Some(Kind::EntityOperationCalled(call)) => wire::OperationInfo {
            request_id: call.request_id.clone(),
            response_destination: call.parent_instance_id.clone().map(|instance_id| {
                wire::OrchestrationInstance { instance_id, execution_id: call.parent_execution_id.clone() }
            }),
        },
        Some(Kind::EntityOperationSignaled(signal)) => {
            wire::OperationInfo { request_id: signal.request_id.clone(), response_destination: None }
        }
        _ => wire::OperationInfo::default(),
    }
}
