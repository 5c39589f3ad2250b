//! Dropping, cancelling, timing out.

use futures::future::{Either, select};
use strandline_model::FailureDetails;
use strandline_replay::{ActivityCall, ContextHandle, RetryPolicy, SubOrchestrationCall, TASK_CANCELED};

use crate::driver::*;

#[test]
fn a_dropped_timer_is_cancelled_and_a_dropped_call_is_not() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let timer = ctx.timer(ctx.now());
        let call = activity(&ctx, "slow");
        let child =
            ctx.call_sub_orchestration(SubOrchestrationCall { name: "c".into(), ..Default::default() }, None);
        ctx.wait_for("go").await?;
        drop((timer, call, child));
        Ok(text(ctx.wait_for("end").await))
    }));
    hub.raise("go", "");
    assert_eq!(hub.cancelled, [0]);
    // A turn of its own with a full replay: the cancellation is not repeated.
    hub.raise("nothing", "");
    hub.complete(1, "ignored");
    hub.fail(2, "ignored");
    hub.raise("end", "ok");
    assert_eq!(hub.result(), "ok");
    assert_eq!(hub.cancelled, [0]);
}

#[test]
fn a_fired_timer_is_not_cancelled() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let timer = ctx.timer(ctx.now());
        ctx.wait_for("go").await?;
        drop(timer);
        Ok("ok".into())
    }));
    hub.complete(0, "");
    hub.raise("go", "");
    assert_eq!(hub.result(), "ok");
    assert_eq!(hub.cancelled, [0i32; 0]);
}

#[test]
fn a_lost_race_cancels_its_timer() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let due = ctx.now().saturating_add(std::time::Duration::from_secs(60));
        match select(ctx.wait_for("e"), ctx.timer(due)).await {
            Either::Left((event, _)) => Ok(text(event)),
            Either::Right(_) => Ok("late".into()),
        }
    }));
    let outcome = hub.raise("e", "in time");
    assert_eq!(hub.result(), "in time");
    assert_eq!(hub.cancelled, [0]);
    assert_eq!(outcome.actions.len(), 2);
}

#[test]
fn cancel_asks_once_and_still_delivers_what_comes() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let task = activity(&ctx, "a");
        ctx.wait_for("go").await?;
        task.cancel();
        task.cancel();
        Ok(text(task.await))
    }));
    hub.raise("go", "");
    assert_eq!(hub.cancelled, [0]);
    hub.fail(0, "stopped early");
    assert_eq!(hub.result(), "!stopped early");
}

#[test]
fn what_has_no_work_of_its_own_ends_at_once() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let timer = ctx.timer(ctx.now());
        let wait = ctx.wait_for("e");
        ctx.wait_for("go").await?;
        timer.cancel();
        wait.cancel();
        let (timer, wait) = (timer.await.unwrap_err(), wait.await.unwrap_err());
        assert_eq!((timer.failure.error_type.as_str(), timer.task_id), (TASK_CANCELED, None));
        assert_eq!(wait.failure.error_type, TASK_CANCELED);
        Ok(text(ctx.wait_for("e").await))
    }));
    hub.raise("go", "");
    assert_eq!(hub.cancelled, [0]);
    hub.raise("e", "for the next waiter");
    assert_eq!(hub.result(), "for the next waiter");
}

#[test]
fn cancel_ends_retries() {
    let code = program(|ctx: ContextHandle| async move {
        let policy = RetryPolicy {
            first_interval: std::time::Duration::from_secs(1),
            max_attempts: 5,
            backoff_coefficient: 1.0,
            max_interval: std::time::Duration::MAX,
            timeout: None,
            predicate: None,
        };
        let call = ActivityCall { name: "a".into(), ..Default::default() };
        let task = ctx.call_activity(call, Some(policy));
        ctx.wait_for("go").await?;
        task.cancel();
        task.await.map(|v| v.unwrap_or_default())
    });
    // While an attempt runs: it is the last.
    let mut hub = Hub::started(code.clone());
    hub.raise("go", "");
    assert_eq!(hub.cancelled, [0]);
    hub.fail(0, "last");
    assert_eq!(hub.failure(), &FailureDetails::new("E", "last"));
    // During the pause before one: at once, with the last failure as the cause.
    let mut hub = Hub::started(code);
    hub.fail(0, "first");
    hub.raise("go", "");
    assert_eq!(hub.cancelled, [1]);
    assert_eq!(hub.failure().error_type, TASK_CANCELED);
    assert_eq!(hub.failure().inner_failure.as_ref().unwrap().message, "first");
}

#[test]
fn tasks_dropped_in_a_cancelling_scope_are_cancelled() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let tasks: Vec<_> = ["a", "b", "c"].map(|name| activity(&ctx, name)).into();
        ctx.wait_for("go").await?;
        ctx.cancelling(|| drop(tasks));
        drop(activity(&ctx, "d"));
        Ok(text(ctx.wait_for("end").await))
    }));
    hub.complete(1, "done before");
    hub.raise("go", "");
    assert_eq!(hub.cancelled, [0, 2]);
}
