//! Requests, counted as they are answered.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, Method};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tonic::Code;

use crate::access::methods::need;

/// What is counted of requests. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    grpc: Family<Call, Counter>,
    grpc_durations: Family<GrpcMethod, Histogram>,
    http: Family<HttpRequest, Counter>,
    http_durations: Family<Route, Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    method: String,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GrpcMethod {
    method: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HttpRequest {
    method: &'static str,
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: &'static str,
}

/// Of what answers take.
fn durations() -> Histogram {
    Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0])
}

/// What is none of ours.
const OTHER: &str = "other";
/// Routes as labels show them: a path, or what paths below it begin with. Where several fit, the first counts.
const ROUTES: [&str; 10] = [
    "/livez",
    "/readyz",
    "/startupz",
    "/version",
    "/metrics",
    "/api/v1/hubs",
    "/api/v1/settings",
    "/api/v1/log",
    "/api/v1",
    "/runtime/webhooks/durabletask",
];

impl Default for Requests {
    fn default() -> Self {
        Self {
            grpc: Family::default(),
            grpc_durations: Family::new_with_constructor(durations),
            http: Family::default(),
            http_durations: Family::new_with_constructor(durations),
        }
    }
}

impl Requests {
    pub(super) fn register(&self, registry: &mut Registry) {
        let of_grpc = "Calls of gRPC that ended, by how.";
        registry.register("grpc_requests", of_grpc, self.grpc.clone());
        let until = "From a call of gRPC to its end; streams are left out, they last.";
        registry.register("grpc_request_duration_seconds", until, self.grpc_durations.clone());
        registry.register("http_requests", "Requests of HTTP that were answered.", self.http.clone());
        let until = "From a request of HTTP to the beginning of its answer.";
        registry.register("http_request_duration_seconds", until, self.http_durations.clone());
    }

    fn grpc_ended(&self, method: &str, code: Code, after: Duration) {
        let call = Call { method: method.to_owned(), code: name(code) };
        self.grpc.get_or_create(&call).inc();
        if !lasts(method) {
            let method = GrpcMethod { method: method.to_owned() };
            self.grpc_durations.get_or_create(&method).observe(after.as_secs_f64());
        }
    }
}

/// Counts requests of HTTP.
pub(crate) async fn http(State(requests): State<Requests>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = method(request.method());
    let route = route(request.uri().path());
    let response = next.run(request).await;
    let status = response.status().as_u16();
    requests.http.get_or_create(&HttpRequest { method, route, status }).inc();
    requests.http_durations.get_or_create(&Route { route }).observe(began.elapsed().as_secs_f64());
    response
}

/// Anybody may make up paths.
fn route(path: &str) -> &'static str {
    let fits = |route: &&&str| {
        let (start, rest) = path.split_at_checked(route.len()).unwrap_or_default();
        start.eq_ignore_ascii_case(route) && (rest.is_empty() || rest.starts_with('/'))
    };
    ROUTES.iter().find(fits).copied().unwrap_or(OTHER)
}

/// Anybody may make up methods.
fn method(method: &Method) -> &'static str {
    let known = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD, Method::OPTIONS];
    let names = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"];
    known.iter().zip(names).find(|(known, _)| *known == method).map_or(OTHER, |(_, name)| name)
}

/// Counts calls of gRPC.
pub(crate) async fn grpc(State(requests): State<Requests>, request: Request, next: Next) -> Response {
    // Only methods that there are, or callers could make up as many series as they like.
    let path = request.uri().path();
    let method =
        if need(path).is_some() { path.trim_start_matches('/').to_owned() } else { OTHER.to_owned() };
    let mut open = Open { requests, method, began: Instant::now(), is_over: false };
    let response = next.run(request).await;
    let (head, body) = response.into_parts();
    // A call that is refused has no body, and its status among the headers.
    open.look(&head.headers);
    Response::from_parts(head, Body::new(Counted { body, open }))
}

/// A call that is under way.
struct Open {
    requests: Requests,
    method: String,
    began: Instant,
    is_over: bool,
}

impl Open {
    fn look(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get("grpc-status") {
            self.end(Code::from_bytes(code.as_bytes()));
        }
    }

    fn end(&mut self, code: Code) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.requests.grpc_ended(&self.method, code, self.began.elapsed());
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // Whoever called is gone.
        self.end(Code::Cancelled);
    }
}

/// A body whose trailers are looked at.
struct Counted {
    body: Body,
    open: Open,
}

impl HttpBody for Counted {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
        {
            self.open.look(trailers);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// It goes on until somebody leaves.
fn lasts(method: &str) -> bool {
    method.ends_with("/GetWorkItems") || method.ends_with("/Watch") || method.ends_with("ReflectionInfo")
}

fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
