//! From start to end: chains, joins, failures, continue-as-new, status.

use strandline::prelude::*;
use strandline::{EventKind, ReusePolicy, RuntimeStatus};

use super::support::{completed, count, names};

#[activity]
async fn double(n: u64) -> Result<u64> {
    Ok(n * 2)
}

#[orchestrator]
async fn chain(ctx: OrchestrationContext, n: u64) -> Result<u64> {
    let mut value = 1;
    for _ in 0..n {
        value = ctx.call(double, value).await?;
    }
    Ok(value)
}

#[orchestrator]
async fn join(ctx: OrchestrationContext, n: u64) -> Result<u64> {
    Ok(try_join_all((0..n).map(|i| ctx.call(double, i))).await?.into_iter().sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_records_each_step_once() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((double, chain)).start()?;
    let run = hub.client().start(chain, 5).instance_id("chain").tag("team", "blue").await?;
    assert_eq!(run.output().await?, 32);
    let history = run.history().await?;
    let mut expected = vec!["ExecutionStarted"];
    expected.extend(["TaskScheduled", "TaskCompleted"].repeat(5));
    expected.push("ExecutionCompleted");
    assert_eq!(names(&history), expected);
    let ids: Vec<_> = history.iter().map(|e| e.id).filter(|id| *id >= 0).collect();
    assert_eq!(ids, [0, 1, 2, 3, 4, 5], "sequence ids count from 0 without gaps");
    let status = run.status().await?.unwrap();
    assert_eq!((status.name(), status.status), ("chain", RuntimeStatus::Completed));
    assert_eq!((status.input(), status.output()), (Some("5"), Some("32")));
    assert_eq!(status.tags().collect::<Vec<_>>(), [("team", "blue")]);
    assert!(status.created <= status.updated && status.completed().is_some());
    hub.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_of_any_width_finish() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((double, join)).start()?;
    for wide in [0, 1, 31, 10_000] {
        assert_eq!(hub.client().start(join, wide).await?.output().await?, wide * wide.saturating_sub(1));
    }
    Ok(())
}

#[derive(Debug)]
struct Inner;
impl std::fmt::Display for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the disk is gone")
    }
}
impl std::error::Error for Inner {}

#[activity]
async fn fails() -> Result<()> {
    Err(Error::from(Inner).context("reading the file").context("loading the order"))
}

#[activity]
async fn panics() -> Result<()> {
    panic!("out of cheese")
}

#[orchestrator]
async fn fails_too(ctx: OrchestrationContext, _: ()) -> Result<()> {
    ctx.call(fails, ()).await
}

#[orchestrator]
async fn compensates(ctx: OrchestrationContext, _: ()) -> Result<String> {
    match ctx.call(panics, ()).await {
        Ok(()) => bail!("it should have failed"),
        Err(error) => {
            ctx.call(double, 1).await?;
            Ok(format!("{}: {}", error.error_type(), error.message()))
        }
    }
}

#[orchestrator]
async fn orchestrator_panics(_ctx: OrchestrationContext, _: ()) -> Result<()> {
    panic!("no plan")
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_keep_their_chain_of_causes() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((double, fails, panics, fails_too, compensates, orchestrator_panics)).start()?;
    let client = hub.client();
    let error = client.start(fails_too, ()).await?.output().await.unwrap_err();
    let messages: Vec<_> = error.failure().chain().map(|f| f.message.as_str()).collect();
    assert_eq!(messages, ["loading the order", "reading the file", "the disk is gone"]);
    assert!(error.is::<Inner>());
    assert_eq!(client.start(compensates, ()).await?.output().await?, "panic: out of cheese");
    let error = client.start(orchestrator_panics, ()).await?.output().await.unwrap_err();
    assert_eq!((error.error_type(), error.message()), ("panic", "no plan"));
    Ok(())
}

#[orchestrator]
async fn counts_down(ctx: OrchestrationContext, (left, sum): (u32, u32)) -> Result<u32> {
    ctx.set_custom_status(format!("{left} left"));
    if left == 0 {
        return Ok(sum);
    }
    let two = ctx.call(double, 1).await?;
    ctx.continue_as_new((left - 1, sum + two as u32))
}

#[tokio::test(flavor = "multi_thread")]
async fn continuing_as_new_starts_a_fresh_history() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((double, counts_down)).start()?;
    let run = hub.client().start(counts_down, (100, 0)).instance_id("eternal").await?;
    let created = run.wait_started().await?;
    let status = run.wait().await?;
    assert_eq!(completed(&status), "200");
    assert_ne!(status.execution, created.execution);
    assert_eq!(status.created, created.created, "the instance is as old as its first generation");
    assert_eq!(status.input(), Some("[0,200]"));
    assert_eq!(status.custom_status.as_deref(), Some("\"0 left\""));
    assert_eq!(names(&run.history().await?), ["ExecutionStarted", "ExecutionCompleted"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_reused_only_as_the_policy_says() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((double, chain)).start()?;
    let client = hub.client();
    let start = |policy| client.start(chain, 1).instance_id("same").reuse(policy);
    start(ReusePolicy::refuse()).await?.output().await?;
    let error = start(ReusePolicy::refuse()).await.unwrap_err();
    assert!(error.is::<strandline::InstanceExists>(), "{error:?}");
    start(ReusePolicy::replace_terminal()).await?.output().await?;
    let starts = (0..50).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.start(chain, 3).instance_id("race").await.is_ok() })
    });
    let mut won = 0;
    for start in starts.collect::<Vec<_>>() {
        won += usize::from(start.await?);
    }
    assert_eq!(won, 1, "of many starts of one id exactly one wins");
    let history = client.instance::<u64>("race")?;
    history.output().await?;
    assert_eq!(count(&history.history().await?, |k| matches!(k, EventKind::ExecutionStarted(_))), 1);
    Ok(())
}

#[orchestrator]
async fn deterministic(ctx: OrchestrationContext, _: ()) -> Result<(String, String, bool)> {
    let (before, guid) = (ctx.now(), ctx.new_guid());
    ctx.call(double, 1).await?;
    let other = ctx.new_guid();
    Ok((guid.to_string(), other.to_string(), ctx.now() >= before && guid != other))
}

#[tokio::test(flavor = "multi_thread")]
async fn times_and_guids_come_from_the_history() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((double, deterministic)).cache(0, 0).start()?;
    let (guid, other, ordered) = hub.client().start(deterministic, ()).await?.output().await?;
    assert_ne!(guid, other);
    assert!(ordered);
    Ok(())
}

#[orchestrator]
async fn describes_itself(ctx: OrchestrationContext, at: Timestamp) -> Result<String> {
    let (version, team) = (ctx.version().unwrap_or_default(), ctx.tag("team").unwrap_or_default());
    Ok(format!("{} {version} {team} {at}", ctx.name()))
}

#[tokio::test(flavor = "multi_thread")]
async fn code_sees_its_name_version_tags_and_times() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register(describes_itself).start()?;
    let at: Timestamp = "2026-01-31T12:00:00.5Z".parse()?;
    let start = hub.client().start(describes_itself, at).tag("team", "blue").version("2");
    assert_eq!(start.await?.output().await?, "describes_itself 2 blue 2026-01-31T12:00:00.5000000Z");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn long_histories_are_read_in_pages() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((double, join)).start()?;
    let run = hub.client().start(join, 3000).await?;
    run.output().await?;
    let engine = hub.engine().clone();
    tokio::task::spawn_blocking(move || engine.flush()).await?;
    let all = run.history().await?;
    let mut paged = Vec::new();
    while let page @ [_, ..] = run.history_page(paged.len(), 700).await?.as_slice() {
        paged.extend_from_slice(page);
    }
    assert_eq!(paged.len(), all.len());
    assert_eq!(paged, all);
    assert_eq!(count(&all, |k| matches!(k, EventKind::TaskCompleted(_))), 3000);
    Ok(())
}

#[orchestrator(name = "Evolves", version = "1")]
async fn evolves_1(ctx: OrchestrationContext, _: u32) -> Result<String> {
    ctx.set_custom_status("kept");
    ctx.continue_as_new(2).version("2")
}

#[orchestrator(name = "Evolves", version = "2")]
async fn evolves_2(ctx: OrchestrationContext, n: u32) -> Result<String> {
    Ok(format!("{} {n}", ctx.version().unwrap_or_default()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_generation_may_be_of_another_version() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((evolves_1, evolves_2)).start()?;
    let run = hub.client().start(evolves_1, 1).version("1").await?;
    let status = run.wait().await?;
    assert_eq!(completed(&status), "\"2 2\"");
    assert_eq!(status.custom_status.as_deref(), Some("\"kept\""));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_come_back_exactly() -> Result<()> {
    type Numbers = (u64, i64, i64, f64);
    let hub = TaskHub::in_memory().await?;
    let echo = orchestrator_fn("Echo", |_ctx, n: Numbers| async move { Ok::<_, Error>(n) });
    const ECHO: strandline::Orchestration<Numbers, Numbers> = strandline::Orchestration::named("Echo");
    hub.worker().register(echo).start()?;
    let numbers = (u64::MAX, i64::MIN, (1 << 53) + 1, 0.1 + 0.2);
    assert_eq!(hub.client().start(ECHO, numbers).await?.output().await?, numbers);
    Ok(())
}

#[tokio::test]
async fn a_long_history_comes_in_pages() -> Result<()> {
    use futures::TryStreamExt;

    const WIDE: u32 = 3_000;
    #[activity]
    async fn nothing(_: u32) -> Result<()> {
        Ok(())
    }
    #[orchestrator]
    async fn wide(ctx: OrchestrationContext, _: ()) -> Result<()> {
        try_join_all((0..WIDE).map(|n| ctx.call(nothing, n))).await?;
        Ok(())
    }
    #[orchestrator]
    async fn waits(ctx: OrchestrationContext, _: ()) -> Result<()> {
        ctx.timer(days(1)).await
    }
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((nothing, wide, waits)).start()?;
    let run = hub.client().start(wide, ()).await?;
    run.output().await?;
    let pages: Vec<_> = run.history_pages().try_collect().await?;
    assert!(pages.len() > 2 && pages.iter().all(|page| page.len() <= 2_000));
    assert_eq!(pages.concat(), run.history().await?);

    assert!(run.wait_at_most(days(1)).await?.is_some());
    let waiting = hub.client().start(waits, ()).await?;
    assert!(waiting.wait_at_most(Duration::ZERO).await?.is_none());
    hub.close().await
}
