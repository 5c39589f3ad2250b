//! Looking at instances.

use std::sync::Arc;

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use strandline_engine::pipeline::{Answer, Read};
use strandline_engine::runtime::InstancePage;
use strandline_hub::InstanceStatus;
use strandline_hub::query::InstanceQuery;
use strandline_model::{InstanceId, RuntimeStatus};

use super::Call;
use super::answer::{self, Problem};
use super::history::{self, Show};
use super::status::Status;
use super::urls;

/// When to ask again for what is not over, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");
/// Bytes of payloads after which a page is closed.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

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
    let show_history = call.query.flag("showHistory").unwrap_or(false);
    let mut response = if show_history && instance.status != RuntimeStatus::Pending {
        tell_history(&call, &instance).await?
    } else {
        tell(&call, &instance)
    };
    if !instance.status.is_terminal() {
        let headers = response.headers_mut();
        headers.extend(urls::own(&call, &id).map(|url| (header::LOCATION, url)));
        headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    Ok(response)
}

/// The answer that tells of an instance.
pub(super) fn tell(call: &Call, instance: &InstanceStatus) -> Response {
    answer::json(code(call, instance.status), &Status::of(instance, call.shows_input()))
}

async fn tell_history(call: &Call, instance: &InstanceStatus) -> Result<Response, Problem> {
    let input = call.shows_input();
    let output = call.query.flag("showHistoryOutput").unwrap_or(false);
    let status = answer::bytes(&Status::of(instance, input))?;
    let body = history::with_history(&call.hub, &instance.id, status, Show { input, output }).await?;
    let body = body.ok_or(Problem::Empty(StatusCode::NOT_FOUND))?;
    Ok(answer::written(code(call, instance.status), body))
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
    let InstancePage { mut instances, mut continuation_token } =
        call.hub.list(&query, call.continuation()?, call.page_size()).await?;
    let input = call.shows_input();
    let mut bytes = 0;
    let fits = |instance: &&InstanceStatus| {
        bytes += Status::weight(instance, input);
        bytes <= PAGE_BYTES
    };
    let count = instances.iter().take_while(fits).count().max(1);
    if count < instances.len() {
        instances.truncate(count);
        if let Some(last) = instances.last() {
            continuation_token = Some(call.hub.token_after(&*query, last).await?);
        }
    }
    let page: Vec<_> = instances.iter().map(|instance| Status::of(instance, input)).collect();
    Ok(answer::page(&page, continuation_token))
}
