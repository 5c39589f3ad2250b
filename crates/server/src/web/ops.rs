//! What probes and monitoring ask. Probes need no key and show nothing of users.
//!
//! `/metrics` shows the names of hubs and functions: where the server asks for keys, it is for whoever may read
//! all hubs, from this machine, too: users of it and proxies on it are no operators. On a port of its own
//! (`server.metrics_listen`) it is open to whoever reaches that.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http::{StatusCode, header};
use serde::Serialize;
use strandline_engine::runtime::NodeHealth;

use super::App;
use super::admit;
use super::query::Query;
use crate::access::Caller;
use crate::keys::Permission;

/// A driver that is not heard of for this long is stuck.
const DRIVER_PATIENCE: Duration = Duration::from_secs(5);
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn routes(app: &App) -> Router<App> {
    let guarded = Router::new().route("/metrics", get(metrics));
    probes().merge(guarded.layer(middleware::from_fn_with_state(app.clone(), admit::identify)))
}

/// For a port of its own.
pub(crate) fn monitoring(app: App) -> Router {
    probes().route("/metrics", get(metrics)).with_state(app)
}

const LIVEZ: &str = "/livez";
const READYZ: &str = "/readyz";
const STARTUPZ: &str = "/startupz";
const VERSION: &str = "/version";

/// Whether this is the path of a probe.
pub(super) fn is_probe(path: &str) -> bool {
    [LIVEZ, READYZ, STARTUPZ, VERSION].contains(&path)
}

fn probes() -> Router<App> {
    Router::new()
        .route(LIVEZ, get(livez))
        .route(READYZ, get(readyz))
        .route(STARTUPZ, get(|| async { "started\n" }))
        .route(VERSION, get(version))
}

/// Whether the process should go on: it need not be able to do anything at the moment.
async fn livez(State(app): State<App>) -> Response {
    match app.hubs.node().stuck_drivers(DRIVER_PATIENCE).await {
        0 => "alive\n".into_response(),
        stuck => (StatusCode::SERVICE_UNAVAILABLE, format!("{stuck} drivers are stuck\n")).into_response(),
    }
}

/// What a probe is told that wants to know more.
#[derive(Serialize)]
struct Readiness {
    ready: bool,
    draining: bool,
    /// Why nothing can be written.
    store: Option<String>,
    partitions_running: u32,
    partitions: u32,
}

impl Readiness {
    fn of(app: &App) -> Self {
        let health: NodeHealth = app.hubs.node().health();
        let draining = app.stopping.is_cancelled();
        let sum = |of: fn(&strandline_engine::runtime::HubHealth) -> u16| {
            health.hubs.iter().map(|hub| u32::from(of(hub))).sum()
        };
        Self {
            ready: health.is_ready() && !draining,
            draining,
            store: health.store.map(|problem| problem.to_string()),
            partitions_running: sum(|hub| hub.running),
            partitions: sum(|hub| hub.partitions),
        }
    }

    fn reason(&self) -> String {
        match &self.store {
            _ if self.ready => "ready".to_owned(),
            _ if self.draining => "the server stops".to_owned(),
            Some(problem) => problem.clone(),
            None => format!("{} of {} partitions run", self.partitions_running, self.partitions),
        }
    }
}

/// Whether it takes new work and gets it done.
async fn readyz(State(app): State<App>, request: Request) -> Response {
    let readiness = Readiness::of(&app);
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if Query::of(request.uri()).has("verbose") {
        return (status, json(&readiness)).into_response();
    }
    (status, format!("{}\n", readiness.reason())).into_response()
}

impl App {
    /// Whether new work is taken and gets done, as all probes say it.
    pub(crate) fn is_ready(&self) -> bool {
        Readiness::of(self).ready
    }
}

#[derive(Serialize)]
struct Version {
    name: &'static str,
    version: &'static str,
}

async fn version() -> Response {
    json(&Version { name: "strandline", version: env!("CARGO_PKG_VERSION") })
}

fn json(body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn metrics(State(app): State<App>, caller: Option<Extension<Caller>>) -> Response {
    if let Some(Extension(caller)) = caller {
        let principal = caller.principal();
        if let Err(error) = principal.require(Permission::Read, "metrics") {
            return (StatusCode::FORBIDDEN, format!("{error}\n")).into_response();
        }
        if !app.hubs.node().health().hubs.iter().all(|hub| principal.sees(&hub.name)) {
            let text = "metrics are of all hubs, and not all are for this key\n";
            return (StatusCode::FORBIDDEN, text).into_response();
        }
    }
    match app.metrics.text().await {
        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}
