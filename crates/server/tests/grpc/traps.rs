//! Where servers of this protocol go wrong, one test each.

use std::time::Duration;

use strandline_proto::wire;
use strandline_proto::wire::OrchestrationStatus as S;
use strandline_proto::wire::history_event::Kind as Event;
use strandline_proto::wire::work_item::Request as Item;
use tonic::Code;

use crate::actions::{
    as_new, begin, call, child, done, failed, lock, pass_on, schedule, send, signal, timer, unlock,
};
use crate::raw::call_path;
use crate::support::{Client, TestServer, code, soon};

fn now() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap()
}

fn at(time: Duration) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_secs() as i64, nanos: time.subsec_nanos() as i32 }
}

fn since_epoch(time: &prost_types::Timestamp) -> Duration {
    Duration::new(time.seconds as u64, time.nanos as u32)
}

#[tokio::test]
async fn trap_01_the_package_is_empty() {
    let server = TestServer::start().await;
    let channel = server.channel().await;
    call_path(&channel, "/TaskHubSidecarService/Hello", ()).await.unwrap();
    let other = call_path(&channel, "/durabletask.TaskHubSidecarService/Hello", ()).await;
    assert_eq!(code(other), Code::Unimplemented);
}

#[tokio::test]
async fn trap_02_zero_slots_are_unspecified() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker().await;
    client.start("Main").await;
    worker.take(vec![schedule(0, "Task"), signal(1, "@e@k", "op")]).await;
    let kinds = [worker.next().await.1, worker.next().await.1];
    assert!(kinds.iter().any(|item| matches!(item, Item::ActivityRequest(_))));
    assert!(kinds.iter().any(|item| matches!(item, Item::EntityRequestV2(_))));
}

#[tokio::test]
async fn trap_03_batches_begin_with_the_time() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker().await;
    client.start("Main").await;
    let fire_at = now() + Duration::from_millis(30);
    let first = worker.take(vec![timer(0, at(fire_at))]).await;
    let second = worker.take(vec![schedule(1, "Task")]).await;
    let (token, activity) = worker.activity().await;
    worker.complete_activity(&token, &activity, Ok("1")).await.unwrap();
    let third = worker.take(vec![done(2, "1")]).await;
    let began = [&first, &second, &third].map(|turn| {
        let event = &turn.request.new_events[0];
        assert!(matches!(event.kind, Some(Event::OrchestratorStarted(_))), "{event:?}");
        since_epoch(event.timestamp.as_ref().unwrap())
    });
    assert!(began.is_sorted());
    assert!(began[1] >= fire_at);
}

#[tokio::test]
async fn trap_04_confirmations_have_the_ids_of_their_actions() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker().await;
    let id = client.start("Main").await;
    // Id 0 is one like any other, though nobody can see it in a message.
    let actions =
        vec![schedule(0, "Task"), send(1, "nobody", "e", "1"), signal(2, "@e@k", "op"), timer(3, at(now()))];
    worker.take(actions).await;
    let mut arrivals = 0;
    while arrivals < 2 {
        match worker.next().await {
            (token, Item::ActivityRequest(activity)) => {
                assert_eq!(activity.task_id, 0);
                worker.complete_activity(&token, &activity, Ok("1")).await.unwrap();
            }
            (token, Item::OrchestratorRequest(request)) => {
                let turn = crate::support::Turn { token, request };
                arrivals += turn.arrived().len();
                worker.complete(&turn, Vec::new()).await.unwrap();
            }
            _ => {}
        }
    }
    let mut confirmed = Vec::new();
    for event in client.history(&id).await {
        assert!(event.timestamp.is_some());
        match event.kind.unwrap() {
            Event::TaskScheduled(_)
            | Event::EventSent(_)
            | Event::EntityOperationSignaled(_)
            | Event::TimerCreated(_) => confirmed.push(event.event_id),
            Event::TaskCompleted(arrived) => assert_eq!((event.event_id, arrived.task_scheduled_id), (-1, 0)),
            Event::TimerFired(arrived) => assert_eq!((event.event_id, arrived.timer_id), (-1, 3)),
            _ => assert_eq!(event.event_id, -1),
        }
    }
    assert_eq!(confirmed, [0, 1, 2, 3]);
}

#[tokio::test]
async fn trap_05_timers_echo_the_time_asked_for() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker().await;
    client.start("Main").await;
    let asked = prost_types::Timestamp { nanos: 123_456_789, ..at(now() - Duration::from_secs(2)) };
    worker.take(vec![timer(0, asked)]).await;
    let turn = worker.turn().await;
    assert!(matches!(turn.arrived()[..], [Event::TimerFired(fired)] if fired.fire_at == Some(asked)));
}

#[tokio::test]
async fn trap_06_actions_beside_a_completion_count() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.start_as("Other", "other").await;
    let mut worker = client.worker().await;
    worker.take(Vec::new()).await;
    let id = client.start("Main").await;
    let actions =
        vec![done(3, "1"), send(0, "other", "e", "7"), signal(1, "@e@k", "op"), schedule(2, "Task")];
    worker.take(actions).await;
    client.ended(&id).await;
    let (mut event, mut signaled) = (false, false);
    while !(event && signaled) {
        match worker.next().await.1 {
            Item::OrchestratorRequest(turn) => {
                assert_eq!(turn.instance_id, "other");
                event = true;
            }
            Item::EntityRequestV2(operations) => signaled = operations.instance_id == "@e@k",
            other => assert!(matches!(other, Item::ActivityRequest(_))),
        }
    }
    let kinds = client.history(&id).await;
    assert!(kinds.iter().any(|e| matches!(e.kind, Some(Event::TaskScheduled(_)))));
    assert!(matches!(kinds.last().unwrap().kind, Some(Event::ExecutionCompleted(_))));
}

#[tokio::test]
async fn trap_07_results_of_the_execution_before_are_stale() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker().await;
    let id = client.start("Main").await;
    worker.take(vec![schedule(0, "Task")]).await;
    let (old, late) = worker.activity().await;
    client.raise(&id, "go", "1").await;
    let turn = worker.turn().await;
    // Arrives while the turn that ends the execution is out: it moves on.
    client.raise(&id, "kept", "2").await;
    worker.complete(&turn, vec![as_new(1, "\"two\"")]).await.unwrap();
    let second = worker.turn().await;
    assert_ne!(second.request.execution_id, turn.request.execution_id);
    assert!(matches!(
        second.arrived()[..],
        [Event::ExecutionStarted(_), Event::EventRaised(event)] if event.name == "kept"
    ));
    worker.complete(&second, vec![schedule(0, "Task")]).await.unwrap();
    let (token, activity) = worker.activity().await;
    let _ = worker.complete_activity(&old, &late, Ok("\"old\"")).await;
    worker.complete_activity(&token, &activity, Ok("\"new\"")).await.unwrap();
    let turn = worker.turn().await;
    assert!(matches!(
        turn.arrived()[..],
        [Event::TaskCompleted(task)] if task.result.as_deref() == Some("\"new\"")
    ));
    worker.complete(&turn, vec![done(1, "1")]).await.unwrap();
    assert_eq!(client.ended(&id).await.input.as_deref(), Some("\"two\""));
}

#[tokio::test]
async fn trap_08_turns_come_back_in_chunks() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker().await;
    let id = client.start("Main").await;
    let turn = worker.turn().await;
    let chunk = |index: i32, is_partial, actions| wire::OrchestratorResponse {
        instance_id: id.clone(),
        completion_token: turn.token.clone(),
        is_partial,
        chunk_index: Some(index),
        num_events_processed: (index > 0).then_some(0),
        actions,
        ..Default::default()
    };
    worker.respond(chunk(0, true, vec![schedule(0, "A")])).await.unwrap();
    worker.respond(chunk(1, true, vec![schedule(1, "B")])).await.unwrap();
    // An answer was lost on its way: the worker repeats itself.
    worker.respond(chunk(1, true, vec![schedule(1, "B")])).await.unwrap();
    // Nothing is applied until the last one is here.
    assert_eq!(client.status(&id).await, Some(S::Pending));
    assert!(client.history(&id).await.is_empty());
    worker.respond(chunk(2, false, vec![schedule(2, "C")])).await.unwrap();
    let mut names = Vec::new();
    for _ in 0..3 {
        names.push(worker.activity().await.1.name);
    }
    names.sort();
    assert_eq!(names, ["A", "B", "C"]);
}

#[tokio::test]
async fn trap_09_what_no_worker_can_receive_fails() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let input = Some("x".repeat(5 << 20));
    let name = "Main".to_owned();
    let id = client.start_with(wire::CreateInstanceRequest { name, input, ..Default::default() }).await;
    let mut waiting = client.clone();
    let waited = id.clone();
    let ended = tokio::spawn(async move { waiting.get_when_over(&waited).await });
    for _ in 0..3 {
        // The client's library takes no more than 4 MiB: its stream breaks.
        let mut worker = client.worker().await;
        assert!(soon("an item", worker.items.message()).await.is_err());
    }
    let state = soon("the end", ended).await.unwrap();
    assert_eq!(state.orchestration_status(), S::Failed);
    let failure = state.failure_details.unwrap();
    assert_eq!(failure.error_type, "PoisonWorkItem");
    assert!(failure.error_message.contains("4 MiB"), "{}", failure.error_message);
}

impl Client {
    /// How it ended, without payloads.
    async fn get_when_over(&mut self, id: &str) -> wire::OrchestrationState {
        let request = wire::GetInstanceRequest { instance_id: id.to_owned(), get_inputs_and_outputs: false };
        let ended = self.rpc.wait_for_instance_completion(request).await;
        ended.unwrap().into_inner().orchestration_state.unwrap()
    }
}

#[tokio::test]
async fn trap_10_idle_streams_get_pings_and_never_an_orderly_end() {
    let mut server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker().await;
    // All that was to be sent now is: the clock may leap.
    client.rpc.hello(()).await.unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(26)).await;
    tokio::time::resume();
    let item = soon("a ping", worker.items.message()).await.unwrap().unwrap();
    assert!(matches!(item.request, Some(Item::HealthPing(_))));
    server.stop().await;
    assert_eq!(code(soon("the end", worker.items.message()).await), Code::Unavailable);
}

#[tokio::test]
async fn trap_11_absent_and_empty_are_different_things() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker().await;
    for input in [None, Some(""), Some("null"), Some("\"\"")] {
        let text = input.map(str::to_owned);
        let name = "Main".to_owned();
        let request = wire::CreateInstanceRequest { name, input: text.clone(), ..Default::default() };
        let id = client.start_with(request).await;
        let turn = worker.turn().await;
        assert!(matches!(turn.arrived()[..], [Event::ExecutionStarted(started)] if started.input == text));
        let mut completion = done(0, "");
        if let Some(wire::orchestrator_action::Kind::CompleteOrchestration(complete)) = &mut completion.kind {
            complete.result.clone_from(&text);
        }
        let response = wire::OrchestratorResponse {
            instance_id: id.clone(),
            completion_token: turn.token,
            actions: vec![completion],
            custom_status: text.clone(),
            ..Default::default()
        };
        worker.respond(response).await.unwrap();
        let state = client.ended(&id).await;
        assert_eq!([state.input, state.output, state.custom_status], [text.clone(), text.clone(), text]);
    }
    // The presence of a failure makes a task failed, whatever it says.
    let id = client.start("Main").await;
    worker.take(vec![schedule(0, "Task")]).await;
    let (token, _) = worker.activity().await;
    let response = wire::ActivityResponse {
        instance_id: id,
        failure_details: Some(wire::TaskFailureDetails::default()),
        completion_token: token,
        ..Default::default()
    };
    worker.rpc.complete_activity_task(response).await.unwrap();
    assert!(matches!(worker.turn().await.arrived()[..], [Event::TaskFailed(_)]));
}

#[tokio::test]
async fn trap_12_operations_name_their_callers_and_wait_for_locks() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut worker = client.worker().await;
    let guid = |event: &wire::HistoryEvent| match event.kind.as_ref().unwrap() {
        Event::EntityOperationSignaled(signal) => uuid::Uuid::parse_str(&signal.request_id).is_ok(),
        Event::EntityOperationCalled(called) => uuid::Uuid::parse_str(&called.request_id).is_ok(),
        other => panic!("{other:?}"),
    };
    client.signal("@A@k", "first", "1").await;
    let batch = worker.operations().await;
    // Names are in lower case, keys as they are.
    assert_eq!(batch.1.instance_id, "@a@k");
    assert!(guid(&batch.1.operation_requests[0]));
    worker.complete_operations(&batch, Some("1"), vec![pass_on("@b@K", "second"), begin("New", "new")]).await;
    let (mut signaled, mut begun) = (None, false);
    while signaled.is_none() || !begun {
        match worker.next().await {
            (token, Item::EntityRequestV2(request)) => signaled = Some((token, request)),
            (_, Item::OrchestratorRequest(request)) => begun = request.instance_id == "new",
            other => panic!("{other:?}"),
        }
    }
    let batch = signaled.unwrap();
    assert_eq!(batch.1.instance_id, "@b@K");
    assert!(guid(&batch.1.operation_requests[0]));
    worker.complete_operations(&batch, Some("1"), Vec::new()).await;

    let id = client.start("Main").await;
    let turn = worker.take(vec![lock(0, "s", "@a@k")]).await;
    let granted = worker.turn().await;
    assert!(matches!(granted.arrived()[..], [Event::EntityLockGranted(g)] if g.critical_section_id == "s"));
    assert_eq!(client.entity("@a@k").await.unwrap().locked_by.as_deref(), Some(id.as_str()));
    // Somebody else's operation waits for the lock; the holder's own does not.
    client.signal("@a@k", "others", "1").await;
    worker.complete(&granted, vec![call(1, "@a@k", "own")]).await.unwrap();
    let batch = worker.operations().await;
    let [event] = &batch.1.operation_requests[..] else { panic!("{batch:?}") };
    assert!(guid(event));
    assert!(matches!(event.kind.as_ref().unwrap(), Event::EntityOperationCalled(called)
        if called.operation == "own"
            && called.parent_instance_id.as_ref() == Some(&id)
            && called.parent_execution_id == turn.request.execution_id));
    worker.complete_operations(&batch, Some("2"), Vec::new()).await;
    let replied = worker.turn().await;
    assert!(matches!(replied.arrived()[..], [Event::EntityOperationCompleted(_)]));
    worker.complete(&replied, vec![unlock(2, "s", "@a@k"), done(3, "1")]).await.unwrap();
    client.ended(&id).await;
    assert_eq!(client.entity("@a@k").await.unwrap().locked_by, None);
    let batch = worker.operations().await;
    assert!(matches!(batch.1.operation_requests[0].kind.as_ref().unwrap(),
        Event::EntityOperationSignaled(signal) if signal.operation == "others"));
    let sent = client.history(&id).await.into_iter().find_map(|event| match event.kind {
        Some(Event::EntityOperationCalled(called)) => Some(called),
        _ => None,
    });
    assert_eq!(sent.unwrap().target_instance_id.as_deref(), Some("@a@k"));
}

#[tokio::test]
async fn trap_13_rewinds_happen_in_the_server() {
    let server = TestServer::start().await;
    // An SDK that knows nothing of rewinds.
    let mut client = server.client_as("grpc-java-netty/1.68.0").await;
    let mut worker = client.worker().await;
    let id = client.start("Main").await;
    worker.take(vec![schedule(0, "Good")]).await;
    let (token, activity) = worker.activity().await;
    worker.complete_activity(&token, &activity, Ok("1")).await.unwrap();
    worker.take(vec![schedule(1, "Bad")]).await;
    let (token, activity) = worker.activity().await;
    worker.complete_activity(&token, &activity, Err("no")).await.unwrap();
    let last = worker.take(vec![failed(2, "no")]).await;
    assert_eq!(client.ended(&id).await.orchestration_status(), S::Failed);

    let request = wire::RewindInstanceRequest { instance_id: id.clone(), reason: None };
    client.rpc.rewind_instance(request).await.unwrap();
    let turn = worker.turn().await;
    assert_ne!(turn.request.execution_id, last.request.execution_id);
    // The good result stays; the failure and all that ended the instance are gone.
    let past: Vec<_> = turn.request.past_events.iter().filter_map(|e| e.kind.as_ref()).collect();
    assert!(past.iter().any(|kind| matches!(kind, Event::TaskCompleted(_))));
    for kind in past.iter().copied().chain(turn.arrived()) {
        assert!(
            !matches!(kind, Event::TaskFailed(_) | Event::ExecutionCompleted(_) | Event::ExecutionRewound(_)),
            "{kind:?}"
        );
    }
    worker.complete(&turn, vec![schedule(1, "Bad")]).await.unwrap();
    let (token, activity) = worker.activity().await;
    assert_eq!(activity.name, "Bad");
    worker.complete_activity(&token, &activity, Ok("2")).await.unwrap();
    worker.take(vec![done(2, "3")]).await;
    let state = client.ended(&id).await;
    assert_eq!((state.orchestration_status(), state.failure_details), (S::Completed, None));
}

#[tokio::test]
async fn trap_14_what_is_given_back_comes_again_and_is_in_nobodys_way() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let filter = |name: &str| wire::OrchestrationFilter { name: name.to_owned(), ..Default::default() };
    let filters = wire::WorkItemFilters { orchestrations: vec![filter("Served")], ..Default::default() };
    let asked = wire::GetWorkItemsRequest { work_item_filters: Some(filters), ..Default::default() };
    let mut worker = client.worker_with(asked).await.unwrap();
    let unserved = client.start("Unserved").await;
    let served = client.start("Served").await;
    let turn = worker.turn().await;
    assert_eq!(turn.request.instance_id, served);
    let given_back = wire::AbandonOrchestrationTaskRequest { completion_token: turn.token.clone() };
    worker.rpc.abandon_task_orchestrator_work_item(given_back.clone()).await.unwrap();
    let again = worker.turn().await;
    assert_ne!(again.token, turn.token);
    assert_eq!(again.arrived(), turn.arrived());
    // The old token is dead.
    assert_eq!(code(worker.rpc.abandon_task_orchestrator_work_item(given_back).await), Code::NotFound);
    assert_eq!(code(worker.complete(&turn, vec![done(0, "0")]).await), Code::NotFound);
    worker.complete(&again, vec![done(0, "1")]).await.unwrap();
    assert_eq!(client.ended(&served).await.output.as_deref(), Some("1"));
    assert_eq!(client.status(&unserved).await, Some(S::Pending));
}

#[tokio::test]
async fn trap_15_what_has_not_begun_can_be_told_and_ended() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    // Nobody serves them yet.
    let told = client.start("Main").await;
    client.raise(&told, "early", "1").await;
    let suspend = |id: &str| wire::SuspendRequest { instance_id: id.to_owned(), reason: None };
    client.rpc.suspend_instance(suspend(&told)).await.unwrap();
    let resume = wire::ResumeRequest { instance_id: told.clone(), reason: None };
    client.rpc.resume_instance(resume).await.unwrap();
    let pending = client.start("Main").await;
    client.terminate(&pending, false).await;
    let state = client.ended(&pending).await;
    assert_eq!((state.orchestration_status(), state.output.as_deref()), (S::Terminated, Some("\"end\"")));
    let suspended = client.start("Main").await;
    client.rpc.suspend_instance(suspend(&suspended)).await.unwrap();
    client.terminate(&suspended, false).await;
    assert_eq!(client.ended(&suspended).await.orchestration_status(), S::Terminated);

    let mut worker = client.worker().await;
    let turn = worker.turn().await;
    assert_eq!(turn.request.instance_id, told);
    assert!(matches!(turn.arrived()[0], Event::ExecutionStarted(_)));
    assert!(turn.arrived().iter().any(|kind| matches!(kind, Event::EventRaised(_))));
    // A child that is terminated wakes its parent.
    worker.complete(&turn, vec![child(0, "Child", "child")]).await.unwrap();
    let _ = worker.turn().await;
    client.terminate("child", false).await;
    let woken = worker.turn().await;
    assert_eq!(woken.request.instance_id, told);
    assert!(matches!(woken.arrived()[..], [Event::SubOrchestrationInstanceFailed(failed)]
        if failed.task_scheduled_id == 0 && failed.failure_details.is_some()));
}
