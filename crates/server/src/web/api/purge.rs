//! Removing instances that are over, and ending many at once.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use strandline_engine::maintenance::{PurgeOptions, PurgeScope, Purged as Done, PurgedPart, only_over};
use strandline_hub::Refusal;
use strandline_hub::query::InstanceQuery;
use strandline_model::InstanceId;
use utoipa::{IntoParams, ToSchema};

use super::admitted::{Id, In, Purge, Terminate};
use super::filter::Filter;
use super::json::{Answer, Json};
use super::params::{NoParams, Params, TwoParams};
use super::problem::{Problem, ProblemType};
use crate::service::IDS_MAX;

/// The longest that one request purges, and how long it does unless said otherwise.
const SLICE_SECONDS_MAX: u64 = 60;
const SLICE_SECONDS: u64 = 10;

/// What goes along.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct Scope {
    /// Removes its sub-orchestrations, too, and theirs. If one of them is not over, what is above it remains.
    recursive: bool,
}

/// How to purge many.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct Slice {
    /// Removes sub-orchestrations, too, and theirs. If one of them is not over, what is above it remains.
    recursive: bool,
    /// Removes nothing; tells how many would be, sub-orchestrations not counted.
    dry_run: bool,
    /// Purges all that is over, where no condition is given.
    all: bool,
    /// How many seconds it may take; 10 unless said otherwise. What is left is for the next request.
    #[param(minimum = 1, maximum = 60)]
    timeout: Option<u64>,
    /// The `nextToken` of the answer before, to go on from there.
    token: Option<String>,
}

fn scope(recursive: bool) -> PurgeScope {
    if recursive { PurgeScope::Tree } else { PurgeScope::Instance }
}

/// What was removed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Purged {
    /// Instances that are gone, sub-orchestrations counted; with `dryRun` those that would be.
    purged: u64,
    /// Instances that were meant and remain: they, or with `recursive` one below them, are not over.
    not_over: u64,
    /// All that was meant was looked at. If not, the same request goes on, with `nextToken` from there.
    complete: bool,
    /// For the rest; absent when everything was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// Removes an instance that is over, with its history. It can't be brought back.
#[utoipa::path(delete, path = "/hubs/{hub}/instances/{id}", operation_id = "purgeInstance", tag = "instances",
    params(Scope),
    responses((status = 200, body = Purged, description = "It is gone."),
        (status = 412, body = Problem, description = "It is not over, or one below it is not."),
    ),
    security(("accessKey" = ["purge"])))]
pub(super) async fn one(
    at: In<Purge>,
    Id(id): Id,
    Params(Scope { recursive }): Params<Scope>,
) -> Result<Answer<Purged>, Problem> {
    let done = at.hub.purge(&id, scope(recursive)).await?;
    match (done.purged, done.not_over) {
        (_, Some((other, status))) if other != id => {
            let detail =
                format!("its sub-orchestration {:?} is {status}: terminate it first", other.as_str());
            Err(Problem::new(ProblemType::InstanceNotOver, detail))
        }
        (_, Some((_, status))) => Err(Refusal::NotOver { status }.into()),
        (0, None) => Err(Refusal::NotFound.into()),
        (purged, None) => Ok(Answer(Purged { purged, not_over: 0, complete: true, next_token: None })),
    }
}

/// Removes those instances that meet the conditions and are over. Others are left alone.
#[utoipa::path(delete, path = "/hubs/{hub}/instances", operation_id = "purgeInstances", tag = "instances",
    params(Filter, Slice),
    responses((status = 200, body = Purged, description = "What was removed.")),
    security(("accessKey" = ["purge"])))]
pub(super) async fn many(
    at: In<Purge>,
    TwoParams(filter, slice): TwoParams<Filter, Slice>,
) -> Result<Answer<Purged>, Problem> {
    let query = filter.query()?;
    if query == InstanceQuery::default() && !slice.all {
        return Err(Problem::parameter("all", "give a condition, or all=true for all that is over"));
    }
    let seconds = slice.timeout.unwrap_or(SLICE_SECONDS);
    if !(1..=SLICE_SECONDS_MAX).contains(&seconds) {
        let detail = format!("a request purges for 1 to {SLICE_SECONDS_MAX} seconds: repeat it for the rest");
        return Err(Problem::parameter("timeout", detail).limited_to(SLICE_SECONDS_MAX as usize));
    }
    if slice.dry_run {
        let purged = match only_over(query) {
            Some(query) => at.hub.count(&Arc::new(query)).await?,
            None => 0,
        };
        return Ok(Answer(Purged { purged, not_over: 0, complete: true, next_token: None }));
    }
    let timeout = Some(Duration::from_secs(seconds));
    let options = PurgeOptions { scope: scope(slice.recursive), timeout, ..PurgeOptions::default() };
    let PurgedPart { done, continuation_token } = at.hub.purge_part(query, options, slice.token).await?;
    let complete = continuation_token.is_none();
    let Done { purged, not_over, .. } = done;
    Ok(Answer(Purged { purged, not_over, complete, next_token: continuation_token }))
}

/// Instances to remove.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PurgeList {
    #[schema(max_items = 500)]
    instance_ids: Vec<String>,
    /// Removes their sub-orchestrations, too, and theirs.
    #[serde(default)]
    recursive: bool,
}

/// Removes those of these instances that are over. Those that are not there count for nothing.
#[utoipa::path(post, path = "/hubs/{hub}/instance-purges", operation_id = "purgeListedInstances",
    tag = "instances", request_body = PurgeList, responses((status = 200, body = Purged, description = "What was removed.")),
    security(("accessKey" = ["purge"])))]
pub(super) async fn listed(
    at: In<Purge>,
    _: NoParams,
    Json(PurgeList { instance_ids, recursive }): Json<PurgeList>,
) -> Result<Answer<Purged>, Problem> {
    let ids = read_ids(&instance_ids)?;
    let done = at.hub.purge_ids(ids, scope(recursive)).await?;
    Ok(Answer(Purged { purged: done.purged, not_over: done.not_over, complete: true, next_token: None }))
}

/// Instances to end.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TerminationList {
    #[schema(max_items = 500)]
    instance_ids: Vec<String>,
    /// It becomes their output.
    reason: Option<String>,
}

/// What was not ended.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Unterminated {
    /// Those that were over, or are not there.
    unterminated_instance_ids: Vec<String>,
}

/// Ends these instances, and none of their sub-orchestrations.
#[utoipa::path(post, path = "/hubs/{hub}/instance-terminations", operation_id = "terminateListedInstances",
    tag = "instances", request_body = TerminationList,
    responses((status = 200, body = Unterminated, description = "They end, but for those named.")),
    security(("accessKey" = ["terminate"])))]
pub(super) async fn terminate(
    at: In<Terminate>,
    _: NoParams,
    Json(TerminationList { instance_ids, reason }): Json<TerminationList>,
) -> Result<Answer<Unterminated>, Problem> {
    let ids = read_ids(&instance_ids)?;
    // An output is JSON.
    let reason = reason.map(|reason| serde_json::Value::from(reason).to_string());
    let remaining = at.hub.skip_graceful_termination(ids, reason).await?;
    let unterminated_instance_ids = remaining.iter().map(ToString::to_string).collect();
    Ok(Answer(Unterminated { unterminated_instance_ids }))
}

fn read_ids(texts: &[String]) -> Result<Vec<InstanceId>, Problem> {
    if texts.len() > IDS_MAX {
        let detail = format!("instanceIds has {} ids: the limit is {IDS_MAX}", texts.len());
        return Err(Problem::body("instanceIds", detail).limited_to(IDS_MAX));
    }
    let read = |text: &String| InstanceId::new(text);
    let ids = texts.iter().map(read).collect::<Result<_, _>>();
    ids.map_err(|error| Problem::body("instanceIds", error.to_string()))
}
