//! What no well-behaved peer sends: it is refused with a status that says why, it changes nothing, and the
//! server goes on.

use prost::Message;
use strandline_proto::wire;
use strandline_proto::wire::OrchestrationStatus as S;
use strandline_proto::wire::history_event::Kind as Event;
use tonic::Code;

use crate::actions::{child, done, lock, schedule, send, signal};
use crate::raw::{DATA, HEADERS, PREFACE, RESET, Raw, call_headers, call_path, frame};
use crate::support::{TestServer, Worker, code};

#[tokio::test]
async fn garbage_on_the_socket() {
    let server = TestServer::start().await;
    let settings = frame(4, 0, 0, &[]);
    let with_preface = |rest: &[u8]| [PREFACE, &settings[..], rest].concat();
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\0\xff garbage \r\n\r\n".to_vec(),
        PREFACE[..10].to_vec(),
        with_preface(&[0xff; 100]),
        // A frame that says it is larger than any may be.
        with_preface(&[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]),
        // Data for a stream that was never opened.
        with_preface(&frame(DATA, 0, 7, b"data")),
        // Headers that are no headers.
        with_preface(&frame(HEADERS, 4, 1, &[0xff; 50])),
        // A message that is none, in a proper call.
        with_preface(
            &[
                frame(HEADERS, 4, 1, &call_headers("/TaskHubSidecarService/StartInstance")),
                frame(DATA, 1, 1, b"\x07\xff\xff\xff\xff garbage"),
            ]
            .concat(),
        ),
    ] {
        let mut raw = Raw::connect(&server).await;
        raw.send(&bytes).await;
        raw.end().await;
    }
    server.assert_well().await;
}

#[tokio::test]
async fn a_call_that_is_cancelled_in_the_middle_of_its_message() {
    let server = TestServer::start().await;
    let mut raw = Raw::open(&server).await;
    for stream in [1, 3, 5] {
        raw.send(&frame(HEADERS, 4, stream, &call_headers("/TaskHubSidecarService/StartInstance"))).await;
        // Of a message of a hundred bytes, ten come.
        raw.send(&frame(DATA, 0, stream, b"\0\0\0\0\x640123456789")).await;
        raw.send(&frame(RESET, 0, stream, &8_u32.to_be_bytes())).await;
    }
    raw.ping().await;
    server.assert_well().await;
}

#[derive(Clone, PartialEq, Message)]
struct FromTheFuture {
    #[prost(string, tag = "1")]
    instance_id: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "7777")]
    more: String,
}

#[derive(Clone, PartialEq, Message)]
struct OtherTypes {
    #[prost(uint64, tag = "1")]
    instance_id: u64,
}

#[tokio::test]
async fn unknown_fields_are_passed_over_and_wrong_types_refused() {
    let server = TestServer::start().await;
    let (mut client, channel) = (server.client().await, server.channel().await);
    let message = FromTheFuture { instance_id: "a".into(), name: "Main".into(), more: "?".into() };
    call_path(&channel, "/TaskHubSidecarService/StartInstance", message).await.unwrap();
    assert_eq!(client.get("a").await.unwrap().name, "Main");
    let wrong =
        call_path(&channel, "/TaskHubSidecarService/GetInstance", OtherTypes { instance_id: 7 }).await;
    assert!(wrong.is_err());
    server.assert_well().await;
}

/// Answers under a token, by all ways there are, for an instance with a task.
async fn answer_all(worker: &mut Worker, instance: &str, token: &str) -> Vec<Code> {
    let (id, token) = (instance.to_owned(), token.to_owned());
    let rpc = &mut worker.rpc;
    let turn = wire::OrchestratorResponse {
        instance_id: id.clone(),
        completion_token: token.clone(),
        actions: vec![done(0, "\"forged\"")],
        ..Default::default()
    };
    let part = wire::OrchestratorResponse { is_partial: true, ..turn.clone() };
    let activity = wire::ActivityResponse {
        instance_id: id,
        task_id: 0,
        result: Some("\"forged\"".to_owned()),
        completion_token: token.clone(),
        ..Default::default()
    };
    let entity = wire::EntityBatchResult { completion_token: token.clone(), ..Default::default() };
    vec![
        code(rpc.complete_orchestrator_task(turn).await),
        code(rpc.complete_orchestrator_task(part).await),
        code(rpc.complete_activity_task(activity).await),
        code(rpc.complete_entity_task(entity).await),
        code(
            rpc.abandon_task_activity_work_item(wire::AbandonActivityTaskRequest {
                completion_token: token.clone(),
            })
            .await,
        ),
        code(
            rpc.abandon_task_orchestrator_work_item(wire::AbandonOrchestrationTaskRequest {
                completion_token: token.clone(),
            })
            .await,
        ),
        code(
            rpc.abandon_task_entity_work_item(wire::AbandonEntityTaskRequest { completion_token: token })
                .await,
        ),
    ]
}

#[tokio::test]
async fn tokens_of_nobody() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.start_as("Main", "a").await;
    // Nothing is out for it: even the empty token stands for nothing.
    let mut worker = client.worker_with(nothing()).await.unwrap();
    let long = "0".repeat(100_000);
    for token in ["", "0", "x", &"0".repeat(32), "ffffffffffffffffffffffffffffffff", "größe", &long] {
        assert_eq!(answer_all(&mut worker, "a", token).await, [Code::NotFound; 7], "{token:.40}");
    }
    assert_eq!(client.status("a").await, Some(S::Pending));
    assert!(client.history("a").await.is_empty());
    server.assert_well().await;
}

/// For a worker that takes no work at all.
fn nothing() -> wire::GetWorkItemsRequest {
    wire::GetWorkItemsRequest {
        work_item_filters: Some(wire::WorkItemFilters::default()),
        ..Default::default()
    }
}

#[tokio::test]
async fn tokens_of_another_hub() {
    let server = TestServer::start().await;
    let (mut here, mut there) = (server.client().await, server.client_of("other").await);
    there.rpc.create_task_hub(wire::CreateTaskHubRequest::default()).await.unwrap();
    here.start_as("Main", "a").await;
    there.start_as("Main", "a").await;
    let (mut worker, mut stranger) = (here.worker().await, there.worker().await);
    let (turn, theirs) = (worker.turn().await, stranger.turn().await);
    assert_eq!(answer_all(&mut stranger, "a", &turn.token).await, [Code::NotFound; 7]);
    for client in [&mut here, &mut there] {
        assert_eq!(client.status("a").await, Some(S::Pending));
    }
    worker.complete(&turn, vec![done(0, "\"here\"")]).await.unwrap();
    stranger.complete(&theirs, vec![done(0, "\"there\"")]).await.unwrap();
    assert_eq!(here.ended("a").await.output.as_deref(), Some("\"here\""));
    assert_eq!(there.ended("a").await.output.as_deref(), Some("\"there\""));
}

#[tokio::test]
async fn tokens_that_were_good_once() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.start_as("Main", "a").await;
    let mut lost = client.worker().await;
    let before = lost.turn().await;
    drop(lost);
    let mut worker = client.worker().await;
    let turn = worker.turn().await;
    // The other worker is gone; it may yet answer.
    assert_eq!(answer_all(&mut worker, "a", &before.token).await, [Code::NotFound; 7]);
    worker.complete(&turn, vec![schedule(0, "Task")]).await.unwrap();
    // Who answers twice is told that all is well, and nothing happens twice.
    worker.complete(&turn, vec![done(0, "\"forged\"")]).await.unwrap();
    let (token, activity) = worker.activity().await;
    // A token of another kind of work is a foreign one; the work stays out.
    let response = wire::OrchestratorResponse {
        instance_id: "a".to_owned(),
        completion_token: token.clone(),
        actions: vec![done(0, "\"forged\"")],
        ..Default::default()
    };
    assert_eq!(code(worker.respond(response).await), Code::NotFound);
    worker.complete_activity(&token, &activity, Ok("1")).await.unwrap();
    worker.complete_activity(&token, &activity, Ok("2")).await.unwrap();
    let turn = worker.take(vec![done(1, "\"good\"")]).await;
    assert!(
        matches!(turn.arrived()[..], [Event::TaskCompleted(task)] if task.result.as_deref() == Some("1"))
    );
    assert_eq!(client.ended("a").await.output.as_deref(), Some("\"good\""));
}

#[tokio::test]
async fn workers_that_return_no_token_are_understood() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.start_as("Main", "a").await;
    let mut worker = client.worker().await;
    let mut turn = worker.turn().await;
    turn.token.clear();
    worker.complete(&turn, vec![schedule(0, "Task")]).await.unwrap();
    let (_, activity) = worker.activity().await;
    // A task that is not out.
    let unknown = wire::ActivityRequest { task_id: 1, ..activity.clone() };
    assert_eq!(code(worker.complete_activity("", &unknown, Ok("1")).await), Code::NotFound);
    worker.complete_activity("", &activity, Ok("2")).await.unwrap();
    let turn = worker.turn().await;
    assert!(
        matches!(turn.arrived()[..], [Event::TaskCompleted(task)] if task.result.as_deref() == Some("2"))
    );
}

#[tokio::test]
async fn turns_that_cannot_be_carried_out() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.start_as("Main", "a").await;
    let empty = wire::OrchestratorAction { id: 0, kind: None };
    let answers = [
        vec![schedule(0, "A"), schedule(0, "B")],
        vec![schedule(-1, "A")],
        vec![schedule(1, "A"), schedule(i32::MIN, "B")],
        vec![empty.clone()],
        vec![schedule(0, "A"), done(0, "\"forged\""), empty],
        vec![signal(0, "no entity", "op")],
        vec![lock(0, "s", "@noname")],
    ];
    for actions in answers {
        // Who comes anew is not kept waiting for what others did.
        let mut worker = client.worker().await;
        let turn = worker.turn().await;
        assert!(matches!(turn.arrived()[..], [Event::ExecutionStarted(_)]));
        assert!(turn.request.past_events.is_empty());
        let error = worker.complete(&turn, actions.clone()).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error} {actions:?}");
        assert_eq!(client.status("a").await, Some(S::Pending));
        assert!(client.history("a").await.is_empty());
    }
    let mut worker = client.worker().await;
    worker.take(vec![schedule(0, "A")]).await;
    assert_eq!(client.status("a").await, Some(S::Running));
}

#[tokio::test]
async fn a_turn_that_nobody_answers_well_fails_visibly() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.start_as("Main", "a").await;
    for _ in 0..10 {
        assert_eq!(client.status("a").await, Some(S::Pending));
        let mut worker = client.worker().await;
        let turn = worker.turn().await;
        let answer = worker.complete(&turn, vec![schedule(0, "A"), schedule(0, "B")]).await;
        assert_eq!(code(answer), Code::InvalidArgument);
    }
    let state = client.ended("a").await;
    assert_eq!(state.orchestration_status(), S::Failed);
    let failure = state.failure_details.unwrap();
    assert!(failure.error_message.contains("OrchestratorAction.id"), "{}", failure.error_message);
}

#[tokio::test]
async fn messages_that_are_too_large() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.start_as("Main", "a").await;
    let mut worker = client.worker().await;
    let turn = worker.turn().await;
    let huge = "x".repeat(65 << 20);
    let response = wire::OrchestratorResponse {
        instance_id: "a".to_owned(),
        completion_token: turn.token.clone(),
        actions: vec![done(0, &huge)],
        ..Default::default()
    };
    // It may be refused before it was sent whole.
    assert!(worker.respond(response).await.is_err());
    let large = wire::CreateInstanceRequest {
        instance_id: "large".to_owned(),
        name: "Main".to_owned(),
        input: Some(huge[..(16 << 20) + 1].to_owned()),
        ..Default::default()
    };
    let error = client.rpc.start_instance(large).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("16777216"), "{error}");
    assert_eq!(client.status("large").await, None);
    assert_eq!(client.status("a").await, Some(S::Pending));
    worker.complete(&turn, vec![done(0, "1")]).await.unwrap();
    assert_eq!(client.ended("a").await.output.as_deref(), Some("1"));
}

#[tokio::test]
async fn ids_and_numbers_that_cannot_be() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let long = "x".repeat(257);
    for id in ["@entity@key", "a\nb", &long] {
        let request = wire::CreateInstanceRequest {
            instance_id: id.to_owned(),
            name: "Main".to_owned(),
            ..Default::default()
        };
        assert_eq!(code(client.rpc.start_instance(request).await), Code::InvalidArgument);
        let request = wire::GetInstanceRequest { instance_id: id.to_owned(), ..Default::default() };
        assert_eq!(code(client.rpc.get_instance(request).await), Code::InvalidArgument);
    }
    // What the protocol's own server does not take is not taken here either.
    let request = wire::SignalEntityRequest {
        instance_id: format!("@counter@{}", "x".repeat(92)),
        name: "add".to_owned(),
        ..Default::default()
    };
    let error = client.rpc.signal_entity(request.clone()).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("length"), "{error}");
    let fits = wire::SignalEntityRequest { instance_id: request.instance_id[..100].to_owned(), ..request };
    client.rpc.signal_entity(fits).await.unwrap();

    let asked = wire::GetWorkItemsRequest { max_concurrent_activity_work_items: -1, ..Default::default() };
    assert_eq!(client.worker_with(asked).await.err().unwrap().code(), Code::InvalidArgument);
    let policy = wire::OrchestrationIdReusePolicy { replaceable_status: vec![99] };
    let request = wire::CreateInstanceRequest {
        name: "Main".to_owned(),
        orchestration_id_reuse_policy: Some(policy),
        ..Default::default()
    };
    assert_eq!(code(client.rpc.start_instance(request).await), Code::InvalidArgument);
    server.assert_well().await;
}

#[tokio::test]
async fn a_turn_may_not_use_impossible_ids() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.start_as("Main", "a").await;
    let mut worker = client.worker().await;
    let long = "x".repeat(300);
    worker.take(vec![send(0, "b", "e", "1"), child(1, "Child", &long)]).await;
    let state = client.ended("a").await;
    assert_eq!(state.orchestration_status(), S::Failed);
    assert_eq!(state.failure_details.unwrap().error_type, "InvalidAction");
}
