//! The HTTP API of Azure Durable Functions.

mod history;
mod payload;

use axum::Router;

use super::App;

pub(super) fn routes() -> Router<App> {
    Router::new()
}
