//! Doing again what failed, and only that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use strandline::prelude::*;
use strandline::{EventKind, InstanceNotFailed, InstanceNotFound, RuntimeStatus};

use crate::support::{count, names};

/// How often each step ran, and whether the broken one is mended.
#[derive(Clone, Default)]
struct Site {
    mended: Arc<AtomicBool>,
    steady: Arc<AtomicU32>,
    flaky: Arc<AtomicU32>,
}

impl Site {
    fn steady(&self) -> u32 {
        self.steady.load(Ordering::SeqCst)
    }

    fn flaky(&self) -> u32 {
        self.flaky.load(Ordering::SeqCst)
    }

    fn mend(&self) {
        self.mended.store(true, Ordering::SeqCst);
    }
}

#[activity]
async fn steady(site: State<Site>, n: u32) -> Result<u32> {
    site.steady.fetch_add(1, Ordering::SeqCst);
    Ok(n)
}

/// Fails until it is mended.
#[activity]
async fn flaky(site: State<Site>, n: u32) -> Result<u32> {
    site.flaky.fetch_add(1, Ordering::SeqCst);
    ensure!(site.mended.load(Ordering::SeqCst), "it is broken");
    Ok(n)
}

#[orchestrator]
async fn with_retries(ctx: OrchestrationContext, _: ()) -> Result<u32> {
    let before = ctx.call(steady, 1).await?;
    let retry = RetryPolicy::new(millis(1), 3);
    let broken = ctx.call(flaky.retry(retry), 10).await?;
    let after = ctx.call(steady, 100).await?;
    Ok(before + broken + after)
}

#[orchestrator]
async fn grandchild(ctx: OrchestrationContext, _: ()) -> Result<u32> {
    Ok(ctx.call(steady, 1).await? + ctx.call(flaky, 10).await?)
}

#[orchestrator]
async fn child(ctx: OrchestrationContext, _: ()) -> Result<u32> {
    let before = ctx.call(steady, 100).await?;
    Ok(before + ctx.call(grandchild.instance_id("grandchild"), ()).await?)
}

#[orchestrator]
async fn parent(ctx: OrchestrationContext, _: ()) -> Result<u32> {
    let before = ctx.call(steady, 1000).await?;
    Ok(before + ctx.call(child.instance_id("child"), ()).await?)
}

#[activity]
async fn never_works(_: ()) -> Result<u32> {
    bail!("as always")
}

/// Handles one failure and ends with another.
#[orchestrator]
async fn catches(ctx: OrchestrationContext, _: ()) -> Result<u32> {
    let fallback = match ctx.call(never_works, ()).await {
        Ok(n) => n,
        Err(_) => ctx.call(steady, 5).await?,
    };
    Ok(fallback + ctx.call(flaky, 10).await?)
}

/// Undoes what it did before it ends with the failure it caught.
#[orchestrator]
async fn compensates(ctx: OrchestrationContext, _: ()) -> Result<u32> {
    match ctx.call(flaky, 10).await {
        Ok(n) => Ok(n + ctx.call(steady, 1).await?),
        Err(error) => {
            ctx.call(steady, 99).await?;
            ctx.call(steady, 98).await?;
            Err(error)
        }
    }
}

/// Two things at once, of which one fails while the other is under way.
#[orchestrator]
async fn side_by_side(ctx: OrchestrationContext, _: ()) -> Result<u32> {
    let both = try_join_all([ctx.call(flaky, 10), ctx.call(steady.retry(RetryPolicy::new(secs(1), 2)), 1)]);
    Ok(both.await?.iter().sum())
}

async fn serving() -> (TaskHub, Site) {
    let (hub, site) = (TaskHub::in_memory().await.unwrap(), Site::default());
    let functions = (
        (steady, flaky, never_works),
        (with_retries, parent, child, grandchild, catches, compensates, side_by_side),
    );
    hub.worker().register(functions).state(site.clone()).start().unwrap();
    (hub, site)
}

/// Waits for the failure, mends what is broken, and rewinds.
async fn mend<O>(run: &Instance<O>, site: &Site) -> Result<()> {
    assert_eq!(run.wait().await?.status, RuntimeStatus::Failed);
    site.mend();
    run.rewind("mended").await
}

#[tokio::test]
async fn after_exhausted_retries_the_last_attempt_is_done_again() -> Result<()> {
    let (hub, site) = serving().await;
    let run = hub.client().start(with_retries, ()).await?;
    mend(&run, &site).await?;
    assert_eq!(run.output().await?, 111);
    assert_eq!((site.flaky(), site.steady()), (4, 2), "three attempts and one more; finished steps once");
    let history = run.history().await?;
    assert_eq!(count(&history, |e| matches!(e, EventKind::TaskFailed(_))), 2, "earlier attempts stay");
    assert_eq!(count(&history, |e| matches!(e, EventKind::ExecutionRewound(_))), 1);
    assert!(names(&history).ends_with(&["TaskScheduled", "TaskCompleted", "ExecutionCompleted"]));
    hub.close().await
}

#[tokio::test]
async fn a_failure_in_a_grandchild_is_mended_there() -> Result<()> {
    let (hub, site) = serving().await;
    let client = hub.client();
    let run = client.start(parent, ()).await?;
    mend(&run, &site).await?;
    assert_eq!(run.output().await?, 1111);
    assert_eq!((site.flaky(), site.steady()), (2, 3), "nothing that was finished ran again");
    for id in ["child", "grandchild"] {
        let status = client.instance::<u32>(id)?.status().await?.map(|s| s.status);
        assert_eq!(status, Some(RuntimeStatus::Completed), "{id}");
    }
    hub.close().await
}

#[tokio::test]
async fn a_failure_that_was_handled_stays_handled() -> Result<()> {
    let (hub, site) = serving().await;
    let run = hub.client().start(catches, ()).await?;
    mend(&run, &site).await?;
    assert_eq!(run.output().await?, 15);
    assert_eq!((site.flaky(), site.steady()), (2, 1));
    hub.close().await
}

#[tokio::test]
async fn what_followed_the_failure_does_not_stand_in_the_way() -> Result<()> {
    let (hub, site) = serving().await;
    let run = hub.client().start(compensates, ()).await?;
    mend(&run, &site).await?;
    assert_eq!(run.output().await?, 11);
    assert_eq!((site.flaky(), site.steady()), (2, 3));
    hub.close().await
}

#[tokio::test]
async fn what_was_under_way_beside_the_failure_is_waited_for_again() -> Result<()> {
    let (hub, site) = serving().await;
    let run = hub.client().start(side_by_side, ()).await?;
    mend(&run, &site).await?;
    assert_eq!(run.output().await?, 11);
    hub.close().await
}

#[tokio::test]
async fn it_may_fail_and_be_rewound_again_and_again() -> Result<()> {
    let (hub, site) = serving().await;
    let run = hub.client().start(with_retries, ()).await?;
    for again in 0..3 {
        assert_eq!(run.wait().await?.status, RuntimeStatus::Failed, "{again}");
        assert_eq!(site.flaky(), 3 + again);
        run.rewind("perhaps").await?;
    }
    mend(&run, &site).await?;
    assert_eq!(run.output().await?, 111);
    assert_eq!(site.steady(), 2);
    hub.close().await
}

#[tokio::test]
async fn mended_code_goes_on_from_where_it_parts_from_the_history() -> Result<()> {
    let (hub, site) = (TaskHub::in_memory().await?, Site::default());
    site.mend();
    let broken = orchestrator_fn("Deployed", |ctx: OrchestrationContext, _: ()| async move {
        let a = ctx.call(steady, 1).await?;
        let b = ctx.call(steady, 2).await?;
        ensure!(a > b, "a bug");
        Ok(a)
    });
    hub.worker().register((steady, flaky, broken)).state(site.clone()).start()?;
    let run = hub.client().start(Orchestration::<(), u32>::named("Deployed"), ()).await?;
    assert_eq!(run.wait().await?.status, RuntimeStatus::Failed);

    let mended = orchestrator_fn("Deployed", |ctx: OrchestrationContext, _: ()| async move {
        let a = ctx.call(steady, 1).await?;
        Ok::<_, Error>(a + ctx.call(flaky, 10).await? + ctx.call(steady, 100).await?)
    });
    hub.worker().register((steady, flaky, mended)).state(site.clone()).start()?;
    run.rewind("deployed").await?;
    assert_eq!(run.output().await?, 111);
    assert_eq!((site.steady(), site.flaky()), (3, 1), "the first step stands, the second gave way");
    let history = run.history().await?;
    assert_eq!(count(&history, |e| matches!(e, EventKind::ExecutionRewound(_))), 1);
    hub.close().await
}

#[tokio::test]
async fn only_what_failed_is_rewound() -> Result<()> {
    let (hub, site) = serving().await;
    let client = hub.client();
    site.mend();
    let run = client.start(with_retries, ()).await?;
    run.output().await?;
    let error = run.rewind("why not").await.unwrap_err();
    assert!(error.is::<InstanceNotFailed>() && error.message().contains("Completed"), "{error}");
    let error = client.instance::<u32>("nobody")?.rewind("why not").await.unwrap_err();
    assert!(error.is::<InstanceNotFound>(), "{error}");
    hub.close().await
}
