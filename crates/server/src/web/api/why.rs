//! Why instances wait.

use serde::{Deserialize, Serialize};
use strandline_engine::why::Severity as AtLeast;
use strandline_hub::Refusal;
use utoipa::{IntoParams, ToSchema};

use super::admitted::{Id, In, Read};
use super::filter::Filter;
use super::json::Answer;
use super::params::{NoParams, TwoParams};
use super::problem::Problem;
use crate::why::{self, Diagnosis, EXAMINED_MAX, Severity};

/// Says what an instance waits for, why, and what to do about it. What it waits for is looked into:
/// sub-orchestrations down to the last one, and who holds locks.
#[utoipa::path(get, path = "/hubs/{hub}/instances/{id}/why", operation_id = "diagnoseInstance",
    tag = "instances",
    responses((status = 200, body = Diagnosis, description = "What is known at this moment.")),
    security(("accessKey" = ["read"])))]
pub(super) async fn one(at: In<Read>, Id(id): Id, _: NoParams) -> Result<Answer<Diagnosis>, Problem> {
    let found = why::diagnose(&at.hub, &id, at.caller.principal()).await?;
    Ok(Answer(found.ok_or(Refusal::NotFound)?.into()))
}

/// Which part of the list, and what is in it.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct Part {
    /// Leaves out what is less severe; `warning` unless said otherwise.
    severity: Option<Severity>,
    /// How many instances are looked at; 100 unless said otherwise. There may be fewer in the answer, even
    /// none, though more follow.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u64>,
    /// Where the page begins: the `nextToken` of the page before, from the same query.
    token: Option<String>,
}

/// Part of the list of what is stuck.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stuck {
    diagnoses: Vec<Diagnosis>,
    /// How many instances were looked at.
    examined: usize,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// Lists instances that wait for something people should know of, in the order of the list of instances.
/// Without `status`, those that are not over are looked at.
#[utoipa::path(get, path = "/hubs/{hub}/stuck", operation_id = "listStuck", tag = "instances",
    params(Filter, Part),
    responses((status = 200, body = Stuck, description = "A page.")), security(("accessKey" = ["read"])))]
pub(super) async fn stuck(
    at: In<Read>,
    TwoParams(filter, part): TwoParams<Filter, Part>,
) -> Result<Answer<Stuck>, Problem> {
    let query = filter.query()?;
    let size = match part.limit.map_or(Ok(EXAMINED_MAX), usize::try_from) {
        Ok(size @ 1..=EXAMINED_MAX) => size,
        _ => {
            let detail = format!("a page looks at 1 to {EXAMINED_MAX} instances");
            return Err(Problem::parameter("limit", detail).limited_to(EXAMINED_MAX));
        }
    };
    let at_least = part.severity.map_or(AtLeast::Warning, AtLeast::from);
    let token = part.token.as_deref();
    let found = why::list(&at.hub, query, token, size, at_least, at.caller.principal()).await?;
    Ok(Answer(Stuck {
        diagnoses: found.diagnoses.into_iter().map(Diagnosis::from).collect(),
        examined: found.examined,
        next_token: found.continuation_token,
    }))
}
