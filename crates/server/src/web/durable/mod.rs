//! The HTTP API of Azure Durable Functions.

use axum::Router;

use super::App;

pub(super) fn routes() -> Router<App> {
    Router::new()
}
