//! Terminate, suspend, resume.

use strandline::prelude::*;
use strandline::{EventKind, RuntimeStatus};

use super::support::{Gate, completed, count, until, until_custom_status};

const GO: Event<u32> = Event::named("Go");

#[activity]
async fn gated(gate: State<Gate>, ctx: ActivityContext, n: u32) -> Result<u32> {
    let cancelled = ctx.cancellation();
    tokio::select! {
        () = gate.pass() => Ok(n),
        () = cancelled.cancelled() => bail!("cancelled"),
    }
}

#[orchestrator]
async fn works(ctx: OrchestrationContext, _: ()) -> Result<u32> {
    ctx.set_custom_status("working");
    let n = ctx.call(gated, 1).await?;
    ctx.set_custom_status("waiting");
    Ok(n + ctx.wait_for(GO).await?)
}

#[orchestrator]
async fn nests(ctx: OrchestrationContext, depth: u32) -> Result<u32> {
    if depth == 0 {
        ctx.set_custom_status("deep");
        return ctx.wait_for(GO).await;
    }
    let id = format!("level-{}", depth - 1);
    ctx.call(nests.instance_id(id), depth - 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn terminating_ends_an_instance_at_once() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((gated, works)).state(Gate::closed()).start()?;
    let run = hub.client().start(works, ()).await?;
    until_custom_status(&run, "working").await;
    run.terminate("enough").await?;
    let status = run.status().await?.unwrap();
    assert_eq!((status.status, status.output()), (RuntimeStatus::Terminated, Some("enough")));
    let error = run.output().await.unwrap_err();
    assert_eq!(error.error_type(), "Terminated");
    let again = run.terminate("again").await.unwrap_err();
    assert!(again.is::<strandline::InstanceOver>(), "{again:?}");
    // The activity notices by its token, although the gate stays closed.
    while !hub.client().running_activities().is_empty() {
        tokio::task::yield_now().await;
    }
    hub.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn terminating_needs_no_worker() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    let run = hub.client().start(works, ()).await?;
    assert_eq!(run.status().await?.unwrap().status, RuntimeStatus::Pending);
    run.terminate("never mind").await?;
    assert_eq!(run.wait().await?.status, RuntimeStatus::Terminated);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn terminating_recursively_reaches_every_level() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register(nests).start()?;
    let run = hub.client().start(nests, 3).instance_id("level-3").await?;
    let deepest = hub.client().instance::<u32>("level-0")?;
    until_custom_status(&deepest, "deep").await;
    run.terminate("stop all").recursive().await?;
    for level in 0..=3 {
        let status = hub.client().instance::<u32>(&format!("level-{level}"))?.wait().await?;
        assert_eq!((status.status, status.output()), (RuntimeStatus::Terminated, Some("stop all")));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_child_fails_its_parent() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register(nests).start()?;
    let run = hub.client().start(nests, 1).instance_id("parent").await?;
    let child = hub.client().instance::<u32>("level-0")?;
    until_custom_status(&child, "deep").await;
    child.terminate("alone").await?;
    let error = run.output().await.unwrap_err();
    assert_eq!(error.error_type(), "Terminated");
    assert!(error.message().contains("alone"), "{error:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_instance_holds_what_reaches_it() -> Result<()> {
    let gate = Gate::closed();
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((gated, works)).state(gate.clone()).start()?;
    let run = hub.client().start(works, ()).await?;
    until_custom_status(&run, "working").await;
    run.suspend("lunch").await?;
    run.suspend("still lunch").await?;
    assert_eq!(run.status().await?.unwrap().status, RuntimeStatus::Suspended);
    // The activity under way finishes and its result is kept, but the code does not go on.
    gate.open(1);
    run.raise(GO, 41).await?;
    let engine = hub.engine().clone();
    while !engine.running_activities().is_empty() {
        tokio::task::yield_now().await;
    }
    let held = run.status().await?.unwrap();
    assert_eq!(held.custom_status.as_deref(), Some("\"working\""));
    assert_eq!(held.status, RuntimeStatus::Suspended);
    run.resume("back").await?;
    assert_eq!(run.output().await?, 42);
    let history = run.history().await?;
    assert_eq!(count(&history, |k| matches!(k, EventKind::ExecutionSuspended(_))), 1);
    assert_eq!(count(&history, |k| matches!(k, EventKind::ExecutionResumed(_))), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_instance_can_be_suspended_and_terminated() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    let client = hub.client();
    let run = client.start(works, ()).await?;
    run.suspend("before it began").await?;
    assert_eq!(run.status().await?.unwrap().status, RuntimeStatus::Suspended);
    run.resume("go").await?;
    assert_eq!(run.status().await?.unwrap().status, RuntimeStatus::Pending);
    run.suspend("again").await?;
    run.terminate("beats suspension").await?;
    assert_eq!(run.status().await?.unwrap().status, RuntimeStatus::Terminated);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_see_what_was_acknowledged_before() -> Result<()> {
    let gate = Gate::closed();
    gate.open(1000);
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((gated, works)).state(gate).start()?;
    for n in 0..200 {
        let run = hub.client().start(works, ()).instance_id(format!("run-{n}")).await?;
        assert!(run.status().await?.is_some());
        run.raise(GO, 1).await?;
        until(&run, |s| s.status.is_terminal()).await;
        completed(&run.wait().await?);
        assert!(run.raise(GO, 2).await.unwrap_err().is::<strandline::InstanceOver>());
    }
    Ok(())
}
