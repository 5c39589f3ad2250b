//! The runtime on a real directory: from start to completion, and across a restart.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use strandline_engine::pipeline::{Answer, Read};
use strandline_engine::runtime::{Hub, HubOptions, Node, NodeOptions};
use strandline_hub::{InstanceStatus, Reply};
use strandline_model::{InstanceId, RuntimeStatus};
use strandline_store::Store;
use strandline_store_local::{LocalOptions, LocalStore};
use support::start;

fn node(path: &Path) -> Node {
    let path = path.to_owned();
    let opener =
        move || LocalStore::open(&path, LocalOptions::default()).map(|s| Arc::new(s) as Arc<dyn Store>);
    Node::open(Box::new(opener), NodeOptions::default()).unwrap()
}

async fn ended(hub: &Hub, id: &str) -> InstanceStatus {
    match hub.read(&InstanceId::new(id).unwrap(), Read::Ended).await.unwrap() {
        Answer::Status(Some(status)) => *status,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_runs_to_its_end_with_one_sync_a_step() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let hub = node.hub("default", HubOptions::default()).unwrap();
    hub.attach(Some(Arc::new(support::Chain)));
    let before = node.store_stats().log_syncs;
    assert!(matches!(hub.start(start("a", 3)).await.unwrap(), Reply::Started { .. }));
    let status = ended(&hub, "a").await;
    assert_eq!((status.status, status.output()), (RuntimeStatus::Completed, Some("3")));
    assert_eq!(node.store_stats().log_syncs - before, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    {
        let node = node(dir.path());
        let hub = node.hub("default", HubOptions::default()).unwrap();
        // Nobody serves the orchestrator: it stays pending.
        assert!(matches!(hub.start(start("a", 50)).await.unwrap(), Reply::Started { .. }));
    }
    let node = node(dir.path());
    let hub = node.hub("default", HubOptions::default()).unwrap();
    hub.attach(Some(Arc::new(support::Chain)));
    assert_eq!(ended(&hub, "a").await.output(), Some("50"));
    let replayed = hub.counters().replays;
    assert_eq!(replayed, 0, "a suspended orchestrator continues where it is");
    node.close(Duration::from_secs(5)).unwrap();
    drop((hub, node));
    let node = self::node(dir.path());
    let hub = node.hub("default", HubOptions::default()).unwrap();
    assert_eq!(ended(&hub, "a").await.output(), Some("50"));
}
