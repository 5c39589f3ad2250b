//! A running server, apart from the command line.

use std::net::SocketAddr;

use strandline::DataDirectory;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::listen::{self, Peer};
use crate::access::Access;
use crate::grpc;
use crate::hubs::{Hubs, UnknownHub};

/// A server that listens. Dropping it leaves it running; [`Server::stop`] is the end.
pub struct Server {
    addresses: Vec<SocketAddr>,
    stopping: CancellationToken,
    serving: JoinHandle<()>,
}

/// Whether clients may ask for the services' descriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reflection {
    Off,
    /// Tools like `grpcurl` need no `.proto` files then.
    On,
}

/// How a server treats those who call.
#[derive(Clone)]
pub struct ServerOptions {
    /// A call for a hub that does not exist.
    pub unknown: UnknownHub,
    pub reflection: Reflection,
    /// Who may call what.
    pub access: Access,
}

impl Server {
    /// Serves the hubs of a directory on these ports.
    pub async fn start(
        directory: DataDirectory,
        listeners: Vec<TcpListener>,
        options: ServerOptions,
    ) -> anyhow::Result<Self> {
        let ServerOptions { unknown, reflection, access } = options;
        let hubs =
            Hubs::new(directory.clone(), unknown).await.map_err(|error| anyhow::anyhow!("{error:#}"))?;
        let stopping = CancellationToken::new();
        let addresses = listeners.iter().map(|l| l.local_addr()).collect::<Result<_, _>>()?;
        let routes = grpc::routes(hubs, stopping.clone(), reflection).await?.prepare().into_axum_router();
        let routes = routes.layer(access.layer(|request| request.get::<Peer>().map(|peer| peer.address)));
        let serving = tokio::spawn(listen::serve(listeners, routes, stopping.clone()));
        Ok(Self { addresses, stopping, serving })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Ends streams and connections. The hubs go on.
    pub async fn stop(self) {
        self.stopping.cancel();
        let _ = self.serving.await;
    }
}
