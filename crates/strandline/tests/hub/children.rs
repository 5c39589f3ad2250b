//! Sub-orchestrations.

use strandline::prelude::*;
use strandline::{EventKind, RuntimeStatus};

use super::support::count;

#[orchestrator]
async fn child(ctx: OrchestrationContext, n: u32) -> Result<(u32, Option<String>, Option<String>)> {
    ensure!(n != 13, "unlucky");
    let parent = ctx.parent();
    Ok((n * n, parent.as_ref().map(|p| p.name.clone()), parent.map(|p| p.instance_id.to_string())))
}

#[orchestrator]
async fn family(ctx: OrchestrationContext, n: u32) -> Result<u32> {
    let squares = try_join_all((0..n).map(|i| ctx.call(child, if i == 13 { 14 } else { i }))).await?;
    for (_, name, id) in &squares {
        ensure!(name.as_deref() == Some("family"), "parent is {name:?}");
        ensure!(*id == Some(ctx.instance_id().to_string()), "parent id is {id:?}");
    }
    Ok(squares.iter().map(|(square, ..)| square).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_children_report_to_their_parent() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((child, family)).start()?;
    let run = hub.client().start(family, 1000).await?;
    let expected = (0..1000u32).map(|i| if i == 13 { 14 } else { i }).map(|i| i * i).sum::<u32>();
    assert_eq!(run.output().await?, expected);
    let history = run.history().await?;
    assert_eq!(count(&history, |k| matches!(k, EventKind::SubOrchestrationCreated(_))), 1000);
    assert_eq!(count(&history, |k| matches!(k, EventKind::SubOrchestrationCompleted(_))), 1000);
    let status = run.status().await?.unwrap();
    let first = format!("{}:0000", status.execution);
    let eldest = hub.client().instance::<Json>(&first)?.status().await?.unwrap();
    assert_eq!(eldest.parent().unwrap().instance_id, run.id());
    Ok(())
}

#[orchestrator]
async fn unlucky(ctx: OrchestrationContext, _: ()) -> Result<String> {
    let error = ctx.call(child, 13).await.unwrap_err();
    Ok(error.message().to_owned())
}

#[orchestrator]
async fn detached(ctx: OrchestrationContext, _: ()) -> Result<String> {
    let id = ctx.start(waits.instance_id("detached"), ())?;
    Ok(id.to_string())
}

const GO: Event<()> = Event::named("Go");

#[orchestrator]
async fn waits(ctx: OrchestrationContext, _: ()) -> Result<()> {
    ctx.wait_for(GO).await
}

#[tokio::test(flavor = "multi_thread")]
async fn children_fail_alone_and_live_on_alone() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((child, unlucky, detached, waits)).start()?;
    let client = hub.client();
    assert!(client.start(unlucky, ()).await?.output().await?.contains("unlucky"));
    let id = client.start(detached, ()).await?.output().await?;
    let apart = client.instance::<()>(&id)?;
    assert_eq!(apart.wait_started().await?.status, RuntimeStatus::Running);
    apart.raise(GO, ()).await?;
    apart.output().await
}

#[orchestrator]
async fn takes_a_taken_id(ctx: OrchestrationContext, _: ()) -> Result<String> {
    let error = ctx.call(waits.instance_id("taken"), ()).await.unwrap_err();
    Ok(error.error_type().to_owned())
}

#[orchestrator]
async fn calls_itself(ctx: OrchestrationContext, _: ()) -> Result<()> {
    ctx.call(calls_itself.instance_id(ctx.instance_id().to_string()), ()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_takes_no_id_that_is_in_use() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((waits, takes_a_taken_id, calls_itself)).start()?;
    let client = hub.client();
    client.start(waits, ()).instance_id("taken").await?.wait_started().await?;
    let refused = client.start(takes_a_taken_id, ()).await?.output().await?;
    assert_eq!(refused, "OrchestrationAlreadyExists");
    let error = client.start(calls_itself, ()).await?.output().await.unwrap_err();
    assert!(error.message().contains("is the id of this instance"), "{error:?}");
    Ok(())
}

#[orchestrator]
async fn cancels_child(ctx: OrchestrationContext, _: ()) -> Result<()> {
    let mut task = ctx.call(waits.instance_id("unwanted"), ());
    ctx.timer(millis(1)).await?;
    task.cancel();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_child_is_terminated() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((waits, cancels_child)).start()?;
    hub.client().start(cancels_child, ()).await?.output().await?;
    let unwanted = hub.client().instance::<()>("unwanted")?.wait().await?;
    assert_eq!(unwanted.status, RuntimeStatus::Terminated);
    Ok(())
}

#[orchestrator]
async fn nests_for_ever(ctx: OrchestrationContext, depth: u32) -> Result<u32> {
    ctx.call(nests_for_ever, depth + 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nesting_has_a_limit() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register(nests_for_ever).start()?;
    let error = hub.client().start(nests_for_ever, 0).await?.output().await.unwrap_err();
    assert!(error.failure().chain().any(|f| f.message.contains("nested 101 deep")), "{error:?}");
    Ok(())
}

#[orchestrator]
async fn calls_its_parent(ctx: OrchestrationContext, depth: u32) -> Result<String> {
    if depth == 0 {
        return ctx.call(calls_its_parent.instance_id("below"), 1).await;
    }
    let parent = ctx.parent().context("it has a parent")?.instance_id.to_string();
    let error = ctx.call(calls_its_parent.instance_id(parent), 2).await.unwrap_err();
    Ok(error.message().to_owned())
}

#[orchestrator]
async fn grows_up(ctx: OrchestrationContext, generation: u32) -> Result<u32> {
    if generation == 3 { Ok(generation) } else { ctx.continue_as_new(generation + 1) }
}

#[orchestrator]
async fn waits_for_generations(ctx: OrchestrationContext, _: ()) -> Result<u32> {
    ctx.call(grows_up, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn parents_are_no_children_and_hear_of_the_last_generation() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((calls_its_parent, grows_up, waits_for_generations)).start()?;
    let text = hub.client().start(calls_its_parent, 0).instance_id("above").await?.output().await?;
    assert!(text.contains("'above' is the id of this instance or of its parent"), "{text}");
    assert_eq!(hub.client().start(waits_for_generations, ()).await?.output().await?, 3);
    Ok(())
}
