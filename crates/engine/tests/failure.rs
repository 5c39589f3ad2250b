//! A store that fails under a running hub: callers learn the truth, and the hub recovers by itself.

mod support;

use std::sync::Arc;
use std::time::Duration;

use strandline_engine::pipeline::{Answer, Read};
use strandline_engine::runtime::{CallError, Hub, HubOptions, Node, NodeOptions};
use strandline_hub::{Refusal, Reply};
use strandline_model::{InstanceId, RuntimeStatus};
use strandline_store::Store;
use strandline_store_local::{LocalOptions, LocalStore};
use support::machine::Machine;
use support::start;

const FLUSH: Duration = Duration::from_millis(20);

async fn ended(hub: &Hub, id: &str) -> Option<String> {
    let id = InstanceId::new(id).unwrap();
    loop {
        match hub.read(&id, Read::Ended).await {
            Ok(Answer::Status(Some(status))) => {
                assert_eq!(status.status, RuntimeStatus::Completed);
                return status.output().map(str::to_owned);
            }
            // The hub failed while this waited: ask again.
            Err(CallError::OutcomeUnknown) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_sync_the_hub_recovers_what_is_durable() {
    let machine = Machine::new();
    let node = machine.node(FLUSH);
    let hub = node.hub("default", HubOptions { partitions: 2, ..HubOptions::default() }).unwrap();
    hub.attach(Some(Arc::new(support::Chain)));
    let mut unknown = 0;
    for n in 0..60 {
        let id = format!("run-{n}");
        if n % 10 == 5 {
            machine.disk().fail_sync_at(1);
        }
        match hub.start(start(&id, 3)).await {
            Ok(Reply::Started { .. }) => {}
            Err(CallError::OutcomeUnknown) => {
                unknown += 1;
                // Carried out or not: a second start tells.
                match hub.start(start(&id, 3)).await {
                    Ok(Reply::Started { .. } | Reply::Refused(Refusal::AlreadyExists { .. })) => {}
                    other => panic!("{other:?}"),
                }
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(ended(&hub, &id).await.as_deref(), Some("3"));
    }
    for n in 0..60 {
        assert_eq!(ended(&hub, &format!("run-{n}")).await.as_deref(), Some("3"));
    }
    println!("{unknown} outcomes were unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_does_not_run_keeps_no_other_from_working() {
    let machine = Machine::new();
    let open = || {
        let disk = machine.disk();
        let options =
            LocalOptions { segment_min: 64 << 10, segment_max: 64 << 10, ..LocalOptions::in_memory() };
        let opener = move || {
            LocalStore::open_on(Arc::new(disk.clone()), options.clone())
                .map(|s| Arc::new(s) as Arc<dyn Store>)
        };
        let options = NodeOptions {
            flush_interval: Duration::from_secs(3600),
            flush_log_bytes: 256 << 10,
            refuse_log_bytes: 512 << 10,
            ..NodeOptions::default()
        };
        Node::open(Box::new(opener), options).unwrap()
    };
    let large = |n: usize| {
        let mut start = start(&format!("run-{n}"), 0);
        start.input = Some("x".repeat(10_000));
        start
    };
    let options = HubOptions { partitions: 2, ..HubOptions::default() };
    {
        let node = open();
        let idle = node.hub("idle", options.clone()).unwrap();
        for n in 0..20 {
            assert!(matches!(idle.start(large(n)).await.unwrap(), Reply::Started { .. }));
        }
    }
    let node = open();
    let busy = node.hub("busy", options.clone()).unwrap();
    // Many times the log's limit: all of it passes only if the idle hub's part is let go.
    for n in 0..300 {
        loop {
            match busy.start(large(n)).await.unwrap() {
                Reply::Started { .. } => break,
                Reply::Refused(Refusal::Overloaded(_)) => tokio::task::yield_now().await,
                other => panic!("{other:?}"),
            }
        }
    }
    // And nothing of it is lost.
    let idle = node.hub("idle", options).unwrap();
    for n in 0..20 {
        let id = InstanceId::new(&format!("run-{n}")).unwrap();
        assert!(matches!(idle.read(&id, Read::Status).await.unwrap(), Answer::Status(Some(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_asked_for_twice_at_once_runs_once() {
    let machine = Machine::new();
    let node = Arc::new(machine.node(FLUSH));
    let asked: Vec<_> = (0..8)
        .map(|_| {
            let node = node.clone();
            tokio::task::spawn_blocking(move || node.hub("default", HubOptions::default()).unwrap())
        })
        .collect();
    for (n, hub) in asked.into_iter().enumerate() {
        let hub = hub.await.unwrap();
        hub.attach(Some(Arc::new(support::Chain)));
        let id = format!("run-{n}");
        assert!(matches!(hub.start(start(&id, 2)).await.unwrap(), Reply::Started { .. }));
        assert_eq!(ended(&hub, &id).await.as_deref(), Some("2"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_new_work_until_there_is_room() {
    let machine = Machine::new();
    let node = machine.node(FLUSH);
    let hub = node.hub("default", HubOptions { partitions: 2, ..HubOptions::default() }).unwrap();
    hub.attach(Some(Arc::new(support::Chain)));
    let disk = machine.disk();
    disk.set_capacity(Some(disk.used()));
    let mut accepted = Vec::new();
    let refused = loop {
        let id = format!("run-{}", accepted.len());
        let mut large = start(&id, 1);
        large.tags.insert("padding".to_owned(), "x".repeat(1000));
        match hub.start(large).await.unwrap() {
            Reply::Started { .. } => accepted.push(id),
            Reply::Refused(refusal) => break refusal,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(refused, Refusal::StorageFull(_) | Refusal::Overloaded(_)), "{refused:?}");
    // Reads go on.
    assert!(matches!(
        hub.read(&InstanceId::new("run-0").unwrap(), Read::Status).await.unwrap(),
        Answer::Status(Some(_))
    ));
    disk.set_capacity(None);
    // Room again: it is noticed without a restart.
    loop {
        match hub.start(start("after", 1)).await.unwrap() {
            Reply::Started { .. } => break,
            Reply::Refused(_) => tokio::task::yield_now().await,
            other => panic!("{other:?}"),
        }
    }
    for id in accepted {
        assert_eq!(ended(&hub, &id).await.as_deref(), Some("1"));
    }
}
