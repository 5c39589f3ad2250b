//! Durable timers.

use strandline::prelude::*;
use strandline::{EventKind, TimeoutError as _TimeoutError};

use super::support::{count, until_custom_status};

const GO: Event<()> = Event::named("Go");

#[orchestrator]
async fn sleeps(ctx: OrchestrationContext, millis: u64) -> Result<bool> {
    let due = ctx.now().saturating_add(Duration::from_millis(millis));
    ctx.timer(Duration::from_millis(millis)).await?;
    Ok(ctx.now() >= due)
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_fire_when_due_and_never_before() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register(sleeps).start()?;
    for millis in [0, 1, 50] {
        let run = hub.client().start(sleeps, millis).await?;
        assert!(run.output().await?);
        let fired = run.history().await?.into_iter().find_map(|event| match event.kind() {
            EventKind::TimerFired(fired) => Some((event.timestamp, fired.fire_at)),
            _ => None,
        });
        let (at, due) = fired.unwrap();
        assert!(at >= due);
    }
    Ok(())
}

#[orchestrator]
async fn sleeps_in_the_past(ctx: OrchestrationContext, _: ()) -> Result<()> {
    ctx.timer_at(Timestamp::EPOCH).await
}

#[orchestrator]
async fn ten_thousand(ctx: OrchestrationContext, _: ()) -> Result<usize> {
    let at = ctx.now().saturating_add(millis(20));
    Ok(try_join_all((0..10_000).map(|_| ctx.timer_at(at))).await?.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn past_and_simultaneous_timers_fire() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((sleeps_in_the_past, ten_thousand)).start()?;
    hub.client().start(sleeps_in_the_past, ()).await?.output().await?;
    assert_eq!(hub.client().start(ten_thousand, ()).await?.output().await?, 10_000);
    assert_eq!(hub.engine().timers(), 0);
    Ok(())
}

#[orchestrator]
async fn races(ctx: OrchestrationContext, _: ()) -> Result<&'static str> {
    ctx.set_custom_status("racing");
    let won = select! {
        _ = ctx.wait_for(GO) => "event",
        _ = ctx.timer(days(3650)) => "timer",
    };
    ctx.set_custom_status("raced");
    ctx.wait_for(GO).await?;
    Ok(won)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_race_takes_its_timer_away() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register(races).start()?;
    let run = hub.client().start(races, ()).await?;
    until_custom_status(&run, "racing").await;
    assert_eq!(hub.engine().timers(), 1, "timers of any length are one timer");
    run.raise(GO, ()).await?;
    until_custom_status(&run, "raced").await;
    assert_eq!(hub.engine().timers(), 0);
    run.raise(GO, ()).await?;
    assert_eq!(run.wait().await?.output(), Some("\"event\""));
    assert_eq!(count(&run.history().await?, |k| matches!(k, EventKind::TimerFired(_))), 0);
    Ok(())
}

#[orchestrator]
async fn leaves_timers_behind(ctx: OrchestrationContext, _: ()) -> Result<()> {
    let _forgotten = ctx.timer(days(1));
    let _other = ctx.timer(days(2));
    ctx.timer(millis(1)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_instance_takes_its_timers_away() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register(leaves_timers_behind).start()?;
    let run = hub.client().start(leaves_timers_behind, ()).await?;
    run.output().await?;
    assert_eq!(hub.engine().timers(), 0, "an orchestration completes at once, whatever is open");
    Ok(())
}

#[orchestrator]
async fn limits_a_child(ctx: OrchestrationContext, _: ()) -> Result<bool> {
    let slow = ctx.call(sleeps.instance_id("slow"), 3_600_000);
    let outcome = ctx.timeout(millis(10), slow).await;
    Ok(outcome.is_err_and(|e| e.is::<_TimeoutError>()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_cancels_what_it_limits() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((sleeps, limits_a_child)).start()?;
    assert!(hub.client().start(limits_a_child, ()).await?.output().await?);
    let slow = hub.client().instance::<bool>("slow")?.wait().await?;
    assert_eq!(slow.status, strandline::RuntimeStatus::Terminated);
    assert_eq!(hub.engine().timers(), 0);
    Ok(())
}
