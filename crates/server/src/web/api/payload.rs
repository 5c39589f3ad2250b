//! Payloads: opaque texts, most of them JSON.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::json::media_type;
use super::problem::{Problem, ProblemType};
use crate::web::App;
use crate::web::body::{self, BodyError};

/// A payload within JSON: as it is, or as a string if it is not JSON itself.
pub(super) struct Payload(Result<Box<RawValue>, String>);

impl Payload {
    pub(super) fn new(text: &str) -> Self {
        Self(RawValue::from_string(text.to_owned()).map_err(|_| text.to_owned()))
    }

    pub(super) fn is_json(&self) -> bool {
        self.0.is_ok()
    }

    /// About how many bytes it takes in an answer.
    pub(super) fn bytes(&self) -> usize {
        match &self.0 {
            Ok(json) => json.get().len(),
            Err(text) => text.len(),
        }
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Ok(json) => json.serialize(serializer),
            Err(text) => text.serialize(serializer),
        }
    }
}

impl PartialSchema for Payload {
    fn schema() -> RefOr<Schema> {
        let any = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
        any.description(Some("Any JSON; a string where a payload is not JSON.")).into()
    }
}

impl ToSchema for Payload {}

/// Names the payloads of an answer that are not JSON, and so stand in it as strings.
pub(super) fn not_json<'a>(payloads: &[(&'a str, &Option<Payload>)]) -> Vec<&'a str> {
    let strings = payloads.iter().filter(|(_, payload)| payload.as_ref().is_some_and(|p| !p.is_json()));
    strings.map(|(name, _)| *name).collect()
}

/// The body of a request as a payload, byte for byte as it came.
pub(super) struct PayloadBody(pub(super) Option<String>);

impl FromRequest<App> for PayloadBody {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let limits = &app.settings.limits;
        let bytes = body::read(&parts.headers, body, limits).await?;
        let text = match media_type(&parts.headers).as_str() {
            "" if bytes.is_empty() => None,
            "text/plain" | "application/octet-stream" => {
                Some(String::from_utf8(bytes.into()).map_err(|_| BodyError::NotText)?)
            }
            media_type if super::json::is_json(media_type) => body::json(&bytes, limits)?,
            _ => {
                let detail = "give the payload as application/json, text/plain or application/octet-stream";
                return Err(Problem::new(ProblemType::UnsupportedMediaType, detail));
            }
        };
        Ok(Self(text))
    }
}

/// A payload as a file, byte for byte.
pub(super) fn download(name: &'static str, text: Option<&str>) -> Result<Response, Problem> {
    let Some(text) = text else {
        return Err(Problem::new(
            ProblemType::PayloadAbsent,
            format!("it has no {name}; an empty one would be there"),
        ));
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment")),
        // Whatever it is, no browser may take it for a page.
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    Ok((headers, Bytes::copy_from_slice(text.as_bytes())).into_response())
}
