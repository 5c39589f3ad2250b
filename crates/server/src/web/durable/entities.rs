//! Entities: signals to them, their states, lists of them.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use strandline_engine::pipeline::{Answer, Read};
use strandline_engine::runtime::EntityPage;
use strandline_hub::query::EntityQuery;
use strandline_hub::{Command, EntityStatus, Reply};
use strandline_model::{EntityId, EntityOperation};

use super::answer::{self, Problem};
use super::payload::Payload;
use super::{Call, FORBIDDEN, PAGE_BYTES, trace};
use crate::service::lists;
use crate::web::body::{self, BodyError};

/// In a path, what stands for the empty key. Only where something is read.
const EMPTY_KEY: &str = "$";
/// The operation that deletes an entity's state.
const DELETE: &str = "delete";

/// Sends the operation that the query names.
pub(super) async fn signal(call: Call, body: Body) -> Result<Response, Problem> {
    let operation = call.query.text("op").unwrap_or_default();
    send(call, body, operation).await
}

pub(super) async fn delete(call: Call, body: Body) -> Result<Response, Problem> {
    send(call, body, DELETE.to_owned()).await
}

async fn send(call: Call, body: Body, operation: String) -> Result<Response, Problem> {
    let id = target(&call)?.instance_id();
    let operation = EntityOperation {
        request_id: uuid::Uuid::new_v4().to_string(),
        name: operation,
        input: input(&call, body).await?,
        trace: trace::context(&call.head.headers).map(Box::new),
        ..EntityOperation::default()
    };
    match call.hub.command(&id, Command::SignalEntity { id: id.clone(), operation }).await? {
        Reply::Refused(refusal) => Err(refusal.into()),
        _ => Ok(answer::empty(StatusCode::ACCEPTED)),
    }
}

/// The entity a signal goes to.
fn target(call: &Call) -> Result<EntityId, Problem> {
    let invalid = |why: String| Problem::bad_request(format!("Invalid entity id: {why}"));
    let (name, key) = (call.segment("function").unwrap_or_default(), call.segment("key").unwrap_or_default());
    match name.chars().chain(key.chars()).find(|c| FORBIDDEN.contains(c)) {
        Some(c) => Err(invalid(format!("names and keys hold no {c:?}"))),
        None => EntityId::new(name, key).map_err(|error| invalid(error.to_string())),
    }
}

/// JSON if its type says so, otherwise a JSON string of whatever text it is.
async fn input(call: &Call, body: Body) -> Result<Option<String>, Problem> {
    let (headers, limits) = (&call.head.headers, &call.app.settings.limits);
    let body = body::read(headers, body, limits).await?;
    if call.says_json() {
        let json = body::json(&body, limits);
        return json.map_err(|error| Problem::bad_request(format!("Could not parse JSON content: {error}")));
    }
    match std::str::from_utf8(&body) {
        Ok("") => Ok(None),
        Ok(text) => Ok(Some(serde_json::Value::from(text).to_string())),
        Err(_) => Err(BodyError::NotText.into()),
    }
}

/// The state of an entity, bare.
pub(super) async fn get(call: Call) -> Result<Response, Problem> {
    let absent = Problem::Empty(StatusCode::NOT_FOUND);
    let key = call.segment("key").filter(|key| *key != EMPTY_KEY).unwrap_or_default();
    // An id that no entity can have is one that none has.
    let Ok(id) = EntityId::new(call.segment("entity").unwrap_or_default(), key) else { return Err(absent) };
    let Answer::Entity(found) = call.hub.read(&id.instance_id(), Read::Entity).await? else {
        return Err(absent);
    };
    // Without a state it does not exist for clients, though operations may wait for it.
    let state = found.and_then(|entity| entity.state).ok_or(absent)?;
    Ok(answer::json(StatusCode::OK, &Payload(Some(&state))))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    entity_id: Id<'a>,
    last_operation_time: String,
    state: Payload<'a>,
}

#[derive(Serialize)]
struct Id<'a> {
    name: &'a str,
    key: &'a str,
}

impl<'a> Listed<'a> {
    fn of(entity: &'a EntityStatus, with_state: bool) -> Option<Self> {
        let (name, key) = entity.id.as_str().strip_prefix('@')?.split_once('@')?;
        Some(Self {
            entity_id: Id { name, key },
            last_operation_time: entity.modified.format(0),
            state: Payload(entity.state.as_deref().filter(|_| with_state)),
        })
    }
}

/// A page of entities, of one name or of all.
pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    let id_prefix = match call.segment("entity") {
        None => None,
        // A name that no entity can have is one that none has; as a prefix it might be one.
        Some(name) => match EntityId::new(name, "") {
            Ok(id) => Some(id.to_string()),
            Err(_) => return Ok(answer::page(&[(); 0], None)),
        },
    };
    let query = Arc::new(EntityQuery {
        id_prefix,
        modified_from: call.query.time("lastOperationTimeFrom"),
        modified_to: call.query.time("lastOperationTimeTo"),
        transient: false,
    });
    let with_state = call.query.flag("fetchState").unwrap_or(false);
    let EntityPage { entities, continuation_token } =
        call.hub.list_entities(&query, call.continuation()?, call.page_size()).await?;
    let bytes = |entity: &EntityStatus| entity.state.as_deref().filter(|_| with_state).map_or(0, str::len);
    let fit = lists::fitting(entities.iter(), PAGE_BYTES, |entity| bytes(entity));
    let token = lists::token_behind(&call.hub, &*query, &entities, fit.len(), continuation_token).await?;
    let listed = fit.into_iter().filter_map(|entity| Listed::of(entity, with_state));
    Ok(answer::page(&listed.collect::<Vec<_>>(), token))
}
