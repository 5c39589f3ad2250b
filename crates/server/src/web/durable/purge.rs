//! Removing what is over.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use strandline_engine::maintenance::{PurgeOptions, PurgeScope};
use strandline_hub::query::InstanceQuery;
use strandline_model::EntityId;

use super::Call;
use super::answer::{self, Problem};
use super::instances;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Purged {
    instances_deleted: u64,
}

fn purged(count: u64) -> Result<Response, Problem> {
    match count {
        0 => Err(Problem::Empty(StatusCode::NOT_FOUND)),
        instances_deleted => Ok(answer::json(StatusCode::OK, &Purged { instances_deleted })),
    }
}

pub(super) async fn one(call: Call) -> Result<Response, Problem> {
    if let Some(id) = call.segment("instance").filter(|id| id.starts_with('@')) {
        let id = EntityId::parse(id).map_err(|_| Problem::Empty(StatusCode::NOT_FOUND))?;
        return purged(u64::from(call.hub.purge_entity(&id.instance_id()).await?));
    }
    let id = instances::named(&call)?;
    let done = call.hub.purge(&id, PurgeScope::Instance).await?;
    match done.not_over {
        Some((_, status)) => Err(Problem::Text(
            StatusCode::PRECONDITION_FAILED,
            format!(
                "Only orchestrations in a terminal state can be purged, but the orchestration with instance ID {id} has status {status}"
            ),
        )),
        None => purged(done.purged),
    }
}

/// Only what is over goes, whatever the query says.
pub(super) async fn many(call: Call) -> Result<Response, Problem> {
    let Some(from) = call.query.time("createdTimeFrom") else {
        let text = "Please provide value for 'createdTimeFrom' parameter.";
        return Err(Problem::Text(StatusCode::BAD_REQUEST, text.to_owned()));
    };
    // An end that can't be read must not mean that there is none.
    let to = match (call.query.text("createdTimeTo"), call.query.time("createdTimeTo")) {
        (_, Some(to)) => to,
        (None, None) => call.hub.now().await?,
        (Some(_), None) => {
            let text = "The value of the 'createdTimeTo' parameter is no time.";
            return Err(Problem::Text(StatusCode::BAD_REQUEST, text.to_owned()));
        }
    };
    let statuses = call.query.statuses("runtimeStatus");
    // A filter of which nothing can be read must not mean everything here.
    if statuses.as_ref().is_some_and(|statuses| statuses.is_empty()) {
        return purged(0);
    }
    let query = InstanceQuery {
        statuses: statuses.unwrap_or_default(),
        created_from: Some(from),
        created_to: Some(to),
        ..InstanceQuery::default()
    };
    tokio::select! {
        done = call.hub.purge_where(query, PurgeOptions::default()) => purged(done?.purged),
        () = call.app.stopping.cancelled() => {
            let text = "The server stops before everything was purged: the same request goes on with the rest.";
            Err(Problem::message(StatusCode::SERVICE_UNAVAILABLE, text))
        }
    }
}
