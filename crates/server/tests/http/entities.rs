//! Signals and states.

use strandline::prelude::*;
use strandline_proto::wire;
use strandline_proto::wire::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use strandline_proto::wire::work_item::Request as Item;
use tonic::transport::Endpoint;

use crate::client::Request;
use crate::support::TestServer;

#[tokio::test]
async fn a_signal_changes_the_state() {
    let server = TestServer::start().await;
    assert_eq!(server.get("/entities/Counter/steps").await.empty(), 404);
    assert_eq!(server.ask("POST", "/entities/Counter/steps?op=add").json("5").send().await.empty(), 202);
    // Names are the same in any case, as are the words of the path; keys are not.
    let json = ("Content-Type", "application/json; charset=utf-8");
    let more = server.ask("POST", "/Entities/COUNTER/steps?OP=add").header(json.0, json.1).body(" 2 ");
    assert_eq!(more.send().await.empty(), 202);
    assert_eq!(
        server.until("/entities/counter/steps", |answer| answer.body == "7").await.shown(),
        (200, "7")
    );
    assert_eq!(server.get("/entities/CouNTer/steps/").await.shown(), (200, "7"));
    assert_eq!(server.get("/entities/Counter/Steps").await.empty(), 404);
    // What it is not asked to do by POST or DELETE is not there.
    assert_eq!(server.ask("PUT", "/entities/Counter/steps?op=add").json("1").send().await.empty(), 404);
    assert_eq!(server.ask("POST", "/entities/Counter").json("1").send().await.empty(), 404);
}

#[tokio::test]
async fn what_a_signal_brings_is_json_or_text_or_nothing() {
    let server = TestServer::start().await;
    let send = async |query: &str, content_type: Option<&str>, body: &[u8]| {
        let mut request = server.ask("POST", &format!("/entities/Recorder/r{query}")).body(body);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        assert_eq!(request.send().await.empty(), 202);
    };
    send("?op=json", Some("application/json"), br#"{"a": [1]}"#).await;
    send("?op=text", Some("text/plain"), br#"{"a": 1}"#).await;
    send("?op=form", Some("application/x-www-form-urlencoded"), "größe \"1\"\n".as_bytes()).await;
    send("?op=bare", None, b"true").await;
    send("?op=nothing", None, b"").await;
    send("?op=empty", Some("application/json"), b"").await;
    send("", None, b"").await;
    send("?op=a%20b%2Bc", None, b"").await;
    let all = r#"[["json",{"a":[1]}],["text","{\"a\": 1}"],["form","größe \"1\"\n"],["bare","true"],["nothing",null],["empty",null],["",null],["a b+c",null]]"#;
    server.until("/entities/recorder/r", |answer| answer.body == all).await;
}

#[tokio::test]
async fn delete_takes_the_state_away() {
    let server = TestServer::start().await;
    assert_eq!(server.ask("POST", "/entities/Counter/steps?op=add").json("5").send().await.empty(), 202);
    assert_eq!(server.delete("/entities/Counter/steps").await.empty(), 202);
    assert_eq!(server.until("/entities/Counter/steps", |answer| answer.status == 404).await.empty(), 404);
    // An entity that has an operation of this name decides itself.
    assert_eq!(server.delete("/entities/Recorder/r?op=ignored").await.empty(), 202);
    server.until("/entities/Recorder/r", |answer| answer.body == r#"[["delete",null]]"#).await;
}

#[tokio::test]
async fn the_dollar_is_the_empty_key_where_something_is_read() {
    let server = TestServer::start().await;
    let client = server.hub().client();
    client.entity(EntityId::named("Counter", "")).signal().send("add", 1).await.unwrap();
    server.until("/entities/Counter/$", |answer| answer.body == "1").await;
    // A signal to it goes to the key `$`, which can't be read under this name.
    assert_eq!(server.ask("POST", "/entities/Counter/$?op=add").json("20").send().await.empty(), 202);
    server.until("/entities/Counter", |answer| answer.body.contains(r#""key":"$""#)).await;
    assert_eq!(server.get("/entities/Counter/$").await.shown(), (200, "1"));
}

/// What is said by a request that is refused with 400.
async fn refusal(request: Request) -> String {
    let (status, text) = request.send().await.message();
    assert_eq!(status, 400, "{text}");
    text
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let server = TestServer::start().await;
    let text = refusal(server.ask("POST", "/entities/Counter/steps?op=add").json("{")).await;
    assert!(text.starts_with("Could not parse JSON content: "), "{text}");
    let no_text =
        server.ask("POST", "/entities/Counter/steps?op=add").header("content-type", "application/json");
    let text = refusal(no_text.body(*b"\"\xff\"")).await;
    assert!(text.starts_with("Could not parse JSON content: "), "{text}");
    let deep = "[".repeat(200) + &"]".repeat(200);
    let text = refusal(server.ask("POST", "/entities/Counter/steps?op=add").json(&deep)).await;
    assert!(text.contains("128"), "{text}");
    refusal(server.ask("POST", "/entities/Counter/steps?op=add").body(*b"\xff")).await;
    for id in
        ["Counter/a%2Fb", "Counter/a%5Cb", "Counter/a%23b", "Counter/a%3Fb", "Counter/a%0Ab", "Cou@nter/a"]
    {
        for method in ["POST", "DELETE"] {
            let text = refusal(server.ask(method, &format!("/entities/{id}"))).await;
            assert!(text.starts_with("Invalid entity id: "), "{id}: {text}");
        }
        assert_eq!(server.get(&format!("/entities/{id}")).await.empty(), 404);
    }
    let long = "x".repeat(300);
    let text = refusal(server.ask("POST", &format!("/entities/Counter/{long}")).json("1")).await;
    assert!(text.starts_with("Invalid entity id: ") && text.contains("256"), "{text}");
    let text = refusal(server.ask("POST", &format!("/entities/Counter/steps?op={long}")).json("1")).await;
    assert!(text.contains("256"), "{text}");
    assert_eq!(server.get("/entities/Counter/steps").await.empty(), 404);
}

#[tokio::test]
async fn a_signal_to_what_nobody_serves_waits() {
    let server = TestServer::start().await;
    assert_eq!(server.ask("POST", "/entities/Unknown/a?op=go").json("1").send().await.empty(), 202);
    // It has no state, so for clients it does not exist.
    assert_eq!(server.get("/entities/Unknown/a").await.empty(), 404);
    assert_eq!(server.get("/entities/Unknown").await.shown(), (200, "[]"));
}

#[tokio::test]
async fn a_signal_carries_its_trace() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let server = TestServer::start().await;
    let channel = Endpoint::try_from(format!("http://{}", server.address)).unwrap().connect().await;
    let mut rpc = TaskHubSidecarServiceClient::new(channel.unwrap());
    let filter = wire::EntityFilter { name: "Traced".to_owned() };
    let filters = wire::WorkItemFilters { entities: vec![filter], ..Default::default() };
    let asked = wire::GetWorkItemsRequest {
        work_item_filters: Some(filters),
        max_concurrent_entity_work_items: 1,
        ..Default::default()
    };
    let mut items = rpc.get_work_items(asked).await.unwrap().into_inner();
    let traced = server.ask("POST", "/entities/Traced/a?op=go").header("traceparent", PARENT);
    assert_eq!(traced.header("tracestate", "a=1").send().await.empty(), 202);
    let trace = loop {
        let item = items.message().await.unwrap().unwrap();
        match item.request {
            Some(Item::EntityRequest(batch)) => break batch.operations[0].trace_context.clone(),
            Some(Item::EntityRequestV2(batch)) => match &batch.operation_requests[0].kind {
                Some(wire::history_event::Kind::EntityOperationSignaled(signal)) => {
                    break signal.parent_trace_context.as_deref().cloned();
                }
                other => panic!("{other:?}"),
            },
            _ => {}
        }
    };
    let trace = trace.unwrap();
    assert_eq!((trace.trace_parent.as_str(), trace.trace_state.as_deref()), (PARENT, Some("a=1")));
}
