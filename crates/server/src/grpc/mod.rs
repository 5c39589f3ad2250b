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
use std::time::Duration;

use strandline_proto::FILE_DESCRIPTOR_SET;
use strandline_proto::management::management_server::{ManagementServer, SERVICE_NAME as MANAGEMENT_NAME};
use strandline_proto::wire::task_hub_sidecar_service_server::{SERVICE_NAME, TaskHubSidecarServiceServer};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

pub(crate) use waits::{Waits, displaced};

use crate::hubs::Hubs;
use crate::serve::Reflection;
use crate::web::App;

/// All services of a server, until it is stopping.
pub(crate) async fn routes(app: &App, reflection: Reflection) -> anyhow::Result<Routes> {
    let (hubs, stopping) = (app.hubs.clone(), app.stopping.clone());
    let message_bytes_max = app.settings.limits.message_bytes_max;
    let service = TaskHubService::new(hubs.clone(), stopping).into_server(message_bytes_max);
    let management = ManagementServer::new(management::ManagementService::new(hubs));
    let (health, health_service) = tonic_health::server::health_reporter();
    report(&health, app.is_ready()).await;
    tokio::spawn(watch_health(app.clone(), health));
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

/// How often health is looked at for those who watch it.
const HEALTH_EVERY: Duration = Duration::from_secs(1);
/// What has a health of its own. The empty name is the server as a whole.
const SERVICES: [&str; 3] = ["", SERVICE_NAME, MANAGEMENT_NAME];

async fn report(health: &HealthReporter, ready: bool) {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    for name in SERVICES {
        health.set_service_status(name, status).await;
    }
}

/// Says over gRPC what `/readyz` says.
async fn watch_health(app: App, health: HealthReporter) {
    let mut said = app.is_ready();
    loop {
        tokio::select! {
            biased;
            () = app.stopping.cancelled() => break,
            () = tokio::time::sleep(HEALTH_EVERY) => {}
        }
        let ready = app.is_ready();
        if ready != said {
            tracing::warn!(ready, "the server's readiness changed");
            report(&health, ready).await;
            said = ready;
        }
    }
    // Whoever watches learns it, and that it was the last word.
    report(&health, false).await;
    let mut health = health;
    for name in SERVICES {
        health.clear_service_status(name).await;
    }
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
