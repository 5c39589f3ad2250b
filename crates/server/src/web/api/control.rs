//! Telling instances what to do.

use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use strandline_engine::maintenance::MaintenanceError;
use strandline_hub::{Command, Refusal, Reply};
use strandline_model::InstanceId;
use utoipa::ToSchema;

use super::admitted::{self, Id, In, path};
use super::instances::started;
use super::json::MaybeJson;
use super::params::NoParams;
use super::payload::{Payload, PayloadBody};
use super::problem::{Problem, ProblemType};
use crate::service::new_instance_id;
use crate::web::App;

/// The name of an event in the path.
pub(super) struct EventName(String);

impl axum::extract::FromRequestParts<App> for EventName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut http::request::Parts, app: &App) -> Result<Self, Problem> {
        Ok(Self(path(parts, app, "name").await?.unwrap_or_default()))
    }
}

/// Why something is done.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Reason {
    reason: Option<String>,
}

/// How to end an instance.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Termination {
    /// It becomes the output.
    reason: Option<String>,
    /// Ends its sub-orchestrations, too, and theirs.
    recursive: bool,
}

/// How to start an instance again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Restart {
    under: Under,
    /// The id for `newId`; without one the server makes one.
    #[schema(min_length = 1, max_length = 256)]
    new_instance_id: Option<String>,
}

/// Which id an instance is started again under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum Under {
    /// A new one, whatever the instance does.
    #[default]
    NewId,
    /// Its own, which replaces what was there; it must be over.
    SameId,
}

/// Raises an external event. The body is its payload, kept byte for byte; none at all is no payload.
#[utoipa::path(post, path = "/hubs/{hub}/instances/{id}/events/{name}", operation_id = "raiseEvent",
    tag = "instances",
    request_body(content((Option<Payload> = "application/json"), (String = "text/plain"),
        (Vec<u8> = "application/octet-stream"))),
    responses((status = 202, description = "It will not be lost; the instance sees it in its next turn."),
        (status = 410, body = Problem, description = "The instance is over."),
    ),
    security(("accessKey" = ["raiseEvent"])))]
pub(super) async fn raise(
    at: In<admitted::RaiseEvent>,
    _: NoParams,
    Id(id): Id,
    EventName(name): EventName,
    PayloadBody(input): PayloadBody,
) -> Result<StatusCode, Problem> {
    let told = tell(&at, &id, Command::RaiseEvent { id: id.clone(), name, input }).await;
    told.map_err(|problem| problem.of_parameter("name"))
}

/// Ends an instance.
#[utoipa::path(post, path = "/hubs/{hub}/instances/{id}/terminate", operation_id = "terminateInstance",
    tag = "instances",
    request_body = Option<Termination>,
    responses((status = 202, description = "It ends with its next turn."),
        (status = 410, body = Problem, description = "The instance is over."),
    ),
    security(("accessKey" = ["terminate"])))]
pub(super) async fn terminate(
    at: In<admitted::Terminate>,
    _: NoParams,
    Id(id): Id,
    MaybeJson(how): MaybeJson<Termination>,
) -> Result<StatusCode, Problem> {
    let Termination { reason, recursive } = how;
    // An output is JSON.
    let reason = reason.map(|reason| serde_json::Value::from(reason).to_string());
    tell(&at, &id, Command::Terminate { id: id.clone(), reason, recursive }).await
}

/// Suspends an instance: it takes no turns until it is resumed.
#[utoipa::path(post, path = "/hubs/{hub}/instances/{id}/suspend", operation_id = "suspendInstance",
    tag = "instances",
    request_body = Option<Reason>,
    responses((status = 202, description = "It will be."),
        (status = 409, body = Problem, description = "It is suspended already."),
        (status = 410, body = Problem, description = "The instance is over."),
    ),
    security(("accessKey" = ["suspend"])))]
pub(super) async fn suspend(
    at: In<admitted::Suspend>,
    _: NoParams,
    Id(id): Id,
    MaybeJson(why): MaybeJson<Reason>,
) -> Result<StatusCode, Problem> {
    tell(&at, &id, Command::Suspend { id: id.clone(), reason: why.reason }).await
}

/// Lets a suspended instance go on.
#[utoipa::path(post, path = "/hubs/{hub}/instances/{id}/resume", operation_id = "resumeInstance",
    tag = "instances",
    request_body = Option<Reason>,
    responses((status = 202, description = "It goes on."),
        (status = 409, body = Problem, description = "It is not suspended."),
        (status = 410, body = Problem, description = "The instance is over."),
    ),
    security(("accessKey" = ["resume"])))]
pub(super) async fn resume(
    at: In<admitted::Resume>,
    _: NoParams,
    Id(id): Id,
    MaybeJson(why): MaybeJson<Reason>,
) -> Result<StatusCode, Problem> {
    tell(&at, &id, Command::Resume { id: id.clone(), reason: why.reason }).await
}

/// Lets a failed instance do again what failed, and go on from there.
#[utoipa::path(post, path = "/hubs/{hub}/instances/{id}/rewind", operation_id = "rewindInstance",
    tag = "instances",
    request_body = Option<Reason>,
    responses((status = 202, description = "It goes on, as a new execution."),
        (status = 412, body = Problem, description = "It has not failed."),
    ),
    security(("accessKey" = ["rewind"])))]
pub(super) async fn rewind(
    at: In<admitted::Rewind>,
    _: NoParams,
    Id(id): Id,
    MaybeJson(why): MaybeJson<Reason>,
) -> Result<StatusCode, Problem> {
    accepted(at.hub.rewind(&id, why.reason).await?)
}

/// Starts an instance again, with the input, version and tags it had last.
#[utoipa::path(post, path = "/hubs/{hub}/instances/{id}/restart", operation_id = "restartInstance",
    tag = "instances",
    request_body = Option<Restart>,
    responses((status = 201, body = super::instances::Started, description = "It exists.",
            headers(("location" = String, description = "Its path."))),
        (status = 409, body = Problem, description = "The new id is taken."),
        (status = 412, body = Problem, description = "It is not over: only under a new id it can be started again."),
    ),
    security(("accessKey" = ["restart"])))]
pub(super) async fn restart(
    at: In<admitted::Restart>,
    _: NoParams,
    Id(id): Id,
    MaybeJson(how): MaybeJson<Restart>,
) -> Result<Response, Problem> {
    let hub = &at.hub.info().name;
    match (how.under, how.new_instance_id) {
        (Under::SameId, Some(_)) => {
            Err(Problem::body("newInstanceId", "with under=sameId the instance keeps its id"))
        }
        (Under::SameId, None) => match at.hub.restart(&id).await {
            // There is nothing wrong with the id: it is too early.
            Err(MaintenanceError::Refused { refusal: Refusal::AlreadyExists { .. }, .. }) => {
                let detail = "the instance is not over: terminate it first, or restart it under a new id";
                Err(Problem::new(ProblemType::InstanceNotOver, detail))
            }
            done => {
                done?;
                Ok(started(hub, &id, None))
            }
        },
        (Under::NewId, new) => {
            let new = match new {
                Some(new) => InstanceId::new(&new)
                    .map_err(|error| Problem::body("newInstanceId", error.to_string()))?,
                None => new_instance_id(),
            };
            at.hub.restart_as_new(&id, &new).await?;
            Ok(started(hub, &new, None))
        }
    }
}

async fn tell<N>(at: &In<N>, id: &InstanceId, command: Command) -> Result<StatusCode, Problem> {
    accepted(at.hub.command(id, command).await?)
}

/// Nothing is taken in silence that changes nothing.
fn accepted(reply: Reply) -> Result<StatusCode, Problem> {
    match reply {
        Reply::Refused(refusal) => Err(refusal.into()),
        Reply::Unchanged => {
            Err(Problem::new(ProblemType::Unchanged, "the instance was so already: nothing has changed"))
        }
        Reply::Accepted | Reply::Started { .. } => Ok(StatusCode::ACCEPTED),
    }
}
