//! What probes and monitoring ask.

use axum::Router;

use super::App;

pub(super) fn routes() -> Router<App> {
    Router::new()
}
