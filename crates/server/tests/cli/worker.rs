//! A worker for tests: orchestrators that do one thing each.

use strandline_proto::wire;
use strandline_proto::wire::history_event::Kind as Event;
use strandline_proto::wire::orchestrator_action::Kind as Action;
use strandline_proto::wire::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use strandline_proto::wire::work_item::Request as Work;
use tokio::runtime::Runtime;
use tonic::transport::Endpoint;

/// Works for the default hub until dropped. `Echo` returns its input, `Fail` fails, and `Wait` waits for the
/// event `Go` and returns what comes with it.
pub(crate) struct Worker {
    _runtime: Runtime,
}

impl Worker {
    /// Work is taken once this returns.
    pub(crate) fn start(address: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let address = format!("http://{address}");
        let (mut client, mut work) = runtime.block_on(async {
            let mut client = TaskHubSidecarServiceClient::new(
                Endpoint::from_shared(address).unwrap().connect().await.unwrap(),
            );
            let work = client.get_work_items(wire::GetWorkItemsRequest::default()).await.unwrap();
            (client, work.into_inner())
        });
        runtime.spawn(async move {
            while let Ok(Some(item)) = work.message().await {
                if let Some(Work::OrchestratorRequest(request)) = item.request {
                    let response = wire::OrchestratorResponse {
                        instance_id: request.instance_id.clone(),
                        actions: turn(&request).into_iter().collect(),
                        completion_token: item.completion_token,
                        ..Default::default()
                    };
                    client.complete_orchestrator_task(response).await.unwrap();
                }
            }
        });
        Self { _runtime: runtime }
    }
}

fn turn(request: &wire::OrchestratorRequest) -> Option<wire::OrchestratorAction> {
    let events = || request.past_events.iter().chain(&request.new_events).filter_map(|e| e.kind.as_ref());
    let started = events().find_map(|event| match event {
        Event::ExecutionStarted(started) => Some(started),
        _ => None,
    })?;
    let done = match started.name.as_str() {
        "Fail" => wire::CompleteOrchestrationAction {
            orchestration_status: wire::OrchestrationStatus::Failed as i32,
            failure_details: Some(wire::TaskFailureDetails {
                error_type: "PaymentError".to_owned(),
                error_message: "the card was refused".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        },
        "Wait" => completed(events().find_map(|event| match event {
            Event::EventRaised(raised) => Some(raised.input.clone()),
            _ => None,
        })?),
        _ => completed(started.input.clone()),
    };
    Some(wire::OrchestratorAction { id: 1, kind: Some(Action::CompleteOrchestration(Box::new(done))) })
}

fn completed(result: Option<String>) -> wire::CompleteOrchestrationAction {
    wire::CompleteOrchestrationAction {
        orchestration_status: wire::OrchestrationStatus::Completed as i32,
        result,
        ..Default::default()
    }
}
