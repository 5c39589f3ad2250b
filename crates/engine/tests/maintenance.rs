//! Purges, restarts and what tidies up, as a server asks for them.

mod support;

use std::time::Duration;

use strandline_engine::maintenance::{MaintenanceError, PurgeOptions, PurgeScope, Purged, PurgedInstance};
use strandline_engine::pipeline::{Answer, Read};
use strandline_engine::runtime::{Hub, HubOptions, Node};
use strandline_hub::query::InstanceQuery;
use strandline_hub::{Command, InstanceStatus, Refusal, Reply};
use strandline_model::{EntityOperation, InstanceId, RuntimeStatus};
use support::machine::Machine;
use support::start;

fn hub() -> (Node, Hub) {
    let node = Machine::new().node(Duration::from_millis(5));
    let hub = node.hub("default", HubOptions { partitions: 4, ..HubOptions::default() }).unwrap();
    (node, hub)
}

fn id(text: &str) -> InstanceId {
    InstanceId::trusted(text)
}

/// Nobody serves the orchestrator: the instance stays pending.
async fn begin(hub: &Hub, name: &str) {
    assert!(matches!(hub.start(start(name, 1)).await.unwrap(), Reply::Started { .. }));
}

async fn end(hub: &Hub, name: &str) {
    begin(hub, name).await;
    let command = Command::Terminate { id: id(name), reason: None, recursive: false };
    assert_eq!(hub.command(&id(name), command).await.unwrap(), Reply::Accepted);
}

async fn status(hub: &Hub, name: &str) -> Option<InstanceStatus> {
    match hub.read(&id(name), Read::Status).await.unwrap() {
        Answer::Status(status) => status.map(|status| *status),
        other => panic!("{other:?}"),
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, MaintenanceError>) -> (InstanceId, Refusal) {
    match result {
        Err(MaintenanceError::Refused { id, refusal }) => (id, refusal),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_over_is_purged_and_the_rest_is_told() {
    let (_node, hub) = hub();
    begin(&hub, "goes-on").await;
    for name in ["a", "b", "c"] {
        end(&hub, name).await;
    }
    for scope in [PurgeScope::Instance, PurgeScope::Tree] {
        assert_eq!(hub.purge(&id("nobody"), scope).await.unwrap(), PurgedInstance::default());
        let stays = PurgedInstance { purged: 0, not_over: Some((id("goes-on"), RuntimeStatus::Pending)) };
        assert_eq!(hub.purge(&id("goes-on"), scope).await.unwrap(), stays);
    }
    assert_eq!(hub.purge(&id("a"), PurgeScope::Instance).await.unwrap().purged, 1);
    assert_eq!(status(&hub, "a").await, None);
    let ids = ["a", "b", "c", "goes-on", "@e@1"].map(id);
    let purged = hub.purge_ids(ids, PurgeScope::Tree).await.unwrap();
    assert_eq!(purged, Purged { purged: 2, complete: false, not_over: 1 });
    assert!(status(&hub, "goes-on").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_runs_out_of_time_goes_on_when_asked_again() {
    let (_node, hub) = hub();
    for n in 0..30 {
        end(&hub, &format!("old-{n}")).await;
    }
    let then = hub.now().await.unwrap();
    for n in 0..5 {
        end(&hub, &format!("new-{n}")).await;
    }
    begin(&hub, "goes-on").await;
    let old = InstanceQuery { completed_to: Some(then), ..InstanceQuery::default() };
    let options = PurgeOptions { timeout: Some(Duration::ZERO), page_size: 12, ..PurgeOptions::default() };
    let mut rounds = Vec::new();
    loop {
        let purged = hub.purge_where(old.clone(), options).await.unwrap();
        rounds.push(purged.purged);
        if purged.complete {
            break;
        }
    }
    assert_eq!(rounds, [12, 12, 6]);
    let unlimited = PurgeOptions { scope: PurgeScope::Tree, ..PurgeOptions::default() };
    let purged = hub.purge_where(InstanceQuery::default(), unlimited).await.unwrap();
    assert_eq!(purged, Purged { purged: 5, complete: true, not_over: 0 });
    let running = InstanceQuery { statuses: [RuntimeStatus::Pending].into(), ..InstanceQuery::default() };
    assert_eq!(hub.purge_where(running, unlimited).await.unwrap().purged, 0);
    assert!(status(&hub, "goes-on").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_are_started_again() {
    let (_node, hub) = hub();
    begin(&hub, "goes-on").await;
    end(&hub, "over").await;
    let (of, why) = refusal(hub.restart(&id("goes-on")).await);
    assert_eq!((of, why), (id("goes-on"), Refusal::AlreadyExists { status: RuntimeStatus::Pending }));
    for nobody in ["nobody", "@e@1"] {
        assert_eq!(refusal(hub.restart(&id(nobody)).await).1, Refusal::NotFound);
        assert_eq!(refusal(hub.restart_as_new(&id(nobody), &id("new")).await).1, Refusal::NotFound);
    }
    let before = status(&hub, "over").await.unwrap();
    hub.restart(&id("over")).await.unwrap();
    let after = status(&hub, "over").await.unwrap();
    assert_eq!((after.status, after.input()), (RuntimeStatus::Pending, before.input()));
    assert_ne!(after.execution, before.execution);
    hub.restart_as_new(&id("goes-on"), &id("new")).await.unwrap();
    assert_eq!(status(&hub, "new").await.unwrap().name(), "Chain");
    let taken = refusal(hub.restart_as_new(&id("goes-on"), &id("new")).await);
    assert_eq!(taken.0, id("new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_terminated_is_told() {
    let (_node, hub) = hub();
    begin(&hub, "a").await;
    end(&hub, "over").await;
    begin(&hub, "b").await;
    let ids = ["@e@1", "a", "over", "nobody", "b"].map(id);
    let left = hub.skip_graceful_termination(ids, Some("enough".to_owned())).await.unwrap();
    assert_eq!(left, ["@e@1", "over", "nobody"].map(id));
    for name in ["a", "b"] {
        let status = status(&hub, name).await.unwrap();
        assert_eq!((status.status, status.output()), (RuntimeStatus::Terminated, Some("enough")));
    }
    let long = Some("x".repeat(1 << 20));
    let refused = refusal(hub.skip_graceful_termination([id("a")], long).await);
    assert!(matches!(refused.1, Refusal::TooLarge { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_are_purged_by_their_ids() {
    let (_node, hub) = hub();
    let entity = id("@stock@1");
    assert!(!hub.purge_entity(&entity).await.unwrap());
    // Nobody serves it: the operation waits.
    let operation = EntityOperation { name: "add".to_owned(), ..EntityOperation::default() };
    let signal = Command::SignalEntity { id: entity.clone(), operation };
    assert_eq!(hub.command(&entity, signal).await.unwrap(), Reply::Accepted);
    assert!(hub.purge_entity(&entity).await.unwrap());
    assert_eq!(hub.read(&entity, Read::Entity).await.unwrap(), Answer::Entity(None));
    let page = hub.release_orphaned_locks(None).await.unwrap();
    assert_eq!((page.released, page.continuation_token), (0, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_goes_on_from_where_it_stopped() {
    let (_node, hub) = hub();
    for n in 0..5 {
        end(&hub, &format!("over-{n}")).await;
    }
    let options = PurgeOptions { timeout: Some(Duration::ZERO), page_size: 2, ..PurgeOptions::default() };
    let mut token = None;
    let mut rounds = Vec::new();
    loop {
        let part = hub.purge_part(InstanceQuery::default(), options, token).await.unwrap();
        rounds.push(part.done.purged);
        assert_eq!(part.done.complete, part.continuation_token.is_none());
        token = part.continuation_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(rounds, [2, 2, 1]);
    let nonsense = hub.purge_part(InstanceQuery::default(), options, Some("nonsense".to_owned())).await;
    assert!(matches!(nonsense, Err(MaintenanceError::List(_))), "{nonsense:?}");
}
