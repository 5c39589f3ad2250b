//! What a node says of itself: metrics, and whether it can do its work.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use strandline_engine::metrics::{NAMES_MAX, OTHER};
use strandline_engine::pipeline::{Answer, Read};
use strandline_engine::runtime::{Hub, HubOptions, Node, NodeOptions, StoreProblem};
use strandline_hub::{Command, Reply};
use strandline_model::InstanceId;
use strandline_store::Store;
use strandline_store_local::{LocalOptions, LocalStore};
use support::start;

fn node(path: &Path) -> Node {
    let path = path.to_owned();
    let opener =
        move || LocalStore::open(&path, LocalOptions::default()).map(|s| Arc::new(s) as Arc<dyn Store>);
    Node::open(Box::new(opener), NodeOptions::default()).unwrap()
}

fn registry(node: &Node) -> Registry {
    let mut registry = Registry::default();
    node.register_metrics(&mut registry);
    registry
}

fn text(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).unwrap();
    text
}

/// The value of one series.
fn value(registry: &Registry, series: &str) -> f64 {
    let text = text(registry);
    let line = text.lines().find(|line| line.rsplit_once(' ').is_some_and(|(name, _)| name == series));
    let line = line.unwrap_or_else(|| panic!("no {series} in\n{text}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

async fn run(hub: &Hub, id: &str, activities: u32) {
    assert!(matches!(hub.start(start(id, activities)).await.unwrap(), Reply::Started { .. }));
    let ended = hub.read(&InstanceId::new(id).unwrap(), Read::Ended).await.unwrap();
    assert!(matches!(ended, Answer::Status(Some(_))), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_what_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let hub = node.hub("default", HubOptions { partitions: 4, ..HubOptions::default() }).unwrap();
    let registry = registry(&node);
    hub.start(start("early", 2)).await.unwrap();
    assert_eq!(value(&registry, "strandline_orchestrations{hub=\"default\",status=\"Pending\"}"), 1.0);
    let depth = "strandline_work_item_queue_depth{hub=\"default\",kind=\"orchestration\"}";
    assert_eq!(value(&registry, depth), 1.0, "nobody serves it");
    hub.attach(Some(Arc::new(support::Chain)));
    run(&hub, "a", 3).await;
    run(&hub, "b", 1).await;
    hub.read(&InstanceId::new("early").unwrap(), Read::Ended).await.unwrap();
    for (series, expected) in [
        ("orchestrations_started_total{hub=\"default\",name=\"Chain\"}", 3.0),
        ("orchestrations_completed_total{hub=\"default\",name=\"Chain\",status=\"Completed\"}", 3.0),
        ("orchestrations{hub=\"default\",status=\"Completed\"}", 3.0),
        ("orchestrations{hub=\"default\",status=\"Pending\"}", 0.0),
        ("orchestrations{hub=\"default\",status=\"Running\"}", 0.0),
        ("orchestration_duration_seconds_count{hub=\"default\",name=\"Chain\"}", 3.0),
        ("orchestration_turn_duration_seconds_count{hub=\"default\"}", 9.0),
        ("turns_total{hub=\"default\"}", 9.0),
        ("work_item_schedule_to_start_seconds_count{hub=\"default\",kind=\"activity\"}", 6.0),
        ("work_item_schedule_to_start_seconds_count{hub=\"default\",kind=\"orchestration\"}", 9.0),
        ("activity_duration_seconds_count{hub=\"default\",name=\"Hello\",outcome=\"completed\"}", 6.0),
        ("activity_duration_seconds_count{hub=\"default\",name=\"Hello\",outcome=\"failed\"}", 0.0),
        ("work_item_queue_depth{hub=\"default\",kind=\"activity\"}", 0.0),
        ("work_item_oldest_age_seconds{hub=\"default\",kind=\"activity\"}", 0.0),
        ("partition_owner{hub=\"default\",partition=\"3\"}", 1.0),
        ("workers_connected{hub=\"default\"}", 0.0),
        ("timers_pending{hub=\"default\"}", 0.0),
        ("nondeterminism_total{hub=\"default\",name=\"Chain\"}", 0.0),
    ] {
        assert_eq!(value(&registry, &format!("strandline_{series}")), expected, "{series}");
    }
    // Each turn leaves two events around its own, each activity two, each instance a start and an end.
    assert_eq!(value(&registry, "strandline_history_events_total{hub=\"default\"}"), 9.0 * 2.0 + 12.0 + 6.0);
    assert!(value(&registry, "strandline_history_bytes_total{hub=\"default\"}") > 0.0);
    assert!(value(&registry, "strandline_store_commit_seconds_count") >= 1.0);
    assert!(value(&registry, "strandline_store_size_bytes{part=\"tables\"}") > 0.0);
    drop((hub, node));
    assert!(!text(&registry).contains("partition_owner{"), "a node that is gone owns nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_census_outlasts_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let completed = "strandline_orchestrations{hub=\"default\",status=\"Completed\"}";
    let pending = "strandline_orchestrations{hub=\"default\",status=\"Pending\"}";
    {
        let node = node(dir.path());
        let hub = node.hub("default", HubOptions::default()).unwrap();
        hub.attach(Some(Arc::new(support::Chain)));
        for n in 0..10 {
            run(&hub, &format!("flushed-{n}"), 1).await;
        }
        node.flush();
        // These are in the log alone.
        for n in 0..5 {
            run(&hub, &format!("logged-{n}"), 0).await;
        }
        hub.attach(None);
        hub.start(start("waits", 1)).await.unwrap();
    }
    let node = node(dir.path());
    let hub = node.hub("default", HubOptions::default()).unwrap();
    let registry = registry(&node);
    assert_eq!((value(&registry, completed), value(&registry, pending)), (15.0, 1.0));
    for id in ["flushed-3", "logged-1"] {
        let id = InstanceId::new(id).unwrap();
        hub.command(&id, Command::Purge { id: id.clone(), execution: None }).await.unwrap();
    }
    assert_eq!((value(&registry, completed), value(&registry, pending)), (13.0, 1.0));
    let started = "strandline_orchestrations_started_total";
    assert!(!text(&registry).contains(&format!("{started}{{")), "what came before is not counted again");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_hubs_do_not_grow_without_bound() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let hub = node.hub("default", HubOptions::default()).unwrap();
    let registry = registry(&node);
    let mut starts = Vec::new();
    for n in 0..2 * NAMES_MAX {
        let mut start = start(&format!("i{n}"), 0);
        start.name = format!("Name{n}");
        starts.push(hub.start(start));
    }
    futures::future::join_all(starts).await;
    let text = text(&registry);
    let series = text.lines().filter(|line| line.starts_with("strandline_orchestrations_started_total{"));
    assert_eq!(series.count(), NAMES_MAX + 1);
    let other = format!("strandline_orchestrations_started_total{{hub=\"default\",name=\"{OTHER}\"}}");
    assert_eq!(value(&registry, &other), NAMES_MAX as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn tells_whether_it_can_do_its_work() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    assert!(node.health().is_ready(), "{:?}", node.health());
    let _hub = node.hub("default", HubOptions { partitions: 8, ..HubOptions::default() }).unwrap();
    let health = node.health();
    assert!(health.is_ready(), "{health:?}");
    assert_eq!((health.hubs[0].running, health.hubs[0].partitions), (8, 8));
    assert_eq!(node.stuck_drivers(Duration::from_secs(60)).await, 0);
    node.close(Duration::from_secs(5)).unwrap();
    assert_eq!(node.health().store, Some(StoreProblem::NotOpen));
    assert!(!node.health().is_ready());
}
