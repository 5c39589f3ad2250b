//! Connections to a server, and calls that outlast its restarts.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use strandline_proto::management::management_client::ManagementClient;
use strandline_proto::wire::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use tokio::time::Instant;
use tonic::metadata::{AsciiMetadataValue, MetadataKey};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use super::backoff::Backoff;
use super::error::{Failed, is_passing, was_not_sent};

pub(super) type Service = InterceptedService<Channel, Headers>;
pub(super) type Stub = TaskHubSidecarServiceClient<Service>;
pub(super) type Management = ManagementClient<Service>;

/// Largest message taken, in bytes. Payloads have up to 16 MiB, and some messages hold several.
const MESSAGE_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Calls that wait on one connection: servers bound how many a connection may have open, often to 100,
/// and further ones are held back.
const WAITS_PER_LANE: usize = 90;
/// Longest pause between two attempts of a call.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What goes with each call.
#[derive(Clone, Debug)]
pub(super) struct Headers(Arc<[(&'static str, AsciiMetadataValue)]>);

impl Headers {
    pub(super) fn new(entries: Vec<(&'static str, AsciiMetadataValue)>) -> Self {
        Self(entries.into())
    }

    /// The same and one more.
    pub(super) fn with(&self, name: &'static str, value: AsciiMetadataValue) -> Self {
        Self(self.0.iter().cloned().chain([(name, value)]).collect())
    }
}

impl Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for (name, value) in &*self.0 {
            request.metadata_mut().insert(MetadataKey::from_static(name), value.clone());
        }
        Ok(request)
    }
}

/// Whether a call may be carried out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It does no harm.
    Harmless,
    /// Only when it never got to the server.
    Unsent,
}

/// A server and how to reach it. Connects when it is first used, and again when the connection is lost.
pub(super) struct Connection {
    pub(super) address: String,
    pub(super) endpoint: Endpoint,
    pub(super) headers: Headers,
    /// How long a call goes on while the server can't be reached.
    pub(super) patience: Duration,
    calls: Channel,
    lanes: Mutex<Vec<Lane>>,
}

/// A connection for calls that wait, so that they hold up no others.
struct Lane {
    channel: Channel,
    /// Held by each that waits.
    users: Arc<()>,
}

impl Connection {
    pub(super) fn new(address: String, endpoint: Endpoint, headers: Headers, patience: Duration) -> Self {
        let calls = endpoint.connect_lazy();
        Self { address, endpoint, headers, patience, calls, lanes: Mutex::default() }
    }

    pub(super) fn stub(&self) -> Stub {
        stub(self.calls.clone(), self.headers.clone())
    }

    pub(super) fn management(&self) -> Management {
        let service = InterceptedService::new(self.calls.clone(), self.headers.clone());
        ManagementClient::new(service).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// For a call that waits. The place is held as long as the second value lives.
    pub(super) fn waiting_stub(&self) -> (Stub, Arc<()>) {
        let mut lanes = self.lanes.lock();
        let free = lanes.iter().position(|lane| Arc::strong_count(&lane.users) <= WAITS_PER_LANE);
        let index = free.unwrap_or_else(|| {
            lanes.push(Lane { channel: self.endpoint.connect_lazy(), users: Arc::default() });
            lanes.len() - 1
        });
        let place = lanes[index].users.clone();
        let channel = lanes[index].channel.clone();
        // Those that nobody needs any more are closed; one stays.
        let mut kept = 0;
        lanes.retain(|lane| {
            kept += 1;
            kept == 1 || Arc::strong_count(&lane.users) > 1
        });
        (stub(channel, self.headers.clone()), place)
    }

    /// When patience ends; `None`: never.
    pub(super) fn end_of_patience(&self) -> Option<Instant> {
        Instant::now().checked_add(self.patience)
    }

    /// Calls until the server answers or patience ends.
    pub(super) async fn call<T, F, A>(&self, repeat: Repeat, call: F) -> Result<Response<T>, Failed>
    where
        F: Fn() -> A,
        A: Future<Output = Result<Response<T>, Status>>,
    {
        let end = self.end_of_patience();
        let mut backoff = Backoff::up_to(PAUSE_MAX);
        loop {
            let status = match call().await {
                Ok(response) => return Ok(response),
                Err(status) => status,
            };
            let may_repeat = repeat == Repeat::Harmless || was_not_sent(&status);
            let pause = backoff.pause();
            if !is_passing(&status) || !may_repeat || end.is_some_and(|end| Instant::now() + pause >= end) {
                return Err(Failed { in_doubt: !may_repeat, status });
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// The service over a channel.
pub(super) fn stub(channel: Channel, headers: Headers) -> Stub {
    let service = InterceptedService::new(channel, headers);
    TaskHubSidecarServiceClient::new(service).max_decoding_message_size(MESSAGE_BYTES_MAX)
}
