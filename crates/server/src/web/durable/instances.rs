//! Looking at instances.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use strandline_engine::pipeline::{Answer, Read};
use strandline_engine::runtime::InstancePage;
use strandline_hub::InstanceStatus;
use strandline_hub::query::InstanceQuery;
use strandline_model::{InstanceId, RuntimeStatus};

use super::answer::{self, Problem};
use super::history::{self, Show};
use super::status::Status;
use super::{Call, PAGE_BYTES, urls};
use crate::service::lists;

/// When to ask again for what is not over, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");
/// How often a status is read again because its instance began anew while its history was read.
const ROUNDS: usize = 16;

/// The instance a call is about. An id that none can have is one that none has.
pub(super) fn named(call: &Call) -> Result<InstanceId, Problem> {
    let id = call.segment("instance").and_then(|text| InstanceId::new(text).ok());
    id.ok_or(Problem::Empty(StatusCode::NOT_FOUND))
}

/// The status of the instance a call is about.
pub(super) async fn read(call: &Call, id: &InstanceId) -> Result<Box<InstanceStatus>, Problem> {
    match call.hub.read(id, Read::Status).await? {
        Answer::Status(Some(status)) => Ok(status),
        _ => Err(Problem::Empty(StatusCode::NOT_FOUND)),
    }
}

pub(super) async fn get(call: Call) -> Result<Response, Problem> {
    let id = named(&call)?;
    let instance = read(&call, &id).await?;
    let mut response = tell(&call, instance).await?;
    if response.status() == StatusCode::ACCEPTED {
        let headers = response.headers_mut();
        headers.extend(urls::own(&call, &id).map(|url| (header::LOCATION, url)));
        headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    Ok(response)
}

/// The answer that tells of an instance, with its history if that is asked for.
pub(super) async fn tell(call: &Call, mut instance: Box<InstanceStatus>) -> Result<Response, Problem> {
    let shows_history = call.query.flag("showHistory").unwrap_or(false);
    let input = call.shows_input();
    let show = Show { input, output: call.query.flag("showHistoryOutput").unwrap_or(false) };
    for _ in 0..ROUNDS {
        let status = answer::bytes(&Status::of(&instance, input))?;
        // One that did not begin has none.
        if !shows_history || instance.status == RuntimeStatus::Pending {
            return Ok(answer::written(code(call, instance.status), Body::from(status)));
        }
        let found = tokio::select! {
            found = history::with_history(&call.hub, &instance, status, show) => found?,
            () = call.app.stopping.cancelled() => break,
        };
        if let Some(body) = found {
            return Ok(answer::written(code(call, instance.status), body));
        }
        instance = read(call, &instance.id).await?;
    }
    let text = "The instance began anew, or the server stops, while its history was read: ask again.";
    Err(Problem::message(StatusCode::SERVICE_UNAVAILABLE, text))
}

/// The code of an answer says what the instance does.
fn code(call: &Call, status: RuntimeStatus) -> StatusCode {
    match status {
        RuntimeStatus::Failed if call.fails_with_500() => StatusCode::INTERNAL_SERVER_ERROR,
        status if status.is_terminal() => StatusCode::OK,
        _ => StatusCode::ACCEPTED,
    }
}

pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    let query = Arc::new(InstanceQuery {
        statuses: call.query.statuses("runtimeStatus").into_iter().flatten().collect(),
        created_from: call.query.time("createdTimeFrom"),
        created_to: call.query.time("createdTimeTo"),
        id_prefix: call.query.text("instanceIdPrefix"),
        ..InstanceQuery::default()
    });
    let InstancePage { instances, continuation_token } =
        call.hub.list(&query, call.continuation()?, call.page_size()).await?;
    let input = call.shows_input();
    let bytes = |instance: &InstanceStatus| Status::weight(instance, input);
    let fit = lists::fitting(instances.iter(), PAGE_BYTES, |instance| bytes(instance));
    let token = lists::token_behind(&call.hub, &*query, &instances, fit.len(), continuation_token).await?;
    let page: Vec<_> = fit.into_iter().map(|instance| Status::of(instance, input)).collect();
    Ok(answer::page(&page, token))
}
