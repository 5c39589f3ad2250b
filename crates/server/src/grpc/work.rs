//! Work for workers: the stream that brings it, and the calls that return it.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::time::Duration;

use futures::stream::{self, Stream};
use prost::Message as _;
use strandline_engine::dispatch::{Filters, ItemKey, Kind, Slots, Token, Versions, WorkerProfile};
use strandline_engine::runtime::{Completed, Connection, Hub, Work, WorkItem};
use strandline_engine::worker::{Turn, TurnOutcome};
use strandline_model::{Action, ActionKind, Completion, EventKind, ExecutionId, HistoryEvent, InstanceId};
use strandline_proto::wire::work_item::Request as Item;
use strandline_proto::{Execution, action, activity, entity, history, outcome, trace, wire};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::TaskHubService;
use super::caller::{WORKER_ID, text};
use super::error::status;
use crate::access::Caller;
use crate::serve::listen::Peer;

pub(super) type WorkItems = Pin<Box<dyn Stream<Item = Result<wire::WorkItem, Status>> + Send>>;

/// An idle stream gets a ping this often: some workers give a connection up after two minutes of silence.
const PING_EVERY: Duration = Duration::from_secs(25);
/// A history larger than this is fetched by workers that can.
const STREAMED_HISTORY_BYTES: usize = 1024 * 1024;

impl TaskHubService {
    pub(super) async fn work_items(
        &self,
        request: Request<wire::GetWorkItemsRequest>,
    ) -> Result<Response<WorkItems>, Status> {
        let hub = self.hub_of(&request).await?;
        let peer = request.extensions().get::<Peer>().map(|peer| peer.address.to_string());
        let caller = Caller::of(request.extensions())?.clone();
        let (metadata, _, asked) = request.into_parts();
        let streams_history = asked.capabilities.contains(&(wire::WorkerCapability::HistoryStreaming as i32));
        let id = text(&metadata, WORKER_ID)
            .or(Some(asked.worker_instance_id.as_str()).filter(|id| !id.is_empty()));
        let sdk = text(&metadata, "x-user-agent").or_else(|| text(&metadata, "user-agent"));
        let rewinds = Rewinds::of(sdk.unwrap_or_default());
        let profile = WorkerProfile {
            id: id.or(peer.as_deref()).unwrap_or("unknown").chars().take(200).collect(),
            sdk: sdk.map(|sdk| sdk.chars().take(200).collect()),
            peer,
            filters: asked.work_item_filters.map(filters),
            slots: slots([
                asked.max_concurrent_orchestration_work_items,
                asked.max_concurrent_activity_work_items,
                asked.max_concurrent_entity_work_items,
            ])?,
        };
        tracing::info!(hub = hub.info().name, worker = profile.id, sdk = ?profile.sdk, "a worker connects");
        let connection = hub.connect(profile).await.map_err(status)?;
        let feed = Feed { hub, connection, streams_history, rewinds, stopping: self.stopping.clone() };
        let items = stream::unfold(Some(feed), |feed| async move {
            let mut feed = feed?;
            match feed.next().await {
                Ok(item) => Some((Ok(item), Some(feed))),
                // Ends the stream; what is out goes to others.
                Err(end) => Some((Err(end), None)),
            }
        });
        Ok(Response::new(caller.guard(items)))
    }

    pub(super) async fn complete_turn(
        &self,
        request: Request<wire::OrchestratorResponse>,
    ) -> Result<Response<wire::CompleteTaskResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let response = request.into_inner();
        let id = InstanceId::new(&response.instance_id)
            .map_err(|e| Status::invalid_argument(format!("OrchestratorResponse.instanceId: {e}")))?;
        let token = find(&hub, &response.completion_token, ItemKey::Turn(id.clone())).await?;
        let Some(token) = token else { return stale() };
        if response.requires_history {
            // It is sent whole again: nothing was done.
            return abandoned(hub.abandon(token, Kind::Orchestration).await).map(|()| done());
        }
        let Some(lease) = hub.lease(token).await.map_err(status)? else {
            return completed(hub.returned(token).await.map_err(status)?);
        };
        let number = response.chunk_index.and_then(|index| usize::try_from(index).ok());
        let part = response.is_partial.then(|| response.encoded_len());
        let outcome = match turn_outcome(&id, lease.execution, response) {
            Ok(outcome) => outcome,
            Err(problem) => {
                // Nobody can carry this out. It goes to somebody else, and if all answer so it fails.
                hub.reject(token, Kind::Orchestration, problem.message()).await.map_err(status)?;
                return Err(problem);
            }
        };
        if let Some(bytes) = part {
            let kept = hub.keep_part(token, number, outcome, bytes).await.map_err(status)?;
            return kept.map(|()| done()).map_err(status);
        }
        completed(hub.complete_turn(token, outcome).await.map_err(status)?)
    }

    pub(super) async fn complete_activity(
        &self,
        request: Request<wire::ActivityResponse>,
    ) -> Result<Response<wire::CompleteTaskResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let response = request.into_inner();
        let id = InstanceId::new(&response.instance_id)
            .map_err(|e| Status::invalid_argument(format!("ActivityResponse.instanceId: {e}")))?;
        let key = ItemKey::Activity(id, ExecutionId(0), response.task_id);
        let Some(token) = find(&hub, &response.completion_token, key).await? else { return stale() };
        completed(hub.complete_activity(token, activity::from_wire(response)).await.map_err(status)?)
    }

    pub(super) async fn complete_entity(
        &self,
        request: Request<wire::EntityBatchResult>,
    ) -> Result<Response<wire::CompleteTaskResponse>, Status> {
        let hub = self.hub_of(&request).await?;
        let result = request.into_inner();
        let Some(token) = parse(&result.completion_token) else { return stale() };
        let Some(lease) = hub.lease(token).await.map_err(status)? else {
            return completed(hub.returned(token).await.map_err(status)?);
        };
        if result.requires_state {
            return abandoned(hub.abandon(token, Kind::Entity).await).map(|()| done());
        }
        let outcome = match outcome::from_wire(result, lease.operations) {
            Ok(outcome) if outcome.results.is_empty() && lease.operations > 0 => {
                // Handed out again at once it would come back like this again and again.
                let problem = "no operation of the batch has a result";
                hub.reject(token, Kind::Entity, problem).await.map_err(status)?;
                return Ok(done());
            }
            Ok(outcome) => outcome,
            Err(problem) => {
                hub.reject(token, Kind::Entity, &problem.to_string()).await.map_err(status)?;
                return Err(status(problem));
            }
        };
        completed(hub.complete_entity(token, outcome).await.map_err(status)?)
    }

    /// Takes work back untouched. What is not out any more needs no taking back.
    pub(super) async fn abandon<T>(
        &self,
        request: Request<T>,
        kind: Kind,
        token: impl FnOnce(T) -> String,
    ) -> Result<(), Status> {
        let hub = self.hub_of(&request).await?;
        let Some(token) = parse(&token(request.into_inner())) else {
            return Err(Status::not_found(STALE));
        };
        abandoned(hub.abandon(token, kind).await)
    }
}

/// What a turn of an execution decided.
fn turn_outcome(
    id: &InstanceId,
    execution: ExecutionId,
    response: wire::OrchestratorResponse,
) -> Result<TurnOutcome, Status> {
    let of = Execution { instance_id: id.as_str(), execution_id: execution };
    let actions = response.actions.into_iter().map(|action| action::from_wire(action, of));
    let actions = actions.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>();
    let mut actions = actions.map_err(status)?;
    check_ids(&actions)?;
    // A completion is last, in whatever order a worker gives: all that stands beside it counts.
    actions.sort_by_key(|action| matches!(action.kind, ActionKind::Complete(_)));
    let goes_on = actions
        .last()
        .is_some_and(|action| matches!(action.kind, ActionKind::Complete(Completion::ContinuedAsNew { .. })));
    let custom_status = match response.custom_status {
        // Each replay computes it anew; only across a continue-as-new is the old one kept.
        None if goes_on => None,
        _ if response.custom_status_unchanged => None,
        custom_status => Some(custom_status),
    };
    let span = response.orchestration_trace_context.map(trace::span_from_wire);
    let awaits = response.awaited_events;
    Ok(TurnOutcome { actions, custom_status, span, awaits, ..TurnOutcome::default() })
}

/// Each action that leaves an event needs an id of its own.
fn check_ids(actions: &[Action]) -> Result<(), Status> {
    let mut ids = BTreeSet::new();
    for Action { id, kind } in actions {
        if kind.leaves_event() && (*id < 0 || !ids.insert(*id)) {
            let text = format!("OrchestratorAction.id is {id}: give each action an id of its own, from 0");
            return Err(Status::invalid_argument(text));
        }
    }
    Ok(())
}

const STALE: &str = "no such work item is out under this completion token: it was given to another worker, or was never given";

fn stale<T>() -> Result<T, Status> {
    Err(Status::not_found(STALE))
}

fn done() -> Response<wire::CompleteTaskResponse> {
    Response::new(wire::CompleteTaskResponse {})
}

fn completed(completed: Completed) -> Result<Response<wire::CompleteTaskResponse>, Status> {
    match completed {
        Completed::Taken | Completed::Stale => Ok(done()),
        Completed::Unknown => stale(),
    }
}

fn abandoned(abandoned: Result<bool, strandline_engine::runtime::CallError>) -> Result<(), Status> {
    if abandoned.map_err(status)? { Ok(()) } else { stale() }
}

fn parse(token: &str) -> Option<Token> {
    let hex = token.len() == 32 && token.bytes().all(|b| b.is_ascii_hexdigit());
    u128::from_str_radix(token, 16).ok().filter(|_| hex).map(Token)
}

/// The token a worker returned; one that returned none means what is out for that instance.
async fn find(hub: &Hub, token: &str, key: ItemKey) -> Result<Option<Token>, Status> {
    if token.is_empty() {
        return hub.leased(&key).await.map_err(status);
    }
    Ok(parse(token))
}

fn slots(asked: [i32; 3]) -> Result<Slots, Status> {
    let count = |n: i32| {
        let text =
            "GetWorkItemsRequest.maxConcurrent*WorkItems: give 0 (as many as the server likes) or more";
        usize::try_from(n).map_err(|_| Status::invalid_argument(text))
    };
    let [orchestrations, activities, entities] = asked;
    Ok(Slots::asked([count(orchestrations)?, count(activities)?, count(entities)?]))
}

fn filters(filters: wire::WorkItemFilters) -> Filters {
    fn add(by_name: &mut BTreeMap<String, Versions>, name: String, versions: Vec<String>) {
        let versions = Versions::listed(versions);
        let versions = match by_name.remove(&name) {
            Some(others) => others.or(versions),
            None => versions,
        };
        by_name.insert(name, versions);
    }
    let mut taken = Filters::default();
    for filter in filters.orchestrations {
        add(&mut taken.orchestrations, filter.name, filter.versions);
    }
    for filter in filters.activities {
        add(&mut taken.activities, filter.name, filter.versions);
    }
    taken.entities = filters.entities.into_iter().map(|filter| filter.name.to_ascii_lowercase()).collect();
    taken
}

/// The work of one stream.
struct Feed {
    hub: Hub,
    connection: Connection,
    streams_history: bool,
    rewinds: Rewinds,
    stopping: CancellationToken,
}

impl Feed {
    async fn next(&mut self) -> Result<wire::WorkItem, Status> {
        tokio::select! {
            item = self.connection.next() => match item {
                Some(item) => self.to_wire(item).await,
                // Not an orderly end: some workers reconnect after one without any delay.
                None => Err(Status::unavailable("the task hub starts over or is gone: connect again")),
            },
            () = self.stopping.cancelled() => Err(Status::unavailable("the server stops: connect again later")),
            () = tokio::time::sleep(PING_EVERY) => {
                let request = Some(Item::HealthPing(wire::HealthPing {}));
                Ok(wire::WorkItem { completion_token: String::new(), request })
            }
        }
    }

    async fn to_wire(&self, item: WorkItem) -> Result<wire::WorkItem, Status> {
        let WorkItem { token, work } = item;
        let request = match work {
            Work::Turn(turn) => {
                Item::OrchestratorRequest(turn_to_wire(*turn, self.streams_history, self.rewinds))
            }
            Work::Activity(activity) => Item::ActivityRequest(activity_to_wire(&activity)),
            Work::Entity(batch) => {
                let now = self.hub.now().await.map_err(status)?;
                let state = batch.state.as_deref();
                let operations: Vec<_> = batch.operations.iter().map(|operation| &**operation).collect();
                Item::EntityRequestV2(entity::request_to_wire(&batch.entity, state, &operations, now))
            }
        };
        let item = wire::WorkItem { completion_token: format!("{:032x}", token.0), request: Some(request) };
        self.connection.sent(token, item.encoded_len());
        Ok(item)
    }
}

/// Whether a worker is shown that its instance was rewound. The hub has seen to all that follows from it;
/// some SDKs fail at an event they don't know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rewinds {
    Shown,
    LeftOut,
}

impl Rewinds {
    /// For workers with this user agent.
    fn of(agent: &str) -> Self {
        let agent = agent.to_ascii_lowercase();
        let java = agent.contains("java") && !agent.contains("javascript");
        if java || agent.starts_with("grpc-go") { Self::LeftOut } else { Self::Shown }
    }

    fn show(self, event: &HistoryEvent) -> bool {
        self == Self::Shown || !matches!(event.kind(), EventKind::ExecutionRewound(_))
    }
}

fn turn_to_wire(turn: Turn, streams_history: bool, rewinds: Rewinds) -> wire::OrchestratorRequest {
    let of = Execution { instance_id: turn.instance.as_str(), execution_id: turn.execution };
    let events = |events: &[_]| -> Vec<_> {
        let shown = events.iter().filter(|e: &&std::sync::Arc<_>| rewinds.show(e));
        shown.map(|e| history::to_wire(e, of)).collect()
    };
    let mut past_events = events(turn.past.as_deref().unwrap_or_default());
    let requires_history_streaming = streams_history
        && past_events.iter().map(prost::Message::encoded_len).sum::<usize>() > STREAMED_HISTORY_BYTES;
    if requires_history_streaming {
        past_events.clear();
    }
    wire::OrchestratorRequest {
        instance_id: turn.instance.to_string(),
        execution_id: Some(turn.execution.to_string()),
        past_events,
        new_events: events(&turn.new),
        requires_history_streaming,
        orchestration_trace_context: turn.span.as_ref().map(trace::span_to_wire),
        past_event_count: Some(turn.seen as u64),
        ..Default::default()
    }
}

fn activity_to_wire(activity: &strandline_engine::pipeline::ActivityDispatch) -> wire::ActivityRequest {
    let instance = wire::OrchestrationInstance {
        instance_id: activity.instance.to_string(),
        execution_id: Some(activity.execution.to_string()),
    };
    let mut request = wire::ActivityRequest {
        orchestration_instance: Some(instance),
        task_id: activity.task_id,
        ..Default::default()
    };
    if let EventKind::TaskScheduled(task) = activity.scheduled.kind() {
        request.name.clone_from(&task.name);
        request.version.clone_from(&task.version);
        request.input.clone_from(&task.input);
        request.tags.clone_from(&task.tags);
        request.parent_trace_context = task.trace.as_deref().map(trace::to_wire);
    }
    request
}
