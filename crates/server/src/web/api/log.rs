//! What the server logs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::admitted::Asking;
use super::json::{Answer, Json};
use super::params::NoParams;
use super::problem::{Problem, ProblemType};
use crate::logging::{self, LogError};

/// What the server logs.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogLevel {
    /// `error`, `warn`, `info`, `debug`, `trace` or `off`, or a list of these and of targets with theirs. What
    /// passes through connections is never logged in detail.
    #[schema(example = "info,strandline::lifecycle=debug", min_length = 1, max_length = 4096)]
    level: String,
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        let text = error.to_string();
        match error {
            LogError::Filter(_) => Self::body("level", text),
            LogError::NotOurs => Self::new(ProblemType::Unavailable, text),
        }
    }
}

/// Tells what is logged. The key must be good for all task hubs.
#[utoipa::path(get, path = "/log", operation_id = "getLog", tag = "server",
    responses((status = 200, body = LogLevel, description = "What is logged.")),
    security(("accessKey" = ["administer"])))]
pub(super) async fn get(asking: Asking, _: NoParams) -> Result<Answer<LogLevel>, Problem> {
    asking.may_run_the_server("looking at what is logged")?;
    Ok(Answer(LogLevel { level: logging::level()? }))
}

/// Changes what is logged, until the server stops. The key must be good for all task hubs.
#[utoipa::path(put, path = "/log", operation_id = "setLog", tag = "server", request_body = LogLevel,
    responses((status = 200, body = LogLevel, description = "What is logged from now on.")),
    security(("accessKey" = ["administer"])))]
pub(super) async fn set(
    asking: Asking,
    _: NoParams,
    body: Result<Json<LogLevel>, Problem>,
) -> Result<Answer<LogLevel>, Problem> {
    // Before anything is said of the body.
    asking.may_run_the_server("changing what is logged")?;
    let Json(LogLevel { level }) = body?;
    logging::set_level(&level)?;
    let by = asking.caller.principal().name();
    tracing::warn!(level, by, "what is logged was changed");
    Ok(Answer(LogLevel { level }))
}
