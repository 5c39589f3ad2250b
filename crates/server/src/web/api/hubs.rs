//! Task hubs.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use strandline_engine::runtime;
use strandline_store::HubInfo;
use utoipa::ToSchema;

use super::PREFIX;
use super::admitted::{Administer, Asking, Need as _, Read};
use super::fields::echo;
use super::json::{Answer, Json};
use super::params::NoParams;
use super::problem::Problem;
use crate::access::AccessError;
use crate::keys::Permission;

/// A task hub.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hub {
    name: String,
    /// How many partitions it has: set when it was made.
    partitions: u16,
    /// Partitions that run in this server now; 0 for a hub that nobody has asked for since the server started.
    running_partitions: u16,
}

impl Hub {
    fn new((info, hub): (HubInfo, Option<runtime::Hub>)) -> Self {
        let running_partitions = hub.map_or(0, |hub| hub.running_partitions());
        Self { name: info.name, partitions: info.partitions, running_partitions }
    }
}

/// All hubs that the key is good for.
#[derive(Serialize, ToSchema)]
pub(super) struct Hubs {
    hubs: Vec<Hub>,
}

/// Which hub to make.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewHub {
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-]+$")]
    name: String,
    #[serde(default)]
    if_exists: IfExists,
}

/// What becomes of a hub of the same name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum IfExists {
    /// It stays, and the request is refused.
    #[default]
    Refuse,
    /// It is deleted with all that is in it.
    Recreate,
}

/// Lists the task hubs that the key is good for, by name.
#[utoipa::path(get, path = "/hubs", operation_id = "listHubs", tag = "hubs",
    responses((status = 200, body = Hubs, description = "The hubs.")), security(("accessKey" = ["read"])))]
pub(super) async fn list(asking: Asking, _: NoParams) -> Result<Answer<Hubs>, Problem> {
    let principal = asking.caller.principal();
    principal.require(Permission::Read, "looking at task hubs")?;
    let hubs = asking.app.hubs.list().await?;
    let seen = hubs.into_iter().filter(|(info, _)| principal.sees(&info.name));
    Ok(Answer(Hubs { hubs: seen.map(Hub::new).collect() }))
}

/// Makes a task hub.
#[utoipa::path(post, path = "/hubs", operation_id = "createHub", tag = "hubs", request_body = NewHub,
    responses(
        (status = 201, body = Hub, description = "It is there, and empty.",
            headers(("location" = String, description = "Its path."))),
        (status = 409, body = Problem, description = "There is a hub of this name."),
    ),
    security(("accessKey" = ["administer"])))]
pub(super) async fn create(
    asking: Asking,
    _: NoParams,
    body: Result<Json<NewHub>, Problem>,
) -> Result<Response, Problem> {
    // Before anything is said of the body.
    asking.caller.principal().require(Administer::PERMISSION, Administer::WHAT)?;
    let Json(NewHub { name, if_exists }) = body?;
    asking.may::<Administer>(&name)?;
    let named = |problem: Problem| problem.at("name");
    match if_exists {
        IfExists::Refuse => asking.app.hubs.create(&name).await.map_err(Problem::from).map_err(named)?,
        IfExists::Recreate => asking.app.hubs.recreate(&name).await.map_err(Problem::from).map_err(named)?,
    }
    let hub = find(&asking, &name).await?;
    let mut headers = HeaderMap::new();
    // Names of hubs have no characters that a path can't have.
    if let Ok(location) = HeaderValue::from_str(&format!("{PREFIX}/hubs/{name}")) {
        headers.insert(header::LOCATION, location);
    }
    Ok((StatusCode::CREATED, headers, Answer(hub)).into_response())
}

/// Tells of one task hub.
#[utoipa::path(get, path = "/hubs/{hub}", operation_id = "getHub", tag = "hubs",
    responses((status = 200, body = Hub, description = "The hub.")), security(("accessKey" = ["read"])))]
pub(super) async fn get(asking: Asking, _: NoParams) -> Result<Answer<Hub>, Problem> {
    asking.may::<Read>(&asking.hub)?;
    Ok(Answer(find(&asking, &asking.hub).await?))
}

/// Deletes a task hub with all that is in it. It can't be brought back.
#[utoipa::path(delete, path = "/hubs/{hub}", operation_id = "deleteHub", tag = "hubs",
    responses((status = 204, description = "It is gone.")), security(("accessKey" = ["administer"])))]
pub(super) async fn delete(asking: Asking, _: NoParams) -> Result<StatusCode, Problem> {
    asking.may::<Administer>(&asking.hub)?;
    asking.app.hubs.delete(&asking.hub).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(asking: &Asking, name: &str) -> Result<Hub, Problem> {
    let hubs = asking.app.hubs.list().await?;
    let found = hubs.into_iter().find(|(info, _)| info.name == name).map(Hub::new);
    found.ok_or_else(|| AccessError::NoHub(echo(name)).into())
}
