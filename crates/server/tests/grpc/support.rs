//! A server, and the two ends of the protocol by hand.

use std::time::Duration;

use strandline::DataDirectory;
use strandline_proto::wire;
use strandline_proto::wire::history_event::Kind as Event;
use strandline_proto::wire::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use strandline_proto::wire::work_item::Request as Item;
use strandline_server::access::Access;
use strandline_server::settings::Settings;
use strandline_server::{Reflection, Server, ServerOptions, UnknownHub, bind};
use tempfile::TempDir;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

/// Nothing here takes that long: a test that waits longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what must happen.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

pub(crate) struct TestServer {
    server: Option<Server>,
    directory: DataDirectory,
    _place: TempDir,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        let directory = DataDirectory::at(place.path()).partitions(4).open().await.unwrap();
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let options = ServerOptions {
            unknown: UnknownHub::Refuse,
            reflection: Reflection::On,
            access: Access::open(),
            settings: Settings::default(),
        };
        let server = Server::start(directory.clone(), vec![listener], options).await;
        Self { server: Some(server.unwrap()), directory, _place: place }
    }

    pub(crate) fn directory(&self) -> &DataDirectory {
        &self.directory
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.server.as_ref().unwrap().addresses()[0]
    }

    /// A connection of its own.
    pub(crate) async fn channel(&self) -> Channel {
        Endpoint::try_from(format!("http://{}", self.address())).unwrap().connect().await.unwrap()
    }

    pub(crate) async fn client(&self) -> Client {
        Client::new(self.channel().await, None)
    }

    /// One that says that it is made with this.
    pub(crate) async fn client_as(&self, agent: &str) -> Client {
        let endpoint = Endpoint::try_from(format!("http://{}", self.address())).unwrap();
        let channel = endpoint.user_agent(agent.to_owned()).unwrap().connect().await.unwrap();
        Client::new(channel, None)
    }

    pub(crate) async fn client_of(&self, hub: &str) -> Client {
        Client::new(self.channel().await, Some(hub.to_owned()))
    }

    pub(crate) async fn stop(&mut self) {
        self.server.take().unwrap().stop().await;
    }

    /// It still does what it is for.
    pub(crate) async fn assert_well(&self) {
        let mut client = self.client().await;
        let filter = wire::OrchestrationFilter { name: "Well".to_owned(), ..Default::default() };
        let filters = wire::WorkItemFilters { orchestrations: vec![filter], ..Default::default() };
        let asked = wire::GetWorkItemsRequest { work_item_filters: Some(filters), ..Default::default() };
        let mut worker = client.worker_with(asked).await.unwrap();
        let id = client.start("Well").await;
        let turn = worker.turn().await;
        assert_eq!(turn.request.instance_id, id);
        worker.complete(&turn, vec![super::actions::done(0, "\"yes\"")]).await.unwrap();
        assert_eq!(client.ended(&id).await.output.as_deref(), Some("\"yes\""));
    }
}

/// Names the hub in each call.
#[derive(Clone)]
pub(crate) struct HubHeader(Option<String>);

impl Interceptor for HubHeader {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(hub) = &self.0 {
            request.metadata_mut().insert("taskhub", MetadataValue::try_from(hub).unwrap());
        }
        Ok(request)
    }
}

pub(crate) type Rpc = TaskHubSidecarServiceClient<InterceptedService<Channel, HubHeader>>;

/// A client of one hub.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) rpc: Rpc,
}

impl Client {
    fn new(channel: Channel, hub: Option<String>) -> Self {
        Self { rpc: TaskHubSidecarServiceClient::with_interceptor(channel, HubHeader(hub)) }
    }

    /// Starts an instance under an id that the server makes.
    pub(crate) async fn start(&mut self, name: &str) -> String {
        let name = name.to_owned();
        self.start_with(wire::CreateInstanceRequest { name, ..Default::default() }).await
    }

    pub(crate) async fn start_as(&mut self, name: &str, id: &str) {
        let (name, instance_id) = (name.to_owned(), id.to_owned());
        self.start_with(wire::CreateInstanceRequest { name, instance_id, ..Default::default() }).await;
    }

    pub(crate) async fn start_with(&mut self, request: wire::CreateInstanceRequest) -> String {
        self.rpc.start_instance(request).await.unwrap().into_inner().instance_id
    }

    /// With payloads.
    pub(crate) async fn get(&mut self, id: &str) -> Option<wire::OrchestrationState> {
        self.rpc.get_instance(instance(id)).await.unwrap().into_inner().orchestration_state
    }

    pub(crate) async fn status(&mut self, id: &str) -> Option<wire::OrchestrationStatus> {
        self.get(id).await.map(|state| state.orchestration_status())
    }

    /// How it ended, once it did.
    pub(crate) async fn ended(&mut self, id: &str) -> wire::OrchestrationState {
        let ended = soon(id, self.rpc.wait_for_instance_completion(instance(id))).await;
        ended.unwrap().into_inner().orchestration_state.unwrap()
    }

    pub(crate) async fn raise(&mut self, id: &str, name: &str, input: &str) {
        let request = wire::RaiseEventRequest {
            instance_id: id.to_owned(),
            name: name.to_owned(),
            input: Some(input.to_owned()),
        };
        self.rpc.raise_event(request).await.unwrap();
    }

    pub(crate) async fn terminate(&mut self, id: &str, recursive: bool) {
        let instance_id = id.to_owned();
        let request = wire::TerminateRequest { instance_id, output: Some("\"end\"".to_owned()), recursive };
        self.rpc.terminate_instance(request).await.unwrap();
    }

    pub(crate) async fn signal(&mut self, id: &str, operation: &str, input: &str) {
        let request = wire::SignalEntityRequest {
            instance_id: id.to_owned(),
            name: operation.to_owned(),
            input: Some(input.to_owned()),
            ..Default::default()
        };
        self.rpc.signal_entity(request).await.unwrap();
    }

    pub(crate) async fn entity(&mut self, id: &str) -> Option<wire::EntityMetadata> {
        let request = wire::GetEntityRequest { instance_id: id.to_owned(), include_state: true };
        let response = self.rpc.get_entity(request).await.unwrap().into_inner();
        assert_eq!(response.exists, response.entity.is_some());
        response.entity
    }

    pub(crate) async fn history(&mut self, id: &str) -> Vec<wire::HistoryEvent> {
        let request = wire::StreamInstanceHistoryRequest { instance_id: id.to_owned(), ..Default::default() };
        let mut chunks = self.rpc.stream_instance_history(request).await.unwrap().into_inner();
        let mut events = Vec::new();
        while let Some(chunk) = chunks.message().await.unwrap() {
            events.extend(chunk.events);
        }
        events
    }

    /// A worker that takes everything.
    pub(crate) async fn worker(&mut self) -> Worker {
        self.worker_with(wire::GetWorkItemsRequest::default()).await.unwrap()
    }

    pub(crate) async fn worker_with(&mut self, request: wire::GetWorkItemsRequest) -> Result<Worker, Status> {
        let items = self.rpc.get_work_items(request).await?.into_inner();
        Ok(Worker { rpc: self.rpc.clone(), items })
    }
}

fn instance(id: &str) -> wire::GetInstanceRequest {
    wire::GetInstanceRequest { instance_id: id.to_owned(), get_inputs_and_outputs: true }
}

/// A worker's stream, and the calls that answer.
pub(crate) struct Worker {
    pub(crate) rpc: Rpc,
    pub(crate) items: Streaming<wire::WorkItem>,
}

/// A turn to take.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) token: String,
    pub(crate) request: wire::OrchestratorRequest,
}

impl Turn {
    /// What arrived, without the start of the turn.
    pub(crate) fn arrived(&self) -> Vec<&Event> {
        let events = self.request.new_events.iter().filter_map(|event| event.kind.as_ref());
        events.filter(|kind| !matches!(kind, Event::OrchestratorStarted(_))).collect()
    }
}

impl Worker {
    pub(crate) async fn next(&mut self) -> (String, Item) {
        loop {
            let item = soon("a work item", self.items.message()).await.unwrap().unwrap();
            match item.request.unwrap() {
                Item::HealthPing(_) => {}
                request => return (item.completion_token, request),
            }
        }
    }

    pub(crate) async fn turn(&mut self) -> Turn {
        match self.next().await {
            (token, Item::OrchestratorRequest(request)) => Turn { token, request },
            (_, other) => panic!("not a turn: {other:?}"),
        }
    }

    pub(crate) async fn activity(&mut self) -> (String, wire::ActivityRequest) {
        match self.next().await {
            (token, Item::ActivityRequest(request)) => (token, request),
            (_, other) => panic!("not an activity: {other:?}"),
        }
    }

    pub(crate) async fn operations(&mut self) -> (String, wire::EntityRequest) {
        match self.next().await {
            (token, Item::EntityRequestV2(request)) => (token, request),
            (_, other) => panic!("no operations: {other:?}"),
        }
    }

    pub(crate) async fn complete(
        &mut self,
        turn: &Turn,
        actions: Vec<wire::OrchestratorAction>,
    ) -> Result<(), Status> {
        self.respond(wire::OrchestratorResponse {
            instance_id: turn.request.instance_id.clone(),
            completion_token: turn.token.clone(),
            actions,
            ..Default::default()
        })
        .await
    }

    pub(crate) async fn respond(&mut self, response: wire::OrchestratorResponse) -> Result<(), Status> {
        self.rpc.complete_orchestrator_task(response).await.map(drop)
    }

    /// Takes the next turn.
    pub(crate) async fn take(&mut self, actions: Vec<wire::OrchestratorAction>) -> Turn {
        let turn = self.turn().await;
        self.complete(&turn, actions).await.unwrap();
        turn
    }

    pub(crate) async fn complete_activity(
        &mut self,
        token: &str,
        request: &wire::ActivityRequest,
        result: Result<&str, &str>,
    ) -> Result<(), Status> {
        let instance = request.orchestration_instance.clone().unwrap();
        let response = wire::ActivityResponse {
            instance_id: instance.instance_id,
            task_id: request.task_id,
            result: result.ok().map(str::to_owned),
            failure_details: result.err().map(super::actions::failure),
            completion_token: token.to_owned(),
        };
        self.rpc.complete_activity_task(response).await.map(drop)
    }

    /// Answers a batch: each operation succeeds, and the entity has this state from now on.
    pub(crate) async fn complete_operations(
        &mut self,
        (token, request): &(String, wire::EntityRequest),
        state: Option<&str>,
        actions: Vec<wire::OperationAction>,
    ) {
        let success = wire::OperationResultSuccess { result: state.map(str::to_owned), ..Default::default() };
        let result =
            wire::OperationResult { outcome: Some(wire::operation_result::Outcome::Success(success)) };
        let result = wire::EntityBatchResult {
            results: vec![result; request.operation_requests.len()],
            entity_state: state.map(str::to_owned),
            completion_token: token.clone(),
            actions,
            ..Default::default()
        };
        self.rpc.complete_entity_task(result).await.unwrap();
    }
}

/// The code of a refusal.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, Status>) -> Code {
    result.unwrap_err().code()
}
