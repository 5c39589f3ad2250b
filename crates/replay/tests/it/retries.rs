//! Retries are the core's: fresh ids, timers in the history, no pause after the last attempt.

use std::sync::Arc;
use std::time::Duration;

use strandline_model::FailureDetails;
use strandline_replay::{ActivityCall, ContextHandle, RetryPolicy, SubOrchestrationCall, TaskHandle};

use crate::driver::*;

fn policy(attempts: u32, coefficient: f64) -> RetryPolicy {
    RetryPolicy {
        first_interval: Duration::from_secs(1),
        max_attempts: attempts,
        backoff_coefficient: coefficient,
        max_interval: Duration::from_secs(3600),
        timeout: None,
        predicate: None,
    }
}

fn retried(ctx: &ContextHandle, policy: RetryPolicy) -> TaskHandle {
    let call = ActivityCall { name: "flaky".into(), input: Some("in".into()), ..Default::default() };
    ctx.call_activity(call, Some(policy))
}

fn only(policy: RetryPolicy) -> Program {
    program(move |ctx: ContextHandle| {
        let policy = policy.clone();
        async move { retried(&ctx, policy).await.map(|v| v.unwrap_or_default()) }
    })
}

/// Fails every attempt; returns the delays between them in milliseconds.
fn delays(policy: RetryPolicy) -> Vec<u64> {
    let mut hub = Hub::started(only(policy));
    let mut delays = Vec::new();
    let mut id = 0;
    loop {
        assert_eq!(hub.names(), [(id, "flaky".into())]);
        hub.fail(id, "again");
        if hub.ended.is_some() {
            return delays;
        }
        let [(timer, name)] = &hub.names()[..] else { panic!("one timer") };
        assert_eq!(*timer, id + 1, "ids are fresh");
        delays.push(name.strip_prefix("timer+").unwrap().parse().unwrap());
        hub.complete(id + 1, "");
        id += 2;
    }
}

#[test]
fn delays_follow_the_policy_and_none_follows_the_last_attempt() {
    assert_eq!(delays(policy(1, 2.0)), [0u64; 0]);
    assert_eq!(delays(policy(3, 2.0)), [1000, 2000]);
    assert_eq!(delays(policy(5, 1.0)), [1000, 1000, 1000, 1000]);
    let capped = RetryPolicy { max_interval: Duration::from_secs(3), ..policy(5, 2.0) };
    assert_eq!(delays(capped), [1000, 2000, 3000, 3000]);
    // After 1 + 2 seconds the next look finds 3 s >= 3 s.
    let timed = RetryPolicy { timeout: Some(Duration::from_secs(3)), ..policy(10, 2.0) };
    assert_eq!(delays(timed), [1000, 2000]);
}

#[test]
fn success_after_failures_is_success() {
    let mut hub = Hub::started(only(policy(3, 1.0)));
    hub.fail(0, "x");
    hub.complete(1, "");
    hub.complete(2, "ok");
    assert_eq!(hub.result(), "ok");
}

#[test]
fn the_last_attempt_is_the_origin_of_the_failure() {
    let mut hub = Hub::started(only(policy(2, 1.0)));
    hub.fail(0, "first");
    hub.complete(1, "");
    hub.fail(2, "second");
    assert_eq!(hub.failure().message, "second");
    match hub.ended {
        Some(strandline_model::Completion::Failed { origin, .. }) => {
            assert_eq!(origin, strandline_model::Origin::Task(2))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn some_failures_stop_at_once() {
    let mut hub = Hub::started(only(policy(5, 1.0)));
    let failure = FailureDetails::new("E", "final").non_retriable();
    let event = hub.fails(0, failure);
    hub.turn(vec![event]);
    assert_eq!(hub.failure().message, "final");

    let choosy =
        RetryPolicy { predicate: Some(Arc::new(|failure| failure.message == "soft")), ..policy(5, 1.0) };
    let mut hub = Hub::started(only(choosy));
    hub.fail(0, "soft");
    hub.complete(1, "");
    hub.fail(2, "hard");
    assert_eq!(hub.failure().message, "hard");

    let broken = RetryPolicy { predicate: Some(Arc::new(|_| panic!("in the predicate"))), ..policy(5, 1.0) };
    let mut hub = Hub::started(only(broken));
    hub.fail(0, "kept");
    assert_eq!(hub.failure().message, "kept", "a predicate that panics says no");
}

#[test]
fn a_task_nobody_awaits_yet_retries() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let task = retried(&ctx, policy(3, 1.0));
        let gate = text(ctx.wait_for("gate").await);
        Ok(gate + &text(task.await))
    }));
    hub.fail(0, "x");
    hub.complete(1, "");
    hub.complete(2, "ok");
    hub.raise("gate", "open ");
    assert_eq!(hub.result(), "open ok");
}

#[test]
fn an_abandoned_call_goes_on_retrying() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        drop(retried(&ctx, policy(3, 1.0)));
        Ok(text(ctx.wait_for("end").await))
    }));
    hub.fail(0, "x");
    hub.complete(1, "");
    assert_eq!(hub.names(), [(2, "flaky".into())]);
    hub.complete(2, "nobody looks");
    hub.raise("end", "bye");
    assert_eq!(hub.result(), "bye");
}

#[test]
fn retries_of_many_calls_interleave_in_history_order() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let tasks: Vec<_> = (0..3).map(|_| retried(&ctx, policy(2, 1.0))).collect();
        let results = futures::future::join_all(tasks).await;
        Ok(results.into_iter().map(text).collect::<Vec<_>>().join(","))
    }));
    let both = vec![hub.fails(2, FailureDetails::new("E", "x")), hub.fails(0, FailureDetails::new("E", "x"))];
    hub.turn(both);
    // The timer of task 2 comes first, as its failure did.
    hub.complete(3, "");
    hub.complete(4, "");
    let done = vec![hub.done(5, "third"), hub.done(6, "first"), hub.done(1, "second")];
    hub.turn(done);
    assert_eq!(hub.result(), "first,second,third");
}

#[test]
fn each_attempt_of_a_sub_orchestration_without_an_id_gets_a_new_one() {
    use strandline_model::ActionKind;
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let call = SubOrchestrationCall { name: "child".into(), ..Default::default() };
        ctx.call_sub_orchestration(call, Some(policy(2, 1.0))).await.map(|v| v.unwrap_or_default())
    }));
    let id_of = |hub: &Hub, id: i32| match &hub.open[&id] {
        ActionKind::CreateSubOrchestration { instance_id, .. } => instance_id.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(id_of(&hub, 0), "0000000000000000000000000000000e:0000");
    hub.fail(0, "x");
    hub.complete(1, "");
    assert_eq!(id_of(&hub, 2), "0000000000000000000000000000000e:0002");
    hub.complete(2, "ok");
    assert_eq!(hub.result(), "ok");
}
