//! What answers and refusals look like.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use strandline_engine::maintenance::MaintenanceError;
use strandline_engine::runtime::{CallError, ListError};
use strandline_hub::Refusal;

use crate::web::admit::Denied;
use crate::web::body::BodyError;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
/// When to ask again what the server could not take right now, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");
/// Of a request that failed for no fault of its sender's.
const WENT_WRONG: &str = "Something went wrong while processing your request";

/// An answer that is said by its status alone.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

/// An answer in JSON, its keys in the order of the type's fields.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match bytes(body) {
        Ok(bytes) => written(status, Body::from(bytes)),
        Err(problem) => problem.into_response(),
    }
}

/// What an answer holds, as JSON.
pub(super) fn bytes(body: &impl Serialize) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(body).map_err(|error| {
        tracing::error!(%error, "an answer could not be written");
        Problem::Empty(StatusCode::INTERNAL_SERVER_ERROR)
    })
}

/// An answer whose JSON is written already.
pub(super) fn written(status: StatusCode, json: Body) -> Response {
    let mut response = Response::new(json);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// A page of a list, and where the next one begins, if there is one.
pub(super) fn page(entries: &impl Serialize, token: Option<String>) -> Response {
    let mut response = json(StatusCode::OK, entries);
    let token = token.and_then(|token| HeaderValue::try_from(token).ok());
    response.headers_mut().insert(super::CONTINUATION, token.unwrap_or(HeaderValue::from_static("")));
    response
}

/// Why a request is not carried out.
#[derive(Debug)]
pub(super) enum Problem {
    /// Its status says it all.
    Empty(StatusCode),
    /// `{"Message": …}`, with more about an exception where clients look for one.
    Message { status: StatusCode, message: String, exception: Option<Exception> },
    /// A JSON string.
    Text(StatusCode, String),
}

/// What a client in .NET would have caught.
#[derive(Clone, Debug)]
pub(super) struct Exception {
    /// The name of its class.
    pub(super) class: &'static str,
    pub(super) message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Explanation<'a> {
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception_type: Option<&'a str>,
}

impl Problem {
    pub(super) fn message(status: StatusCode, message: impl Into<String>) -> Self {
        Self::Message { status, message: message.into(), exception: None }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::message(StatusCode::BAD_REQUEST, message)
    }

    /// The same with what a client in .NET would have caught.
    pub(super) fn caused_by(self, class: &'static str, text: impl Into<String>) -> Self {
        match self {
            Self::Message { status, message, .. } => {
                let exception = Some(Exception { class, message: text.into() });
                Self::Message { status, message, exception }
            }
            other => other,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        match self {
            Self::Empty(status) => empty(status),
            Self::Text(status, text) => json(status, &text),
            Self::Message { status, message, exception } => {
                let exception = exception.as_ref();
                let body = Explanation {
                    message: &message,
                    exception_message: exception.map(|exception| exception.message.as_str()),
                    exception_type: exception.map(|exception| exception.class),
                };
                let mut response = json(status, &body);
                if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
                    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
                }
                response
            }
        }
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied.status() {
            StatusCode::UNAUTHORIZED => Self::Empty(StatusCode::UNAUTHORIZED),
            status => Self::message(status, denied.to_string()),
        }
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let text = error.to_string();
        match error {
            BodyError::NotText | BodyError::NotJson(_) | BodyError::TooDeep(_) => {
                Self::bad_request("Invalid JSON content")
                    .caused_by("Newtonsoft.Json.JsonReaderException", text)
            }
            error => Self::message(error.status(), text),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::NotFound => Self::Empty(StatusCode::NOT_FOUND),
            Refusal::Terminal { .. } => Self::Empty(StatusCode::GONE),
            Refusal::Invalid { .. } | Refusal::TooLarge { .. } => Self::bad_request(text),
            Refusal::AlreadyExists { .. } | Refusal::EntityInUse(_) | Refusal::Stale(_) => {
                Self::message(StatusCode::CONFLICT, text)
            }
            Refusal::NotFailed { .. } | Refusal::NotOver { .. } => {
                Self::message(StatusCode::PRECONDITION_FAILED, text)
            }
            // Who sends is too quick for who takes.
            Refusal::TooManyPendingEvents { .. } | Refusal::TooManyPendingOperations { .. } => {
                Self::message(StatusCode::TOO_MANY_REQUESTS, text)
            }
            Refusal::Overloaded(_) | Refusal::StorageFull(_) => {
                Self::message(StatusCode::SERVICE_UNAVAILABLE, text)
            }
        }
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        let status = match error {
            CallError::NoSuchHub(_) => StatusCode::NOT_FOUND,
            // It may have been carried out: nothing here must make clients repeat it by themselves.
            CallError::OutcomeUnknown => {
                return Self::message(StatusCode::INTERNAL_SERVER_ERROR, WENT_WRONG);
            }
            CallError::Closed | CallError::TooManyWorkers(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::message(status, error.to_string())
    }
}

impl From<ListError> for Problem {
    fn from(error: ListError) -> Self {
        match error {
            ListError::Call(error) => error.into(),
            ListError::Query(error) => Self::bad_request(error.to_string()),
            ListError::Token(error) => Self::bad_request(format!("x-ms-continuation-token: {error}")),
            ListError::Store(error) => {
                tracing::error!(%error, "a list could not be read");
                Self::message(StatusCode::INTERNAL_SERVER_ERROR, WENT_WRONG)
            }
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
