//! The server's own API, under `/api/v1`: all that clients, commands and dashboards can do, and no more than
//! its OpenAPI document says.
//!
//! A resource is a file with handlers. A handler's first argument is [`In`], which tells what the caller needs
//! and is the hub once it was admitted; then come [`Id`], [`Params`] and [`Json`], which refuse what is not in
//! the document. Whatever goes wrong is a [`Problem`].

mod admitted;
mod control;
mod entities;
mod event;
mod fields;
mod filter;
mod history;
mod hubs;
mod instance;
mod instances;
mod json;
mod log;
mod openapi;
mod params;
mod payload;
mod problem;
mod purge;
mod settings;
mod time;
mod trace;
mod why;
mod workers;

use axum::Router;
use axum::routing::any;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use problem::Problem;

use super::App;

/// Where all of it stands.
const PREFIX: &str = "/api/v1";

/// Whether a path belongs to this API.
pub(crate) fn is_under(path: &str) -> bool {
    path.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(super) fn routes() -> Router<App> {
    let (routes, document) =
        OpenApiRouter::with_openapi(openapi::empty()).nest(PREFIX, resources()).split_for_parts();
    let document = openapi::complete(document);
    routes
        .route(&format!("{PREFIX}/openapi.json"), openapi::serve(&document))
        .route(PREFIX, any(problem::no_such_path))
        .route(&format!("{PREFIX}/"), any(problem::no_such_path))
        .route(&format!("{PREFIX}/{{*rest}}"), any(problem::no_such_path))
        .method_not_allowed_fallback(problem::wrong_method)
}

fn resources() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(hubs::list, hubs::create))
        .routes(routes!(hubs::get, hubs::delete))
        .routes(routes!(instances::list, instances::start, purge::many))
        .routes(routes!(instances::get, purge::one))
        .routes(routes!(instances::count))
        .routes(routes!(instances::download))
        .routes(routes!(history::get))
        .routes(routes!(why::one))
        .routes(routes!(why::stuck))
        .routes(routes!(control::raise))
        .routes(routes!(control::terminate))
        .routes(routes!(control::suspend))
        .routes(routes!(control::resume))
        .routes(routes!(control::rewind))
        .routes(routes!(control::restart))
        .routes(routes!(purge::listed))
        .routes(routes!(purge::terminate))
        .routes(routes!(entities::list))
        .routes(routes!(entities::get, entities::delete))
        .routes(routes!(entities::download))
        .routes(routes!(entities::signal))
        .routes(routes!(entities::clean))
        .routes(routes!(workers::list))
        .routes(routes!(workers::activities))
        .routes(routes!(settings::list))
        .routes(routes!(log::get, log::set))
}
