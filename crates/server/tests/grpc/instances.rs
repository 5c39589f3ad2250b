//! Clients and single instances.

use std::time::Duration;

use strandline_proto::wire;
use strandline_proto::wire::OrchestrationStatus as S;
use strandline_proto::wire::history_event::Kind as Event;
use tonic::{Code, Request};

use crate::actions::{as_new, done, schedule, signal};
use crate::support::{TestServer, code, soon};

fn instance(id: &str) -> wire::GetInstanceRequest {
    wire::GetInstanceRequest { instance_id: id.to_owned(), get_inputs_and_outputs: false }
}

#[tokio::test]
async fn a_life_from_start_to_end() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    assert_eq!(client.get("a").await, None);
    let request = wire::CreateInstanceRequest {
        instance_id: "a".to_owned(),
        name: "Main".to_owned(),
        version: Some("1.2".to_owned()),
        input: Some("7".to_owned()),
        tags: [("k".to_owned(), "v".to_owned())].into(),
        parent_trace_context: Some(wire::TraceContext {
            trace_parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(client.start_with(request.clone()).await, "a");
    assert_eq!(code(client.rpc.start_instance(request).await), Code::AlreadyExists);
    let state = client.get("a").await.unwrap();
    assert_eq!(state.orchestration_status(), S::Pending);
    assert_eq!((state.name.as_str(), state.version.as_deref()), ("Main", Some("1.2")));
    assert_eq!((state.input.as_deref(), state.output, state.parent_instance_id), (Some("7"), None, None));
    assert_eq!(state.tags.get("k").map(String::as_str), Some("v"));

    let mut waiting = client.clone();
    let started = tokio::spawn(async move { waiting.rpc.wait_for_instance_start(instance("a")).await });
    let mut worker = client.worker().await;
    let turn = worker.turn().await;
    let execution = turn.request.execution_id.clone().unwrap();
    assert!(execution.len() == 32 && execution.bytes().all(|b| b.is_ascii_hexdigit()));
    let Event::ExecutionStarted(begun) = turn.arrived()[0].clone() else { panic!("{turn:?}") };
    assert_eq!(begun.orchestration_instance.unwrap().execution_id, Some(execution.clone()));
    assert!(begun.parent_trace_context.unwrap().trace_parent.starts_with("00-0af7"));
    let response = wire::OrchestratorResponse {
        instance_id: "a".to_owned(),
        completion_token: turn.token,
        custom_status: Some("\"half\"".to_owned()),
        orchestration_trace_context: Some(wire::OrchestrationTraceContext {
            span_id: Some("00f067aa0ba902b7".to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    };
    worker.respond(response).await.unwrap();
    let started = soon("the start", started).await.unwrap().unwrap().into_inner();
    let state = started.orchestration_state.unwrap();
    assert_eq!((state.orchestration_status(), state.custom_status), (S::Running, None));
    assert_eq!(client.get("a").await.unwrap().custom_status.as_deref(), Some("\"half\""));

    client.raise("a", "Go", "1").await;
    let turn = worker.take(vec![done(0, "42")]).await;
    assert!(matches!(turn.arrived()[..], [Event::EventRaised(event)] if event.name == "Go"));
    assert_eq!(
        turn.request.orchestration_trace_context.unwrap().span_id.as_deref(),
        Some("00f067aa0ba902b7")
    );
    let state = client.ended("a").await;
    assert_eq!((state.orchestration_status(), state.output.as_deref()), (S::Completed, Some("42")));
    assert!(state.completed_timestamp.is_some());
    // Told in vain, not wrongly.
    client.raise("a", "Late", "1").await;
    client.terminate("a", false).await;
    assert_eq!(client.status("a").await, Some(S::Completed));

    let history = client.history("a").await;
    let named: Vec<_> = history.iter().map(|event| event.kind.as_ref().unwrap()).collect();
    assert!(matches!(
        named[..],
        [
            Event::OrchestratorStarted(_),
            Event::ExecutionStarted(_),
            Event::OrchestratorStarted(_),
            Event::EventRaised(_),
            Event::ExecutionCompleted(_)
        ]
    ));
}

#[tokio::test]
async fn what_is_unknown_is_said_so() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let instance_id = "unknown".to_owned();
    assert!(!client.rpc.get_instance(instance("unknown")).await.unwrap().into_inner().exists);
    let raise =
        wire::RaiseEventRequest { instance_id: instance_id.clone(), name: "e".to_owned(), input: None };
    assert_eq!(code(client.rpc.raise_event(raise).await), Code::NotFound);
    let suspend = wire::SuspendRequest { instance_id: instance_id.clone(), reason: None };
    assert_eq!(code(client.rpc.suspend_instance(suspend).await), Code::NotFound);
    let resume = wire::ResumeRequest { instance_id: instance_id.clone(), reason: None };
    assert_eq!(code(client.rpc.resume_instance(resume).await), Code::NotFound);
    let rewind = wire::RewindInstanceRequest { instance_id: instance_id.clone(), reason: None };
    assert_eq!(code(client.rpc.rewind_instance(rewind).await), Code::NotFound);
    let history = wire::StreamInstanceHistoryRequest { instance_id, ..Default::default() };
    assert_eq!(code(client.rpc.stream_instance_history(history).await), Code::NotFound);
}

#[tokio::test]
async fn waits_end_with_their_deadline_and_start_before_the_instance() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut request = Request::new(instance("a"));
    request.set_timeout(Duration::from_millis(50));
    // Whether the client or the server is first, it is told the same.
    let code = code(client.rpc.wait_for_instance_completion(request).await);
    assert!([Code::DeadlineExceeded, Code::Cancelled].contains(&code), "{code:?}");
    let mut waiting = client.clone();
    let ended = tokio::spawn(async move { waiting.ended("a").await });
    client.start_as("Main", "a").await;
    let mut worker = client.worker().await;
    worker.take(vec![as_new(0, "1")]).await;
    // A continue-as-new is no end.
    worker.take(vec![done(0, "2")]).await;
    assert_eq!(soon("the end", ended).await.unwrap().output.as_deref(), Some("2"));
}

#[tokio::test]
async fn suspended_instances_are_shown_as_such() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.start_as("Main", "a").await;
    let mut worker = client.worker().await;
    worker.take(Vec::new()).await;
    let suspend = wire::SuspendRequest { instance_id: "a".to_owned(), reason: Some("why".to_owned()) };
    client.rpc.suspend_instance(suspend.clone()).await.unwrap();
    client.rpc.suspend_instance(suspend).await.unwrap();
    client.raise("a", "e", "1").await;
    let resume = wire::ResumeRequest { instance_id: "a".to_owned(), reason: None };
    client.rpc.resume_instance(resume.clone()).await.unwrap();
    client.rpc.resume_instance(resume).await.unwrap();
    let mut kinds = Vec::new();
    while !kinds.contains(&"raised") {
        let turn = worker.take(Vec::new()).await;
        kinds.extend(turn.arrived().iter().map(|kind| match kind {
            Event::ExecutionSuspended(_) => "suspended",
            Event::ExecutionResumed(_) => "resumed",
            Event::EventRaised(_) => "raised",
            other => panic!("{other:?}"),
        }));
    }
    assert_eq!(kinds.iter().filter(|kind| **kind == "raised").count(), 1);
    assert_eq!(client.status("a").await, Some(S::Running));
}

#[tokio::test]
async fn ids_are_used_again_as_the_policy_says() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let request = |statuses: &[S]| wire::CreateInstanceRequest {
        instance_id: "a".to_owned(),
        name: "Main".to_owned(),
        orchestration_id_reuse_policy: Some(wire::OrchestrationIdReusePolicy {
            replaceable_status: statuses.iter().map(|status| *status as i32).collect(),
        }),
        ..Default::default()
    };
    client.start_with(request(&[])).await;
    let error = client.rpc.start_instance(request(&[S::Running, S::Pending])).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("cannot exclude 'Terminated'"), "{error}");
    assert_eq!(code(client.rpc.start_instance(request(&[S::Completed])).await), Code::AlreadyExists);
    let first = client.get("a").await.unwrap().execution_id;
    client.start_with(request(&[S::Running, S::Pending, S::Terminated])).await;
    assert_ne!(client.get("a").await.unwrap().execution_id, first);
}

#[tokio::test]
async fn a_start_in_the_future_waits() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let far = prost_types::Timestamp { seconds: 32_503_680_000, nanos: 0 };
    let request = wire::CreateInstanceRequest {
        instance_id: "later".to_owned(),
        name: "Main".to_owned(),
        scheduled_start_timestamp: Some(far),
        ..Default::default()
    };
    client.start_with(request.clone()).await;
    // The epoch stands for now.
    let epoch = Some(prost_types::Timestamp::default());
    let now = wire::CreateInstanceRequest {
        instance_id: "now".to_owned(),
        scheduled_start_timestamp: epoch,
        ..request
    };
    client.start_with(now).await;
    let mut worker = client.worker().await;
    assert_eq!(worker.take(vec![done(0, "1")]).await.request.instance_id, "now");
    client.ended("now").await;
    let state = client.get("later").await.unwrap();
    assert_eq!((state.orchestration_status(), state.scheduled_start_timestamp), (S::Pending, Some(far)));
}

#[tokio::test]
async fn large_histories_are_fetched_by_workers_that_can() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.start_as("Main", "a").await;
    let asked = wire::GetWorkItemsRequest {
        capabilities: vec![wire::WorkerCapability::HistoryStreaming as i32],
        ..Default::default()
    };
    let mut worker = client.worker_with(asked).await.unwrap();
    worker.take(vec![schedule(0, "Task")]).await;
    let (token, activity) = worker.activity().await;
    worker.complete_activity(&token, &activity, Ok(&"x".repeat(3 << 20))).await.unwrap();
    worker.take(Vec::new()).await;
    client.raise("a", "e", "1").await;
    let turn = worker.turn().await;
    assert!(turn.request.requires_history_streaming && turn.request.past_events.is_empty());
    // What comes meanwhile is not part of it.
    client.raise("a", "e", "2").await;
    let request = wire::StreamInstanceHistoryRequest {
        instance_id: "a".to_owned(),
        execution_id: turn.request.execution_id.clone(),
        for_work_item_processing: true,
    };
    let mut chunks = worker.rpc.stream_instance_history(request).await.unwrap().into_inner();
    let mut past = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        past.extend(chunk.events.into_iter().filter_map(|event| event.kind));
    }
    assert!(past.iter().any(|kind| matches!(kind, Event::TaskCompleted(_))));
    assert!(!past.iter().any(|kind| matches!(kind, Event::EventRaised(_))));
    worker.complete(&turn, vec![signal(1, "@e@k", "op"), done(2, "1")]).await.unwrap();
    client.ended("a").await;
}

#[tokio::test]
async fn a_worker_that_lost_its_memory_gets_the_turn_again() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.start_as("Main", "a").await;
    let mut worker = client.worker().await;
    let turn = worker.turn().await;
    let response = wire::OrchestratorResponse {
        instance_id: "a".to_owned(),
        completion_token: turn.token.clone(),
        requires_history: true,
        ..Default::default()
    };
    worker.respond(response).await.unwrap();
    let again = worker.take(vec![done(0, "1")]).await;
    assert_eq!(again.arrived(), turn.arrived());
    client.ended("a").await;
}
