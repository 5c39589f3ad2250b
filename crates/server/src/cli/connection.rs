//! A connection to a server.

use std::time::Duration;

use strandline_proto::management::management_client::ManagementClient;
use strandline_proto::wire;
use strandline_proto::wire::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Response, Status};

use super::error::{Error, innermost};
use crate::grpc::caller::TASK_HUB;

/// Largest answer taken, in bytes: histories may hold large payloads.
const MESSAGE_BYTES_MAX: usize = 256 * 1024 * 1024;
const CONNECT_MAX: Duration = Duration::from_secs(10);

type Service = InterceptedService<Channel, Caller>;

/// Talks to one hub of one server.
#[derive(Clone)]
pub(super) struct Connection {
    service: Service,
    /// As the user named it.
    pub(super) server: String,
    pub(super) hub: String,
    /// How long an answer may take.
    answer_max: Duration,
}

impl Connection {
    pub(super) async fn open(
        server: &str,
        hub: &str,
        key: Option<&str>,
        ca: Option<&[u8]>,
        answer_max: Duration,
    ) -> Result<Self, Error> {
        let server = match server.contains("://") {
            true => server.to_owned(),
            false => format!("http://{server}"),
        };
        let bad = |reason: &str| Error::Address { address: server.clone(), reason: reason.to_owned() };
        let form = "give a URL of the form http://HOST:PORT or https://HOST:PORT";
        let endpoint = Endpoint::from_shared(server.clone()).map_err(|_| bad(form))?;
        let endpoint = match endpoint.uri().scheme_str() {
            Some("http") if ca.is_some() => return Err(bad("--ca is for https://")),
            Some("http") => endpoint,
            Some("https") => {
                let tls = match ca {
                    Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
                    None => ClientTlsConfig::new().with_native_roots(),
                };
                let failed = |error: tonic::transport::Error| {
                    bad(&innermost(&error).unwrap_or_else(|| error.to_string()))
                };
                endpoint.tls_config(tls).map_err(failed)?
            }
            _ => return Err(bad(form)),
        };
        let endpoint = endpoint
            .connect_timeout(CONNECT_MAX.min(answer_max))
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        let caller = Caller::new(hub, key)?;
        let channel = endpoint.connect().await.map_err(|error| Error::Unreachable {
            server: server.clone(),
            cause: innermost(&error).unwrap_or_else(|| error.to_string()),
        })?;
        let service = InterceptedService::new(channel, caller);
        Ok(Self { service, server, hub: hub.to_owned(), answer_max })
    }

    pub(super) fn tasks(&self) -> TaskHubSidecarServiceClient<Service> {
        TaskHubSidecarServiceClient::new(self.service.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(super) fn management(&self) -> ManagementClient<Service> {
        ManagementClient::new(self.service.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The answer to a call, if it comes in time.
    pub(super) async fn call<T>(
        &self,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.answer_max, answer).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(Error::from_status(status, &self.server)),
            Err(_) => Err(Error::NoAnswer { server: self.server.clone(), after: self.answer_max }),
        }
    }

    /// An instance with its input, output and custom status.
    pub(super) async fn instance(&self, id: &str) -> Result<wire::OrchestrationState, Error> {
        let request = wire::GetInstanceRequest { instance_id: id.to_owned(), get_inputs_and_outputs: true };
        let answer = self.call(self.tasks().get_instance(request)).await?;
        self.existing(id, answer)
    }

    /// The instance of an answer.
    pub(super) fn existing(
        &self,
        id: &str,
        answer: wire::GetInstanceResponse,
    ) -> Result<wire::OrchestrationState, Error> {
        answer
            .orchestration_state
            .filter(|_| answer.exists)
            .ok_or_else(|| Error::NoInstance { id: id.to_owned(), hub: self.hub.clone() })
    }
}

/// Says with each call which hub it is for, and who calls.
#[derive(Clone)]
pub(super) struct Caller {
    hub: MetadataValue<Ascii>,
    authorization: Option<MetadataValue<Ascii>>,
}

impl Caller {
    fn new(hub: &str, key: Option<&str>) -> Result<Self, Error> {
        let argument = |flag| Error::Argument { flag, reason: "give ASCII text in one line" };
        let hub = hub.parse().map_err(|_| argument("--hub"))?;
        let authorization = match key {
            Some(key) => {
                let mut value: MetadataValue<Ascii> =
                    format!("Bearer {key}").parse().map_err(|_| argument("--key"))?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(Self { hub, authorization })
    }
}

impl tonic::service::Interceptor for Caller {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(TASK_HUB, self.hub.clone());
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        Ok(request)
    }
}
