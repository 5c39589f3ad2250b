//! Lists of a running hub: what was told is shown, whether it is in the tables or not, and pages are
//! complete while everything around them changes.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use strandline_engine::list::InvalidToken;
use strandline_engine::runtime::{Hub, HubOptions, ListError, Node, NodeOptions};
use strandline_hub::query::{InstanceQuery, InvalidQuery, Order};
use strandline_hub::{Command, Reply};
use strandline_model::{InstanceId, RuntimeStatus};
use strandline_store::Store;
use strandline_store_local::{LocalOptions, LocalStore};
use support::start;

/// A node that flushes when it is told to.
fn node(path: &Path) -> Node {
    let path = path.to_owned();
    let opener =
        move || LocalStore::open(&path, LocalOptions::default()).map(|s| Arc::new(s) as Arc<dyn Store>);
    let options = NodeOptions { flush_interval: Duration::from_secs(3600), ..NodeOptions::default() };
    Node::open(Box::new(opener), options).unwrap()
}

fn hub(node: &Node, name: &str) -> Hub {
    node.hub(name, HubOptions { partitions: 4, ..HubOptions::default() }).unwrap()
}

/// Nobody serves the orchestrator: the instance stays pending.
async fn begin(hub: &Hub, id: &str) {
    assert!(matches!(hub.start(start(id, 1)).await.unwrap(), Reply::Started { .. }));
}

async fn terminate(hub: &Hub, id: &str) {
    let id = InstanceId::new(id).unwrap();
    let command = Command::Terminate { id: id.clone(), reason: None, recursive: false };
    assert_eq!(hub.command(&id, command).await.unwrap(), Reply::Accepted);
}

fn query(change: impl FnOnce(&mut InstanceQuery)) -> Arc<InstanceQuery> {
    let mut query = InstanceQuery::default();
    change(&mut query);
    Arc::new(query)
}

fn in_status(status: RuntimeStatus) -> Arc<InstanceQuery> {
    query(|q| q.statuses = [status].into())
}

/// A list to its end.
async fn listed(hub: &Hub, query: &Arc<InstanceQuery>, size: usize) -> Vec<String> {
    let (mut ids, mut token) = (Vec::new(), None);
    loop {
        let page = hub.list(query, token.as_deref(), size).await.unwrap();
        assert!(page.instances.len() <= size);
        ids.extend(page.instances.iter().map(|i| i.id.to_string()));
        token = page.continuation_token;
        if token.is_none() {
            return ids;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_is_shown_with_or_without_tables() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let hub = hub(&node, "default");
    let ids: Vec<String> = (0..60).map(|n| format!("i-{n:02}")).collect();
    let newest_first: Vec<String> = ids.iter().rev().cloned().collect();
    let (all, by_id) = (query(|_| ()), query(|q| q.id_prefix = Some("i-".into())));
    for (n, id) in ids.iter().enumerate() {
        begin(&hub, id).await;
        assert_eq!(listed(&hub, &all, 1000).await.first(), Some(id), "the newest comes first");
        if n == 30 {
            tokio::task::block_in_place(|| node.flush());
        }
    }
    let over: Vec<&String> = newest_first.iter().step_by(3).collect();
    for id in &over {
        terminate(&hub, id).await;
    }
    for flushed in [false, true] {
        if flushed {
            tokio::task::block_in_place(|| node.flush());
        }
        for size in [1, 7, 59, 60, 1000] {
            assert_eq!(listed(&hub, &all, size).await, newest_first, "in pages of {size}");
            assert_eq!(listed(&hub, &by_id, size).await, ids, "in pages of {size}");
            let terminated = listed(&hub, &in_status(RuntimeStatus::Terminated), size).await;
            assert_eq!(terminated.iter().collect::<Vec<_>>(), over);
        }
        assert_eq!(hub.count(&all).await.unwrap(), 60);
        assert_eq!(hub.count(&in_status(RuntimeStatus::Terminated)).await.unwrap(), 20);
        assert_eq!(hub.count(&in_status(RuntimeStatus::Pending)).await.unwrap(), 40);
    }
    let page = hub.list(&all, None, 60).await.unwrap();
    assert_eq!(page.continuation_token, None, "a page that holds the rest is the last");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_listed_as_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let hub = hub(&node, "default");
    let over = query(|q| q.order_by = Some(Order::Completed));
    let mut order = Vec::new();
    for n in 0..40 {
        begin(&hub, &format!("i-{n:02}")).await;
    }
    for n in 0..30 {
        // Not as they began.
        let id = format!("i-{:02}", n * 7 % 40);
        terminate(&hub, &id).await;
        order.push(id);
        if n == 15 {
            tokio::task::block_in_place(|| node.flush());
        }
    }
    // These were in the tables: one is gone, one ends again.
    for id in [&order[3], &order[5]] {
        let id = InstanceId::new(id).unwrap();
        let purge = Command::Purge { id: id.clone(), execution: None };
        assert_eq!(hub.command(&id, purge).await.unwrap(), Reply::Accepted);
    }
    let again = order[5].clone();
    begin(&hub, &again).await;
    assert!(!listed(&hub, &over, 1000).await.contains(&again));
    terminate(&hub, &again).await;
    order.retain(|id| *id != again && *id != "i-21");
    order.push(again);
    for flushed in [false, true] {
        if flushed {
            tokio::task::block_in_place(|| node.flush());
        }
        for size in [1, 7, 28, 29, 1000] {
            assert_eq!(listed(&hub, &over, size).await, order, "in pages of {size}");
        }
        assert_eq!(hub.count(&over).await.unwrap(), 29);
        let page = hub.list(&over, None, 10).await.unwrap();
        let (first, last) = (page.instances[0].completed(), page.instances[9].completed());
        let between = query(|q| {
            q.order_by = Some(Order::Completed);
            (q.completed_from, q.completed_to) = (first, last);
        });
        assert_eq!(listed(&hub, &between, 4).await, order[..9]);
        let failed = query(|q| {
            q.order_by = Some(Order::Completed);
            q.statuses = [RuntimeStatus::Failed].into();
        });
        assert!(listed(&hub, &failed, 4).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_complete_while_everything_changes() {
    let dir = tempfile::tempdir().unwrap();
    let node = Arc::new(node(dir.path()));
    let hub = hub(&node, "default");
    let mut stable = BTreeSet::new();
    for n in 0..120 {
        for kind in ["stable", "doomed"] {
            begin(&hub, &format!("{kind}-{n:03}")).await;
        }
        stable.insert(format!("stable-{n:03}"));
        begin(&hub, &format!("over-{n:03}")).await;
        terminate(&hub, &format!("over-{n:03}")).await;
        if n == 70 {
            tokio::task::block_in_place(|| node.flush());
        }
    }
    let so_far = hub.now().await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let flushing = tokio::task::spawn_blocking({
        let (node, stop) = (node.clone(), stop.clone());
        move || {
            while !stop.load(Ordering::Relaxed) {
                node.flush();
            }
        }
    });
    let changing = tokio::spawn({
        let (hub, stop) = (hub.clone(), stop.clone());
        async move {
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                begin(&hub, &format!("new-{n:06}")).await;
                terminate(&hub, &format!("new-{n:06}")).await;
                if n < 120 {
                    terminate(&hub, &format!("doomed-{n:03}")).await;
                }
            }
        }
    });
    let prefix = |p: &str| query(|q| q.id_prefix = Some(p.to_owned()));
    for query in [query(|_| ()), in_status(RuntimeStatus::Pending), prefix(""), prefix("stable-")] {
        for size in [5, 17, 1000] {
            let ids = listed(&hub, &query, size).await;
            let found: BTreeSet<_> = ids.iter().filter(|id| stable.contains(*id)).cloned().collect();
            assert_eq!(found, stable, "{query:?} in pages of {size}");
            assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "an instance came twice");
            assert!(hub.count(&query).await.unwrap() >= stable.len() as u64);
        }
    }
    assert_eq!(hub.count(&prefix("stable-")).await.unwrap(), 120);
    let over = query(|q| {
        q.order_by = Some(Order::Completed);
        q.completed_to = Some(so_far);
    });
    for size in [5, 1000] {
        let ids = listed(&hub, &over, size).await;
        assert!(ids.into_iter().eq((0..120).map(|n| format!("over-{n:03}"))));
    }
    stop.store(true, Ordering::Relaxed);
    changing.await.unwrap();
    flushing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_serve_their_own_query_only() {
    let dir = tempfile::tempdir().unwrap();
    let node = self::node(dir.path());
    let first = hub(&node, "default");
    for n in 0..5 {
        begin(&first, &format!("i-{n}")).await;
    }
    let all = query(|_| ());
    let token = first.list(&all, None, 2).await.unwrap().continuation_token.unwrap();
    let refused = |result: Result<_, ListError>| match result {
        Err(ListError::Token(why)) => why,
        other => panic!("{other:?}"),
    };
    let other = in_status(RuntimeStatus::Pending);
    assert_eq!(refused(first.list(&other, Some(&token), 2).await), InvalidToken::OtherQuery);
    assert_eq!(refused(first.list(&all, Some("nonsense"), 2).await), InvalidToken::Unknown);
    let second = hub(&node, "other");
    assert_eq!(refused(second.list(&all, Some(&token), 2).await), InvalidToken::Unknown);
    // The size of a page may change, and a token outlives the process.
    node.close(Duration::from_secs(5)).unwrap();
    drop((first, second, node));
    let node = self::node(dir.path());
    let page = hub(&node, "default").list(&all, Some(&token), 1000).await.unwrap();
    assert_eq!((page.instances.len(), page.continuation_token), (3, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_instance_can_match_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let hub = hub(&node, "default");
    let all = query(|_| ());
    for size in [0, 1001] {
        let refused = hub.list(&all, None, size).await.unwrap_err();
        assert!(matches!(refused, ListError::Query(InvalidQuery::PageSize(_))), "{refused:?}");
    }
    let long = query(|q| q.name = Some("x".repeat(257)));
    let many = query(|q| q.tags = (0..65).map(|n| (n.to_string(), String::new())).collect());
    for query in [long, many] {
        assert!(matches!(hub.list(&query, None, 1).await, Err(ListError::Query(_))));
        assert!(matches!(hub.count(&query).await, Err(ListError::Query(_))));
    }
}
