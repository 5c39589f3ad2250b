//! The Durable Task protocol: what official SDKs speak, as clients and as workers.

pub(crate) mod caller;
mod entities;
mod error;
mod history;
mod hubs;
mod instances;
mod maintenance;
mod management;
mod pages;
mod queries;
mod service;
mod state;
mod waits;
mod work;

use std::sync::Arc;

use strandline_proto::FILE_DESCRIPTOR_SET;
use strandline_proto::management::management_server::{ManagementServer, SERVICE_NAME as MANAGEMENT_NAME};
use strandline_proto::wire::task_hub_sidecar_service_server::{SERVICE_NAME, TaskHubSidecarServiceServer};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub(crate) use waits::Waits;

use crate::hubs::Hubs;
use crate::serve::Reflection;

/// All services of a server, until it is stopping.
pub(crate) async fn routes(
    hubs: Arc<Hubs>,
    stopping: CancellationToken,
    reflection: Reflection,
    message_bytes_max: usize,
) -> anyhow::Result<Routes> {
    let service = TaskHubService::new(hubs.clone(), stopping.clone()).into_server(message_bytes_max);
    let management = ManagementServer::new(management::ManagementService::new(hubs));
    let (mut health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<TaskHubSidecarServiceServer<TaskHubService>>().await;
    health.set_serving::<ManagementServer<management::ManagementService>>().await;
    tokio::spawn(async move {
        stopping.cancelled().await;
        // Whoever watches learns it, and that it was the last word. The empty name is the server as a whole.
        for name in ["", SERVICE_NAME, MANAGEMENT_NAME] {
            health.set_service_status(name, tonic_health::ServingStatus::NotServing).await;
            health.clear_service_status(name).await;
        }
    });
    let routes = Routes::new(service).add_service(management).add_service(health_service);
    Ok(match reflection {
        Reflection::Off => routes,
        Reflection::On => routes.add_service(
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .build_v1()?,
        ),
    })
}

/// The service over the hubs of this server.
pub(crate) struct TaskHubService {
    hubs: Arc<Hubs>,
    /// Fires when the server stops: streams end.
    stopping: CancellationToken,
}

impl TaskHubService {
    pub(crate) fn new(hubs: Arc<Hubs>, stopping: CancellationToken) -> Self {
        Self { hubs, stopping }
    }

    /// The service as tonic serves it. `message_bytes_max` is the largest message taken.
    pub(crate) fn into_server(self, message_bytes_max: usize) -> TaskHubSidecarServiceServer<Self> {
        TaskHubSidecarServiceServer::new(self)
            .max_decoding_message_size(message_bytes_max)
            .max_encoding_message_size(usize::MAX)
    }
}
