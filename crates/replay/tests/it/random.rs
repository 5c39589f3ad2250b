//! Random programs, random completions: after every turn the kept execution and one rebuilt from
//! the history agree (the driver checks it), and every program comes to its end.

use std::rc::Rc;

use futures::FutureExt;
use futures::future::{LocalBoxFuture, join_all, select_all};
use proptest::prelude::*;
use strandline_model::{ActionKind, FailureDetails, limits};
use strandline_replay::*;

use crate::driver::*;
use crate::entities::lock;

#[derive(Clone, Debug)]
enum Code {
    Activity(u8),
    Retried(u8),
    Child,
    Timer(u8),
    Wait(u8),
    Send,
    Fact,
    Status(u8),
    /// Scheduled and dropped.
    Forget(u8),
    Cancelled(u8),
    CallEntity(u8),
    SignalEntity(u8),
    /// In a critical section over this entity and the next.
    Locked(u8, Vec<Code>),
    Seq(Vec<Code>),
    Join(Vec<Code>),
    Race(Vec<Code>),
}

fn code() -> impl Strategy<Value = Code> {
    let leaf = prop_oneof![
        3 => (0..4u8).prop_map(Code::Activity),
        2 => (0..4u8).prop_map(Code::Retried),
        1 => Just(Code::Child),
        2 => (0..5u8).prop_map(Code::Timer),
        2 => (0..2u8).prop_map(Code::Wait),
        1 => Just(Code::Send),
        1 => Just(Code::Fact),
        1 => (0..3u8).prop_map(Code::Status),
        1 => (0..3u8).prop_map(Code::Forget),
        1 => (0..6u8).prop_map(Code::Cancelled),
        2 => (0..3u8).prop_map(Code::CallEntity),
        1 => (0..3u8).prop_map(Code::SignalEntity),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            2 => prop::collection::vec(inner.clone(), 0..5).prop_map(Code::Seq),
            1 => prop::collection::vec(inner.clone(), 0..5).prop_map(Code::Join),
            1 => (0..2u8, prop::collection::vec(inner.clone(), 0..4)).prop_map(|(n, c)| Code::Locked(n, c)),
            1 => prop::collection::vec(inner, 1..4).prop_map(Code::Race),
        ]
    })
}

fn retry() -> RetryPolicy {
    RetryPolicy {
        first_interval: std::time::Duration::from_millis(500),
        max_attempts: 3,
        backoff_coefficient: 2.0,
        max_interval: std::time::Duration::from_secs(1),
        timeout: None,
        predicate: None,
    }
}

fn retried(ctx: &ContextHandle, n: u8) -> TaskHandle {
    let call = ActivityCall { name: format!("r{n}"), ..Default::default() };
    ctx.call_activity(call, Some(retry()))
}

fn entity(n: u8) -> String {
    format!("@e@{n}")
}

async fn sequence(ctx: &ContextHandle, parts: &[Code]) -> String {
    let mut all = String::new();
    for part in parts {
        all += &eval(ctx.clone(), Rc::new(part.clone())).await;
        all.push(';');
    }
    all
}

fn eval(ctx: ContextHandle, code: Rc<Code>) -> LocalBoxFuture<'static, String> {
    async move {
        match &*code {
            Code::Activity(n) => text(activity(&ctx, &format!("a{n}")).await),
            Code::Retried(n) => text(retried(&ctx, *n).await),
            Code::Child => {
                let call = SubOrchestrationCall { name: "child".into(), ..Default::default() };
                text(ctx.call_sub_orchestration(call, None).await)
            }
            Code::Timer(n) => {
                let due = ctx.now().saturating_add(std::time::Duration::from_secs(u64::from(*n)));
                ctx.timer(due).await.map(|_| ctx.now().to_string()).unwrap_or_default()
            }
            Code::Wait(n) => text(ctx.wait_for(&format!("e{n}")).await),
            Code::Send => {
                ctx.send_event("other".into(), "hi".into(), None);
                String::new()
            }
            Code::Fact => format!("{:x}@{}", ctx.new_guid(), ctx.history_len()),
            Code::Status(n) => {
                ctx.set_custom_status(Some(n.to_string()));
                String::new()
            }
            Code::Forget(n) => {
                drop((activity(&ctx, "f"), retried(&ctx, *n), ctx.timer(ctx.now()), ctx.wait_for("e0")));
                String::new()
            }
            Code::Cancelled(n) => {
                let task = match n {
                    0 => activity(&ctx, "c"),
                    1 => retried(&ctx, 9),
                    2 => ctx.timer(ctx.now()),
                    3 => ctx.wait_for("e1"),
                    n => match n {
                        4 => ctx.call_entity(entity(0), "get".into(), None),
                        _ => ctx.lock_entities(vec![entity(0)]).map(|(_, task)| task),
                    }
                    .unwrap_or_else(|_| ctx.timer(ctx.now())),
                };
                task.cancel();
                text(task.await)
            }
            Code::CallEntity(n) => match ctx.call_entity(entity(*n), "get".into(), None) {
                Ok(task) => text(task.await),
                Err(refused) => refused.message,
            },
            Code::SignalEntity(n) => match ctx.signal_entity(entity(*n), "add".into(), None, None) {
                Ok(()) => String::new(),
                Err(refused) => refused.message,
            },
            Code::Locked(n, parts) => match lock(&ctx, &[&entity(*n), &entity(n + 1)]).await {
                Ok(_section) => sequence(&ctx, parts).await,
                Err(refused) => refused.failure.message,
            },
            Code::Seq(parts) => sequence(&ctx, parts).await,
            Code::Join(parts) => {
                let parts = parts.iter().map(|part| eval(ctx.clone(), Rc::new(part.clone())));
                join_all(parts).await.join("&")
            }
            Code::Race(parts) => {
                let parts = parts.iter().map(|part| eval(ctx.clone(), Rc::new(part.clone())));
                let (winner, index, _) = select_all(parts).await;
                format!("{index}:{winner}")
            }
        }
    }
    .boxed_local()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn kept_and_rebuilt_executions_agree(
        code in code(),
        choices in prop::collection::vec(any::<(u8, u8)>(), 1..60),
    ) {
        let code = Rc::new(code);
        let mut hub = Hub::started(program(move |ctx| eval(ctx, code.clone()).map(Ok)));
        let mut choices = choices.into_iter().cycle();
        let mut turns = 0usize;
        while hub.ended.is_none() {
            let (choice, batch) = choices.next().expect("a cycle never ends");
            turns += 1;
            prop_assert!(turns < 2_000, "every program ends");
            hub.advance(u64::from(choice));
            if choice % 16 == 15 {
                hub.evict();
            }
            let mut events = Vec::new();
            for n in 0..=batch % 4 {
                let ids: Vec<i32> = hub.open.keys().copied().collect();
                // The turn counts too: choices that repeat must not starve anybody.
                let pick = usize::from(choice) + usize::from(n) * 31 + turns;
                // Every third event is an external one, so that waits end too.
                if ids.is_empty() || (pick + usize::from(n)).is_multiple_of(3) {
                    events.push(raised(&format!("E{}", (pick / 3) % 2), &format!("v{turns}.{n}")));
                    continue;
                }
                let id = ids[pick % ids.len()];
                let may_fail =
                    !matches!(hub.open[&id], ActionKind::CreateTimer { .. } | ActionKind::LockEntities { .. });
                let fails = may_fail && pick % 5 < 2;
                events.push(if fails {
                    hub.fails(id, FailureDetails::new("E", format!("f{id}")))
                } else {
                    hub.done(id, &format!("d{id}"))
                });
            }
            hub.turn(events);
        }
        // The whole history, its end included, still fits the code.
        let mut checked = hub.build();
        checked.replay(&hub.history);
        prop_assert_eq!(checked.violation(), None);
        prop_assert!(checked.is_over());
        prop_assert!(hub.history.len() < limits::ACTIONS_MAX);
    }
}
