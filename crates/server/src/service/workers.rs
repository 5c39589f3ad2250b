//! Who works for a hub now.

use strandline_engine::dispatch::{ConnectedWorker, Filters, Kind, Versions};
use strandline_engine::runtime::{CallError, Hub};
use strandline_engine::worker::Worker;
use strandline_proto::management as wire;
use strandline_proto::time;

/// The workers of a hub, in this process and elsewhere, by id.
pub(crate) async fn list(hub: &Hub) -> Result<Vec<wire::Worker>, CallError> {
    let name = &hub.info().name;
    let connected = hub.workers().await?;
    let mut workers: Vec<_> = connected.iter().map(|worker| connected_to_wire(worker, name)).collect();
    workers.extend(hub.worker().map(|worker| local_to_wire(&*worker, hub)));
    workers.sort_by(|a, b| (&a.id, &a.peer).cmp(&(&b.id, &b.peer)));
    Ok(workers)
}

fn connected_to_wire(worker: &ConnectedWorker, hub: &str) -> wire::Worker {
    let profile = &worker.profile;
    let (sdk, sdk_version) = user_agent(profile.sdk.as_deref().unwrap_or_default());
    let service = |kind: Kind| {
        let names = profile.filters.as_ref().map(|filters| names(filters, kind));
        wire::Service {
            all: names.is_none(),
            names: names.unwrap_or_default(),
            capacity: u32::try_from(profile.slots.of(kind)).ok(),
            in_flight: u32::try_from(worker.in_flight[kind as usize]).unwrap_or(u32::MAX),
        }
    };
    wire::Worker {
        id: profile.id.clone(),
        hub: hub.to_owned(),
        sdk,
        sdk_version,
        connected_since: Some(time::to_wire(worker.since)),
        peer: profile.peer.clone().unwrap_or_default(),
        orchestrators: Some(service(Kind::Orchestration)),
        activities: Some(service(Kind::Activity)),
        entities: Some(service(Kind::Entity)),
    }
}

/// The worker inside this process. What it takes on at a time is bounded by the hub, not by itself.
fn local_to_wire(worker: &dyn Worker, hub: &Hub) -> wire::Worker {
    let served = |names: Vec<String>, capacity: Option<usize>, in_flight: usize| wire::Service {
        all: false,
        names: names.into_iter().map(|name| wire::ServedName { name, versions: Vec::new() }).collect(),
        capacity: capacity.and_then(|most| u32::try_from(most).ok()),
        in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
    };
    let options = hub.options();
    wire::Worker {
        id: "in-process".to_owned(),
        hub: hub.info().name.clone(),
        sdk: "strandline".to_owned(),
        sdk_version: env!("CARGO_PKG_VERSION").to_owned(),
        connected_since: None,
        peer: String::new(),
        orchestrators: Some(served(worker.orchestrators(), Some(options.turns_max), 0)),
        activities: Some(served(
            worker.activities(),
            Some(options.activities_max),
            hub.running_activities().len(),
        )),
        entities: Some(served(worker.entities(), Some(options.entities_max), 0)),
    }
}

fn names(filters: &Filters, kind: Kind) -> Vec<wire::ServedName> {
    let by_name = match kind {
        Kind::Orchestration => &filters.orchestrations,
        Kind::Activity => &filters.activities,
        Kind::Entity => {
            let name = |name: &String| wire::ServedName { name: name.clone(), versions: Vec::new() };
            return filters.entities.iter().map(name).collect();
        }
    };
    let served = |(name, versions): (&String, &Versions)| wire::ServedName {
        name: name.clone(),
        versions: match versions {
            Versions::Any => Vec::new(),
            Versions::Only(versions) => versions.iter().cloned().collect(),
        },
    };
    by_name.iter().map(served).collect()
}

/// `name/version (comment)`, of which there may be several: the first is the SDK.
fn user_agent(text: &str) -> (String, String) {
    let product = text.split_whitespace().next().unwrap_or_default();
    let (name, version) = product.split_once('/').unwrap_or((product, ""));
    (name.to_owned(), version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_user_agents() {
        let pair = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        assert_eq!(user_agent("grpc-python/1.71.0 grpc-c/46.0 (linux)"), pair("grpc-python", "1.71.0"));
        assert_eq!(user_agent("durabletask"), pair("durabletask", ""));
        assert_eq!(user_agent(""), pair("", ""));
    }
}
