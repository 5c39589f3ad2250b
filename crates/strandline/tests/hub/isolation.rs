//! Code that blocks does not hold up others.

use std::sync::{Arc, Barrier};

use strandline::DataDirectory;
use strandline::prelude::*;

#[activity]
async fn quick(n: u32) -> Result<u32> {
    Ok(n)
}

#[orchestrator]
async fn quickly(ctx: OrchestrationContext, n: u32) -> Result<u32> {
    ctx.call(quick, n).await
}

#[activity]
async fn blocks(barrier: State<Arc<Barrier>>) -> Result<()> {
    barrier.wait();
    Ok(())
}

#[orchestrator]
async fn blocking_fan_out(ctx: OrchestrationContext, n: usize) -> Result<()> {
    ctx.set_custom_status("fanned out");
    try_join_all((0..n).map(|_| ctx.call(blocks, ()))).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn blocking_activities_stall_nobody() -> Result<()> {
    let barrier = Arc::new(Barrier::new(33));
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((quick, quickly, blocks, blocking_fan_out)).state(barrier.clone()).start()?;
    let client = hub.client();
    let blocked = client.start(blocking_fan_out, 32).await?;
    super::support::until_custom_status(&blocked, "fanned out").await;
    // All 32 block for as long as this runs.
    for n in 0..100 {
        assert_eq!(client.start(quickly, n).await?.output().await?, n);
    }
    tokio::task::spawn_blocking(move || barrier.wait()).await?;
    blocked.output().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocking_orchestrator_stalls_nobody() -> Result<()> {
    let barrier = Arc::new(Barrier::new(9));
    let inside = barrier.clone();
    let blocking = orchestrator_fn("Blocking", move |_ctx, (): ()| {
        let barrier = inside.clone();
        async move {
            barrier.wait();
            Ok::<(), Error>(())
        }
    });
    const BLOCKING: Orchestration<(), ()> = Orchestration::named("Blocking");
    let hub = DataDirectory::in_memory().partitions(4).open_hub().await?;
    hub.worker().register((quick, quickly, blocking)).start()?;
    let client = hub.client();
    // More of them than there are partitions: every partition has a turn that does not end.
    let mut blocked = Vec::new();
    for _ in 0..8 {
        blocked.push(client.start(BLOCKING, ()).await?);
    }
    for n in 0..100 {
        assert_eq!(client.start(quickly, n).await?.output().await?, n);
    }
    tokio::task::spawn_blocking(move || barrier.wait()).await?;
    for run in blocked {
        run.output().await?;
    }
    Ok(())
}

#[orchestrator]
async fn sleeps_on_tokio(_ctx: OrchestrationContext, _: ()) -> Result<()> {
    tokio::time::sleep(hours(1)).await;
    Ok(())
}

#[orchestrator]
async fn spawns(_ctx: OrchestrationContext, _: ()) -> Result<u32> {
    // Never done, so that it is waited for.
    Ok(tokio::spawn(std::future::pending::<u32>()).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_what_is_not_durable_is_named() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((sleeps_on_tokio, spawns)).start()?;
    let client = hub.client();
    let error = client.start(sleeps_on_tokio, ()).await?.output().await.unwrap_err();
    assert_eq!(error.error_type(), "NonDurableAwaitError", "{error:?}");
    let error = client.start(spawns, ()).await?.output().await.unwrap_err();
    assert_eq!(error.error_type(), "NonDurableAwaitError", "{error:?}");
    Ok(())
}
