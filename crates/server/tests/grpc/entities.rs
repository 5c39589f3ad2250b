//! Clients and entities.

use strandline_proto::wire;
use strandline_proto::wire::history_event::Kind as Event;
use tonic::Code;

use crate::actions::{call, done};
use crate::support::{Client, TestServer, code};

/// All pages of a query.
async fn list(client: &mut Client, mut query: wire::EntityQuery) -> Vec<Vec<wire::EntityMetadata>> {
    let mut pages = Vec::new();
    loop {
        let request = wire::QueryEntitiesRequest { query: Some(query.clone()) };
        let page = client.rpc.query_entities(request).await.unwrap().into_inner();
        assert!(prost::Message::encoded_len(&page) < 4 << 20);
        pages.push(page.entities);
        query.continuation_token = page.continuation_token;
        if query.continuation_token.is_none() {
            return pages;
        }
    }
}

fn ids(pages: &[Vec<wire::EntityMetadata>]) -> Vec<&str> {
    pages.iter().flatten().map(|entity| entity.instance_id.as_str()).collect()
}

#[tokio::test]
async fn an_entity_exists_while_it_has_a_state() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    assert_eq!(client.entity("@counter@a").await, None);
    client.signal("@Counter@a", "add", "1").await;
    // It waits for a worker: for clients it does not exist yet.
    assert_eq!(client.entity("@counter@a").await, None);
    let mut worker = client.worker().await;
    let batch = worker.operations().await;
    assert_eq!(batch.1.entity_state, None);
    worker.complete_operations(&batch, Some("1"), Vec::new()).await;
    let entity = client.entity("@counter@a").await.unwrap();
    assert_eq!((entity.instance_id.as_str(), entity.serialized_state.as_deref()), ("@counter@a", Some("1")));
    assert_eq!((entity.backlog_queue_size, entity.locked_by), (0, None));
    client.signal("@counter@a", "delete", "").await;
    let batch = worker.operations().await;
    assert_eq!(batch.1.entity_state.as_deref(), Some("1"));
    worker.complete_operations(&batch, None, Vec::new()).await;
    assert_eq!(client.entity("@counter@a").await, None);
}

#[tokio::test]
async fn a_batch_without_any_result_comes_again() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker().await;
    client.signal("@counter@a", "add", "1").await;
    let (token, _) = worker.operations().await;
    let nothing = wire::EntityBatchResult { completion_token: token.clone(), ..Default::default() };
    worker.rpc.complete_entity_task(nothing.clone()).await.unwrap();
    // The answer counted as none: the batch comes again, under another token.
    let again = worker.operations().await;
    assert_ne!(again.0, token);
    assert_eq!(code(worker.rpc.complete_entity_task(nothing).await), Code::NotFound);
    worker.complete_operations(&again, Some("1"), Vec::new()).await;
    assert!(client.entity("@counter@a").await.is_some());
}

#[tokio::test]
async fn signals_are_taken_in_order_and_not_before_their_time() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let later = wire::SignalEntityRequest {
        instance_id: "@e@k".to_owned(),
        name: "later".to_owned(),
        scheduled_time: Some(prost_types::Timestamp { seconds: 32_503_680_000, nanos: 0 }),
        ..Default::default()
    };
    client.rpc.signal_entity(later).await.unwrap();
    for n in 0..20 {
        client.signal("@e@k", &format!("op-{n}"), "1").await;
    }
    let mut worker = client.worker().await;
    let mut seen = Vec::new();
    while seen.len() < 20 {
        let batch = worker.operations().await;
        for event in &batch.1.operation_requests {
            let Some(Event::EntityOperationSignaled(signal)) = &event.kind else { panic!("{event:?}") };
            seen.push(signal.operation.clone());
        }
        worker.complete_operations(&batch, Some("1"), Vec::new()).await;
    }
    assert_eq!(seen, (0..20).map(|n| format!("op-{n}")).collect::<Vec<_>>());
    assert_eq!(client.entity("@e@k").await.unwrap().backlog_queue_size, 1);
}

#[tokio::test]
async fn a_batch_that_failed_fails_its_callers_and_keeps_the_state() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.signal("@e@k", "set", "1").await;
    let mut worker = client.worker().await;
    let batch = worker.operations().await;
    worker.complete_operations(&batch, Some("1"), Vec::new()).await;
    let id = client.start("Main").await;
    worker.take(vec![call(0, "@e@k", "op")]).await;
    let (token, _) = worker.operations().await;
    let failed = wire::EntityBatchResult {
        completion_token: token,
        failure_details: Some(crate::actions::failure("broken")),
        ..Default::default()
    };
    worker.rpc.complete_entity_task(failed).await.unwrap();
    let turn = worker.turn().await;
    assert!(matches!(turn.arrived()[..], [Event::EntityOperationFailed(failed)]
        if failed.failure_details.as_ref().unwrap().error_message == "broken"));
    worker.complete(&turn, vec![done(1, "1")]).await.unwrap();
    client.ended(&id).await;
    assert_eq!(client.entity("@e@k").await.unwrap().serialized_state.as_deref(), Some("1"));
}

#[tokio::test]
async fn operations_given_back_come_again() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.signal("@e@k", "op", "1").await;
    let mut worker = client.worker().await;
    let (token, request) = worker.operations().await;
    let given_back = wire::AbandonEntityTaskRequest { completion_token: token };
    worker.rpc.abandon_task_entity_work_item(given_back).await.unwrap();
    let batch = worker.operations().await;
    assert_eq!(batch.1.operation_requests.len(), request.operation_requests.len());
    let result = wire::EntityBatchResult {
        completion_token: batch.0.clone(),
        requires_state: true,
        ..Default::default()
    };
    worker.rpc.complete_entity_task(result).await.unwrap();
    let batch = worker.operations().await;
    worker.complete_operations(&batch, Some("1"), Vec::new()).await;
    assert!(client.entity("@e@k").await.is_some());
}

#[tokio::test]
async fn entities_are_listed_by_prefix_and_page() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker().await;
    for (id, bytes) in [("@a@1", 1), ("@a@2", 1), ("@big@1", 1_200_000), ("@big@2", 1_200_000), ("@big@3", 1)]
    {
        client.signal(id, "set", "1").await;
        let batch = worker.operations().await;
        worker.complete_operations(&batch, Some(&"x".repeat(bytes)), Vec::new()).await;
    }
    drop(worker);
    let mut nobody = client.clone();
    nobody.signal("@none@1", "wait", "1").await;
    let query = wire::EntityQuery { page_size: Some(2), ..Default::default() };
    let pages = list(&mut client, query).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!(ids(&pages), ["@a@1", "@a@2", "@big@1", "@big@2", "@big@3"]);
    assert!(pages.iter().flatten().all(|entity| entity.serialized_state.is_none()));
    let prefix = |prefix: &str| wire::EntityQuery {
        instance_id_starts_with: Some(prefix.to_owned()),
        include_state: true,
        ..Default::default()
    };
    assert_eq!(ids(&list(&mut client, prefix("@A@")).await), ["@a@1", "@a@2"]);
    let pages = list(&mut client, prefix("@big")).await;
    assert_eq!(ids(&pages), ["@big@1", "@big@2", "@big@3"]);
    assert!(pages.len() > 1, "a page fits one message");
    let transient = wire::EntityQuery { include_transient: true, ..prefix("@none@") };
    assert_eq!(ids(&list(&mut client, transient).await), ["@none@1"]);
    let request = wire::QueryEntitiesRequest {
        query: Some(wire::EntityQuery {
            continuation_token: Some("forged".to_owned()),
            ..Default::default()
        }),
    };
    assert_eq!(code(client.rpc.query_entities(request).await), Code::InvalidArgument);
    // They are no instances.
    let instances = client.rpc.query_instances(wire::QueryInstancesRequest::default()).await.unwrap();
    assert_eq!(instances.into_inner().orchestration_state, []);
}
