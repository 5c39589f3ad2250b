//! What waits for other instances, and for entities.

use strandline_proto::management::Severity::{Error, Info, Warning};
use strandline_proto::wire::{EntityFilter, GetWorkItemsRequest};

use crate::actions::{call, child, lock};
use crate::ask::{commands, fact, is, soon_why, taking};
use crate::support::TestServer;

/// A worker that also serves an entity.
fn with_entity(orchestrators: &[&str], entity: &str) -> GetWorkItemsRequest {
    let mut asked = taking("w", orchestrators, &[]);
    let filters = asked.work_item_filters.as_mut().unwrap();
    filters.entities.push(EntityFilter { name: entity.to_owned() });
    asked
}

#[tokio::test]
async fn a_sub_orchestration_is_looked_into_down_to_the_last() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker_with(taking("w", &["Order", "Ship"], &[])).await.unwrap();
    client.start_as("Order", "order-1").await;
    worker.take(vec![child(0, "Ship", "ship-1")]).await;
    worker.take(vec![child(0, "Pack", "pack-1")]).await;
    let found = soon_why(&server, "order-1", "unknownName").await;
    is(&found, "unknownName", Error);
    assert_eq!(found.path, ["order-1", "ship-1", "pack-1"]);
    assert_eq!(fact(&found, "leaf").as_deref(), Some("pack-1"));
    assert_eq!(found.waiting_on[0].kind, "subOrchestration");
    assert_eq!(found.waiting_on[0].id.as_deref(), Some("ship-1"));
    assert!(commands(&found).contains(&"strandline why pack-1"));
}

#[tokio::test]
async fn somebody_holds_the_lock() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker_with(taking("w", &["Order"], &[])).await.unwrap();
    client.start_as("Order", "holder").await;
    worker.take(vec![lock(0, "s", "@stock@x")]).await;
    // It got the lock.
    worker.take(Vec::new()).await;
    client.start_as("Order", "other").await;
    worker.take(vec![lock(0, "s", "@stock@x")]).await;
    let found = soon_why(&server, "other", "entityLock").await;
    is(&found, "entityLock", Info);
    assert_eq!(fact(&found, "lockedBy").as_deref(), Some("holder"));
    assert!(fact(&found, "holder").unwrap().contains("external event"), "{found:#?}");
    assert_eq!(commands(&found)[0], "strandline why holder");
}

#[tokio::test]
async fn a_circle_is_a_deadlock() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker_with(taking("w", &["Order"], &[])).await.unwrap();
    client.start_as("Order", "order-1").await;
    worker.take(vec![lock(0, "s", "@stock@x")]).await;
    worker.take(vec![child(1, "Order", "child")]).await;
    let turn = worker.take(vec![lock(0, "s", "@stock@x")]).await;
    assert_eq!(turn.request.instance_id, "child");
    for (asked, cycle) in [("order-1", "order-1, child, @stock@x"), ("child", "child, @stock@x, order-1")] {
        let found = soon_why(&server, asked, "deadlock").await;
        is(&found, "deadlock", Error);
        assert_eq!(fact(&found, "cycle").as_deref(), Some(cycle));
    }
}

#[tokio::test]
async fn nobody_serves_the_entity_or_much_waits_for_it() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker_with(taking("w", &["Order"], &[])).await.unwrap();
    client.start_as("Order", "order-1").await;
    worker.take(vec![call(0, "@stock@x", "take")]).await;
    let found = soon_why(&server, "order-1", "unknownName").await;
    is(&found, "unknownName", Error);
    assert_eq!(fact(&found, "entity").as_deref(), Some("stock"));
    assert_eq!(
        (found.waiting_on[0].kind.as_str(), found.waiting_on[0].name.as_str()),
        ("entityCall", "take")
    );

    let mut serving = client.worker_with(with_entity(&[], "stock")).await.unwrap();
    let _kept = serving.operations().await;
    for _ in 0..120 {
        client.signal("@stock@x", "add", "1").await;
    }
    let found = soon_why(&server, "order-1", "entityBusy").await;
    is(&found, "entityBusy", Warning);
    assert_eq!(fact(&found, "backlog").as_deref(), Some("121"));
}
