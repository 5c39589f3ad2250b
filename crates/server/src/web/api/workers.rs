//! Who works for a hub, and what runs.

use serde::Serialize;
use strandline_proto::{management as wire, time};
use utoipa::ToSchema;

use super::admitted::{In, Read};
use super::json::Answer;
use super::params::NoParams;
use super::problem::Problem;
use super::time::Time;
use crate::service::workers;

/// A worker.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Worker {
    /// Its name for itself; workers may share one.
    worker_id: String,
    /// What it is written with, and the version of that.
    sdk: String,
    sdk_version: String,
    /// Absent for the worker inside the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    connected_since: Option<Time>,
    /// Where it connects from; absent for the worker inside the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    orchestrators: Service,
    activities: Service,
    entities: Service,
}

/// What a worker does of one kind.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Service {
    /// It takes whatever there is. Then there are no names.
    all: bool,
    names: Vec<ServedName>,
    /// How many it takes at a time; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity: Option<u32>,
    /// How many it has now. A worker inside the server says so of activities only.
    in_flight: u32,
}

/// A name that a worker serves.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ServedName {
    name: String,
    /// Just these; the empty text stands for no version. None listed means any.
    versions: Vec<String>,
}

impl Worker {
    fn new(worker: wire::Worker) -> Self {
        let service = |service: Option<wire::Service>| service.map(Service::new).unwrap_or_default();
        Self {
            worker_id: worker.id,
            sdk: worker.sdk,
            sdk_version: worker.sdk_version,
            connected_since: worker.connected_since.map(|since| Time(time::from_wire(since))),
            peer: Some(worker.peer).filter(|peer| !peer.is_empty()),
            orchestrators: service(worker.orchestrators),
            activities: service(worker.activities),
            entities: service(worker.entities),
        }
    }
}

impl Service {
    fn new(service: wire::Service) -> Self {
        let names = service.names.into_iter();
        Self {
            all: service.all,
            names: names.map(|served| ServedName { name: served.name, versions: served.versions }).collect(),
            capacity: service.capacity,
            in_flight: service.in_flight,
        }
    }
}

/// The workers of a hub.
#[derive(Serialize, ToSchema)]
pub(super) struct Workers {
    workers: Vec<Worker>,
}

/// Lists the workers that are connected now, by id.
#[utoipa::path(get, path = "/hubs/{hub}/workers", operation_id = "listWorkers", tag = "workers",
    responses((status = 200, body = Workers, description = "The workers.")), security(("accessKey" = ["read"])))]
pub(super) async fn list(at: In<Read>, _: NoParams) -> Result<Answer<Workers>, Problem> {
    let workers = workers::list(&at.hub).await?;
    Ok(Answer(Workers { workers: workers.into_iter().map(Worker::new).collect() }))
}

/// An activity that runs inside the server.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Activity {
    instance_id: String,
    /// The event id of its `TaskScheduled`.
    task_id: i32,
    /// What it reported last.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<String>,
}

/// Activities that run now.
#[derive(Serialize, ToSchema)]
pub(super) struct Activities {
    activities: Vec<Activity>,
}

/// Lists the activities that run inside the server now. How many run at workers elsewhere, the list of workers
/// tells.
#[utoipa::path(get, path = "/hubs/{hub}/running-activities", operation_id = "listRunningActivities",
    tag = "workers", responses((status = 200, body = Activities, description = "The activities.")),
    security(("accessKey" = ["read"])))]
pub(super) async fn activities(at: In<Read>, _: NoParams) -> Answer<Activities> {
    let running = at.hub.running_activities().into_iter();
    let activity = running.map(|activity| Activity {
        instance_id: activity.instance.to_string(),
        task_id: activity.task_id,
        progress: activity.progress,
    });
    Answer(Activities { activities: activity.collect() })
}
