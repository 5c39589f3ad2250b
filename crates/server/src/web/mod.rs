//! The HTTP side of a server, on the same port as gRPC.
//!
//! - [`durable`]: the API of Azure Durable Functions, for clients that were written for it;
//! - [`api`]: everything else, under `/api/v1`;
//! - [`ops`]: what probes and monitoring ask.
//!
//! A request goes first through [`identify`](admit::identify), which tells who calls, then to a handler,
//! which says what it [wishes](admit::Wish) to do.

pub(crate) mod admit;
mod api;
mod app;
mod body;
mod durable;
mod front;
mod host;
pub(crate) mod ops;
mod query;
mod wait;

use axum::Router;
use axum::middleware;

use crate::metrics;

pub(crate) use app::App;

/// What every request passes before it is told where it belongs.
pub(crate) fn guarded(app: App, routes: Router) -> Router {
    routes.layer(middleware::from_fn_with_state(app, front::guard))
}

/// All routes but those of gRPC.
pub(crate) fn routes(app: App) -> Router {
    let judged = Router::new()
        .merge(durable::routes())
        .merge(api::routes())
        .layer(middleware::from_fn_with_state(app.clone(), admit::identify));
    // Probes come without a key.
    let counted = middleware::from_fn_with_state(app.metrics.requests().clone(), metrics::http);
    judged.merge(ops::routes(&app)).layer(counted).with_state(app)
}
