//! The HTTP API of Azure Durable Functions, for clients that were written for it.
//!
//! - [`route`]: which request means which operation, and what that needs;
//! - [`answer`]: what answers and refusals look like;
//! - the operations themselves, each a function from a [`Call`] to an answer.
//!
//! Its router is one of its own: paths match in any case, a `%2F` never separates segments, and what is
//! not there answers 404 without a body, whatever the method.

mod answer;
mod control;
mod entities;
mod history;
mod instances;
mod payload;
mod purge;
mod route;
mod start;
mod status;
#[cfg(test)]
mod tests;
mod trace;
mod urls;

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderName, StatusCode, header};
use strandline_engine::runtime::Hub;
use strandline_hub::query::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};

use self::answer::Problem;
use self::route::{Match, Segments};
use super::App;
use super::admit::Wish;
use super::body::{self, BodyError};
use super::query::Query;
use crate::access::Caller;
use crate::serve::listen::Peer;

/// Names the invocation of a function that a request comes from, for logs.
const INVOCATION_ID: &str = "x-azure-functions-invocationid";
/// Where a list goes on: of the page that is asked for, and of the next one.
const CONTINUATION: HeaderName = HeaderName::from_static("x-ms-continuation-token");

/// Bytes of payloads after which a page is closed.
const PAGE_BYTES: usize = 8 << 20;
/// What Durable Functions takes in no id: it must fit a segment of a path wherever that is put together by hand.
const FORBIDDEN: [char; 4] = ['/', '\\', '#', '?'];

/// Takes what no other route of the server takes.
pub(super) fn routes() -> Router<App> {
    Router::new().fallback(answer)
}

/// An operation that was asked for by somebody who may.
struct Call {
    app: App,
    caller: Caller,
    hub: Hub,
    query: Query,
    head: Parts,
    segments: Segments,
}

impl Call {
    /// A part of the path by its name in the table of routes, decoded.
    fn segment(&self, name: &str) -> Option<&str> {
        self.segments.get(name)
    }

    /// A body as JSON text, byte for byte as it came; `None` if it is empty.
    async fn json(&self, body: Body) -> Result<Option<String>, BodyError> {
        let limits = &self.app.settings.limits;
        body::json(&body::read(&self.head.headers, body, limits).await?, limits)
    }

    /// Whether the body is JSON by its type, whatever its parameters.
    fn says_json(&self) -> bool {
        let content_type = self.head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = content_type.and_then(|value| value.split(';').next());
        media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
    }

    /// How many entries a page has at most.
    fn page_size(&self) -> usize {
        let asked = self.query.integer("top").and_then(|top| usize::try_from(top).ok());
        asked.filter(|top| *top > 0).unwrap_or(PAGE_SIZE_DEFAULT).min(PAGE_SIZE_MAX)
    }

    /// Where the page that is asked for begins; `None` for the first.
    fn continuation(&self) -> Result<Option<&str>, Problem> {
        let Some(token) = self.head.headers.get(CONTINUATION) else { return Ok(None) };
        let token = token.to_str().map_err(|_| {
            Problem::bad_request(format!("The header {CONTINUATION} is none that a page came with."))
        })?;
        Ok(Some(token.trim()).filter(|token| !token.is_empty()))
    }

    /// Whether an instance that failed is answered with 500.
    fn fails_with_500(&self) -> bool {
        self.query.flag("returnInternalServerErrorOnFailure").unwrap_or(false)
    }

    fn shows_input(&self) -> bool {
        self.query.flag("showInput").unwrap_or(true)
    }

    fn peer(&self) -> Option<&Peer> {
        self.head.extensions.get()
    }
}

async fn answer(State(app): State<App>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    let local = head.extensions.get::<Peer>().map(|peer| peer.address).as_ref().is_some_and(is_loopback);
    let Some(found) = route::find(&head.method, head.uri.path(), local) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // Whoever can't be told got no further.
    let Some(caller) = head.extensions.remove::<Caller>() else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let operation = found.route.operation;
    let invocation = invocation(&head);
    let instance = found.segments.get("instance").map(str::to_owned);
    let response = match carry_out(app, caller, head, found, body).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    };
    let status = response.status().as_u16();
    match invocation {
        Some(invocation_id) => {
            tracing::info!(event = "http.operation", operation, instance_id = instance, %invocation_id, status)
        }
        None => tracing::debug!(event = "http.operation", operation, instance_id = instance, status),
    }
    response
}

async fn carry_out(
    app: App,
    caller: Caller,
    head: Parts,
    found: Match,
    body: Body,
) -> Result<Response, Problem> {
    let Match { route, segments } = found;
    let query = Query::of(&head.uri);
    let named = query.text("taskHub");
    let wish = Wish {
        what: route.operation,
        permission: route.permission,
        hub: named.as_deref(),
        instance: segments.get("instance"),
        function: segments.get("function"),
    };
    let hub = app.admit(&caller, wish).await?;
    check_connection(&app, &query)?;
    (route.carry_out)(Call { app, caller, hub, query, head, segments }, body).await
}

/// A connection is named, never described: there is one. What the query says instead may be a secret.
fn check_connection(app: &App, query: &Query) -> Result<(), Problem> {
    let only = &app.settings.http.connection_name;
    match query.text("connection") {
        Some(named) if !named.trim().eq_ignore_ascii_case(only) => Err(Problem::bad_request(format!(
            "The query parameter 'connection' names no connection of this server: leave it out, or give '{only}'."
        ))),
        _ => Ok(()),
    }
}

fn invocation(head: &Parts) -> Option<uuid::Uuid> {
    uuid::Uuid::try_parse(head.headers.get(INVOCATION_ID)?.to_str().ok()?.trim()).ok()
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
