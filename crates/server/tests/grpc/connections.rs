//! Streams and hubs that come and go.

use strandline_proto::wire;
use tonic::Code;
use tonic::metadata::MetadataValue;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::actions::{done, schedule};
use crate::support::{TestServer, code, soon};

#[tokio::test]
async fn work_of_a_lost_worker_goes_to_the_next_at_once() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.start_as("Main", "a").await;
    let mut first = client.worker().await;
    first.take(vec![schedule(0, "Task")]).await;
    let (token, _) = first.activity().await;
    drop(first);
    let mut second = client.worker().await;
    let (again, activity) = second.activity().await;
    assert_ne!(token, again);
    second.complete_activity(&again, &activity, Ok("1")).await.unwrap();
    second.take(vec![done(1, "1")]).await;
    client.ended("a").await;
}

#[tokio::test]
async fn thousands_of_streams() {
    let server = TestServer::start().await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        let client = server.client().await;
        let opened = (0..250).map(|_| {
            let mut client = client.clone();
            async move { client.worker().await }
        });
        streams.extend(futures::future::join_all(opened).await);
    }
    let mut client = server.client().await;
    let refused = client.worker_with(wire::GetWorkItemsRequest::default()).await;
    let refused = refused.err().unwrap();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("2000 workers"), "{refused}");
    // Those that are connected work on.
    client.start_as("Main", "a").await;
    let turns = streams.iter_mut().map(|worker| Box::pin(worker.turn()));
    let (turn, at, others) = futures::future::select_all(turns).await;
    drop(others);
    streams[at].complete(&turn, vec![done(0, "1")]).await.unwrap();
    client.ended("a").await;
    drop(streams);
    let connected =
        async { while client.worker_with(wire::GetWorkItemsRequest::default()).await.is_err() {} };
    soon("room for a worker", connected).await;
    server.assert_well().await;
}

#[tokio::test]
async fn hubs_are_apart_and_wrong_ones_refused() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.start_as("Main", "a").await;
    for (hub, expected) in [("unknown", Code::NotFound), ("no hub!", Code::InvalidArgument)] {
        let mut other = server.client_of(hub).await;
        let request = wire::GetInstanceRequest { instance_id: "a".to_owned(), ..Default::default() };
        assert_eq!(code(other.rpc.get_instance(request).await), expected);
        assert_eq!(
            other.worker_with(wire::GetWorkItemsRequest::default()).await.err().unwrap().code(),
            expected
        );
        // It can be greeted before it exists.
        other.rpc.hello(()).await.unwrap();
    }
    // What is no text is not taken for the default hub.
    let mut request =
        tonic::Request::new(wire::GetInstanceRequest { instance_id: "a".to_owned(), ..Default::default() });
    let value = MetadataValue::try_from(&b"caf\xe9"[..]).unwrap();
    request.metadata_mut().insert("taskhub", value);
    assert_eq!(code(client.rpc.get_instance(request).await), Code::InvalidArgument);
}

#[tokio::test]
async fn hubs_are_made_wiped_and_deleted() {
    let server = TestServer::start().await;
    let mut client = server.client_of("mine").await;
    let create = |recreate_if_exists| wire::CreateTaskHubRequest { recreate_if_exists };
    client.rpc.create_task_hub(create(false)).await.unwrap();
    assert_eq!(code(client.rpc.create_task_hub(create(false)).await), Code::AlreadyExists);
    client.start_as("Main", "a").await;
    let mut worker = client.worker().await;
    let turn = worker.turn().await;
    client.rpc.create_task_hub(create(true)).await.unwrap();
    assert_eq!(client.get("a").await, None);
    // The stream was the old hub's.
    assert_eq!(code(soon("the end", worker.items.message()).await), Code::Unavailable);
    assert_eq!(code(worker.complete(&turn, vec![done(0, "1")]).await), Code::NotFound);
    let mut worker = client.worker().await;
    client.start_as("Main", "a").await;
    worker.take(vec![done(0, "1")]).await;
    client.ended("a").await;
    client.rpc.delete_task_hub(wire::DeleteTaskHubRequest {}).await.unwrap();
    assert_eq!(code(soon("the end", worker.items.message()).await), Code::Unavailable);
    assert_eq!(code(client.rpc.delete_task_hub(wire::DeleteTaskHubRequest {}).await), Code::NotFound);
    server.assert_well().await;
}

#[tokio::test]
async fn tools_find_what_is_served_and_that_it_is_well() {
    let mut server = TestServer::start().await;
    let mut health = HealthClient::new(server.channel().await);
    for service in ["", "TaskHubSidecarService", "strandline.v1.Management"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status, tonic_health::ServingStatus::Serving as i32, "{service:?}");
    }
    let unknown = HealthCheckRequest { service: "unknown".to_owned() };
    assert_eq!(code(health.check(unknown).await), Code::NotFound);

    let mut reflection = ServerReflectionClient::new(server.channel().await);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = reflection.server_reflection_info(futures::stream::iter([request])).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(listed)) = answer.message_response else {
        panic!("{answer:?}")
    };
    let names: Vec<_> = listed.service.iter().map(|service| service.name.as_str()).collect();
    for service in ["TaskHubSidecarService", "strandline.v1.Management", "grpc.health.v1.Health"] {
        assert!(names.contains(&service), "{names:?}");
    }

    let watched = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let last = tokio::spawn(async move {
        let mut watched = watched;
        let mut last = 0;
        while let Ok(Some(answer)) = watched.message().await {
            last = answer.status;
        }
        last
    });
    server.stop().await;
    assert_eq!(soon("the end", last).await.unwrap(), tonic_health::ServingStatus::NotServing as i32);
}
