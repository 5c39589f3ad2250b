//! A hub of a server.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Endpoint;
use tonic::{Code, Response, Status};

use super::calls::Remote;
use super::connection::{Connection, Headers, Repeat};
use super::error::{Failed, Subject};
use super::running::RunningActivities;
use super::worker::{RemoteWork, Serving};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::hub::{TaskHub, WorkerBuilder};

/// How long [`RemoteHub::close`] lets work in hand finish.
const CLOSE_GRACE: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that is silent for this long is asked for a sign of life, and given up after the other.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// What a stream and a connection may have under way, in bytes.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// A task hub of a server, reached over gRPC: `strandline serve`, or another server that speaks the
/// Durable Task protocol.
///
/// The code of a program is the same as on a [`TaskHub`] of its own: the same functions, and the same
/// [`Client`], [`Instance`](crate::Instance) and the rest.
///
/// ```no_run
/// use strandline::RemoteHub;
/// use strandline::prelude::*;
///
/// #[activity]
/// async fn greet(city: String) -> Result<String> { Ok(format!("Hello {city}!")) }
///
/// #[orchestrator]
/// async fn hello(ctx: OrchestrationContext, city: String) -> Result<String> {
///     ctx.call(greet, city).await
/// }
///
/// # #[tokio::main] async fn main() -> Result<()> {
/// let hub = RemoteHub::connect("http://127.0.0.1:7071").task_hub("greetings").await?;
/// hub.worker().register((greet, hello)).start().await?;
/// let run = hub.client().start(hello, "Tokyo".to_owned()).await?;
/// assert_eq!(run.output().await?, "Hello Tokyo!");
/// # hub.close().await }
/// ```
///
/// # When the server is lost
///
/// Waits, such as [`Instance::output`](crate::Instance::output), go on when the server is there again,
/// however long that takes. Other calls go on for [`Connect::patience`]; a start is carried out once,
/// however often it is sent. Where an answer was lost and a second try could do something twice, as with
/// raised events, the error is `OutcomeUnknown`. A worker connects again by itself. What it had in hand is
/// given to others by the server; the cancellation tokens of its activities fire.
///
/// # What differs from a hub in this process
///
/// * A start is not checked against the functions of this program's worker: others may serve it.
/// * [`Client::now`](crate::Client::now) is this machine's clock.
/// * [`Client::running_activities`](crate::Client::running_activities) are those of this program.
/// * An activity does not hear that its result is no longer wanted, unless the server is lost or the
///   worker stopped.
/// * Other servers than ours have no words for some things: tasks that are dropped are not cancelled,
///   timeouts of single calls are not kept, and lists with conditions that the protocol lacks take
///   longer.
///
/// Cheap to clone. When the last clone, client and instance are dropped, its worker stops at once;
/// [`RemoteHub::close`] is the polite way.
#[derive(Clone)]
pub struct RemoteHub {
    remote: Arc<Remote>,
}

impl RemoteHub {
    /// A server by its address, such as `http://127.0.0.1:7071`. Say more with the methods of
    /// [`Connect`], then await it.
    pub fn connect(address: impl Into<String>) -> Connect {
        Connect {
            address: address.into(),
            task_hub: crate::hub::DEFAULT_HUB.to_owned(),
            key: None,
            patience: Duration::from_secs(30),
            create: false,
            #[cfg(feature = "tls")]
            certificate: None,
        }
    }

    /// A client of this hub.
    pub fn client(&self) -> Client {
        Client::new(self.remote.clone())
    }

    /// Describes the worker that runs this hub's code in this process.
    pub fn worker(&self) -> WorkerBuilder<RemoteWork> {
        WorkerBuilder::remote(RemoteWork::of(self.clone()))
    }

    /// What the activities of this hub's worker count on their own account: to be registered with
    /// `Registry::register_collector`.
    pub fn metrics(&self) -> strandline_engine::metrics::CustomMetrics {
        self.remote.running.metrics().clone()
    }

    /// Stops the worker: it takes nothing more and has up to 30 seconds to finish what it has in hand.
    /// The rest goes to others.
    pub async fn close(&self) -> Result<()> {
        self.close_within(CLOSE_GRACE).await
    }

    /// As [`RemoteHub::close`], with a time of its own.
    pub async fn close_within(&self, grace: Duration) -> Result<()> {
        let worker = self.remote.worker.lock().take();
        if let Some(worker) = worker {
            worker.stop(grace).await;
        }
        Ok(())
    }

    pub(super) fn connection(&self) -> Arc<Connection> {
        self.remote.connection.clone()
    }

    pub(super) fn running(&self) -> Arc<RunningActivities> {
        self.remote.running.clone()
    }

    /// Returns the worker before.
    pub(super) fn put_worker(&self, worker: Serving) -> Option<Serving> {
        self.remote.worker.lock().replace(worker)
    }
}

impl TaskHub {
    /// A hub of a server; see [`RemoteHub::connect`].
    pub fn connect(address: impl Into<String>) -> Connect {
        RemoteHub::connect(address)
    }
}

impl fmt::Debug for RemoteHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remote = &self.remote;
        f.debug_struct("RemoteHub")
            .field("address", &remote.connection.address)
            .field("task_hub", &remote.hub)
            .finish_non_exhaustive()
    }
}

/// A connection before it is made; awaiting it greets the server.
#[derive(Clone)]
#[must_use = "nothing is connected until it is awaited"]
pub struct Connect {
    address: String,
    task_hub: String,
    key: Option<String>,
    patience: Duration,
    create: bool,
    #[cfg(feature = "tls")]
    certificate: Option<Vec<u8>>,
}

impl Connect {
    /// The name of the hub: `default` by default.
    pub fn task_hub(mut self, name: impl Into<String>) -> Self {
        self.task_hub = name.into();
        self
    }

    /// The key that lets clients and workers in.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// How long a call goes on while the server can't be reached: 30 seconds by default. Waits go on for
    /// ever.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Creates the hub if there is none of this name.
    pub fn create_if_absent(mut self) -> Self {
        self.create = true;
        self
    }

    /// The certificate, in PEM, of who vouches for the server, in place of those the system trusts.
    #[cfg(feature = "tls")]
    pub fn certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificate = Some(pem.into());
        self
    }

    fn endpoint(&self) -> Result<Endpoint> {
        let address = &self.address;
        let url = if address.contains("://") { address.clone() } else { format!("http://{address}") };
        let wrong = |problem: String| {
            let text = format!("address '{address}': {problem}; give one such as http://127.0.0.1:7071");
            Error::new("InvalidRequest", text)
        };
        let endpoint = Endpoint::from_shared(url.clone()).map_err(|error| wrong(error.to_string()))?;
        let endpoint = match endpoint.uri().scheme_str() {
            Some("http") => endpoint,
            Some("https") => self.encrypted(endpoint)?,
            other => return Err(wrong(format!("'{}' is not possible", other.unwrap_or_default()))),
        };
        Ok(endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW))
    }

    #[cfg(feature = "tls")]
    fn encrypted(&self, endpoint: Endpoint) -> Result<Endpoint> {
        use tonic::transport::{Certificate, ClientTlsConfig};
        let config = match &self.certificate {
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        let text = |error| format!("address '{}': TLS can't be set up: {error}", self.address);
        endpoint.tls_config(config).map_err(|error| Error::new("InvalidRequest", text(error)))
    }

    #[cfg(not(feature = "tls"))]
    fn encrypted(&self, _: Endpoint) -> Result<Endpoint> {
        let text = format!("address '{}': https needs the cargo feature `tls` of strandline", self.address);
        Err(Error::new("InvalidRequest", text))
    }

    async fn connect(self) -> Result<RemoteHub> {
        let endpoint = self.endpoint()?;
        let mut headers = vec![
            ("taskhub", header("task hub name", &self.task_hub)?),
            (
                "x-user-agent",
                AsciiMetadataValue::from_static(concat!("strandline-rust/", env!("CARGO_PKG_VERSION"))),
            ),
        ];
        if let Some(key) = &self.key {
            let mut value = header("key", &format!("Bearer {key}"))?;
            value.set_sensitive(true);
            headers.push(("authorization", value));
        }
        let connection = Connection::new(self.address, endpoint, Headers::new(headers), self.patience);
        let remote = Remote {
            connection: Arc::new(connection),
            hub: self.task_hub,
            running: Arc::default(),
            worker: Mutex::default(),
        };
        remote.greet(self.create).await?;
        Ok(RemoteHub { remote: Arc::new(remote) })
    }
}

impl Remote {
    async fn greet(&self, create: bool) -> Result<()> {
        let connection = &*self.connection;
        let call = || {
            let mut stub = connection.stub();
            async move { stub.hello(()).await }
        };
        connection.call(Repeat::Harmless, call).await.map_err(|failed| self.error(failed, Subject::Hub))?;
        if !create {
            return Ok(());
        }
        let call = || {
            let mut stub = connection.stub();
            let request = strandline_proto::wire::CreateTaskHubRequest { recreate_if_exists: false };
            async move {
                stub.create_task_hub(request)
                    .await
                    .map(|_: Response<_>| ())
                    .or_else(exists)
                    .map(Response::new)
            }
        };
        let created = connection.call(Repeat::Harmless, call).await;
        created.map(drop).map_err(|failed: Failed| self.error(failed, Subject::Hub))
    }
}

fn exists(status: Status) -> std::result::Result<(), Status> {
    if status.code() == Code::AlreadyExists { Ok(()) } else { Err(status) }
}

/// A text as metadata carries it.
pub(super) fn header(what: &str, text: &str) -> Result<AsciiMetadataValue> {
    let value = text.parse::<AsciiMetadataValue>();
    value.map_err(|_| {
        Error::new("InvalidRequest", format!("the {what} has characters other than visible ASCII"))
    })
}

impl IntoFuture for Connect {
    type Output = Result<RemoteHub>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.connect())
    }
}

impl fmt::Debug for Connect {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("address", &self.address)
            .field("task_hub", &self.task_hub)
            .finish_non_exhaustive()
    }
}
