//! External events: buffering, order, timeouts, senders.

use strandline::prelude::*;
use strandline::{EventKind, RuntimeStatus};

use super::support::{completed, count, until, until_custom_status};

const NEWS: Event<u32> = Event::named("News");
/// The same event to those who write names otherwise.
const SHOUTED: Event<u32> = Event::named("NEWS");
const GO: Event<()> = Event::named("Go");

#[orchestrator]
async fn collects(ctx: OrchestrationContext, n: usize) -> Result<Vec<u32>> {
    ctx.wait_for(GO).await?;
    let mut seen = Vec::new();
    for _ in 0..n {
        seen.push(ctx.wait_for(NEWS).await?);
    }
    Ok(seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_in_order_for_whoever_asks_for_them() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register(collects).start()?;
    let run = hub.client().start(collects, 4).await?;
    run.raise(NEWS, 1).await?;
    run.raise(SHOUTED, 2).await?;
    run.raise(NEWS, 3).await?;
    run.raise(GO, ()).await?;
    run.raise(NEWS, 4).await?;
    assert_eq!(run.output().await?, [1, 2, 3, 4]);
    Ok(())
}

#[orchestrator]
async fn two_waiters(ctx: OrchestrationContext, _: ()) -> Result<(u32, u32)> {
    let (older, newer) = (ctx.wait_for(NEWS), ctx.wait_for(NEWS));
    ctx.set_custom_status("waiting");
    try_join!(older, newer)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_waiter_is_served_first() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register(two_waiters).start()?;
    let run = hub.client().start(two_waiters, ()).await?;
    until_custom_status(&run, "waiting").await;
    run.raise(NEWS, 1).await?;
    run.raise(NEWS, 2).await?;
    assert_eq!(run.output().await?, (1, 2));
    Ok(())
}

#[orchestrator]
async fn gives_up(ctx: OrchestrationContext, _: ()) -> Result<(bool, u32)> {
    let early = ctx.timeout(millis(1), ctx.wait_for(NEWS)).await;
    let timed_out = early.is_err_and(|e| e.is::<TimeoutError>());
    ctx.set_custom_status("gave up once");
    Ok((timed_out, ctx.timeout(days(30), ctx.wait_for(NEWS)).await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_can_time_out_and_the_event_still_counts_later() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register(gives_up).start()?;
    let run = hub.client().start(gives_up, ()).await?;
    until_custom_status(&run, "gave up once").await;
    run.raise(NEWS, 7).await?;
    assert_eq!(run.output().await?, (true, 7));
    assert_eq!(open_timers(&hub), 0, "the timer of a wait that was won is gone");
    Ok(())
}

fn open_timers(hub: &TaskHub) -> usize {
    hub.engine().timers()
}

#[orchestrator]
async fn keeps_events(ctx: OrchestrationContext, generation: u32) -> Result<Vec<u32>> {
    if generation < 3 {
        ctx.wait_for(GO).await?;
        return ctx.continue_as_new(generation + 1);
    }
    Ok(vec![ctx.wait_for(NEWS).await?, ctx.wait_for(NEWS).await?, ctx.wait_for(NEWS).await?])
}

#[tokio::test(flavor = "multi_thread")]
async fn events_move_on_to_the_next_generation() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register(keeps_events).start()?;
    let run = hub.client().start(keeps_events, 0).await?;
    for n in 1..=3 {
        run.raise(NEWS, n).await?;
        run.raise(GO, ()).await?;
    }
    assert_eq!(run.output().await?, [1, 2, 3]);
    Ok(())
}

#[orchestrator]
async fn ends_at_once(ctx: OrchestrationContext, _: ()) -> Result<()> {
    ctx.wait_for(GO).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_in_the_history() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register(ends_at_once).start()?;
    let mut accepted = 0;
    let run = hub.client().start(ends_at_once, ()).await?;
    run.raise(GO, ()).await?;
    loop {
        match run.raise(NEWS, accepted).await {
            Ok(()) => accepted += 1,
            Err(error) => {
                assert!(error.is::<strandline::InstanceOver>(), "{error:?}");
                break;
            }
        }
    }
    let raised = count(&run.history().await?, |k| matches!(k, EventKind::EventRaised(e) if e.name == "News"));
    assert_eq!(raised, accepted as usize);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_for_nobody_are_refused() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    let error = hub.client().instance::<()>("nobody")?.raise(GO, ()).await.unwrap_err();
    assert!(error.is::<strandline::InstanceNotFound>(), "{error:?}");
    Ok(())
}

#[orchestrator]
async fn sends(ctx: OrchestrationContext, to: String) -> Result<()> {
    ctx.send_event(&to, NEWS, 42)?;
    ctx.send_event("somebody unknown", NEWS, 43)
}

#[orchestrator]
async fn receives(ctx: OrchestrationContext, _: ()) -> Result<u32> {
    ctx.wait_for(NEWS).await
}

#[tokio::test(flavor = "multi_thread")]
async fn orchestrators_send_events_to_each_other() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((sends, receives)).start()?;
    let receiver = hub.client().start(receives, ()).instance_id("receiver").await?;
    let sender = hub.client().start(sends, "receiver".to_owned()).await?;
    assert_eq!(receiver.output().await?, 42);
    completed(&sender.wait().await?);
    assert!(hub.client().instance::<()>("somebody unknown")?.status().await?.is_none());
    assert_eq!(count(&sender.history().await?, |k| matches!(k, EventKind::EventSent(_))), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_before_the_scheduled_start_wait_for_it() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register(receives).start()?;
    let client = hub.client();
    let at = client.now().await?.saturating_add(secs(2));
    let run = client.start(receives, ()).at(at).await?;
    run.raise(NEWS, 5).await?;
    assert_eq!(run.status().await?.unwrap().status, RuntimeStatus::Pending);
    assert_eq!(run.output().await?, 5);
    let status = until(&run, |s| s.status == RuntimeStatus::Completed).await;
    assert!(status.completed().unwrap() >= at);
    Ok(())
}

#[orchestrator]
async fn drops_events(ctx: OrchestrationContext, generation: u32) -> Result<u32> {
    if generation == 0 {
        ctx.wait_for(GO).await?;
        return ctx.continue_as_new(1).drop_events();
    }
    ctx.set_custom_status("new");
    ctx.wait_for(NEWS).await
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_were_seen_can_be_left_behind() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register(drops_events).start()?;
    let run = hub.client().start(drops_events, 0).await?;
    run.raise(NEWS, 1).await?;
    run.raise(GO, ()).await?;
    until_custom_status(&run, "new").await;
    run.raise(NEWS, 2).await?;
    assert_eq!(run.output().await?, 2);
    Ok(())
}
