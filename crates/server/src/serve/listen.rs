//! Taking connections: HTTP/1 and HTTP/2 on each port, with TLS if so set, within limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::begun::Begun;
use super::tls::Encryption;
use crate::grpc::Waits;
use crate::settings::Limits;

/// A peer that is silent for this long is asked for a sign of life, and given up after the other.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// What a stream and a connection may have under way, in bytes: large turns come back quickly, and a peer
/// that sends without end is held up.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// How long connections may take to end when the server stops.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Least room for a request's head that HTTP/1 can be served with, in bytes.
const HEAD_MIN: usize = 8 * 1024;

/// What all connections have in common.
pub(crate) struct Ports {
    pub(crate) limits: Limits,
    pub(crate) encryption: Option<Encryption>,
}

/// The connection a request comes on.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// Where it arrives.
    pub(crate) local: SocketAddr,
    pub(crate) waits: Waits,
}

/// Opens a port.
pub async fn bind(at: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(at).await.with_context(|| {
        format!("can't listen on {at}: stop what uses the port, or choose another one with --listen")
    })
}

/// Serves what comes in on these ports until asked to stop, and a little longer for what is under way.
pub(crate) async fn serve(
    listeners: Vec<TcpListener>,
    ports: Arc<Ports>,
    routes: Router,
    stopping: CancellationToken,
) {
    let tracker = TaskTracker::new();
    let places = Arc::new(Semaphore::new(ports.limits.connections_max.min(Semaphore::MAX_PERMITS)));
    for listener in listeners {
        let (ports, routes, places) = (ports.clone(), routes.clone(), places.clone());
        tracker.spawn(accept(listener, ports, routes, stopping.clone(), tracker.clone(), places));
    }
    tracker.close();
    stopping.cancelled().await;
    let _ = tokio::time::timeout(STOP_GRACE, tracker.wait()).await;
}

async fn accept(
    listener: TcpListener,
    ports: Arc<Ports>,
    routes: Router,
    stopping: CancellationToken,
    tracker: TaskTracker,
    places: Arc<Semaphore>,
) {
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(stream, peer, ports.clone(), routes.clone(), stopping.clone());
                tracker.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: it passes when others close.
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    ports: Arc<Ports>,
    routes: Router,
    stopping: CancellationToken,
) {
    let Ports { limits, encryption } = &*ports;
    // Small messages go back and forth: none may wait for company.
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else { return };
    let begins = async {
        Begun::read(match encryption {
            None => Either::Left(stream),
            Some(encryption) => Either::Right(TlsAcceptor::from(encryption.config()).accept(stream).await?),
        })
        .await
    };
    // From there on the timeouts of the version count that the peer speaks.
    let begun = tokio::select! {
        begun = tokio::time::timeout(limits.header_timeout, begins) => begun,
        () = stopping.cancelled() => return,
    };
    let stream = match begun {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "a connection did not come about");
            return;
        }
        Err(_) => return,
    };
    let from = Peer { address: peer, local, waits: Waits::default() };
    let service = routes.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(from.clone());
        request.map(axum::body::Body::new)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // One buffer holds the first line and the headers; what of it is too long is told apart later.
    let head_max = (limits.header_bytes_max as usize).saturating_add(limits.path_bytes_max);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(head_max.max(HEAD_MIN));
    // Streams that are reset before they are looked at are bounded by h2 itself.
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE_EVERY)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(u32::try_from(head_max).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let serving =
        builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error, "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// In virtual time: who says nothing, or not enough, is let go when the time for headers is over.
    #[tokio::test(start_paused = true)]
    async fn a_peer_that_says_nothing_is_let_go() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for said in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM"] {
            let ports = Arc::new(Ports { limits: Limits::default(), encryption: None });
            let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            peer.write_all(said).await.unwrap();
            let (stream, address) = listener.accept().await.unwrap();
            connection(stream, address, ports, Router::new(), CancellationToken::new()).await;
            assert!(!matches!(peer.read(&mut [0]).await, Ok(1..)), "after {said:?}");
        }
    }
}
