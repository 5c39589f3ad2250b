//! Entities.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use strandline_engine::maintenance::MaintenanceError;
use strandline_engine::pipeline::{Answer as Told, Read as Wanted};
use strandline_hub::query::EntityQuery;
use strandline_hub::{Command, EntityStatus, Refusal, Reply};
use strandline_model::{EntityId, EntityOperation, TraceContext};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::admitted::{self, In, OfEntity, Operate, Read};
use super::event::execution;
use super::instances::page_size;
use super::json::Answer;
use super::params::{NoParams, Params};
use super::payload::{self, Payload, PayloadBody, not_json};
use super::problem::{Problem, ProblemType};
use super::time::Time;
use super::trace::Trace;
use crate::service::lists::{self, Shown};

/// An entity.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entity {
    /// `@name@key`.
    entity_id: String,
    name: String,
    key: String,
    /// When its last operations were committed.
    last_modified_time: Time,
    /// It has a state. If not, it shows because operations wait for it, or it is locked.
    has_state: bool,
    /// Operations and lock requests that wait for it, scheduled ones included.
    queue_length: u64,
    /// The critical section that holds its lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    locked_by: Option<LockOwner>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Payload, required = false)]
    state: Option<Payload>,
    /// Names `state` if it is not JSON and stands here as a string.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    not_json: Vec<&'static str>,
}

/// A critical section of an orchestration.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LockOwner {
    instance_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_id: Option<String>,
    section_id: String,
}

impl Entity {
    fn new(entity: &EntityStatus, with_state: bool) -> Self {
        let id = entity.id.as_str();
        // The name ends at the second @.
        let (name, key) = id.get(1..).and_then(|rest| rest.split_once('@')).unwrap_or((id, ""));
        let state = entity.state.as_deref().filter(|_| with_state).map(Payload::new);
        Self {
            entity_id: id.to_owned(),
            name: name.to_owned(),
            key: key.to_owned(),
            last_modified_time: Time(entity.modified),
            has_state: entity.state.is_some(),
            queue_length: entity.backlog as u64,
            locked_by: entity.locked_by.as_ref().map(|owner| LockOwner {
                instance_id: owner.instance_id.clone(),
                execution_id: execution(&owner.execution_id),
                section_id: owner.section_id.clone(),
            }),
            not_json: not_json(&[("state", &state)]),
            state,
        }
    }

    fn bytes(&self) -> usize {
        const ALL_ELSE: usize = 1_000;
        ALL_ELSE + self.state.as_ref().map_or(0, Payload::bytes)
    }
}

/// Which entities, and which part of the list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct EntityPart {
    /// The entity's name, in any case.
    name: Option<String>,
    /// What the id, `@name@key`, begins with.
    id_prefix: Option<String>,
    /// Changed last at this time or later.
    modified_from: Option<Time>,
    /// Changed last before this time.
    modified_to: Option<Time>,
    /// Lists those without a state, too: operations wait for them, or they are locked.
    transient: bool,
    /// Whether states are shown.
    state: bool,
    /// How many at most; 100 unless said otherwise. There may be fewer, even none, though more follow.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
    /// Where the page begins: the `nextToken` of the page before, from the same query.
    token: Option<String>,
}

/// Part of a list of entities.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entities {
    entities: Vec<Entity>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// Lists entities by id, page by page.
#[utoipa::path(get, path = "/hubs/{hub}/entities", operation_id = "listEntities", tag = "entities",
    params(EntityPart),
    responses((status = 200, body = Entities, description = "A page.")), security(("accessKey" = ["read"])))]
pub(super) async fn list(
    at: In<Read>,
    Params(part): Params<EntityPart>,
) -> Result<Answer<Entities>, Problem> {
    let id_prefix = match (part.name, part.id_prefix) {
        (Some(_), Some(_)) => return Err(Problem::parameter("idPrefix", "give name or idPrefix, not both")),
        (Some(name), None) => Some(format!("@{}@", name.to_lowercase())),
        (None, prefix) => {
            prefix.filter(|prefix| !prefix.is_empty()).map(|prefix| lists::entity_prefix(&prefix))
        }
    };
    let time = |time: Option<Time>| time.map(|time| time.0);
    let query = EntityQuery {
        id_prefix,
        modified_from: time(part.modified_from),
        modified_to: time(part.modified_to),
        transient: part.transient,
    };
    let size = page_size(part.limit)?;
    let show = match part.state {
        true => |entity: &EntityStatus| Entity::new(entity, true),
        false => |entity: &EntityStatus| Entity::new(entity, false),
    };
    let shown = Shown { show, bytes: Entity::bytes };
    let (entities, next_token) =
        lists::entities(&at.hub, &Arc::new(query), part.token.as_deref(), size, shown).await?;
    Ok(Answer(Entities { entities, next_token }))
}

/// Tells of an entity: its state, how much waits for it, and who holds its lock.
#[utoipa::path(get, path = "/hubs/{hub}/entities/{id}", operation_id = "getEntity", tag = "entities",
    responses((status = 200, body = Entity, description = "The entity.")), security(("accessKey" = ["read"])))]
pub(super) async fn get(
    at: In<Read>,
    _: NoParams,
    OfEntity(id): OfEntity,
) -> Result<Answer<Entity>, Problem> {
    Ok(Answer(Entity::new(&*find(&at, &id).await?, true)))
}

/// Downloads the state of an entity, byte for byte.
#[utoipa::path(get, path = "/hubs/{hub}/entities/{id}/state", operation_id = "downloadState", tag = "entities",
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream",
        description = "The state.")),
    security(("accessKey" = ["read"])))]
pub(super) async fn download(at: In<Read>, _: NoParams, OfEntity(id): OfEntity) -> Result<Response, Problem> {
    payload::download("state", find(&at, &id).await?.state.as_deref())
}

async fn find(at: &In<Read>, id: &EntityId) -> Result<Box<EntityStatus>, Problem> {
    match at.hub.read(&id.instance_id(), Wanted::Entity).await? {
        Told::Entity(Some(entity)) => Ok(entity),
        _ => Err(nothing(id)),
    }
}

fn nothing(id: &EntityId) -> Problem {
    Problem::new(ProblemType::EntityNotFound, format!("there is nothing of entity {id}"))
}

/// An operation for an entity.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Signal {
    /// The operation's name.
    operation: String,
    /// Not before then.
    at: Option<Time>,
}

/// What was sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Signaled {
    /// A GUID, which is the operation's from now on.
    request_id: String,
}

/// Sends an entity an operation, without waiting for it. The body is its input, kept byte for byte; none at all
/// is no input.
#[utoipa::path(post, path = "/hubs/{hub}/entities/{id}/signals", operation_id = "signalEntity", tag = "entities",
    params(Signal),
    request_body(content((Option<Payload> = "application/json"), (String = "text/plain"),
        (Vec<u8> = "application/octet-stream"))),
    responses((status = 202, body = Signaled, description = "It waits for the entity, and survives a crash.")),
    security(("accessKey" = ["signal"])))]
pub(super) async fn signal(
    at: In<admitted::Signal>,
    OfEntity(id): OfEntity,
    Params(signal): Params<Signal>,
    trace: Trace,
    PayloadBody(input): PayloadBody,
) -> Result<(StatusCode, Answer<Signaled>), Problem> {
    let request_id = Uuid::new_v4().to_string();
    let operation = EntityOperation {
        request_id: request_id.clone(),
        name: signal.operation,
        input,
        caller: None,
        scheduled_time: signal.at.map(|time| time.0),
        trace: trace.parent.map(|parent| Box::new(TraceContext { parent, state: trace.state })),
    };
    let target = id.instance_id();
    match at.hub.command(&target, Command::SignalEntity { id: target.clone(), operation }).await? {
        Reply::Refused(refusal) => Err(Problem::from(refusal).of_parameter("operation")),
        _ => Ok((StatusCode::ACCEPTED, Answer(Signaled { request_id }))),
    }
}

/// Removes an entity: its state and what waits for it, whose callers are told.
#[utoipa::path(delete, path = "/hubs/{hub}/entities/{id}", operation_id = "deleteEntity", tag = "entities",
    responses((status = 204, description = "It is gone."),
        (status = 409, body = Problem, description = "Its lock is held, or its operations run."),
    ),
    security(("accessKey" = ["operate"])))]
pub(super) async fn delete(
    at: In<Operate>,
    _: NoParams,
    OfEntity(id): OfEntity,
) -> Result<StatusCode, Problem> {
    match at.hub.purge_entity(&id.instance_id()).await {
        Ok(true) => Ok(StatusCode::NO_CONTENT),
        Ok(false) | Err(MaintenanceError::Refused { refusal: Refusal::NotFound, .. }) => Err(nothing(&id)),
        Err(error) => Err(error.into()),
    }
}

/// Which part of the entities to look at.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct CleanupPart {
    /// The `nextToken` of the answer before.
    token: Option<String>,
}

/// What was put right.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cleanup {
    /// Locks that nobody would have given back.
    released_locks: u64,
    /// For the rest; absent when all entities were looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// Gives back locks whose orchestration is over or gone. The hub does so by itself; this is for hubs that
/// somebody has doubts about. Entities of which nothing is left are gone by themselves.
#[utoipa::path(post, path = "/hubs/{hub}/entity-cleanups", operation_id = "cleanEntities", tag = "entities",
    params(CleanupPart),
    responses((status = 200, body = Cleanup, description = "What was put right.")),
    security(("accessKey" = ["operate"])))]
pub(super) async fn clean(
    at: In<Operate>,
    Params(CleanupPart { token }): Params<CleanupPart>,
) -> Result<Answer<Cleanup>, Problem> {
    let page = at.hub.release_orphaned_locks(token.as_deref()).await?;
    Ok(Answer(Cleanup { released_locks: page.released, next_token: page.continuation_token }))
}
