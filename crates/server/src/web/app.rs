//! What every handler has at hand.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::hubs::Hubs;
use crate::metrics::ServerMetrics;
use crate::settings::Settings;

/// A server, as handlers of HTTP requests see it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) hubs: Arc<Hubs>,
    pub(crate) access: Access,
    pub(crate) settings: Arc<Settings>,
    pub(crate) metrics: ServerMetrics,
    /// Fires when the server stops: waits and streams end.
    pub(crate) stopping: CancellationToken,
    /// Places for requests that wait for an instance.
    pub(crate) waits: Semaphore,
}

impl App {
    pub(crate) fn new(
        hubs: Arc<Hubs>,
        access: Access,
        settings: Arc<Settings>,
        stopping: CancellationToken,
    ) -> Self {
        let waits = Semaphore::new(settings.limits.waits_max.min(Semaphore::MAX_PERMITS));
        let metrics = ServerMetrics::new(hubs.node());
        Self(Arc::new(Inner { hubs, access, settings, metrics, stopping, waits }))
    }
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
