//! Starting instances, anew or again, and waiting a little for what comes of it.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use strandline_engine::maintenance::MaintenanceError;
use strandline_engine::pipeline::{Answer, Read};
use strandline_hub::{InstanceStatus, Refusal, Reply, ReusePolicy, Start};
use strandline_model::{ExecutionId, InstanceId, RuntimeStatus};

use super::answer::{self, Problem};
use super::payload::Payload;
use super::{Call, FORBIDDEN, instances, trace, urls};
use crate::grpc::displaced;
use crate::service::{new_instance_id, reuse};
use crate::settings::OverridableStates;
use crate::web::admit::Denied;

pub(super) async fn start(call: Call, body: Body) -> Result<Response, Problem> {
    let patience = patience(&call)?;
    let id = match call.segment("instance") {
        Some(text) => new_id(text)?,
        None => new_instance_id(),
    };
    let input = call.json(body).await?;
    let (trace_parent, trace_state) =
        trace::context(&call.head.headers).map(|trace| (trace.parent, trace.state)).unzip();
    let policy = match call.app.settings.hub.overridable_existing_instance_states {
        OverridableStates::NonRunning => ReusePolicy::replace_terminal(),
        OverridableStates::Any => ReusePolicy::replace_any(),
    };
    let start = Start {
        id: id.clone(),
        name: call.segment("function").unwrap_or_default().to_owned(),
        version: call.query.text("version"),
        input,
        tags: Default::default(),
        scheduled_start: None,
        reuse: reuse::by(call.caller.principal(), policy),
        execution: ExecutionId(0),
        seed: 0,
        trace_parent,
        trace_state: trace_state.flatten(),
    };
    match call.hub.start(start).await? {
        Reply::Refused(Refusal::AlreadyExists { status }) => {
            let text =
                format!("An orchestration instance with ID '{id}' and status {status} already exists.");
            Err(Problem::message(StatusCode::CONFLICT, text))
        }
        Reply::Refused(refusal) => Err(refusal.into()),
        _ => started(&call, &id, patience).await,
    }
}

pub(super) async fn restart(call: Call) -> Result<Response, Problem> {
    let patience = patience(&call)?;
    let unknown = || {
        let text = "InstanceId does not match a valid orchestration instance.";
        Problem::bad_request(text).caused_by("System.ArgumentException", text)
    };
    let id = instances::named(&call).map_err(|_| unknown())?;
    let anew = call.query.flag("restartWithNewInstanceId").unwrap_or(true);
    let (id, done) = if anew {
        let new = new_instance_id();
        let done = call.hub.restart_as_new(&id, &new).await;
        (new, done)
    } else {
        let done = call.hub.restart(&id).await;
        (id, done)
    };
    match done {
        Ok(()) => started(&call, &id, patience).await,
        Err(MaintenanceError::Refused { refusal: Refusal::NotFound, .. }) => Err(unknown()),
        Err(MaintenanceError::Refused { refusal: refusal @ Refusal::AlreadyExists { .. }, .. }) => {
            let text = "A non-terminal instance with this instance ID already exists.";
            let problem = Problem::message(StatusCode::CONFLICT, text);
            Err(problem.caused_by("System.InvalidOperationException", refusal.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

/// The id that is asked for. URLs would lose one that is a step in a path.
fn new_id(text: &str) -> Result<InstanceId, Problem> {
    if [".", ".."].contains(&text) {
        return Err(Problem::bad_request(format!("instance id {text:?} is refused: URLs can't hold it")));
    }
    if let Some(character) = text.chars().find(|c| FORBIDDEN.contains(c)) {
        return Err(Problem::bad_request(format!(
            "instance id holds the character {character:?}, which is refused"
        )));
    }
    InstanceId::new(text).map_err(|error| Problem::bad_request(error.to_string()))
}

/// How long the caller waits for the end, if at all.
fn patience(call: &Call) -> Result<Option<Duration>, Problem> {
    let timeout = call.query.number("timeout");
    if let (Some(timeout), Some(retry)) = (timeout, call.query.number("pollingInterval"))
        && retry > timeout
    {
        let text = format!("Total timeout {timeout} should be bigger than retry timeout {retry}");
        return Err(Problem::bad_request(text));
    }
    let timeout = timeout.filter(|seconds| *seconds > 0.0);
    Ok(timeout.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)))
}

/// The answer to a start: how it ended if that is soon enough, else where to ask.
async fn started(call: &Call, id: &InstanceId, patience: Option<Duration>) -> Result<Response, Problem> {
    let Some(patience) = patience else { return Ok(urls::management(call, id)) };
    Ok(match ended(call, id, patience).await? {
        Some(instance) if instance.status == RuntimeStatus::Completed => {
            answer::json(StatusCode::OK, &Payload(instance.output()))
        }
        // It was started, whatever goes wrong here.
        Some(instance) => {
            instances::tell(call, instance).await.unwrap_or_else(|_| urls::management(call, id))
        }
        None => urls::management(call, id),
    })
}

/// How an instance ended. It was started, so whatever goes wrong here the caller is told where to ask;
/// only who would not be let in any more is not.
async fn ended(
    call: &Call,
    id: &InstanceId,
    patience: Duration,
) -> Result<Option<Box<InstanceStatus>>, Problem> {
    // As if its time had run out.
    let Ok(_place) = call.app.waits.try_acquire() else { return Ok(None) };
    let place = call.peer().map(|peer| peer.waits.enter());
    tokio::select! {
        answer = call.hub.read(id, Read::Ended) => Ok(match answer {
            Ok(Answer::Status(status)) => status,
            _ => None,
        }),
        () = tokio::time::sleep(patience) => Ok(None),
        () = displaced(place.as_ref()) => Ok(None),
        () = call.app.stopping.cancelled() => Ok(None),
        error = call.caller.turned_away() => Err(Denied::from(error).into()),
    }
}
