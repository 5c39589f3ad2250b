//! The Durable Task protocol: what official SDKs speak, as clients and as workers.

mod caller;
mod entities;
mod error;
mod history;
mod hubs;
mod instances;
mod partial;
mod queries;
mod service;
mod state;
mod waits;
mod work;

use std::sync::Arc;

use strandline_proto::wire::task_hub_sidecar_service_server::TaskHubSidecarServiceServer;
use tokio_util::sync::CancellationToken;

pub(crate) use waits::Waits;

use crate::hubs::Hubs;

/// Largest message taken, in bytes: workers return large turns.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The service over the hubs of this server.
pub(crate) struct TaskHubService {
    hubs: Arc<Hubs>,
    partials: partial::Partials,
    /// Fires when the server stops: streams end.
    stopping: CancellationToken,
}

impl TaskHubService {
    pub(crate) fn new(hubs: Arc<Hubs>, stopping: CancellationToken) -> Self {
        Self { hubs, partials: partial::Partials::default(), stopping }
    }

    /// The service as tonic serves it.
    pub(crate) fn into_server(self) -> TaskHubSidecarServiceServer<Self> {
        TaskHubSidecarServiceServer::new(self)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(usize::MAX)
    }
}
