//! Purges, restarts, and what else tidies up.

use strandline_proto::wire;
use strandline_proto::wire::OrchestrationStatus as S;
use strandline_proto::wire::history_event::Kind as Event;
use strandline_proto::wire::purge_instances_request::Target;
use tonic::Code;

use crate::actions::{child, done, failed, lock};
use crate::support::{Client, TestServer, Worker, code};

async fn purge(client: &mut Client, target: Target, recursive: bool) -> (i32, Option<bool>) {
    let request = wire::PurgeInstancesRequest { target: Some(target), recursive, is_orchestration: true };
    let purged = client.rpc.purge_instances(request).await.unwrap().into_inner();
    (purged.deleted_instance_count, purged.is_complete)
}

fn one(id: &str) -> Target {
    Target::InstanceId(id.to_owned())
}

fn batch(ids: impl IntoIterator<Item = impl ToString>) -> wire::InstanceBatch {
    wire::InstanceBatch { instance_ids: ids.into_iter().map(|id| id.to_string()).collect() }
}

/// Starts one and ends it.
async fn run(client: &mut Client, worker: &mut Worker, id: &str) {
    client.start_as("Main", id).await;
    worker.take(vec![done(0, "1")]).await;
    client.ended(id).await;
}

/// A parent and its child, both over.
async fn family(client: &mut Client, worker: &mut Worker, parent: &str, below: &str) {
    client.start_as("Main", parent).await;
    worker.take(vec![child(0, "Child", below)]).await;
    worker.take(vec![done(0, "1")]).await;
    worker.take(vec![done(1, "1")]).await;
    client.ended(parent).await;
}

#[tokio::test]
async fn purges_of_instances_one_by_one() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker().await;
    run(&mut client, &mut worker, "a").await;
    client.start_as("Main", "goes on").await;
    worker.turn().await;
    assert_eq!(purge(&mut client, one("a"), false).await, (1, Some(true)));
    assert_eq!(client.get("a").await, None);
    assert_eq!(purge(&mut client, one("a"), false).await, (0, Some(true)));
    assert_eq!(purge(&mut client, one("goes on"), false).await, (0, Some(true)));
    assert_eq!(client.status("goes on").await, Some(S::Pending));

    family(&mut client, &mut worker, "p", "c").await;
    assert_eq!(purge(&mut client, one("p"), false).await, (1, Some(true)));
    assert!(client.get("c").await.is_some());
    family(&mut client, &mut worker, "q", "d").await;
    assert_eq!(purge(&mut client, one("q"), true).await, (2, Some(true)));
    assert_eq!(client.get("d").await, None);
    let nothing = wire::PurgeInstancesRequest::default();
    assert_eq!(code(client.rpc.purge_instances(nothing).await), Code::InvalidArgument);
}

#[tokio::test]
async fn purges_of_many() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker().await;
    for n in 0..5 {
        run(&mut client, &mut worker, &format!("i-{n}")).await;
    }
    client.start_as("Main", "bad").await;
    worker.take(vec![failed(0, "no")]).await;
    client.ended("bad").await;
    client.start_as("Main", "goes on").await;
    worker.turn().await;
    let some = Target::InstanceBatch(batch(["i-0", "i-1", "unknown", "goes on"]));
    assert_eq!(purge(&mut client, some, false).await, (2, Some(true)));
    let too_many = wire::PurgeInstancesRequest {
        target: Some(Target::InstanceBatch(batch(0..501))),
        ..Default::default()
    };
    assert_eq!(code(client.rpc.purge_instances(too_many).await), Code::InvalidArgument);
    let filter = |statuses: &[S]| {
        Target::PurgeInstanceFilter(wire::PurgeInstanceFilter {
            runtime_status: statuses.iter().map(|status| *status as i32).collect(),
            timeout: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            ..Default::default()
        })
    };
    assert_eq!(purge(&mut client, filter(&[S::Running]), false).await, (0, Some(true)));
    assert_eq!(purge(&mut client, filter(&[S::Failed]), false).await, (1, Some(true)));
    assert_eq!(purge(&mut client, filter(&[]), true).await, (3, Some(true)));
    assert_eq!(client.status("goes on").await, Some(S::Pending));
    // Time that is up at once is enough for one page.
    for n in 0..3 {
        run(&mut client, &mut worker, &format!("j-{n}")).await;
    }
    let hurried = Target::PurgeInstanceFilter(wire::PurgeInstanceFilter {
        timeout: Some(prost_types::Duration::default()),
        ..Default::default()
    });
    assert_eq!(purge(&mut client, hurried, false).await, (3, Some(true)));
}

#[tokio::test]
async fn purges_of_entities() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker().await;
    client.signal("@e@k", "set", "1").await;
    let work = worker.operations().await;
    worker.complete_operations(&work, Some("1"), Vec::new()).await;
    client.start_as("Main", "holder").await;
    worker.take(vec![lock(0, "s", "@e@k")]).await;
    let turn = worker.turn().await;
    // It is in use.
    let request = wire::PurgeInstancesRequest { target: Some(one("@E@k")), ..Default::default() };
    let count = client.rpc.purge_instances(request.clone()).await.unwrap().into_inner();
    assert_eq!(count.deleted_instance_count, 0);
    worker.complete(&turn, vec![done(1, "1")]).await.unwrap();
    client.ended("holder").await;
    let count = client.rpc.purge_instances(request).await.unwrap().into_inner();
    assert_eq!((count.deleted_instance_count, count.is_complete), (1, Some(true)));
    assert_eq!(client.entity("@e@k").await, None);
}

#[tokio::test]
async fn restarts() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker().await;
    let request = wire::CreateInstanceRequest {
        instance_id: "a".to_owned(),
        name: "Main".to_owned(),
        version: Some("2".to_owned()),
        input: Some("7".to_owned()),
        tags: [("k".to_owned(), "v".to_owned())].into(),
        ..Default::default()
    };
    client.start_with(request).await;
    let restart = |id: &str, restart_with_new_instance_id| wire::RestartInstanceRequest {
        instance_id: id.to_owned(),
        restart_with_new_instance_id,
    };
    let error = client.rpc.restart_instance(restart("a", false)).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert_eq!(code(client.rpc.restart_instance(restart("unknown", false)).await), Code::NotFound);
    assert_eq!(code(client.rpc.restart_instance(restart("unknown", true)).await), Code::NotFound);
    let new = client.rpc.restart_instance(restart("a", true)).await.unwrap().into_inner().instance_id;
    assert!(new.len() == 32 && new.bytes().all(|b| b.is_ascii_hexdigit()), "{new}");
    for _ in 0..2 {
        let turn = worker.take(vec![done(0, "1")]).await;
        assert!(matches!(turn.arrived()[0], Event::ExecutionStarted(started)
            if started.name == "Main"
                && started.version.as_deref() == Some("2")
                && started.input.as_deref() == Some("7")
                && started.tags.len() == 1));
    }
    client.ended("a").await;
    client.ended(&new).await;
    let before = client.get("a").await.unwrap().execution_id;
    let again = client.rpc.restart_instance(restart("a", false)).await.unwrap().into_inner();
    assert_eq!(again.instance_id, "a");
    // The old end is gone when the answer comes.
    let state = client.get("a").await.unwrap();
    assert_eq!((state.orchestration_status(), state.output.as_deref()), (S::Pending, None));
    assert_ne!(state.execution_id, before);
    worker.take(vec![done(0, "2")]).await;
    assert_eq!(client.ended("a").await.output.as_deref(), Some("2"));
}

#[tokio::test]
async fn terminations_at_once() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker().await;
    run(&mut client, &mut worker, "over").await;
    client.start_as("Main", "a").await;
    let request = |ids: wire::InstanceBatch| wire::SkipGracefulOrchestrationTerminationsRequest {
        instance_batch: Some(ids),
        reason: Some("\"why\"".to_owned()),
    };
    let ids = batch(["a", "over", "unknown", "@e@k", ""]);
    let skipped = client.rpc.skip_graceful_orchestration_terminations(request(ids)).await.unwrap();
    let mut skipped = skipped.into_inner().unterminated_instance_ids;
    skipped.sort();
    assert_eq!(skipped, ["", "@e@k", "over", "unknown"]);
    let state = client.get("a").await.unwrap();
    assert_eq!((state.orchestration_status(), state.output.as_deref()), (S::Terminated, Some("\"why\"")));
    let too_many = client.rpc.skip_graceful_orchestration_terminations(request(batch(0..501))).await;
    assert_eq!(code(too_many), Code::InvalidArgument);
}

#[tokio::test]
async fn terminations_of_families() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker().await;
    client.start_as("Main", "p").await;
    worker.take(vec![child(0, "Child", "c")]).await;
    worker.take(Vec::new()).await;
    client.terminate("p", true).await;
    for id in ["p", "c"] {
        assert_eq!(client.ended(id).await.orchestration_status(), S::Terminated);
    }
}

#[tokio::test]
async fn cleaning_finds_nothing_to_do() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker().await;
    for n in 0..3 {
        client.signal(&format!("@e@{n}"), "op", "1").await;
        let work = worker.operations().await;
        // Nothing is left of it, so it is gone.
        worker.complete_operations(&work, None, Vec::new()).await;
    }
    client.start_as("Main", "holder").await;
    worker.take(vec![lock(0, "s", "@e@held")]).await;
    let turn = worker.turn().await;
    let clean = wire::CleanEntityStorageRequest {
        remove_empty_entities: true,
        release_orphaned_locks: true,
        continuation_token: None,
    };
    let cleaned = client.rpc.clean_entity_storage(clean.clone()).await.unwrap().into_inner();
    assert_eq!(cleaned, wire::CleanEntityStorageResponse::default());
    // The lock was no orphan; when its holder ends it is given back without anybody's help.
    worker.complete(&turn, vec![failed(1, "no")]).await.unwrap();
    client.ended("holder").await;
    let cleaned = client.rpc.clean_entity_storage(clean).await.unwrap().into_inner();
    assert_eq!(cleaned, wire::CleanEntityStorageResponse::default());
    client.signal("@e@held", "op", "1").await;
    worker.operations().await;
}
