//! A running server, apart from the command line.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use strandline::DataDirectory;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::listen::{self, Peer, Ports};
use super::tls::Encryption;
use crate::access::Access;
use crate::call_http;
use crate::grpc;
use crate::hubs::{Hubs, UnknownHub};
use crate::metrics;
use crate::settings::Settings;
use crate::web::{self, App};

/// A server that listens. Dropping it leaves it running; [`Server::stop`] is the end.
pub struct Server {
    addresses: Vec<SocketAddr>,
    stopping: CancellationToken,
    serving: Vec<JoinHandle<()>>,
    app: App,
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
    pub settings: Settings,
}

impl Server {
    /// Serves the hubs of a directory on these ports.
    pub async fn start(
        directory: DataDirectory,
        listeners: Vec<TcpListener>,
        options: ServerOptions,
    ) -> anyhow::Result<Self> {
        let ServerOptions { unknown, reflection, access, settings } = options;
        let access = access.with_default_hub(&settings.hub.name);
        let worker = call_http::worker(&settings.call_http)?;
        let hubs = Hubs::new(directory.clone(), unknown, &settings.hub.name, worker).await?;
        let stopping = CancellationToken::new();
        let addresses = listeners.iter().map(|l| l.local_addr()).collect::<Result<_, _>>()?;
        let access = access.configured(&settings.auth)?;
        let ports = Ports { limits: settings.limits.clone(), encryption: Encryption::open(&settings.tls)? };
        let app = App::new(hubs.clone(), access.clone(), Arc::new(settings), stopping.clone());
        let grpc = grpc::routes(&app, reflection).await?.prepare().into_axum_router();
        let grpc = grpc
            .layer(access.layer(|request| request.get::<Peer>().map(|peer| peer.address)))
            .layer(middleware::from_fn_with_state(app.metrics.requests().clone(), metrics::grpc));
        let mut serving = Vec::new();
        if let Some(at) = app.settings.server.metrics_listen {
            // Whoever scrapes from inside the network seldom has the certificates.
            if !at.ip().to_canonical().is_loopback() {
                tracing::warn!(%at, "metrics are shown without keys to whoever reaches server.metrics_listen");
            }
            let plain = Ports { limits: ports.limits.clone(), encryption: None };
            let routes = web::ops::monitoring(app.clone());
            let listeners = vec![listen::bind(at).await?];
            serving.push(tokio::spawn(listen::serve(listeners, Arc::new(plain), routes, stopping.clone())));
        }
        let routes = web::guarded(app.clone(), one_port(grpc, web::routes(app.clone())));
        serving.push(tokio::spawn(listen::serve(listeners, Arc::new(ports), routes, stopping.clone())));
        Ok(Self { addresses, stopping, serving, app })
    }

    /// Whether it takes new work and gets it done.
    pub fn is_ready(&self) -> bool {
        self.app.is_ready()
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Ends streams and connections. The hubs go on.
    pub async fn stop(self) {
        self.stopping.cancel();
        futures::future::join_all(self.serving).await;
    }
}

/// Whether a request is a call of gRPC, by its content type.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let start = headers.get(CONTENT_TYPE).and_then(|content_type| content_type.as_bytes().get(..16));
    start.is_some_and(|start| start.eq_ignore_ascii_case(b"application/grpc"))
}

/// Tells calls of gRPC from all others.
fn one_port(grpc: Router, web: Router) -> Router {
    Router::new().fallback(move |request: Request| {
        let routes = if is_grpc(request.headers()) { grpc.clone() } else { web.clone() };
        routes.oneshot(request)
    })
}
