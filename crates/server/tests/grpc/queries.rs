//! Lists, page by page.

use strandline_proto::wire;
use strandline_proto::wire::OrchestrationStatus as S;
use tonic::Code;

use crate::actions::{done, failed};
use crate::support::{Client, TestServer, code};

/// What clients receive in one message.
const MESSAGE_BYTES: usize = 4 << 20;

/// Starts instances with inputs of so many bytes each.
async fn population(client: &mut Client, count: usize, bytes: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..count {
        let request = wire::CreateInstanceRequest {
            instance_id: format!("i-{n:02}"),
            name: "Main".to_owned(),
            input: Some("x".repeat(bytes)),
            ..Default::default()
        };
        ids.push(client.start_with(request).await);
    }
    ids
}

/// All pages of a query: their sizes, and the ids in order.
async fn pages(client: &mut Client, mut query: wire::InstanceQuery) -> (Vec<usize>, Vec<String>) {
    let (mut sizes, mut ids) = (Vec::new(), Vec::new());
    loop {
        let request = wire::QueryInstancesRequest { query: Some(query.clone()) };
        let page = client.rpc.query_instances(request).await.unwrap().into_inner();
        assert!(prost::Message::encoded_len(&page) < MESSAGE_BYTES);
        sizes.push(page.orchestration_state.len());
        ids.extend(page.orchestration_state.into_iter().map(|state| state.instance_id));
        query.continuation_token = page.continuation_token;
        if query.continuation_token.is_none() {
            return (sizes, ids);
        }
    }
}

#[tokio::test]
async fn pages_are_full_until_the_last() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut ids = population(&mut client, 11, 10).await;
    ids.reverse();
    let query = wire::InstanceQuery { max_instance_count: 5, ..Default::default() };
    assert_eq!(pages(&mut client, query.clone()).await, (vec![5, 5, 1], ids.clone()));
    // The exact last page has no successor, and a token is good for pages of another size.
    let query = wire::InstanceQuery { max_instance_count: 11, ..query };
    assert_eq!(pages(&mut client, query.clone()).await, (vec![11], ids.clone()));
    let first = wire::QueryInstancesRequest {
        query: Some(wire::InstanceQuery { max_instance_count: 3, ..query.clone() }),
    };
    let token = client.rpc.query_instances(first).await.unwrap().into_inner().continuation_token;
    let rest = wire::InstanceQuery { continuation_token: token.clone(), ..query.clone() };
    assert_eq!(pages(&mut client, rest).await, (vec![8], ids[3..].to_vec()));
    // It belongs to its query.
    let other = wire::InstanceQuery {
        continuation_token: token,
        runtime_status: vec![S::Failed as i32],
        ..Default::default()
    };
    let request = wire::QueryInstancesRequest { query: Some(other) };
    assert_eq!(code(client.rpc.query_instances(request).await), Code::InvalidArgument);
    let forged = wire::InstanceQuery { continuation_token: Some("forged".to_owned()), ..Default::default() };
    let request = wire::QueryInstancesRequest { query: Some(forged) };
    assert_eq!(code(client.rpc.query_instances(request).await), Code::InvalidArgument);
    let negative = wire::InstanceQuery { max_instance_count: -1, ..Default::default() };
    let request = wire::QueryInstancesRequest { query: Some(negative) };
    assert_eq!(code(client.rpc.query_instances(request).await), Code::InvalidArgument);
}

#[tokio::test]
async fn pages_fit_one_message() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut ids = population(&mut client, 12, 500_000).await;
    let query = wire::InstanceQuery { fetch_inputs_and_outputs: true, ..Default::default() };
    ids.reverse();
    let (sizes, listed) = pages(&mut client, query.clone()).await;
    assert_eq!(listed, ids);
    assert!(sizes.len() > 2, "{sizes:?}");
    // In the other order, and from the tables.
    let node = server.directory().node().clone();
    tokio::task::spawn_blocking(move || node.flush()).await.unwrap();
    ids.reverse();
    let query = wire::InstanceQuery { instance_id_prefix: Some("i-".to_owned()), ..query };
    let (sizes, listed) = pages(&mut client, query).await;
    assert_eq!(listed, ids);
    assert!(sizes.len() > 2, "{sizes:?}");
}

#[tokio::test]
async fn queries_look_at_status_and_payloads() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    population(&mut client, 3, 10).await;
    let mut worker = client.worker().await;
    for _ in 0..3 {
        let turn = worker.turn().await;
        let end = match turn.request.instance_id.as_str() {
            "i-00" => done(0, "1"),
            "i-01" => failed(0, "no"),
            _ => continue,
        };
        worker.complete(&turn, vec![end]).await.unwrap();
    }
    client.ended("i-00").await;
    client.ended("i-01").await;
    let mut list = async |statuses: &[S], fetch| {
        let query = wire::InstanceQuery {
            runtime_status: statuses.iter().map(|status| *status as i32).collect(),
            fetch_inputs_and_outputs: fetch,
            ..Default::default()
        };
        let request = wire::QueryInstancesRequest { query: Some(query) };
        client.rpc.query_instances(request).await.unwrap().into_inner().orchestration_state
    };
    let over = list(&[S::Completed, S::Failed], false).await;
    assert_eq!(over.len(), 2);
    assert!(over.iter().all(|state| state.input.is_none() && state.output.is_none()));
    let failed = list(&[S::Failed], false).await;
    assert_eq!(failed[0].failure_details.as_ref().unwrap().error_message, "no");
    let full = list(&[S::Completed], true).await;
    assert_eq!((full[0].input.as_deref(), full[0].output.as_deref()), (Some("xxxxxxxxxx"), Some("1")));
}

#[tokio::test]
async fn ids_are_listed_as_their_instances_ended() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    population(&mut client, 4, 10).await;
    let mut worker = client.worker_with(one_at_a_time()).await.unwrap();
    let mut ended = Vec::new();
    for n in 0..3 {
        let turn = worker.turn().await;
        let end = if n == 1 { failed(0, "no") } else { done(0, "1") };
        worker.complete(&turn, vec![end]).await.unwrap();
        ended.push(turn.request.instance_id);
    }
    let mut request = wire::ListInstanceIdsRequest { page_size: 2, ..Default::default() };
    let page = client.rpc.list_instance_ids(request.clone()).await.unwrap().into_inner();
    assert_eq!(page.instance_ids, ended[..2]);
    let key = page.last_instance_key.unwrap();
    assert!(key.contains(&ended[1]), "{key}");
    request.last_instance_key = Some(key);
    request.page_size = 1;
    let page = client.rpc.list_instance_ids(request.clone()).await.unwrap().into_inner();
    assert_eq!((&page.instance_ids[..], page.last_instance_key), (&ended[2..], None));
    request = wire::ListInstanceIdsRequest { runtime_status: vec![S::Failed as i32], ..Default::default() };
    let page = client.rpc.list_instance_ids(request.clone()).await.unwrap().into_inner();
    assert_eq!((&page.instance_ids[..], page.last_instance_key), (&ended[1..2], None));
    request.last_instance_key = Some("forged".to_owned());
    assert_eq!(code(client.rpc.list_instance_ids(request).await), Code::InvalidArgument);
}

/// For a worker that takes the next turn when it has done the one before.
fn one_at_a_time() -> wire::GetWorkItemsRequest {
    wire::GetWorkItemsRequest { max_concurrent_orchestration_work_items: 1, ..Default::default() }
}
