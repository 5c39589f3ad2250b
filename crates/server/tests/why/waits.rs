//! Events, timers, a suspension, a start that has not come, and ends.

use strandline::TaskHub;
use strandline::prelude::*;
use strandline_proto::management::Severity;
use strandline_proto::management::Severity::{Error, Info, Ok as Well, Warning};
use strandline_proto::wire;
use tonic::Code;

use crate::actions::{done, failed, schedule, timer};
use crate::ask::{ask, commands, fact, is, later, soon_why, taking, why};
use crate::support::{TestServer, code};

const APPROVED: Event<bool> = Event::named("Approved");

#[orchestrator(name = "Approval")]
async fn approval(ctx: OrchestrationContext, _: ()) -> Result<bool> {
    ctx.wait_for(APPROVED).await
}

#[tokio::test]
async fn sdks_of_ours_tell_which_event_they_wait_for() {
    let server = TestServer::start().await;
    let remote = TaskHub::connect(format!("http://{}", server.address())).await.unwrap();
    remote.worker().register(approval).start().await.unwrap();
    event_is_misspelt(&server, "remote").await;
    remote.close().await.unwrap();
    let local = server.directory().hub("default").await.unwrap();
    local.worker().register(approval).start().unwrap();
    event_is_misspelt(&server, "local").await;
}

async fn event_is_misspelt(server: &TestServer, id: &str) {
    let mut client = server.client().await;
    client.start_as("Approval", id).await;
    let found = soon_why(server, id, "externalEvent").await;
    is(&found, "externalEvent", Info);
    assert_eq!(fact(&found, "awaitedEvents").as_deref(), Some("Approved"));
    assert_eq!(commands(&found)[0], format!("strandline raise {id} Approved"));

    client.raise(id, "Aproved", "true").await;
    let found = loop {
        let found = soon_why(server, id, "externalEvent").await;
        if found.severity() != Info {
            break found;
        }
    };
    is(&found, "externalEvent", Warning);
    assert_eq!(fact(&found, "misspeltEvent").as_deref(), Some("Aproved"));
    assert_eq!(fact(&found, "nearestName").as_deref(), Some("Approved"));

    client.raise(id, "APPROVED", "true").await;
    client.ended(id).await;
    is(&why(server, id).await, "completed", Well);
}

#[tokio::test]
async fn of_other_sdks_it_is_inferred() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker_with(taking("w", &["Order"], &[])).await.unwrap();
    client.start_as("Order", "order-1").await;
    worker.take(Vec::new()).await;
    let found = soon_why(&server, "order-1", "externalEvent").await;
    is(&found, "externalEvent", Info);
    client.raise("order-1", "Aproved", "1").await;
    worker.take(Vec::new()).await;
    let found = loop {
        let found = soon_why(&server, "order-1", "externalEvent").await;
        if found.severity() != Info {
            break found;
        }
    };
    is(&found, "externalEvent", Warning);
    assert_eq!(fact(&found, "arrivedEvents").as_deref(), Some("Aproved"));
}

#[tokio::test]
async fn a_timer_fires_then_or_a_pause_ends() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker_with(taking("w", &["Order"], &["Pay"])).await.unwrap();
    client.start_as("Order", "order-1").await;
    let until = later();
    worker.take(vec![schedule(0, "Pay"), timer(1, until)]).await;
    let (token, activity) = worker.activity().await;
    worker.complete_activity(&token, &activity, Err("the card was refused")).await.unwrap();
    worker.take(vec![timer(2, until)]).await;
    let found = soon_why(&server, "order-1", "retrying").await;
    is(&found, "retrying", Warning);
    assert_eq!(fact(&found, "name").as_deref(), Some("Pay"));
    assert!(fact(&found, "error").unwrap().contains("the card was refused"), "{found:#?}");
    assert_eq!(fact(&found, "firesAt"), Some(until.to_string()));
    let plain = found.waiting_on.iter().find(|wait| wait.task_id == Some(1)).unwrap();
    assert_eq!((plain.verdict.as_str(), plain.until), ("timer", Some(until)));
    assert_eq!(found.waiting_on_total, 2);
}

#[tokio::test]
async fn somebody_suspended_it() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker_with(taking("w", &["Order"], &[])).await.unwrap();
    client.start_as("Order", "it's 1").await;
    worker.take(Vec::new()).await;
    let (instance_id, reason) = ("it's 1".to_owned(), Some("audit".to_owned()));
    client.rpc.suspend_instance(wire::SuspendRequest { instance_id, reason }).await.unwrap();
    let found = why(&server, "it's 1").await;
    is(&found, "suspended", Warning);
    assert_eq!(fact(&found, "reason").as_deref(), Some("audit"));
    assert!(found.since.is_some());
    assert_eq!(commands(&found), [r"strandline resume 'it'\''s 1'"]);
}

#[tokio::test]
async fn its_start_has_not_come() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let request = wire::CreateInstanceRequest {
        name: "Order".to_owned(),
        instance_id: "order-1".to_owned(),
        scheduled_start_timestamp: Some(later()),
        ..Default::default()
    };
    client.start_with(request).await;
    let found = why(&server, "order-1").await;
    is(&found, "scheduledStart", Info);
    assert_eq!(fact(&found, "startsAt"), Some(later().to_string()));
}

#[tokio::test]
async fn a_long_history_is_told_of() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker_with(taking("w", &["Order"], &[])).await.unwrap();
    client.start_as("Order", "order-1").await;
    let until = later();
    worker.take((0..10_000).map(|id| timer(id, until)).collect()).await;
    let found = soon_why(&server, "order-1", "longHistory").await;
    is(&found, "longHistory", Warning);
    assert_eq!((found.waiting_on_total, found.waiting_on.len()), (10_000, 20));
    assert_eq!(fact(&found, "actions").as_deref(), Some("10000"));
}

#[tokio::test]
async fn what_is_over_tells_how_it_ended() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker_with(taking("w", &["Order"], &[])).await.unwrap();
    let ends = [("well", done(0, "1")), ("badly", failed(0, "the card was refused"))];
    for (id, end) in ends {
        client.start_as("Order", id).await;
        worker.take(vec![end]).await;
        client.ended(id).await;
    }
    client.start_as("Order", "by hand").await;
    client.terminate("by hand", false).await;
    for (id, verdict, severity, command) in [
        ("well", "completed", Well, "strandline get well"),
        ("badly", "failed", Error, "strandline history badly --failed"),
        ("by hand", "terminated", Info, "strandline restart 'by hand'"),
    ] {
        let severity: Severity = severity;
        let found = why(&server, id).await;
        is(&found, verdict, severity);
        assert_eq!(commands(&found)[0], command);
    }
    assert!(commands(&why(&server, "badly").await).contains(&"strandline rewind badly"));
    assert_eq!(code(ask(&server, "nobody").await), Code::NotFound);
    assert_eq!(code(ask(&server, "@an@entity").await), Code::InvalidArgument);
    assert_eq!(code(ask(&server, "").await), Code::InvalidArgument);
}
