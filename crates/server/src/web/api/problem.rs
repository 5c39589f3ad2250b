//! What goes wrong, as RFC 9457 has it.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use strandline_engine::maintenance::MaintenanceError;
use strandline_engine::runtime::{CallError, ListError, WhyError};
use strandline_hub::Refusal;
use strandline_model::{InvalidEntityId, InvalidId};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::json::Answer;
use crate::access::AccessError;
use crate::hubs::HubsError;
use crate::web::admit::Denied;
use crate::web::body::BodyError;
use crate::web::front::Refused;
use crate::web::wait::WaitError;
use crate::why::StuckError;

/// The media type of problems.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// What a problem is about, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProblemType {
    InvalidRequest,
    KeyNeeded,
    NotPermitted,
    HostNotAllowed,
    PathNotFound,
    HubNotFound,
    InstanceNotFound,
    EntityNotFound,
    PayloadAbsent,
    WrongMethod,
    TooSlow,
    HubExists,
    InstanceExists,
    Unchanged,
    EntityInUse,
    InstanceOver,
    ExecutionOver,
    InstanceNotFailed,
    InstanceNotOver,
    BodyTooLarge,
    PathTooLong,
    HeadersTooLarge,
    UnsupportedMediaType,
    InvalidBody,
    TooManyRequests,
    Unavailable,
    OutcomeUnknown,
    Fault,
}

impl ProblemType {
    /// Status, the last part of its URI, and its title.
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::InvalidRequest => (S::BAD_REQUEST, "invalid-request", "The request is not valid"),
            Self::KeyNeeded => (S::UNAUTHORIZED, "key-needed", "A valid access key is needed"),
            Self::NotPermitted => (S::FORBIDDEN, "not-permitted", "The access key does not suffice"),
            Self::HostNotAllowed => {
                (S::FORBIDDEN, "host-not-allowed", "The host or the origin is not allowed")
            }
            Self::PathNotFound => (S::NOT_FOUND, "path-not-found", "There is no such path"),
            Self::HubNotFound => (S::NOT_FOUND, "hub-not-found", "There is no such task hub"),
            Self::InstanceNotFound => (S::NOT_FOUND, "instance-not-found", "There is no such instance"),
            Self::EntityNotFound => (S::NOT_FOUND, "entity-not-found", "There is no such entity"),
            Self::PayloadAbsent => (S::NOT_FOUND, "payload-absent", "There is no such payload"),
            Self::WrongMethod => {
                (S::METHOD_NOT_ALLOWED, "wrong-method", "The path does not have this method")
            }
            Self::TooSlow => (S::REQUEST_TIMEOUT, "too-slow", "The request took too long to arrive"),
            Self::HubExists => (S::CONFLICT, "hub-exists", "The task hub exists already"),
            Self::InstanceExists => (S::CONFLICT, "instance-exists", "The instance exists already"),
            Self::Unchanged => (S::CONFLICT, "unchanged", "It was so already"),
            Self::EntityInUse => (S::CONFLICT, "entity-in-use", "The entity is in use"),
            Self::InstanceOver => (S::GONE, "instance-over", "The instance is over"),
            Self::ExecutionOver => {
                (S::GONE, "execution-over", "The execution is not the current one any more")
            }
            Self::InstanceNotFailed => {
                (S::PRECONDITION_FAILED, "instance-not-failed", "The instance has not failed")
            }
            Self::InstanceNotOver => {
                (S::PRECONDITION_FAILED, "instance-not-over", "The instance is not over")
            }
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large"),
            Self::PathTooLong => (S::URI_TOO_LONG, "path-too-long", "Path and query are too long"),
            Self::HeadersTooLarge => {
                (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large", "The headers are too large")
            }
            Self::UnsupportedMediaType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The body has a form that is not taken")
            }
            Self::InvalidBody => {
                (S::UNPROCESSABLE_ENTITY, "invalid-body", "The body says something that is not possible")
            }
            Self::TooManyRequests => (S::TOO_MANY_REQUESTS, "too-many-requests", "Too much is under way"),
            Self::Unavailable => (S::SERVICE_UNAVAILABLE, "unavailable", "It is not possible now"),
            Self::OutcomeUnknown => {
                (S::SERVICE_UNAVAILABLE, "outcome-unknown", "Whether it was done is not known")
            }
            Self::Fault => (S::INTERNAL_SERVER_ERROR, "fault", "The server has a fault"),
        }
    }
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    kind: ProblemType,
    detail: String,
    field: Option<String>,
    limit: Option<u64>,
}

/// A problem, as RFC 9457 has it.
#[derive(Serialize, ToSchema)]
struct ProblemDocument<'a> {
    /// What it is about: the same for the same kind of problem, for programs.
    #[serde(rename = "type")]
    #[schema(example = "urn:strandline:problem:instance-not-found")]
    kind: String,
    /// The same in words.
    title: &'a str,
    /// The answer's status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened, and what to do about it.
    detail: &'a str,
    /// The parameter, or the field of the body, that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// The limit that was passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
}

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        ProblemDocument::schema()
    }
}

impl ToSchema for Problem {}

impl Problem {
    pub(crate) fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), field: None, limit: None }
    }

    /// A parameter of the path or the query that can't be taken.
    pub(crate) fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self::new(ProblemType::InvalidRequest, detail).at(name)
    }

    /// A field of the body that can't be taken.
    pub(crate) fn body(field: &str, detail: impl Into<String>) -> Self {
        Self::new(ProblemType::InvalidBody, detail).at(field)
    }

    /// It is about this parameter or field.
    pub(crate) fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into()).filter(|field| !field.is_empty());
        self
    }

    /// The same, where a field of this name is no field of the body but a parameter of the path or the query.
    pub(super) fn of_parameter(self, name: &str) -> Self {
        let is_meant = self.kind == ProblemType::InvalidBody && self.field.as_deref() == Some(name);
        let kind = if is_meant { ProblemType::InvalidRequest } else { self.kind };
        Self { kind, ..self }
    }

    pub(crate) fn limited_to(mut self, limit: usize) -> Self {
        self.limit = u64::try_from(limit).ok();
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, slug, title) = self.kind.parts();
        let document = ProblemDocument {
            kind: format!("urn:strandline:problem:{slug}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            field: self.field.as_deref(),
            limit: self.limit,
        };
        let mut response = (status, Answer(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        match self.kind {
            ProblemType::KeyNeeded => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            ProblemType::TooManyRequests | ProblemType::Unavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        let kind = match (error.status(), &error) {
            (_, AccessError::NoHub(_)) => ProblemType::HubNotFound,
            (StatusCode::NOT_FOUND, _) => ProblemType::PathNotFound,
            (StatusCode::UNAUTHORIZED, _) => ProblemType::KeyNeeded,
            (StatusCode::FORBIDDEN, _) => ProblemType::NotPermitted,
            _ => ProblemType::InvalidRequest,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<HubsError> for Problem {
    fn from(error: HubsError) -> Self {
        let text = error.to_string();
        match error {
            HubsError::NotFound(_) => Self::new(ProblemType::HubNotFound, text),
            HubsError::Exists(_) => Self::new(ProblemType::HubExists, text),
            HubsError::Name(_) => Self::parameter("hub", text).limited_to(strandline_store::HUB_NAME_MAX),
            HubsError::Failed(error) => {
                tracing::error!(error, "a task hub can't be opened");
                Self::new(ProblemType::Unavailable, "the task hub can't be opened: see the server's log")
            }
        }
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Access(error) => error.into(),
            Denied::Hub(error) => error.into(),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let text = refused.to_string();
        match refused {
            Refused::Path(limit) => Self::new(ProblemType::PathTooLong, text).limited_to(limit),
            Refused::Headers(limit) => {
                Self::new(ProblemType::HeadersTooLarge, text).limited_to(limit as usize)
            }
            Refused::Elsewhere { .. } => Self::new(ProblemType::HostNotAllowed, text),
        }
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let text = error.to_string();
        match error {
            BodyError::TooLarge(limit) => Self::new(ProblemType::BodyTooLarge, text).limited_to(limit),
            BodyError::Compressed(_) => Self::new(ProblemType::UnsupportedMediaType, text),
            BodyError::TooSlow(_) => Self::new(ProblemType::TooSlow, text),
            BodyError::TooDeep(limit) => Self::new(ProblemType::InvalidRequest, text).limited_to(limit),
            BodyError::Broken | BodyError::NotText | BodyError::NotJson(_) => {
                Self::new(ProblemType::InvalidRequest, text)
            }
        }
    }
}

impl From<InvalidId> for Problem {
    fn from(error: InvalidId) -> Self {
        Self::parameter("id", error.to_string())
    }
}

impl From<InvalidEntityId> for Problem {
    fn from(error: InvalidEntityId) -> Self {
        Self::parameter("id", error.to_string())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::AlreadyExists { .. } => Self::new(ProblemType::InstanceExists, text),
            Refusal::NotFound => Self::new(ProblemType::InstanceNotFound, text),
            Refusal::Terminal { .. } => Self::new(ProblemType::InstanceOver, text),
            Refusal::NotFailed { .. } => Self::new(ProblemType::InstanceNotFailed, text),
            Refusal::NotOver { .. } => Self::new(ProblemType::InstanceNotOver, text),
            Refusal::TooLarge { field, limit, .. } => Self::body(named(field), text).limited_to(limit),
            Refusal::Invalid { field, .. } => Self::body(named(field), text),
            Refusal::EntityInUse(_) => Self::new(ProblemType::EntityInUse, text),
            Refusal::TooManyPendingEvents { limit_events: limit, .. }
            | Refusal::TooManyPendingOperations { limit_operations: limit, .. } => {
                Self::new(ProblemType::TooManyRequests, text).limited_to(limit)
            }
            Refusal::Overloaded(_) | Refusal::StorageFull(_) => Self::new(ProblemType::Unavailable, text),
            // Only workers return results.
            Refusal::Stale(_) => Self::new(ProblemType::Unchanged, text),
        }
    }
}

/// What requests call a field that the hub refuses.
fn named(field: &str) -> &str {
    match field {
        "orchestrator name" | "event name" => "name",
        "operation name" => "operation",
        "event input" | "operation input" => "input",
        "key of a tag" | "value of a tag" => "tags",
        "instance id" => "instanceId",
        "entity id" => "id",
        other => other,
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        let kind = match error {
            CallError::NoSuchHub(_) => ProblemType::HubNotFound,
            // Without `Retry-After`: it must not be repeated blindly.
            CallError::OutcomeUnknown => {
                let detail = "the hub failed before it could answer, so it may have been done or not: ask for the status first, and repeat only what was not done";
                return Self::new(ProblemType::OutcomeUnknown, detail);
            }
            CallError::Closed | CallError::TooManyWorkers(_) => ProblemType::Unavailable,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<ListError> for Problem {
    fn from(error: ListError) -> Self {
        match error {
            ListError::Call(error) => error.into(),
            ListError::Query(error) => Self::new(ProblemType::InvalidRequest, error.to_string()),
            ListError::Token(error) => Self::parameter("token", error.to_string()),
            ListError::Store(error) => {
                tracing::error!(%error, "a list could not be read");
                Self::new(ProblemType::Fault, "the tables can't be read: see the server's log")
            }
        }
    }
}

impl From<WhyError> for Problem {
    fn from(error: WhyError) -> Self {
        let text = error.to_string();
        match error {
            WhyError::Call(error) => error.into(),
            WhyError::Stalled(_) => Self::new(ProblemType::Unavailable, text),
        }
    }
}

impl From<StuckError> for Problem {
    fn from(error: StuckError) -> Self {
        match error {
            StuckError::List(error) => error.into(),
            StuckError::Why(error) => error.into(),
        }
    }
}

impl From<MaintenanceError> for Problem {
    fn from(error: MaintenanceError) -> Self {
        match error {
            MaintenanceError::Call(error) => error.into(),
            MaintenanceError::List(error) => error.into(),
            MaintenanceError::Refused { refusal, .. } => refusal.into(),
        }
    }
}

impl From<WaitError> for Problem {
    fn from(error: WaitError) -> Self {
        let text = error.to_string();
        match error {
            WaitError::Call(error) => error.into(),
            WaitError::TurnedAway(error) => error.into(),
            WaitError::Stopping => Self::new(ProblemType::Unavailable, text),
            WaitError::TooMany(limit) => Self::new(ProblemType::TooManyRequests, text).limited_to(limit),
        }
    }
}

/// For what no route leads to.
pub(super) async fn no_such_path() -> Problem {
    Problem::new(ProblemType::PathNotFound, "the paths there are stand in /api/v1/openapi.json")
}

/// For a path that has other methods; they stand in the header `Allow`.
pub(super) async fn wrong_method() -> Problem {
    Problem::new(ProblemType::WrongMethod, "the header Allow lists the methods this path has")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_say_what_and_where() {
        let problem = Problem::from(Refusal::TooLarge { field: "input", bytes: 20, limit: 10 });
        assert_eq!(problem.kind.parts().0, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!((problem.field.as_deref(), problem.limit), (Some("input"), Some(10)));
    }

    #[test]
    fn what_may_have_been_done_is_not_to_be_repeated_blindly() {
        let told = |error: CallError| {
            let response = Problem::from(error).into_response();
            (response.status().as_u16(), response.headers().contains_key(header::RETRY_AFTER))
        };
        assert_eq!(told(CallError::OutcomeUnknown), (503, false));
        assert_eq!(told(CallError::Closed), (503, true));
    }
}
