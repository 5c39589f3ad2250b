//! Calling activities and sub-orchestrations.

use std::sync::atomic::{AtomicU32, Ordering};

use strandline::prelude::*;
use strandline_model::ActionKind;

use crate::engine::*;

#[activity]
async fn greet(city: String) -> Result<String> {
    Ok(format!("Hello {city}!"))
}

#[activity]
async fn nothing() -> Result<()> {
    Ok(())
}

#[activity]
async fn maybe(n: Option<u8>) -> Result<Option<u8>> {
    Ok(n)
}

#[activity(name = "Flaky")]
async fn flaky(tries: State<AtomicU32>, fail: u32) -> Result<u32> {
    let n = tries.fetch_add(1, Ordering::Relaxed) + 1;
    ensure!(n > fail, "attempt {n}");
    Ok(n)
}

#[orchestrator]
async fn chain(ctx: OrchestrationContext, cities: Vec<String>) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for city in cities {
        all.push(ctx.call(greet, city).await?);
    }
    Ok(all)
}

#[orchestrator]
async fn fan(ctx: OrchestrationContext, width: usize) -> Result<usize> {
    let all = try_join_all((0..width).map(|i| ctx.call(greet, i.to_string()))).await?;
    Ok(all.into_iter().enumerate().filter(|(i, hello)| *hello == format!("Hello {i}!")).count())
}

#[orchestrator]
async fn empty(ctx: OrchestrationContext) -> Result<()> {
    ctx.call(nothing, ()).await?;
    assert_eq!(ctx.call(maybe, None).await?, None);
    assert_eq!(ctx.call(maybe, Some(3)).await?, Some(3));
    Ok(())
}

fn cities() -> Vec<String> {
    ["Tokyo", "Seattle"].map(str::to_owned).into()
}

#[test]
fn a_chain_and_a_fan() {
    for rebuild in [true, false] {
        let mut engine = Engine::new(Registry::new().register((greet, chain)), chain, cities());
        engine.rebuild = rebuild;
        assert_eq!(engine.run().output(), r#"["Hello Tokyo!","Hello Seattle!"]"#);
        let mut engine = Engine::new(Registry::new().register((greet, fan)), fan, 100);
        engine.rebuild = rebuild;
        assert_eq!(engine.run().output(), "100");
    }
}

#[test]
fn a_wide_join_fails_at_the_first_failure() {
    #[orchestrator]
    async fn wide(ctx: OrchestrationContext) -> Result<()> {
        const CHILD: Orchestration<u32, ()> = Orchestration::named("child");
        try_join_all((0..50).map(|i| ctx.call(CHILD, i))).await?;
        Ok(())
    }
    let mut engine = Engine::new(Registry::new().register(wide), wide, ());
    engine.run().child_failed(40, strandline::FailureDetails::new("E", "no"));
    assert_eq!(engine.failure().message, "no");
}

#[test]
fn no_value_is_null_and_absent_reads_as_null() {
    let registry = || Registry::new().register((nothing, maybe, empty));
    let mut engine = Engine::new(registry(), empty, ());
    assert_eq!(engine.run().output(), "null");
    let mut engine = Engine::raw(registry(), "EMPTY", None, None);
    assert_eq!(engine.run().output(), "null", "names ignore ASCII case");
    let worker = registry().build().unwrap();
    assert_eq!(run_activity(&worker, work("nothing", None)), Ok(Some("null".into())));
}

#[test]
fn functions_can_be_called_directly() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(greet.run("Bonn".into())).unwrap(), "Hello Bonn!");
    let tries = State::new(AtomicU32::new(0));
    assert!(runtime.block_on(flaky.run(tries.clone(), 1)).is_err());
    assert_eq!(runtime.block_on(flaky.run(tries, 1)).unwrap(), 2);
    assert_eq!((greet.name(), flaky.name()), ("greet", "Flaky"));
}

fn retrying(policy: fn() -> RetryPolicy, fail: u32) -> Engine {
    let code = orchestrator_fn("retrying", move |ctx: OrchestrationContext, fail: u32| async move {
        ctx.call(flaky.retry(policy()), fail).await
    });
    let registry = Registry::new().register((flaky, code)).state(AtomicU32::new(0));
    Engine::raw(registry, "retrying", None, Some(fail.to_string()))
}

#[test]
fn a_policy_retries_with_growing_delays() {
    let mut engine = retrying(|| RetryPolicy::exponential(secs(1)).max_attempts(3), 2);
    engine.run().advance(millis(999)).advance(millis(1)).advance(secs(1));
    assert!(engine.ended.is_none());
    assert_eq!(engine.advance(secs(1)).output(), "3");

    let mut engine = retrying(|| RetryPolicy::new(secs(1), 5).when(|e| e.message() != "attempt 2"), 9);
    assert_eq!(engine.run().advance(hours(1)).failure().message, "attempt 2");
}

#[test]
fn a_handler_decides_about_retries() {
    #[orchestrator]
    async fn handled(ctx: OrchestrationContext, fail: u32) -> Result<u32> {
        let call = flaky.retry_with(|retry| async move {
            assert_eq!(retry.failure.message(), format!("attempt {}", retry.attempt));
            assert_eq!(retry.elapsed, secs(2) * (retry.attempt - 1));
            retry.ctx.timer(secs(2)).await?;
            Ok(retry.attempt < 3)
        });
        ctx.call(call, fail).await
    }
    let registry = || Registry::new().register((flaky, handled)).state(AtomicU32::new(0));
    let mut engine = Engine::new(registry(), handled, 2);
    assert_eq!(engine.run().advance(secs(4)).output(), "3");
    let mut engine = Engine::new(registry(), handled, 9);
    assert_eq!(engine.run().advance(secs(6)).failure().message, "attempt 3");
}

#[test]
fn a_name_nobody_serves_is_tried_once() {
    #[orchestrator]
    async fn lost(ctx: OrchestrationContext) -> Result<u8> {
        const GONE: Activity<(), u8> = Activity::named("Gone");
        ctx.call(GONE.retry(RetryPolicy::new(secs(1), 5)), ()).await
    }
    let mut engine = Engine::new(Registry::new().register(lost), lost, ());
    let failure = engine.run().failure();
    assert_eq!(failure.error_type, "ActivityTaskNotFound");
    assert_eq!(failure.message, "this worker has no activity named 'Gone'");
    assert!(failure.is_non_retriable);

    let mut engine = Engine::raw(Registry::new(), "nobody", None, None);
    assert_eq!(engine.run().failure().error_type, "OrchestratorTaskNotFound");
    assert!(engine.failure().is_non_retriable);
}

#[test]
fn options_reach_the_action() {
    #[orchestrator(version = "7")]
    async fn caller(ctx: OrchestrationContext) -> Result<()> {
        const CHILD: Orchestration<u8, ()> = Orchestration::named("Child");
        let _plain = ctx.call(greet, "a".into());
        let _full = ctx.call(greet.version("2").tag("gpu", "big").timeout(secs(9)), "b".into());
        let _child = ctx.call(CHILD.instance_id("kid").tag("a", "b"), 1);
        let started = ctx.start(CHILD.version("3"), 2)?;
        assert_eq!(started.as_str(), "00000000000000000000000000000001:0003");
        ctx.timer(secs(1)).await
    }
    let mut engine = Engine::new(Registry::new().register((caller, greet)), caller, ());
    engine.turn();
    let kinds: Vec<&ActionKind> = engine.actions.iter().map(|action| &action.kind).collect();
    let [
        ActionKind::ScheduleTask { version: inherited, .. },
        ActionKind::ScheduleTask { version: Some(given), tags, timeout: Some(timeout), .. },
        ActionKind::CreateSubOrchestration { instance_id, version: None, fire_and_forget: false, .. },
        ActionKind::CreateSubOrchestration { version: Some(child), fire_and_forget: true, .. },
        ActionKind::CreateTimer { .. },
    ] = &kinds[..]
    else {
        panic!("{kinds:?}")
    };
    assert_eq!(inherited.as_deref(), Some("7"), "activities inherit the instance's version");
    assert_eq!((given.as_str(), tags["gpu"].as_str(), *timeout), ("2", "big", secs(9)));
    assert_eq!((instance_id.as_str(), child.as_str()), ("kid", "3"));
}

#[test]
fn impossible_children_are_refused() {
    #[orchestrator]
    async fn parent(ctx: OrchestrationContext, id: String) -> Result<()> {
        const CHILD: Orchestration<(), ()> = Orchestration::named("Child");
        ctx.call(CHILD.instance_id(id), ()).await
    }
    for (id, text) in [("i", "the id of this instance"), ("@e@k", "belong to entities"), ("", "empty")] {
        let mut engine = Engine::new(Registry::new().register(parent), parent, id.into());
        let failure = engine.run().failure();
        assert!(failure.message.contains(text), "{}", failure.message);
        assert_eq!(engine.actions.len(), 1, "nothing was created");
    }
}

#[test]
fn children_return_and_fail() {
    #[orchestrator]
    async fn parent(ctx: OrchestrationContext) -> Result<String> {
        const CHILD: Orchestration<(), u8> = Orchestration::named("Child");
        let first = ctx.call(CHILD, ()).await?;
        let second = ctx.call(CHILD, ()).await.unwrap_err();
        let third = ctx.call(CHILD, ()).await.unwrap_err();
        Ok(format!("{first} {second} {}", third.message()))
    }
    let mut engine = Engine::new(Registry::new().register(parent), parent, ());
    engine.run().child_done(0, Some("5"));
    engine.child_failed(1, strandline::FailureDetails::new("E", "broken"));
    engine.child_done(2, Some("\"text\""));
    let output = engine.output();
    assert!(output.starts_with("\"5 broken the result of orchestrator 'Child' is not a `u8`"), "{output}");
}

#[test]
fn several_versions_of_one_name() {
    #[orchestrator(name = "Order", version = "1")]
    async fn order1(_ctx: OrchestrationContext) -> Result<u8> {
        Ok(1)
    }
    #[orchestrator(name = "order", version = "2")]
    async fn order2(_ctx: OrchestrationContext) -> Result<u8> {
        Ok(2)
    }
    #[orchestrator]
    async fn plain(_ctx: OrchestrationContext) -> Result<u8> {
        Ok(0)
    }
    let run = |name: &str, version: Option<&str>| {
        let registry = Registry::new().register((order1, order2, plain));
        let mut engine = Engine::raw(registry, name, version, None);
        engine.run();
        match &engine.ended {
            Some(strandline_model::Completion::Completed { result }) => result.clone().unwrap(),
            _ => engine.failure().error_type.clone(),
        }
    };
    assert_eq!(run("Order", Some("1")), "1");
    assert_eq!(run("Order", Some("2")), "2");
    assert_eq!(run("Order", None), "OrchestratorTaskNotFound", "versioned names have no default");
    assert_eq!(run("Order", Some("3")), "OrchestratorTaskNotFound");
    assert_eq!(run("plain", Some("3")), "0", "an unversioned one serves every version");
}

#[test]
fn random_numbers_and_guids_repeat() {
    use strandline::rand_chacha::rand_core::Rng;
    #[orchestrator]
    async fn lottery(ctx: OrchestrationContext) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for _ in 0..2 {
            all.push(format!("{} {}", ctx.rng().next_u64(), ctx.new_guid()));
            ctx.timer(secs(1)).await?;
        }
        Ok(all)
    }
    let run = |rebuild| {
        let mut engine = Engine::new(Registry::new().register(lottery), lottery, ());
        engine.rebuild = rebuild;
        let output = engine.run().advance(secs(2)).output().to_owned();
        let all: Vec<String> = serde_json::from_str(&output).unwrap();
        assert_ne!(all[0], all[1]);
        output
    };
    assert_eq!(run(true), run(false));
}
