//! Calls that go on by a rule when an attempt ended.

use std::rc::Rc;
use std::time::Duration;

use strandline_model::FailureDetails;
use strandline_replay::{ActivityCall, ContextHandle, Ended, FollowUp, Next, TaskHandle};

use crate::driver::*;

/// Does what the result says: `again 5` asks once more after 5 seconds, with the result as input.
struct AsTold;

impl FollowUp for AsTold {
    fn next(&self, ended: &Ended<'_>) -> Next {
        match ended.result {
            Err(failure) if failure.message == "retry" && ended.attempt < 3 => {
                let elapsed = ended.now.saturating_since(ended.begun);
                Next::Retry { after: Duration::from_secs(1) + elapsed }
            }
            Err(_) => Next::Return,
            Ok(Some("fail")) => Next::Fail(FailureDetails::new("Told", ended.input.unwrap_or_default())),
            Ok(Some(text)) => match text.strip_prefix("again ").and_then(|n| n.parse().ok()) {
                Some(seconds) => {
                    Next::Call { after: Duration::from_secs(seconds), input: Some(text.to_owned()) }
                }
                None => Next::Return,
            },
            Ok(None) => Next::Return,
        }
    }
}

fn followed(ctx: &ContextHandle) -> TaskHandle {
    let call = ActivityCall { name: "ask".into(), input: Some("first".into()), ..Default::default() };
    ctx.call_activity_by(call, Rc::new(AsTold))
}

fn only() -> Program {
    program(|ctx: ContextHandle| async move { followed(&ctx).await.map(|v| v.unwrap_or_default()) })
}

fn input_of(hub: &Hub, id: i32) -> String {
    match &hub.open[&id] {
        strandline_model::ActionKind::ScheduleTask { input, .. } => input.clone().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_result_may_lead_to_another_call() {
    let mut hub = Hub::started(only());
    assert_eq!(input_of(&hub, 0), "first");
    hub.complete(0, "again 5");
    assert_eq!(hub.names(), [(1, "timer+5000".into())]);
    hub.complete(1, "");
    assert_eq!(input_of(&hub, 2), "again 5");
    hub.complete(2, "again 7");
    assert_eq!(hub.names(), [(3, "timer+7000".into())]);
    hub.complete(3, "");
    hub.complete(4, "done");
    assert_eq!(hub.result(), "done");
}

#[test]
fn attempts_of_each_call_are_counted_anew() {
    let mut hub = Hub::started(only());
    hub.fail(0, "retry");
    hub.complete(1, "");
    hub.fail(2, "retry");
    hub.complete(3, "");
    hub.complete(4, "again 5");
    hub.complete(5, "");
    hub.fail(6, "retry");
    assert_eq!(hub.names(), [(7, "timer+1000".into())], "no time has passed since this call began");
    hub.complete(7, "");
    assert_eq!(input_of(&hub, 8), "again 5");
    hub.fail(8, "retry");
    hub.complete(9, "");
    hub.fail(10, "retry");
    assert_eq!(hub.failure().message, "retry");
}

#[test]
fn a_result_may_be_a_failure() {
    let mut hub = Hub::started(only());
    hub.complete(0, "again 5");
    hub.complete(1, "");
    hub.complete(2, "fail");
    assert_eq!((hub.failure().error_type.as_str(), hub.failure().message.as_str()), ("Told", "again 5"));
}

#[test]
fn a_call_nobody_awaits_yet_goes_on() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let tasks = vec![followed(&ctx), followed(&ctx)];
        let gate = text(ctx.wait_for("gate").await);
        let results = futures::future::join_all(tasks).await;
        Ok(gate + &results.into_iter().map(text).collect::<String>())
    }));
    hub.complete(1, "again 5");
    hub.complete(2, "");
    hub.complete(3, "b");
    hub.raise("gate", "open ");
    hub.complete(0, "a");
    assert_eq!(hub.result(), "open ab");
}

#[test]
fn a_cancelled_call_does_not_go_on() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let task = followed(&ctx);
        ctx.wait_for("stop").await?;
        task.cancel();
        Ok(text(task.await))
    }));
    hub.raise("stop", "");
    hub.complete(0, "again 5");
    assert_eq!(hub.result(), "again 5", "what comes of it is the result");

    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let task = followed(&ctx);
        ctx.wait_for("stop").await?;
        task.cancel();
        Ok(text(task.await))
    }));
    hub.complete(0, "again 5");
    hub.raise("stop", "");
    assert_eq!(hub.cancelled, [1], "the pause");
    assert_eq!(hub.result(), "!the task was cancelled");
}
