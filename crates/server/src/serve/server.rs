//! A running server, apart from the command line.

use std::net::SocketAddr;

use strandline::DataDirectory;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::listen;
use crate::grpc::TaskHubService;
use crate::hubs::{Hubs, UnknownHub};

/// A server that listens. Dropping it leaves it running; [`Server::stop`] is the end.
pub(crate) struct Server {
    addresses: Vec<SocketAddr>,
    stopping: CancellationToken,
    serving: JoinHandle<()>,
}

impl Server {
    /// Serves the hubs of a directory on these ports.
    pub(crate) async fn start(
        directory: DataDirectory,
        listeners: Vec<TcpListener>,
        unknown: UnknownHub,
    ) -> anyhow::Result<Self> {
        let hubs =
            Hubs::new(directory.clone(), unknown).await.map_err(|error| anyhow::anyhow!("{error:#}"))?;
        let stopping = CancellationToken::new();
        let addresses = listeners.iter().map(|l| l.local_addr()).collect::<Result<_, _>>()?;
        let service = TaskHubService::new(hubs, stopping.clone()).into_server();
        let routes = Routes::new(service).prepare().into_axum_router();
        let serving = tokio::spawn(listen::serve(listeners, routes, stopping.clone()));
        Ok(Self { addresses, stopping, serving })
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Ends streams and connections. The hubs go on.
    pub(crate) async fn stop(self) {
        self.stopping.cancel();
        let _ = self.serving.await;
    }
}
