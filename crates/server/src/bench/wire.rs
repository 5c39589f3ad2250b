//! W12: the hello sequence over gRPC. Clients and a worker that answers at once share one thread, so that
//! the rest of the processor time is the server's.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use strandline::TaskHub;
use strandline_proto::wire::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use strandline_proto::wire::work_item::Request as Item;
use strandline_proto::wire::{self, history_event, orchestrator_action};
use tokio::task::LocalSet;
use tonic::transport::{Channel, Endpoint};

use super::measure::{Latencies, thread_cpu_time};
use crate::access::Access;
use crate::hubs::UnknownHub;
use crate::serve::{Reflection, Server, ServerOptions, bind};
use crate::settings::Settings;

type Client = TaskHubSidecarServiceClient<Channel>;

/// Without `-n`, W12 runs at least this long.
const TIME: Duration = Duration::from_secs(12);
const CITIES: [&str; 3] = ["\"Tokyo\"", "\"Seattle\"", "\"London\""];

/// How many sequences were run, how long each took, and the clients' and the worker's processor time.
pub(super) struct Ran {
    pub(super) latencies: Latencies,
    pub(super) client_cpu: Duration,
}

/// A server in this process.
pub(super) async fn serve(hub: &TaskHub) -> anyhow::Result<Server> {
    let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let options = ServerOptions {
        unknown: UnknownHub::Refuse,
        reflection: Reflection::Off,
        access: Access::open(),
        settings: Settings::default(),
    };
    Server::start(hub.directory().clone(), vec![listener], options).await
}

/// Runs hello sequences against a server, from so many clients.
pub(super) async fn run(at: SocketAddr, clients: u32, n: Option<u32>) -> anyhow::Result<Ran> {
    let (done, result) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("bench-clients".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let ran = runtime
            .map_err(anyhow::Error::from)
            .and_then(|runtime| LocalSet::new().block_on(&runtime, drive(at, clients, n)));
        let _ = done.send(ran);
    })?;
    result.await.context("the clients' thread panicked")?
}

async fn drive(at: SocketAddr, clients: u32, n: Option<u32>) -> anyhow::Result<Ran> {
    let endpoint = Endpoint::from_shared(format!("http://{at}"))?.tcp_nodelay(true);
    // SDKs keep their client and their worker on a connection each.
    let client = Client::new(endpoint.connect().await?);
    let worker = Client::new(endpoint.connect().await?);
    let working = tokio::task::spawn_local(work(worker));
    one(client.clone()).await?;
    let cpu = thread_cpu_time();
    let left = Rc::new(Cell::new(n));
    let end = Instant::now() + TIME;
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let (client, left) = (client.clone(), left.clone());
            tokio::task::spawn_local(async move {
                let mut latencies = Latencies::new();
                loop {
                    match left.get() {
                        Some(0) => break,
                        Some(n) => left.set(Some(n - 1)),
                        None if Instant::now() >= end => break,
                        None => {}
                    }
                    let begin = Instant::now();
                    one(client.clone()).await?;
                    latencies.record(begin.elapsed());
                }
                Ok::<_, tonic::Status>(latencies)
            })
        })
        .collect();
    let mut latencies = Latencies::new();
    for task in tasks {
        latencies.merge(&task.await??);
    }
    let client_cpu = thread_cpu_time().saturating_sub(cpu);
    working.abort();
    Ok(Ran { latencies, client_cpu })
}

/// Starts an instance and waits for its end.
async fn one(mut client: Client) -> Result<(), tonic::Status> {
    let request = wire::CreateInstanceRequest { name: "HelloSequence".to_owned(), ..Default::default() };
    let instance_id = client.start_instance(request).await?.into_inner().instance_id;
    let request = wire::GetInstanceRequest { instance_id, get_inputs_and_outputs: true };
    let state = client.wait_for_instance_completion(request).await?.into_inner().orchestration_state;
    let output = state.and_then(|state| state.output);
    if output.as_deref() == Some("3") {
        return Ok(());
    }
    Err(tonic::Status::internal(format!("a sequence ended with {output:?}")))
}

/// Answers every work item at once.
async fn work(mut client: Client) -> Result<(), tonic::Status> {
    let mut items = client.get_work_items(wire::GetWorkItemsRequest::default()).await?.into_inner();
    while let Some(wire::WorkItem { completion_token, request }) = items.message().await? {
        let mut client = client.clone();
        match request {
            Some(Item::OrchestratorRequest(turn)) => drop(tokio::task::spawn_local(async move {
                client.complete_orchestrator_task(turn_done(turn, completion_token)).await
            })),
            Some(Item::ActivityRequest(activity)) => drop(tokio::task::spawn_local(async move {
                let instance = activity.orchestration_instance.unwrap_or_default();
                let response = wire::ActivityResponse {
                    instance_id: instance.instance_id,
                    task_id: activity.task_id,
                    result: activity.input,
                    completion_token,
                    ..Default::default()
                };
                client.complete_activity_task(response).await
            })),
            _ => {}
        }
    }
    Ok(())
}

/// What the orchestrator's code says after so many greetings.
fn turn_done(turn: wire::OrchestratorRequest, completion_token: String) -> wire::OrchestratorResponse {
    let events = turn.past_events.iter().chain(&turn.new_events);
    let greetings = events.filter(|e| matches!(e.kind, Some(history_event::Kind::TaskCompleted(_)))).count();
    let kind = match CITIES.get(greetings) {
        Some(city) => orchestrator_action::Kind::ScheduleTask(wire::ScheduleTaskAction {
            name: "SayHello".to_owned(),
            input: Some((*city).to_owned()),
            ..Default::default()
        }),
        None => {
            orchestrator_action::Kind::CompleteOrchestration(Box::new(wire::CompleteOrchestrationAction {
                orchestration_status: wire::OrchestrationStatus::Completed as i32,
                result: Some(greetings.to_string()),
                ..Default::default()
            }))
        }
    };
    let id = i32::try_from(greetings).unwrap_or(i32::MAX);
    wire::OrchestratorResponse {
        instance_id: turn.instance_id,
        actions: vec![wire::OrchestratorAction { id, kind: Some(kind) }],
        completion_token,
        ..Default::default()
    }
}
