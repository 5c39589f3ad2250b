//! A server whose instances are always the same, which notes what it is asked.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use prost_types::Timestamp;
use strandline_proto::management::management_server::{Management, ManagementServer};
use strandline_proto::wire::history_event::Kind;
use strandline_proto::wire::task_hub_sidecar_service_server::{
    TaskHubSidecarService, TaskHubSidecarServiceServer,
};
use strandline_proto::{management, wire};
use tokio::runtime::Runtime;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::place::{Said, said, strandline};

/// 2026-11-20T10:00:00Z
const BEGIN: i64 = 1_795_168_800;
/// How many instances there are: `order-11` is the newest.
const INSTANCES: i64 = 12;
/// The most on one page.
const PAGE_MAX: usize = 5;

pub(crate) struct Fake {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<String>>>,
    _runtime: Runtime,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let service = Service { asked: asked.clone() };
        let _entered = runtime.enter();
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = incoming.local_addr().unwrap().to_string();
        let serving = tonic::transport::Server::builder()
            .add_service(ManagementServer::new(service.clone()))
            .add_service(TaskHubSidecarServiceServer::new(service))
            .serve_with_incoming(incoming);
        drop(runtime.spawn(serving));
        drop(_entered);
        Self { address, asked, _runtime: runtime }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments))
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = strandline();
        command.args(arguments).args(["--time", "utc", "--server", &self.address]);
        command
    }

    /// What it was asked since the last look.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

#[derive(Clone)]
struct Service {
    asked: Arc<Mutex<Vec<String>>>,
}

impl Service {
    fn note(&self, asked: impl Into<String>) {
        self.asked.lock().unwrap().push(asked.into());
    }
}

fn time(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: BEGIN + seconds, nanos: 0 })
}

fn instance(number: i64) -> wire::OrchestrationState {
    use wire::OrchestrationStatus::{Completed, Failed, Running, Terminated};
    let status = match number % 4 {
        0 => Completed,
        1 => Running,
        2 => Failed,
        _ => Terminated,
    };
    let failure = wire::TaskFailureDetails {
        error_type: "PaymentError".to_owned(),
        error_message: "the card was\nrefused \u{1b}[31m".to_owned(),
        stack_trace: Some("at pay\nat order".to_owned()),
        inner_failure: Some(Box::new(wire::TaskFailureDetails {
            error_type: "IoError".to_owned(),
            error_message: "connection reset".to_owned(),
            ..Default::default()
        })),
        ..Default::default()
    };
    wire::OrchestrationState {
        instance_id: format!("order-{number}"),
        name: if number % 3 == 0 { "Refund" } else { "Order" }.to_owned(),
        version: (number == 6).then(|| "2.1".to_owned()),
        orchestration_status: status as i32,
        created_timestamp: time(number * 60),
        last_updated_timestamp: time(number * 60 + 5),
        completed_timestamp: (status != Running).then_some(()).and_then(|()| time(number * 60 + 5)),
        input: Some(format!("{{\"order\": {number}}}")),
        output: (status == Completed).then(|| "\"paid\"".to_owned()),
        custom_status: (status == Running).then(|| "not json".to_owned()),
        failure_details: (status == Failed).then_some(failure),
        execution_id: Some(format!("{number:032x}")),
        parent_instance_id: (number == 6).then(|| "batch".to_owned()),
        tags: [("customer".to_owned(), (number % 2).to_string())].into_iter().collect(),
        ..Default::default()
    }
}

fn matching(filter: &management::InstanceFilter) -> Vec<wire::OrchestrationState> {
    let all = (0..INSTANCES).rev().map(instance);
    all.filter(|i| filter.statuses.is_empty() || filter.statuses.contains(&i.orchestration_status))
        .filter(|i| filter.name.as_ref().is_none_or(|name| *name == i.name))
        .filter(|i| filter.tags.iter().all(|(key, value)| i.tags.get(key) == Some(value)))
        .filter(|i| {
            filter.created_from.is_none_or(|from| i.created_timestamp.unwrap().seconds >= from.seconds)
        })
        .collect()
}

fn event(number: i32, kind: Kind) -> wire::HistoryEvent {
    let event_id = if matches!(kind, Kind::TaskScheduled(_)) { number } else { -1 };
    wire::HistoryEvent { event_id, timestamp: time(i64::from(number)), kind: Some(kind) }
}

fn history() -> Vec<wire::HistoryEvent> {
    let started = wire::ExecutionStartedEvent {
        name: "Order".to_owned(),
        input: Some("{\"order\": 2}".to_owned()),
        ..Default::default()
    };
    let scheduled = wire::TaskScheduledEvent { name: "Pay".to_owned(), ..Default::default() };
    let failure = wire::TaskFailureDetails {
        error_type: "PaymentError".to_owned(),
        error_message: "the card was refused".to_owned(),
        ..Default::default()
    };
    let failed = wire::TaskFailedEvent { task_scheduled_id: 2, failure_details: Some(failure.clone()) };
    let completed = wire::ExecutionCompletedEvent {
        orchestration_status: wire::OrchestrationStatus::Failed as i32,
        failure_details: Some(failure),
        ..Default::default()
    };
    vec![
        event(0, Kind::OrchestratorStarted(wire::OrchestratorStartedEvent {})),
        event(1, Kind::ExecutionStarted(Box::new(started))),
        event(2, Kind::TaskScheduled(scheduled)),
        event(3, Kind::OrchestratorCompleted(wire::OrchestratorCompletedEvent {})),
        event(4, Kind::OrchestratorStarted(wire::OrchestratorStartedEvent {})),
        event(5, Kind::TaskFailed(failed)),
        event(6, Kind::ExecutionCompleted(Box::new(completed))),
    ]
}

fn diagnosis(id: &str) -> management::Diagnosis {
    use management::fact::Value;
    let fact = |name: &str, value| management::Fact { name: name.to_owned(), value: Some(value) };
    let waiting =
        |kind: &str, name: &str, severity: management::Severity, summary: &str| management::Waiting {
            kind: kind.to_owned(),
            name: name.to_owned(),
            severity: severity as i32,
            summary: summary.to_owned(),
            verdict: "unknownName".to_owned(),
            ..Default::default()
        };
    let summary = "no connected worker registers activity \"Pya\": did you mean \"Pay\"?";
    management::Diagnosis {
        instance_id: id.to_owned(),
        name: "Order".to_owned(),
        state: wire::OrchestrationStatus::Running as i32,
        verdict: "unknownName".to_owned(),
        severity: management::Severity::Error as i32,
        summary: summary.to_owned(),
        since: time(65),
        waiting_on: vec![
            waiting("activity", "Pya", management::Severity::Error, summary),
            waiting("timer", "", management::Severity::Info, "its timer fires in 2h"),
        ],
        waiting_on_total: 2,
        path: vec![id.to_owned()],
        evidence: vec![
            fact("activity", Value::Text("Pya".to_owned())),
            fact("workersConnected", Value::Count(2)),
            fact("hubsWithWorkers", Value::Texts(management::Texts { texts: vec!["orders".to_owned()] })),
            fact("leaseUntil", Value::Time(time(300).unwrap())),
            fact("perSecond", Value::Number(1.25)),
        ],
        suggestions: vec![management::Suggestion {
            text: "compare names: workers register \"Pay\"".to_owned(),
            cli: Some("strandline worker list".to_owned()),
        }],
    }
}

#[tonic::async_trait]
impl Management for Service {
    async fn list_hubs(
        &self,
        _: Request<management::ListHubsRequest>,
    ) -> Result<Response<management::ListHubsResponse>, Status> {
        let hub = |name: &str| management::Hub { name: name.to_owned(), partitions: 8, running: 8 };
        Ok(Response::new(management::ListHubsResponse { hubs: vec![hub("default"), hub("orders")] }))
    }

    async fn list_workers(
        &self,
        _: Request<management::ListWorkersRequest>,
    ) -> Result<Response<management::ListWorkersResponse>, Status> {
        let names = |names: &[&str]| management::Service {
            all: false,
            names: names
                .iter()
                .map(|name| management::ServedName { name: (*name).to_owned(), versions: Vec::new() })
                .collect(),
            capacity: Some(100),
            in_flight: 3,
        };
        let worker = management::Worker {
            id: "worker-1".to_owned(),
            hub: "default".to_owned(),
            sdk: "durabletask-python".to_owned(),
            sdk_version: "1.12.0".to_owned(),
            connected_since: time(0),
            peer: "127.0.0.1:50000".to_owned(),
            orchestrators: Some(names(&["Order", "Refund"])),
            activities: Some(management::Service { all: true, in_flight: 1, ..Default::default() }),
            entities: None,
        };
        Ok(Response::new(management::ListWorkersResponse { workers: vec![worker] }))
    }

    async fn list_instances(
        &self,
        request: Request<management::ListInstancesRequest>,
    ) -> Result<Response<management::ListInstancesResponse>, Status> {
        let request = request.into_inner();
        let token = request.continuation_token.unwrap_or_default();
        self.note(format!("list {} from {token:?}", request.page_size));
        let mut all = matching(&request.filter.unwrap_or_default());
        let from: usize = token.parse().unwrap_or(0);
        let to = all.len().min(from + PAGE_MAX.min(usize::try_from(request.page_size).unwrap()));
        let continuation_token = (to < all.len()).then(|| to.to_string());
        let mut instances: Vec<_> = all.drain(from..to).collect();
        if !request.with_payloads {
            for instance in &mut instances {
                instance.input = None;
                instance.output = None;
                instance.custom_status = None;
            }
        }
        Ok(Response::new(management::ListInstancesResponse { instances, continuation_token }))
    }

    async fn count_instances(
        &self,
        request: Request<management::CountInstancesRequest>,
    ) -> Result<Response<management::CountInstancesResponse>, Status> {
        let count = matching(&request.into_inner().filter.unwrap_or_default()).len();
        Ok(Response::new(management::CountInstancesResponse { count: u64::try_from(count).unwrap() }))
    }

    async fn get_history(
        &self,
        request: Request<management::GetHistoryRequest>,
    ) -> Result<Response<management::GetHistoryResponse>, Status> {
        let request = request.into_inner();
        let (history, from) = (history(), usize::try_from(request.from).unwrap());
        Ok(Response::new(management::GetHistoryResponse {
            execution_id: "0".repeat(32),
            total: u32::try_from(history.len()).unwrap(),
            events: history.into_iter().skip(from).take(PAGE_MAX).collect(),
        }))
    }

    async fn diagnose(
        &self,
        request: Request<management::DiagnoseRequest>,
    ) -> Result<Response<management::Diagnosis>, Status> {
        let id = request.into_inner().instance_id;
        self.note(format!("diagnose {id}"));
        if id == "nobody" {
            return Err(Status::not_found("there is no instance with this id"));
        }
        Ok(Response::new(diagnosis(&id)))
    }

    async fn list_stuck(
        &self,
        request: Request<management::ListStuckRequest>,
    ) -> Result<Response<management::ListStuckResponse>, Status> {
        let request = request.into_inner();
        let filter = request.filter.unwrap_or_default();
        self.note(format!("list_stuck {:?} {:?}", request.severity, filter.name));
        let more = request.continuation_token.is_none();
        Ok(Response::new(management::ListStuckResponse {
            diagnoses: vec![diagnosis(if more { "order-1" } else { "order-5" })],
            examined: 100,
            continuation_token: more.then(|| "more".to_owned()),
        }))
    }

    async fn get_entity_status(
        &self,
        request: Request<management::GetEntityStatusRequest>,
    ) -> Result<Response<management::EntityStatus>, Status> {
        Ok(Response::new(management::EntityStatus {
            id: request.into_inner().id,
            state: Some("{\"value\": 7}".to_owned()),
            last_modified: time(0),
            queue_length: 1234,
            locked_by: Some(management::LockOwner {
                instance_id: "order-1".to_owned(),
                ..Default::default()
            }),
        }))
    }
}

/// Methods that nothing here calls.
macro_rules! not_served {
    ($($name:ident: $request:ident => $response:ident;)*) => { $(
        fn $name<'a, 'b>(
            &'a self,
            _: Request<wire::$request>,
        ) -> Pin<Box<dyn Future<Output = Result<Response<wire::$response>, Status>> + Send + 'b>>
        where
            'a: 'b,
            Self: 'b,
        {
            Box::pin(async { Err(Status::unimplemented(stringify!($name))) })
        }
    )* };
}

type Stream<T> = Pin<Box<dyn futures::Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl TaskHubSidecarService for Service {
    type GetWorkItemsStream = Stream<wire::WorkItem>;
    type StreamInstanceHistoryStream = Stream<wire::HistoryChunk>;

    async fn hello(&self, _: Request<()>) -> Result<Response<()>, Status> {
        Ok(Response::new(()))
    }

    async fn get_instance(
        &self,
        request: Request<wire::GetInstanceRequest>,
    ) -> Result<Response<wire::GetInstanceResponse>, Status> {
        let key = request.metadata().get("authorization").map(|key| key.to_str().unwrap().to_owned());
        let hub = request.metadata().get("taskhub").unwrap().to_str().unwrap().to_owned();
        self.note(format!("get from {hub} with {}", key.unwrap_or_else(|| "no key".to_owned())));
        let id = request.into_inner().instance_id;
        let state = (0..INSTANCES).map(instance).find(|instance| instance.instance_id == id);
        Ok(Response::new(wire::GetInstanceResponse { exists: state.is_some(), orchestration_state: state }))
    }

    async fn wait_for_instance_completion(
        &self,
        request: Request<wire::GetInstanceRequest>,
    ) -> Result<Response<wire::GetInstanceResponse>, Status> {
        self.get_instance(request).await
    }

    async fn terminate_instance(
        &self,
        request: Request<wire::TerminateRequest>,
    ) -> Result<Response<wire::TerminateResponse>, Status> {
        self.note(format!("terminate {}", request.into_inner().instance_id));
        Ok(Response::new(wire::TerminateResponse {}))
    }

    async fn restart_instance(
        &self,
        request: Request<wire::RestartInstanceRequest>,
    ) -> Result<Response<wire::RestartInstanceResponse>, Status> {
        let instance_id = format!("{}-again", request.into_inner().instance_id);
        Ok(Response::new(wire::RestartInstanceResponse { instance_id }))
    }

    async fn purge_instances(
        &self,
        request: Request<wire::PurgeInstancesRequest>,
    ) -> Result<Response<wire::PurgeInstancesResponse>, Status> {
        use wire::purge_instances_request::Target;
        let count = match request.into_inner().target {
            Some(Target::InstanceBatch(batch)) => {
                self.note(format!("purge {}", batch.instance_ids.join(" ")));
                batch.instance_ids.len()
            }
            _ => 0,
        };
        let deleted_instance_count = i32::try_from(count).unwrap();
        Ok(Response::new(wire::PurgeInstancesResponse {
            deleted_instance_count,
            is_complete: Some(true),
            ..Default::default()
        }))
    }

    async fn query_entities(
        &self,
        request: Request<wire::QueryEntitiesRequest>,
    ) -> Result<Response<wire::QueryEntitiesResponse>, Status> {
        let query = request.into_inner().query.unwrap();
        let entity = |key: &str| wire::EntityMetadata {
            instance_id: format!("@counter@{key}"),
            last_modified_time: time(0),
            serialized_state: query.include_state.then(|| "7".to_owned()),
            ..Default::default()
        };
        let first = query.continuation_token.is_none();
        Ok(Response::new(wire::QueryEntitiesResponse {
            entities: vec![entity(if first { "alice" } else { "bob" })],
            continuation_token: first.then(|| "1".to_owned()),
        }))
    }

    not_served! {
        start_instance: CreateInstanceRequest => CreateInstanceResponse;
        rewind_instance: RewindInstanceRequest => RewindInstanceResponse;
        wait_for_instance_start: GetInstanceRequest => GetInstanceResponse;
        raise_event: RaiseEventRequest => RaiseEventResponse;
        suspend_instance: SuspendRequest => SuspendResponse;
        resume_instance: ResumeRequest => ResumeResponse;
        query_instances: QueryInstancesRequest => QueryInstancesResponse;
        list_instance_ids: ListInstanceIdsRequest => ListInstanceIdsResponse;
        complete_activity_task: ActivityResponse => CompleteTaskResponse;
        complete_orchestrator_task: OrchestratorResponse => CompleteTaskResponse;
        complete_entity_task: EntityBatchResult => CompleteTaskResponse;
        create_task_hub: CreateTaskHubRequest => CreateTaskHubResponse;
        delete_task_hub: DeleteTaskHubRequest => DeleteTaskHubResponse;
        signal_entity: SignalEntityRequest => SignalEntityResponse;
        get_entity: GetEntityRequest => GetEntityResponse;
        clean_entity_storage: CleanEntityStorageRequest => CleanEntityStorageResponse;
        abandon_task_activity_work_item: AbandonActivityTaskRequest => AbandonActivityTaskResponse;
        abandon_task_orchestrator_work_item:
            AbandonOrchestrationTaskRequest => AbandonOrchestrationTaskResponse;
        abandon_task_entity_work_item: AbandonEntityTaskRequest => AbandonEntityTaskResponse;
        skip_graceful_orchestration_terminations:
            SkipGracefulOrchestrationTerminationsRequest => SkipGracefulOrchestrationTerminationsResponse;
    }

    async fn get_work_items(
        &self,
        _: Request<wire::GetWorkItemsRequest>,
    ) -> Result<Response<Self::GetWorkItemsStream>, Status> {
        Err(Status::unimplemented("get_work_items"))
    }

    async fn stream_instance_history(
        &self,
        _: Request<wire::StreamInstanceHistoryRequest>,
    ) -> Result<Response<Self::StreamInstanceHistoryStream>, Status> {
        Err(Status::unimplemented("stream_instance_history"))
    }
}
