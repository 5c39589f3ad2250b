//! Turns and activities: nobody there, nobody who takes them, too few, too often.

use strandline_proto::management::Severity::{Error, Info, Warning};
use strandline_proto::wire;
use strandline_proto::wire::CreateTaskHubRequest;

use crate::actions::schedule;
use crate::ask::{commands, fact, is, soon_why, taking, why};
use crate::support::TestServer;

#[tokio::test]
async fn nobody_is_there_or_they_work_for_another_hub() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.start_as("Order", "order-1").await;
    let found = soon_why(&server, "order-1", "noWorker").await;
    is(&found, "noWorker", Error);
    assert_eq!(found.state(), wire::OrchestrationStatus::Pending);
    assert_eq!(
        (fact(&found, "orchestrator").as_deref(), fact(&found, "hubsWithWorkers")),
        (Some("Order"), None)
    );
    assert_eq!(found.waiting_on.iter().map(|wait| wait.kind.as_str()).collect::<Vec<_>>(), ["turn"]);

    let mut other = server.client_of("billing").await;
    other.rpc.create_task_hub(CreateTaskHubRequest::default()).await.unwrap();
    let _worker = other.worker_with(taking("w", &["Order"], &[])).await.unwrap();
    let found = why(&server, "order-1").await;
    is(&found, "noWorker", Error);
    assert_eq!(fact(&found, "hubsWithWorkers").as_deref(), Some("billing"));
    assert!(commands(&found).contains(&"strandline worker list --hub billing"), "{found:#?}");

    // Whoever may not see that hub does not hear of it.
    let hub = server.directory().hub("default").await.unwrap();
    let id = strandline_model::InstanceId::trusted("order-1");
    let blind = hub.engine().why(&id, strandline_engine::runtime::Reach::ONE, &|_| false).await;
    assert!(!blind.unwrap().unwrap().summary().contains("billing"));
}

#[tokio::test]
async fn no_worker_registers_the_name() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker_with(taking("w", &["Oder", "Refund"], &["Paj"])).await.unwrap();
    client.start_as("Order", "order-1").await;
    let found = soon_why(&server, "order-1", "unknownName").await;
    is(&found, "unknownName", Error);
    assert_eq!(fact(&found, "nearestName").as_deref(), Some("Oder"));
    assert_eq!(fact(&found, "workersConnected").as_deref(), Some("1"));

    client.start_as("Refund", "refund-1").await;
    worker.take(vec![schedule(0, "Pay")]).await;
    let found = soon_why(&server, "refund-1", "unknownName").await;
    assert_eq!(fact(&found, "activity").as_deref(), Some("Pay"));
    assert_eq!(fact(&found, "nearestName").as_deref(), Some("Paj"));
    assert_eq!((found.waiting_on[0].task_id, found.waiting_on[0].name.as_str()), (Some(0), "Pay"));
    assert!(found.since.is_some());
}

#[tokio::test]
async fn workers_take_the_name_in_other_versions_only() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut asked = taking("w", &["Order"], &[]);
    asked.work_item_filters.as_mut().unwrap().orchestrations[0].versions =
        vec!["1.0".to_owned(), String::new()];
    let _worker = client.worker_with(asked).await.unwrap();
    let (name, instance_id) = ("Order".to_owned(), "order-1".to_owned());
    let version = Some("2.0".to_owned());
    client.start_with(wire::CreateInstanceRequest { name, instance_id, version, ..Default::default() }).await;
    let found = soon_why(&server, "order-1", "versionMismatch").await;
    is(&found, "versionMismatch", Error);
    assert_eq!(fact(&found, "version").as_deref(), Some("2.0"));
    assert_eq!(fact(&found, "servedVersions").as_deref(), Some(", 1.0"));
}

#[tokio::test]
async fn a_worker_has_it_and_loses_it_again_and_again() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.start_as("Order", "order-1").await;
    let mut worker = client.worker_with(taking("w0", &["Order"], &["Pay"])).await.unwrap();
    let turn = worker.turn().await;
    let found = soon_why(&server, "order-1", "atWorker").await;
    is(&found, "atWorker", Info);
    assert_eq!(
        (fact(&found, "worker").as_deref(), fact(&found, "delivery").as_deref()),
        (Some("w0"), Some("1"))
    );
    assert!(fact(&found, "leaseUntil").is_some() && fact(&found, "peer").is_some());
    worker.complete(&turn, vec![schedule(0, "Pay")]).await.unwrap();

    for lost in 1..=3 {
        worker.activity().await;
        drop(worker);
        worker = client.worker_with(taking(&format!("w{lost}"), &["Order"], &["Pay"])).await.unwrap();
        if lost == 1 {
            let found = soon_why(&server, "order-1", "atWorker").await;
            is(&found, "atWorker", Warning);
            assert_eq!(fact(&found, "delivery").as_deref(), Some("2"));
        }
    }
    worker.activity().await;
    let found = soon_why(&server, "order-1", "poison").await;
    is(&found, "poison", Error);
    assert_eq!(
        (fact(&found, "deliveriesLost").as_deref(), fact(&found, "deliveriesMax").as_deref()),
        (Some("3"), Some("10"))
    );
}

#[tokio::test]
async fn workers_answer_what_can_not_be_carried_out() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.start_as("Order", "order-1").await;
    let mut worker = client.worker_with(taking("w", &["Order"], &[])).await.unwrap();
    let turn = worker.turn().await;
    worker.complete(&turn, vec![schedule(0, "A"), schedule(0, "B")]).await.unwrap_err();
    let found = soon_why(&server, "order-1", "poison").await;
    is(&found, "poison", Error);
    let problem = fact(&found, "problem").unwrap();
    assert!(problem.contains("an id of its own"), "{problem}");
}

#[tokio::test]
async fn others_come_first() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut asked = taking("w", &["Order"], &["Pay"]);
    asked.max_concurrent_activity_work_items = 1;
    let mut worker = client.worker_with(asked).await.unwrap();
    for id in ["order-1", "order-2", "order-3"] {
        client.start_as("Order", id).await;
        loop {
            match worker.next().await {
                (token, wire::work_item::Request::OrchestratorRequest(request)) => {
                    let turn = crate::support::Turn { token, request };
                    worker.complete(&turn, vec![schedule(0, "Pay")]).await.unwrap();
                    break;
                }
                // It stays with the worker.
                _ => continue,
            }
        }
    }
    let found = soon_why(&server, "order-3", "backlog").await;
    is(&found, "backlog", Info);
    assert_eq!(
        (fact(&found, "position").as_deref(), fact(&found, "slotsInUse").as_deref()),
        (Some("2"), Some("1"))
    );
    assert_eq!(fact(&found, "estimatedSeconds"), None, "nothing was done yet");
}

#[tokio::test]
async fn speed_of_late_tells_how_long_it_takes() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut asked = taking("w", &["Order"], &["Pay"]);
    asked.max_concurrent_activity_work_items = 1;
    let mut worker = client.worker_with(asked).await.unwrap();
    client.start_as("Order", "order-1").await;
    worker.take(vec![schedule(0, "Pay"), schedule(1, "Pay"), schedule(2, "Pay")]).await;
    let (token, activity) = worker.activity().await;
    worker.complete_activity(&token, &activity, Ok("1")).await.unwrap();
    let found = soon_why(&server, "order-1", "atWorker").await;
    assert_eq!(found.waiting_on_total, 3, "the turn, and two activities: {found:#?}");
    let backlog = found.waiting_on.iter().find(|wait| wait.verdict == "backlog").unwrap();
    assert!(backlog.summary.contains("at the speed of late"), "{backlog:?}");
}
