//! Hubs come and go while others work.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use strandline_engine::dispatch::WorkerProfile;
use strandline_engine::pipeline::{Answer, Read};
use strandline_engine::runtime::{CallError, Hub, HubOptions, ListError, Node, OpenError};
use strandline_engine::worker::Worker;
use strandline_hub::Reply;
use strandline_hub::query::InstanceQuery;
use strandline_model::InstanceId;
use strandline_store::StoreError;
use support::machine::Machine;
use support::start;

/// Flushes all the time, so that hubs are deleted under flushes.
fn node(machine: &Machine) -> Node {
    machine.node(Duration::from_millis(1))
}

fn options() -> HubOptions {
    HubOptions { partitions: 4, ..HubOptions::default() }
}

fn gone(name: &str) -> CallError {
    CallError::NoSuchHub(name.to_owned())
}

fn everything() -> Arc<InstanceQuery> {
    Arc::new(InstanceQuery::default())
}

async fn run(hub: &Hub, id: &str) -> Result<Option<String>, CallError> {
    assert!(matches!(hub.start(start(id, 2)).await?, Reply::Started { .. }));
    match hub.read(&InstanceId::new(id).unwrap(), Read::Ended).await? {
        Answer::Status(Some(status)) => Ok(status.output().map(str::to_owned)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_of_a_deleted_hub_say_so_and_its_threads_end() {
    let node = node(&Machine::new());
    let hub = node.create_hub("h", options()).unwrap();
    assert!(matches!(
        node.create_hub("h", options()),
        Err(OpenError::Store(StoreError::HubExists(name))) if name == "h"
    ));
    let worker: Arc<dyn Worker> = Arc::new(support::Chain);
    hub.attach(Some(worker.clone()));
    assert_eq!(run(&hub, "a").await, Ok(Some("2".to_owned())));
    let nobody = InstanceId::new("nobody").unwrap();
    let waiting = tokio::spawn({
        let hub = hub.clone();
        async move { hub.read(&nobody, Read::Ended).await }
    });
    tokio::task::yield_now().await;
    let mut elsewhere = hub.connect(WorkerProfile::default()).await.unwrap();
    node.delete_hub("h").unwrap();
    assert_eq!(waiting.await.unwrap(), Err(gone("h")));
    assert!(elsewhere.next().await.is_none(), "workers elsewhere are let go");
    assert_eq!(hub.connect(WorkerProfile::default()).await.map(drop), Err(gone("h")));
    assert_eq!(run(&hub, "b").await, Err(gone("h")));
    assert!(matches!(
        hub.list(&everything(), None, 10).await,
        Err(ListError::Call(CallError::NoSuchHub(name))) if name == "h"
    ));
    assert_eq!(node.hubs().unwrap(), []);
    assert!(matches!(node.delete_hub("h"), Err(StoreError::NoSuchHub(name)) if name == "h"));
    // Threads that run turns hold the worker as long as they live.
    while Arc::strong_count(&worker) > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hubs_made_anew_are_empty_and_others_do_not_notice() {
    let machine = Machine::new();
    let node = Arc::new(node(&machine));
    let steady = node.hub("steady", options()).unwrap();
    steady.attach(Some(Arc::new(support::Chain)));
    let stop = Arc::new(AtomicBool::new(false));
    let undisturbed = tokio::spawn({
        let (hub, stop) = (steady.clone(), stop.clone());
        async move {
            let mut runs = 0;
            while !stop.load(Ordering::Relaxed) || runs < 20 {
                assert_eq!(run(&hub, &format!("run-{runs}")).await, Ok(Some("2".to_owned())));
                runs += 1;
            }
            runs
        }
    });
    let mut numbers = BTreeSet::new();
    for round in 0..15 {
        let hub = node.create_hub("busy", options()).unwrap();
        assert!(numbers.insert(hub.info().number));
        assert_eq!(hub.count(&everything()).await.unwrap(), 0, "round {round}");
        hub.attach(Some(Arc::new(support::Chain)));
        let callers: Vec<_> = (0..8)
            .map(|caller| {
                let hub = hub.clone();
                tokio::spawn(async move {
                    for n in 0.. {
                        if let Err(error) = run(&hub, &format!("{round}-{caller}-{n}")).await {
                            return (n, error);
                        }
                    }
                    unreachable!()
                })
            })
            .collect();
        while hub.count(&everything()).await.unwrap() < 40 {
            tokio::task::yield_now().await;
        }
        let deleting = node.clone();
        tokio::task::spawn_blocking(move || deleting.delete_hub("busy").unwrap()).await.unwrap();
        for caller in callers {
            let (_, error) = caller.await.unwrap();
            assert_eq!(error, gone("busy"));
        }
    }
    stop.store(true, Ordering::Relaxed);
    let runs = undisturbed.await.unwrap();
    node.close(Duration::from_secs(5)).unwrap();
    drop((node, steady));
    let node = self::node(&machine);
    let names: Vec<String> = node.hubs().unwrap().into_iter().map(|hub| hub.name).collect();
    assert_eq!(names, ["steady"]);
    let steady = node.hub("steady", options()).unwrap();
    assert_eq!(steady.count(&everything()).await.unwrap(), runs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_does_not_run_can_be_deleted() {
    let machine = Machine::new();
    {
        let node = node(&machine);
        let hub = node.hub("h", options()).unwrap();
        hub.attach(Some(Arc::new(support::Chain)));
        assert_eq!(run(&hub, "a").await, Ok(Some("2".to_owned())));
    }
    let node = node(&machine);
    let old = node.hubs().unwrap()[0].number;
    node.delete_hub("h").unwrap();
    let hub = node.hub("h", options()).unwrap();
    assert!(hub.info().number > old);
    assert_eq!(hub.count(&everything()).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_at_a_deletion_is_opened_again() {
    let machine = Machine::new();
    let node = node(&machine);
    let kept = node.hub("kept", options()).unwrap();
    kept.attach(Some(Arc::new(support::Chain)));
    node.hub("h", options()).unwrap();
    machine.disk().fail_sync_at(1);
    // Whoever comes first may meet the failure.
    let _ = node.delete_hub("h");
    loop {
        match run(&kept, "after").await {
            Ok(output) => break assert_eq!(output.as_deref(), Some("2")),
            Err(CallError::OutcomeUnknown) => {}
            Err(other) => panic!("{other}"),
        }
    }
    while node.hubs().is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Deleted or not: there is one way to go on.
    let _ = node.delete_hub("h");
    assert_eq!(node.create_hub("h", options()).unwrap().count(&everything()).await.unwrap(), 0);
}
