//! What a server shows on `/metrics`: what its node counts, the requests it answers, and the process.

mod process;
mod requests;

use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use strandline_engine::runtime::Node;
use tokio::sync::Semaphore;

pub(crate) use requests::{Requests, grpc, http};

/// Scrapes at a time. Each looks at all partitions.
const SCRAPES_MAX: usize = 2;

/// All metrics of a server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ServerMetrics {
    registry: Arc<Registry>,
    requests: Requests,
    scrapes: Arc<Semaphore>,
}

/// Why there is nothing to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScrapeError {
    #[error("the server is asked for its metrics {SCRAPES_MAX} times at once: ask less often")]
    TooMany,
    #[error("the metrics could not be written")]
    Failed,
}

impl ServerMetrics {
    pub(crate) fn new(node: &Node) -> Self {
        let mut registry = Registry::default();
        node.register_metrics(&mut registry);
        let requests = Requests::default();
        let own = registry.sub_registry_with_prefix("strandline");
        requests.register(own);
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        own.register("build", "The program.", build);
        registry.register_collector(Box::new(process::Process));
        Self { registry: Arc::new(registry), requests, scrapes: Arc::new(Semaphore::new(SCRAPES_MAX)) }
    }

    pub(crate) fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Everything, as OpenMetrics text.
    pub(crate) async fn text(&self) -> Result<String, ScrapeError> {
        let place = self.scrapes.clone().try_acquire_owned().map_err(|_| ScrapeError::TooMany)?;
        let registry = self.registry.clone();
        // Partitions are asked one after the other, and may be busy.
        let written = tokio::task::spawn_blocking(move || {
            let _place = place;
            let mut text = String::new();
            encode(&mut text, &registry).map(|()| text)
        });
        match written.await {
            Ok(Ok(text)) => Ok(text),
            _ => Err(ScrapeError::Failed),
        }
    }
}
