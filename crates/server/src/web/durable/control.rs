//! Telling an instance what to do.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use strandline_hub::{Command, Refusal, Reply};
use strandline_model::InstanceId;

use super::Call;
use super::answer::{self, Problem};
use super::instances;
use crate::web::body::BodyError;

/// Carries out a command; `unchanged` is what to say when there is nothing to do.
async fn tell(call: &Call, id: &InstanceId, command: Command, unchanged: &str) -> Result<Response, Problem> {
    match call.hub.command(id, command).await? {
        Reply::Refused(refusal) => Err(refusal.into()),
        Reply::Unchanged => Err(Problem::message(StatusCode::CONFLICT, unchanged)),
        _ => Ok(answer::empty(StatusCode::ACCEPTED)),
    }
}

/// What is wrong is told in this order: the instance, the media type, the body.
pub(super) async fn raise_event(call: Call, body: Body) -> Result<Response, Problem> {
    let id = instances::named(&call)?;
    if instances::read(&call, &id).await?.status.is_terminal() {
        return Err(Problem::Empty(StatusCode::GONE));
    }
    if !call.says_json() {
        return Err(Problem::bad_request("Only application/json request content is supported"));
    }
    let input = call.json(body).await?;
    if input.is_none() {
        return Err(BodyError::NotJson("it is empty".to_owned()).into());
    }
    let name = call.segment("event").unwrap_or_default().to_owned();
    // It may be over by now, which is decided with the event.
    tell(&call, &id, Command::RaiseEvent { id: id.clone(), name, input }, "").await
}

/// The reason becomes the output, which is JSON.
pub(super) async fn terminate(call: Call) -> Result<Response, Problem> {
    let id = instances::named(&call)?;
    let reason = call.query.text("reason").map(|reason| serde_json::Value::from(reason).to_string());
    tell(&call, &id, Command::Terminate { id: id.clone(), reason, recursive: false }, "").await
}

pub(super) async fn suspend(call: Call) -> Result<Response, Problem> {
    let id = instances::named(&call)?;
    let command = Command::Suspend { id: id.clone(), reason: call.query.text("reason") };
    tell(&call, &id, command, "The orchestration instance is suspended already.").await
}

pub(super) async fn resume(call: Call) -> Result<Response, Problem> {
    let id = instances::named(&call)?;
    let command = Command::Resume { id: id.clone(), reason: call.query.text("reason") };
    tell(&call, &id, command, "The orchestration instance is not suspended.").await
}

pub(super) async fn rewind(call: Call) -> Result<Response, Problem> {
    let unknown = || {
        let id = call.segment("instance").unwrap_or_default();
        Problem::Text(StatusCode::NOT_FOUND, format!("No orchestration with instance ID \"${id}\" found."))
    };
    let id = instances::named(&call).map_err(|_| unknown())?;
    match call.hub.rewind(&id, call.query.text("reason")).await? {
        Reply::Refused(Refusal::NotFound) => Err(unknown()),
        Reply::Refused(Refusal::NotFailed { status }) => Err(Problem::Text(
            StatusCode::PRECONDITION_FAILED,
            format!(
                "This orchestration has status {status}, but only orchestrations in the \"Failed\" state can be rewound."
            ),
        )),
        Reply::Refused(refusal) => Err(refusal.into()),
        _ => Ok(answer::empty(StatusCode::ACCEPTED)),
    }
}
