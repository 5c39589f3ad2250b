//! Instances: starting them, looking at one, and at many.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use strandline_engine::pipeline::{Answer as Told, Read as Until};
use strandline_hub::query::{Order, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
use strandline_hub::{InstanceStatus, Refusal, Reply, Start};
use strandline_model::limits::INSTANCE_ID_BYTES_MAX;
use strandline_model::{ExecutionId, InstanceId};
use utoipa::{IntoParams, ToSchema};

use super::PREFIX;
use super::admitted::{self, Asking, Id, In, Read, path};
use super::filter::Filter;
use super::instance::{Instance, Payloads, Status};
use super::json::{Answer, Json};
use super::params::{NoParams, Params, TwoParams};
use super::payload;
use super::problem::{Problem, ProblemType};
use super::time::Time;
use super::trace::Trace;
use crate::service::lists::{self, Shown};
use crate::service::{new_instance_id, reuse};
use crate::web::{App, wait};

/// The longest that one request waits for an instance, and how long it does unless said otherwise.
const WAIT_SECONDS_MAX: u64 = 300;
const WAIT_SECONDS: u64 = 30;

/// What stands in a path as it is.
const UNRESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'@');

/// An instance to start.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewInstance {
    /// The orchestrator's name. It need not be served yet.
    #[schema(min_length = 1, max_length = 256)]
    name: String,
    /// Its id; without one the server makes one.
    #[schema(min_length = 1, max_length = 256)]
    instance_id: Option<String>,
    #[schema(max_length = 256)]
    version: Option<String>,
    /// The input: any JSON, kept byte for byte. `null` is an input; without the field there is none.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = payload::Payload, required = false)]
    input: Option<Box<RawValue>>,
    /// An input that is not JSON, instead of `input`.
    input_text: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    /// It stays pending until then.
    start_at: Option<Time>,
    /// An existing instance of this id is replaced in these states, and terminated before if it is not over;
    /// then `Terminated` must be among them. In others the request is refused, as it is without the field.
    #[serde(default)]
    replaceable: Vec<Status>,
}

/// `null` is a payload, too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// What was started.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Started {
    pub(super) instance_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) execution_id: Option<String>,
}

/// Starts an instance of an orchestration.
#[utoipa::path(post, path = "/hubs/{hub}/instances", operation_id = "startInstance", tag = "instances",
    request_body = NewInstance,
    responses(
        (status = 201, body = Started, description = "It exists, and survives a crash from now on.",
            headers(("location" = String, description = "Its path."))),
        (status = 409, body = Problem, description = "An instance of this id exists, in a state that is not replaceable."),
    ),
    security(("accessKey" = ["start"])))]
pub(super) async fn start(
    asking: Asking,
    _: NoParams,
    trace: Trace,
    body: Result<Json<NewInstance>, Problem>,
) -> Result<Response, Problem> {
    // Who may start just some functions is judged by the name, and before anything is said of the body.
    let name = body.as_ref().ok().map(|Json(new)| new.name.as_str());
    let hub = asking.admit::<admitted::Start>(name).await?;
    let Json(new) = body?;
    let input = match (new.input, new.input_text) {
        (Some(_), Some(_)) => return Err(Problem::body("inputText", "give input or inputText, not both")),
        (Some(json), None) => Some(json.get().to_owned()),
        (None, text) => text,
    };
    let id = match &new.instance_id {
        Some(id) => InstanceId::new(id).map_err(|error| {
            Problem::body("instanceId", error.to_string()).limited_to(INSTANCE_ID_BYTES_MAX)
        })?,
        None => new_instance_id(),
    };
    let replaceable = new.replaceable.into_iter().map(Into::into).collect();
    let policy =
        reuse::policy(replaceable).map_err(|error| Problem::body("replaceable", error.to_string()))?;
    let start = Start {
        id: id.clone(),
        name: new.name,
        version: new.version.or_else(|| asking.app.settings.hub.default_version.clone()),
        input,
        tags: new.tags,
        scheduled_start: new.start_at.map(|time| time.0),
        reuse: reuse::by(asking.caller.principal(), policy),
        execution: ExecutionId(0),
        seed: 0,
        trace_parent: trace.parent,
        trace_state: trace.state,
    };
    match hub.start(start).await? {
        Reply::Refused(refusal) => Err(refusal.into()),
        Reply::Started { execution } => Ok(started(&asking.hub, &id, Some(execution))),
        _ => Ok(started(&asking.hub, &id, None)),
    }
}

/// The answer to a start, with the new instance's path.
pub(super) fn started(hub: &str, id: &InstanceId, execution: Option<ExecutionId>) -> Response {
    let mut headers = HeaderMap::new();
    let path = utf8_percent_encode(id.as_str(), UNRESERVED);
    if let Ok(location) = HeaderValue::from_str(&format!("{PREFIX}/hubs/{hub}/instances/{path}")) {
        headers.insert(header::LOCATION, location);
    }
    let execution_id = execution.map(|execution| execution.to_string());
    let answer = Started { instance_id: id.to_string(), execution_id };
    (StatusCode::CREATED, headers, Answer(answer)).into_response()
}

/// How to look at an instance.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Look {
    /// Whether input, output and custom status are shown.
    #[serde(default = "yes")]
    #[param(default = true)]
    payloads: bool,
    /// Answers when the instance is this far, or when the time is over, with the instance as it is then. An
    /// instance that does not exist yet is waited for.
    #[param(inline)]
    wait_for: Option<WaitFor>,
    /// How many seconds are waited at most; 30 unless said otherwise.
    #[param(maximum = 300)]
    timeout: Option<u64>,
}

fn yes() -> bool {
    true
}

/// How far an instance must be.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum WaitFor {
    /// Not pending any more.
    Started,
    /// Over.
    Completed,
}

/// Tells of an instance, at once or when it has got somewhere.
#[utoipa::path(get, path = "/hubs/{hub}/instances/{id}", operation_id = "getInstance", tag = "instances",
    params(Look),
    responses((status = 200, body = Instance, description = "The instance."),
        (status = 429, body = Problem, description = "Too many requests wait already."),
    ), security(("accessKey" = ["read"])))]
pub(super) async fn get(
    at: In<Read>,
    Id(id): Id,
    Params(look): Params<Look>,
) -> Result<Answer<Instance>, Problem> {
    let found = match (look.wait_for, look.timeout) {
        (None, None) => status(&at, &id).await?,
        (None, Some(_)) => {
            return Err(Problem::parameter(
                "timeout",
                "say with waitFor what is waited for: started or completed",
            ));
        }
        (_, Some(seconds)) if seconds > WAIT_SECONDS_MAX => {
            let detail =
                format!("no request waits for more than {WAIT_SECONDS_MAX} seconds: ask again after it");
            return Err(Problem::parameter("timeout", detail).limited_to(WAIT_SECONDS_MAX as usize));
        }
        (Some(wait_for), seconds) => {
            let until = match wait_for {
                WaitFor::Started => Until::Started,
                WaitFor::Completed => Until::Ended,
            };
            let timeout = Duration::from_secs(seconds.unwrap_or(WAIT_SECONDS));
            wait::wait(&at.app, &at.caller, &at.hub, &id, until, timeout).await?
        }
    };
    let found = found.ok_or(Refusal::NotFound)?;
    Ok(Answer(Instance::new(&found, Payloads::wanted(look.payloads))))
}

/// What is known of an instance now.
pub(super) async fn status<N>(at: &In<N>, id: &InstanceId) -> Result<Option<Box<InstanceStatus>>, Problem> {
    match at.hub.read(id, Until::Status).await? {
        Told::Status(status) => Ok(status),
        _ => Ok(None),
    }
}

/// Which part of a list, and what of it.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct Part {
    /// The order: by creation, the newest first; by id; or by completion, the first that ended first, which
    /// leaves out what is not over. By creation unless said otherwise, or by id with `idPrefix`.
    #[param(inline)]
    order_by: Option<OrderBy>,
    /// How many at most; 100 unless said otherwise. There may be fewer, even none, though more follow.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
    /// Where the page begins: the `nextToken` of the page before, from the same query.
    token: Option<String>,
    /// Whether input, output and custom status are shown.
    payloads: bool,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum OrderBy {
    Created,
    Id,
    Completed,
}

/// Part of a list of instances.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Instances {
    instances: Vec<Instance>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// Lists instances, page by page.
#[utoipa::path(get, path = "/hubs/{hub}/instances", operation_id = "listInstances", tag = "instances",
    params(Filter, Part),
    responses((status = 200, body = Instances, description = "A page.")), security(("accessKey" = ["read"])))]
pub(super) async fn list(
    at: In<Read>,
    TwoParams(filter, part): TwoParams<Filter, Part>,
) -> Result<Answer<Instances>, Problem> {
    let mut query = filter.query()?;
    query.order_by = part.order_by.map(|order| match order {
        OrderBy::Created => Order::Created,
        OrderBy::Id => Order::Id,
        OrderBy::Completed => Order::Completed,
    });
    let size = page_size(part.limit)?;
    let show = match Payloads::wanted(part.payloads) {
        Payloads::Included => |instance: &InstanceStatus| Instance::new(instance, Payloads::Included),
        Payloads::LeftOut => |instance: &InstanceStatus| Instance::new(instance, Payloads::LeftOut),
    };
    let shown = Shown { show, bytes: Instance::bytes };
    let (instances, next_token) =
        lists::instances(&at.hub, &Arc::new(query), part.token.as_deref(), size, shown).await?;
    Ok(Answer(Instances { instances, next_token }))
}

/// The size of a page.
pub(super) fn page_size(limit: Option<u64>) -> Result<usize, Problem> {
    let size = limit.map_or(Some(PAGE_SIZE_DEFAULT), |limit| usize::try_from(limit).ok());
    match size {
        Some(size @ 1..=PAGE_SIZE_MAX) => Ok(size),
        _ => {
            let detail = format!("a page has 1 to {PAGE_SIZE_MAX} entries");
            Err(Problem::parameter("limit", detail).limited_to(PAGE_SIZE_MAX))
        }
    }
}

/// How many there are.
#[derive(Serialize, ToSchema)]
pub(super) struct Count {
    count: u64,
}

/// Counts instances. Those that change meanwhile may count or not.
#[utoipa::path(get, path = "/hubs/{hub}/instance-count", operation_id = "countInstances", tag = "instances",
    params(Filter),
    responses((status = 200, body = Count, description = "How many meet the conditions.")),
    security(("accessKey" = ["read"])))]
pub(super) async fn count(at: In<Read>, Params(filter): Params<Filter>) -> Result<Answer<Count>, Problem> {
    let count = at.hub.count(&Arc::new(filter.query()?)).await?;
    Ok(Answer(Count { count }))
}

/// One of the texts that an instance holds.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum PayloadName {
    Input,
    Output,
    CustomStatus,
}

impl FromRequestParts<App> for PayloadName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let name = path(parts, app, "payload").await?.unwrap_or_default();
        let text: StrDeserializer<'_, serde::de::value::Error> = name.as_str().into_deserializer();
        let none = |_| Problem::new(ProblemType::PayloadAbsent, "there are input, output and customStatus");
        Self::deserialize(text).map_err(none)
    }
}

/// Downloads a payload of an instance, byte for byte. An empty one has no bytes; one that is absent is not there.
#[utoipa::path(get, path = "/hubs/{hub}/instances/{id}/payloads/{payload}", operation_id = "downloadPayload",
    tag = "instances",
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream",
        description = "The payload.")),
    security(("accessKey" = ["read"])))]
pub(super) async fn download(
    at: In<Read>,
    _: NoParams,
    Id(id): Id,
    payload: PayloadName,
) -> Result<Response, Problem> {
    let found = status(&at, &id).await?.ok_or(Refusal::NotFound)?;
    match payload {
        PayloadName::Input => payload::download("input", found.input()),
        PayloadName::Output => payload::download("output", found.output()),
        PayloadName::CustomStatus => payload::download("custom status", found.custom_status.as_deref()),
    }
}
