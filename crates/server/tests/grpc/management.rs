//! `strandline.v1.Management`.

use strandline::prelude::*;
use strandline_proto::management as wire;
use strandline_proto::management::management_client::ManagementClient;
use strandline_proto::wire::history_event::Kind as Event;
use strandline_proto::wire::{
    ActivityFilter, EntityFilter, GetWorkItemsRequest, OrchestrationFilter, OrchestrationStatus as S,
    WorkItemFilters,
};
use tonic::Code;
use tonic::transport::Channel;

use crate::actions::{as_new, call, child, done, lock};
use crate::support::{TestServer, code};

async fn management(server: &TestServer) -> ManagementClient<Channel> {
    ManagementClient::new(server.channel().await)
}

#[orchestrator(name = "Local")]
async fn local_orchestrator(ctx: OrchestrationContext, n: u32) -> Result<u32> {
    ctx.call(local_activity, n).await
}

#[activity(name = "LocalTask")]
async fn local_activity(n: u32) -> Result<u32> {
    Ok(n)
}

#[tokio::test]
async fn hubs_and_workers_are_listed() {
    let server = TestServer::start().await;
    let mut management = management(&server).await;
    let mut other = server.client_of("other").await;
    other.rpc.create_task_hub(strandline_proto::wire::CreateTaskHubRequest::default()).await.unwrap();
    let hubs = management.list_hubs(wire::ListHubsRequest {}).await.unwrap().into_inner().hubs;
    let listed: Vec<_> = hubs.iter().map(|hub| (hub.name.as_str(), hub.partitions, hub.running)).collect();
    assert_eq!(listed, [("default", 4, 4), ("other", 4, 4)]);

    let list = async |management: &mut ManagementClient<Channel>| {
        management.list_workers(wire::ListWorkersRequest {}).await.unwrap().into_inner().workers
    };
    assert_eq!(list(&mut management).await, []);
    let mut client = server.client().await;
    client.start_as("Main", "a").await;
    let name = |name: &str| name.to_owned();
    let asked = GetWorkItemsRequest {
        max_concurrent_activity_work_items: 7,
        worker_instance_id: name("w1"),
        work_item_filters: Some(WorkItemFilters {
            orchestrations: vec![OrchestrationFilter {
                name: name("Main"),
                versions: vec![name("1"), name("")],
            }],
            activities: vec![ActivityFilter { name: name("Task"), ..Default::default() }],
            entities: vec![EntityFilter { name: name("Counter") }],
        }),
        ..Default::default()
    };
    let mut worker = client.worker_with(asked).await.unwrap();
    let _turn = worker.turn().await;
    let workers = list(&mut management).await;
    let [worker] = &workers[..] else { panic!("{workers:?}") };
    assert_eq!((worker.id.as_str(), worker.hub.as_str()), ("w1", "default"));
    assert!(worker.peer.starts_with("127.0.0.1:") && worker.connected_since.is_some());
    assert!(worker.sdk.starts_with("tonic"), "{worker:?}");
    let orchestrators = worker.orchestrators.as_ref().unwrap();
    assert_eq!((orchestrators.all, orchestrators.in_flight), (false, 1));
    assert_eq!(orchestrators.names[0].name, "Main");
    assert_eq!(orchestrators.names[0].versions, ["", "1"]);
    let activities = worker.activities.as_ref().unwrap();
    assert_eq!((activities.capacity, activities.names[0].versions.len()), (Some(7), 0));
    assert_eq!(worker.entities.as_ref().unwrap().names[0].name, "counter");

    // One inside the server is a worker, too.
    let hub = server.directory().hub("default").await.unwrap();
    hub.worker().register((local_orchestrator, local_activity)).start().unwrap();
    let workers = list(&mut management).await;
    let local = workers.iter().find(|worker| worker.id == "in-process").unwrap();
    assert_eq!((local.sdk.as_str(), local.peer.as_str()), ("strandline", ""));
    assert_eq!(local.orchestrators.as_ref().unwrap().names[0].name, "Local");
    assert_eq!(local.activities.as_ref().unwrap().names[0].name, "LocalTask");
}

#[tokio::test]
async fn instances_are_listed_and_counted_by_filter() {
    let server = TestServer::start().await;
    let mut management = management(&server).await;
    let mut client = server.client().await;
    for id in ["a-1", "a-2", "b-1"] {
        client.start_as("Main", id).await;
    }
    let tagged = strandline_proto::wire::CreateInstanceRequest {
        instance_id: "tagged".to_owned(),
        name: "Tagged".to_owned(),
        input: Some("7".to_owned()),
        tags: [("k".to_owned(), "v".to_owned())].into(),
        ..Default::default()
    };
    client.start_with(tagged).await;
    let mut list = async |filter: wire::InstanceFilter| {
        let counted = wire::CountInstancesRequest { filter: Some(filter.clone()) };
        let count = management.count_instances(counted).await.unwrap().into_inner().count;
        let request = wire::ListInstancesRequest {
            filter: Some(filter),
            with_payloads: true,
            page_size: 2,
            continuation_token: None,
        };
        let mut request = request;
        let mut ids = Vec::new();
        loop {
            let page = management.list_instances(request.clone()).await.unwrap().into_inner();
            assert!(page.instances.len() <= 2);
            ids.extend(page.instances.into_iter().map(|state| state.instance_id));
            request.continuation_token = page.continuation_token;
            if request.continuation_token.is_none() {
                assert_eq!(count, ids.len() as u64);
                return ids;
            }
        }
    };
    let all = wire::InstanceFilter::default();
    assert_eq!(list(all.clone()).await, ["tagged", "b-1", "a-2", "a-1"]);
    let prefix = wire::InstanceFilter { id_prefix: Some("a-".to_owned()), ..all.clone() };
    assert_eq!(list(prefix).await, ["a-1", "a-2"]);
    let name = wire::InstanceFilter { name: Some("Tagged".to_owned()), ..all.clone() };
    assert_eq!(list(name).await, ["tagged"]);
    let tags = wire::InstanceFilter { tags: [("k".to_owned(), "v".to_owned())].into(), ..all.clone() };
    assert_eq!(list(tags).await, ["tagged"]);
    let statuses = wire::InstanceFilter { statuses: vec![S::Completed as i32], ..all.clone() };
    assert_eq!(list(statuses).await, Vec::<String>::new());
    let mut worker = client.worker().await;
    for _ in 0..4 {
        let turn = worker.turn().await;
        if turn.request.instance_id == "a-1" {
            worker.complete(&turn, vec![child(0, "Child", "below")]).await.unwrap();
        }
    }
    worker.take(Vec::new()).await;
    let parent = wire::InstanceFilter { parent: Some("a-1".to_owned()), ..all };
    assert_eq!(list(parent).await, ["below"]);
    let wrong = wire::InstanceFilter { statuses: vec![99], ..Default::default() };
    let request = wire::CountInstancesRequest { filter: Some(wrong) };
    assert_eq!(code(management.count_instances(request).await), Code::InvalidArgument);
}

#[tokio::test]
async fn histories_are_read_in_parts_of_one_execution() {
    let server = TestServer::start().await;
    let mut management = management(&server).await;
    let mut client = server.client().await;
    client.start_as("Main", "a").await;
    let mut worker = client.worker().await;
    worker.take(Vec::new()).await;
    client.raise("a", "big", &"x".repeat(1_500_000)).await;
    worker.take(Vec::new()).await;
    client.raise("a", "big", &"x".repeat(1_500_000)).await;
    worker.take(Vec::new()).await;
    let mut request = wire::GetHistoryRequest { instance_id: "a".to_owned(), ..Default::default() };
    let mut raised = 0;
    let mut parts = 0;
    loop {
        let part = management.get_history(request.clone()).await.unwrap().into_inner();
        assert!(prost::Message::encoded_len(&part) < 4 << 20);
        raised += part.events.iter().filter(|e| matches!(e.kind, Some(Event::EventRaised(_)))).count();
        request.from += part.events.len() as u32;
        request.execution_id = Some(part.execution_id);
        parts += 1;
        if request.from == part.total {
            break;
        }
    }
    assert_eq!(raised, 2);
    assert!(parts > 1);
    let one = wire::GetHistoryRequest { max: 1, from: 1, ..request.clone() };
    let part = management.get_history(one).await.unwrap().into_inner();
    assert!(matches!(part.events[0].kind, Some(Event::ExecutionStarted(_))) && part.events.len() == 1);
    client.raise("a", "go", "1").await;
    worker.take(vec![as_new(0, "1")]).await;
    worker.take(Vec::new()).await;
    assert_eq!(code(management.get_history(request).await), Code::Aborted);
    let unknown = wire::GetHistoryRequest { instance_id: "unknown".to_owned(), ..Default::default() };
    assert_eq!(code(management.get_history(unknown).await), Code::NotFound);
}

#[tokio::test]
async fn entities_show_who_holds_them() {
    let server = TestServer::start().await;
    let mut management = management(&server).await;
    let mut client = server.client().await;
    let get = async |management: &mut ManagementClient<Channel>, id: &str| {
        management.get_entity_status(wire::GetEntityStatusRequest { id: id.to_owned() }).await
    };
    assert_eq!(code(get(&mut management, "@e@k").await), Code::NotFound);
    assert_eq!(code(get(&mut management, "no entity").await), Code::InvalidArgument);
    client.start_as("Main", "holder").await;
    let mut worker = client.worker().await;
    let turn = worker.take(vec![lock(0, "s", "@e@k")]).await;
    worker.take(vec![call(1, "@e@k", "own")]).await;
    client.signal("@e@k", "others", "1").await;
    let work = worker.operations().await;
    worker.complete_operations(&work, Some("1"), Vec::new()).await;
    worker.take(vec![]).await;
    let entity = get(&mut management, "@E@k").await.unwrap().into_inner();
    assert_eq!((entity.id.as_str(), entity.state.as_deref(), entity.queue_length), ("@e@k", Some("1"), 1));
    let owner = entity.locked_by.unwrap();
    assert_eq!((owner.instance_id.as_str(), owner.section_id.as_str()), ("holder", "s"));
    assert_eq!(Some(owner.execution_id), turn.request.execution_id);
    client.raise("holder", "end", "1").await;
    worker.take(vec![done(2, "1")]).await;
    client.ended("holder").await;
}
