//! What the server offers beyond the API of Durable Functions, under `/api/v1`.

use axum::Router;

use super::App;

pub(super) fn routes() -> Router<App> {
    Router::new()
}
