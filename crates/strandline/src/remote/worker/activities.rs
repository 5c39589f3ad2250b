//! Activities.

use std::sync::Arc;

use parking_lot::Mutex;
use strandline_engine::worker::{ActivityWork, Worker as _};
use strandline_model::{ExecutionId, FailureDetails, InstanceId};
use strandline_proto::{activity, ids, trace, wire};
use tokio::sync::oneshot;

use super::deliver;
use super::session::Session;

pub(super) async fn handle(session: &Session, token: String, request: wire::ActivityRequest) {
    let worker = &session.worker;
    if !worker.rust.serves_activity(&request.name, request.version.as_deref()) {
        return session.abandon_activity(token).await;
    }
    let Ok(_slot) = worker.activities.clone().acquire_owned().await else { return };
    if session.lost.is_cancelled() {
        return;
    }
    let of = request.orchestration_instance.unwrap_or_default();
    let execution = of.execution_id.as_deref().and_then(|text| ids::from_wire(text, "executionId").ok());
    let (instance, task_id) = (InstanceId::trusted(of.instance_id), request.task_id);
    let progress = Arc::new(Mutex::new(None));
    let _listed = worker.running.add(instance.clone(), task_id, progress.clone());
    let work = ActivityWork {
        instance: instance.clone(),
        execution: execution.unwrap_or(ExecutionId(0)),
        task_id,
        name: request.name,
        version: request.version,
        input: request.input,
        tags: request.tags,
        trace: request.parent_trace_context.map(trace::from_wire),
        // The server has no word for a result that nobody wants any more, but for the end of the stream.
        cancelled: session.lost.child_token(),
        progress,
        metrics: worker.running.metrics().clone(),
    };
    let (done, result) = oneshot::channel();
    let rust = worker.rust.clone();
    worker.activity_pool.spawn(async move {
        let _ = done.send(rust.run_activity(work).await);
    });
    let result = result
        .await
        .unwrap_or_else(|_| Err(FailureDetails::new("panic", "the activity panicked outside of its body")));
    if session.lost.is_cancelled() && result.is_err() {
        // It gave up because it was told to.
        return;
    }
    let response = wire::ActivityResponse {
        instance_id: instance.to_string(),
        task_id,
        completion_token: token,
        ..activity::to_wire(result)
    };
    let call = || {
        let (mut stub, response) = (session.stub.clone(), response.clone());
        async move { stub.complete_activity_task(response).await }
    };
    if let Err(status) = deliver(session, call).await {
        tracing::debug!(%instance, task_id, error = %status, "the server did not take an activity's result");
    }
}
