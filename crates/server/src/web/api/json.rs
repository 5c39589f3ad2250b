//! Bodies in JSON that say nothing but what is in the document.

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fields::{echo, fields, instead};
use super::problem::{Problem, ProblemType};
use crate::web::App;
use crate::web::body;

/// An answer in JSON.
pub(super) struct Answer<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
            Err(error) => {
                tracing::error!(%error, "an answer could not be written");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

/// A body that is an object in JSON.
pub(super) struct Json<T>(pub(super) T);

/// The same where a request may come without one, or with `null`: all its fields are optional then.
pub(super) struct MaybeJson<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        match text(request, app).await? {
            Some(text) => Ok(Self(read(&text)?)),
            None => Err(Problem::new(ProblemType::InvalidBody, "the body is empty: give an object in JSON")),
        }
    }
}

impl<T: DeserializeOwned> FromRequest<App> for MaybeJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let text = text(request, app).await?.filter(|text| text.trim() != "null");
        Ok(Self(read(text.as_deref().unwrap_or("{}"))?))
    }
}

/// The body as JSON text; `None` if it is empty.
async fn text(request: Request, app: &App) -> Result<Option<String>, Problem> {
    let (parts, body) = request.into_parts();
    let limits = &app.settings.limits;
    let bytes = body::read(&parts.headers, body, limits).await?;
    if !bytes.is_empty() && !is_json(&media_type(&parts.headers)) {
        let detail = "give the body as JSON, with the header Content-Type: application/json";
        return Err(Problem::new(ProblemType::UnsupportedMediaType, detail));
    }
    Ok(body::json(&bytes, limits)?)
}

/// The media type a body says to have, in lower case; empty if it says none.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

pub(super) fn is_json(media_type: &str) -> bool {
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// What a body says.
fn read<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let message = error.into_inner().to_string();
        // What is unknown is named in the words of serde; the line adds nothing to the name of the field.
        let detail = message.split(" at line ").next().unwrap_or_default();
        let unknown = detail.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
        match unknown {
            Some(name) => {
                let (name, known) = (echo(name), fields::<T>());
                Problem::body(&name, format!("the body has no field {name:?}; {}", instead(&name, known)))
            }
            None => {
                let at = if path == "." { String::new() } else { echo(&path) };
                Problem::body(&at, detail.chars().take(300).collect::<String>())
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[expect(dead_code, reason = "read by Debug only")]
    struct Asked {
        instance_id: Option<String>,
        count: Option<u8>,
    }

    #[test]
    fn a_field_that_is_not_there_is_named_with_the_one_that_is() {
        let problem = |text: &str| format!("{:?}", read::<Asked>(text).unwrap_err());
        let unknown = problem("{\"instanceid\": \"a\"}");
        assert!(unknown.contains("did you mean \\\"instanceId\\\"?"), "{unknown}");
        let wrong = problem("{\"count\": 1000}");
        assert!(wrong.contains("Some(\"count\")") && wrong.contains("invalid value"), "{wrong}");
        assert!(problem("[1, 2, 3]").contains("InvalidBody"));
        assert!(read::<Asked>("{}").is_ok());
    }
}
