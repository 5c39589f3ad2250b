//! Histories, window by window.

use serde::{Deserialize, Serialize};
use strandline_engine::pipeline::{Answer as Told, HistoryPage, Read as Wanted};
use strandline_hub::Refusal;
use strandline_model::{ExecutionId, InstanceId};
use utoipa::{IntoParams, ToSchema};

use super::admitted::{Id, In, Read};
use super::event::Event;
use super::json::Answer;
use super::params::Params;
use super::problem::{Problem, ProblemType};
use crate::service::lists::{PAGE_BYTES, fitting};

/// Most events of one answer, and how many there are unless said otherwise.
const EVENTS_MAX: u64 = 1_000;
const EVENTS: u64 = 100;

/// Which part of a history.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Window {
    /// The number of the event it begins with. Unless said otherwise the first one, or with `order=desc` the
    /// last one.
    from: Option<u64>,
    /// How many events at most; 100 unless said otherwise. There may be fewer if they are large.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
    /// The oldest first, or the newest.
    #[serde(default)]
    #[param(inline)]
    order: Direction,
    /// Refuses to show another execution than this one.
    #[param(min_length = 32, max_length = 32)]
    execution_id: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum Direction {
    #[default]
    Asc,
    Desc,
}

/// Part of the history of an instance's current execution.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct History {
    instance_id: String,
    execution_id: String,
    /// Events in the whole history.
    total: u64,
    events: Vec<Event>,
    /// What `from` is for the part that follows; absent when nothing follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_from: Option<u64>,
}

/// Shows what happened to an instance. A history grows while its instance goes on; continue-as-new begins
/// another one.
#[utoipa::path(get, path = "/hubs/{hub}/instances/{id}/history", operation_id = "getHistory", tag = "instances",
    params(Window),
    responses((status = 200, body = History, description = "A part of it."),
        (status = 410, body = Problem, description = "The execution is not the current one any more."),
    ),
    security(("accessKey" = ["read"])))]
pub(super) async fn get(
    at: In<Read>,
    Id(id): Id,
    Params(window): Params<Window>,
) -> Result<Answer<History>, Problem> {
    let limit = window.limit.unwrap_or(EVENTS);
    if !(1..=EVENTS_MAX).contains(&limit) {
        let detail = format!("a part of a history has 1 to {EVENTS_MAX} events");
        return Err(Problem::parameter("limit", detail).limited_to(EVENTS_MAX as usize));
    }
    let execution = match window.execution_id.as_deref() {
        Some(text) => {
            let wrong = || Problem::parameter("executionId", "an execution id has 32 hex digits");
            Some(ExecutionId::parse(text).ok_or_else(wrong)?)
        }
        None => None,
    };
    let (from, page) = match window.order {
        Direction::Asc => {
            let from = window.from.unwrap_or(0);
            (from, read(&at, &id, from, limit).await?)
        }
        Direction::Desc => {
            let whole = read(&at, &id, 0, 0).await?;
            let last = whole.total as u64;
            // Behind the window.
            let end = window.from.map_or(last, |from| from.saturating_add(1).min(last));
            let from = end.saturating_sub(limit);
            let page = read(&at, &id, from, end - from).await?;
            // What was counted is the history of another execution.
            if page.execution != whole.execution {
                return Err(over());
            }
            (from, page)
        }
    };
    if execution.is_some_and(|execution| execution != page.execution) {
        return Err(over());
    }
    let numbered = page.events.iter().enumerate();
    let numbered = numbered.map(|(n, event)| (from.saturating_add(n as u64), &**event));
    let show = |(index, event)| Event::new(index, event);
    let (events, next_from) = match window.order {
        Direction::Asc => {
            let events = fitting(numbered.map(show), PAGE_BYTES, Event::bytes);
            let next = from.saturating_add(events.len() as u64);
            (events, Some(next).filter(|next| *next < page.total as u64 && *next > from))
        }
        Direction::Desc => {
            let numbered: Vec<_> = numbered.collect();
            let events = fitting(numbered.into_iter().rev().map(show), PAGE_BYTES, Event::bytes);
            let next = events.last().and_then(|event| event.index().checked_sub(1));
            (events, next)
        }
    };
    Ok(Answer(History {
        instance_id: id.to_string(),
        execution_id: page.execution.to_string(),
        total: page.total as u64,
        events,
        next_from,
    }))
}

fn over() -> Problem {
    let detail = "this execution is not the instance's current one any more: read its history anew";
    Problem::new(ProblemType::ExecutionOver, detail).at("executionId")
}

async fn read(at: &In<Read>, id: &InstanceId, from: u64, max: u64) -> Result<HistoryPage, Problem> {
    let index = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    match at.hub.read(id, Wanted::History { from: index(from), max: index(max) }).await? {
        Told::History(Some(page)) => Ok(page),
        _ => Err(Refusal::NotFound.into()),
    }
}
