//! Telling an instance what to do.

use axum::response::Response;
use http::StatusCode;
use strandline_hub::{Command, Reply};
use strandline_model::InstanceId;

use super::Call;
use super::answer::{self, Problem};

/// The instance a call is about. An id that none can have is one that none has.
pub(super) fn instance(call: &Call) -> Result<InstanceId, Problem> {
    let id = call.segment("instance").and_then(|text| InstanceId::new(text).ok());
    id.ok_or(Problem::Empty(StatusCode::NOT_FOUND))
}

/// Carries out a command; `Ok(false)`: there was nothing to do.
async fn tell(call: &Call, id: &InstanceId, command: Command) -> Result<bool, Problem> {
    match call.hub.command(id, command).await? {
        Reply::Refused(refusal) => Err(refusal.into()),
        Reply::Unchanged => Ok(false),
        _ => Ok(true),
    }
}

/// The reason becomes the output, which is JSON.
pub(super) async fn terminate(call: Call) -> Result<Response, Problem> {
    let id = instance(&call)?;
    let reason = call.query.text("reason").map(|reason| serde_json::Value::from(reason).to_string());
    tell(&call, &id, Command::Terminate { id: id.clone(), reason, recursive: false }).await?;
    Ok(answer::empty(StatusCode::ACCEPTED))
}
