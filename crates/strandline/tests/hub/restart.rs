//! A hub that is closed or dropped goes on where it was when it is opened again.

use strandline::prelude::*;
use strandline::{DataDirectory, RuntimeStatus};

use super::support::{Gate, hub, until_custom_status};

const GO: Event<u32> = Event::named("Go");

#[activity]
async fn add_one(n: u32) -> Result<u32> {
    Ok(n + 1)
}

#[orchestrator]
async fn long(ctx: OrchestrationContext, steps: u32) -> Result<u32> {
    let mut n = 0;
    for _ in 0..steps {
        n = ctx.call(add_one, n).await?;
    }
    ctx.set_custom_status("half way");
    n += ctx.wait_for(GO).await?;
    for _ in 0..steps {
        n = ctx.call(add_one, n).await?;
    }
    Ok(n)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_goes_on_after_any_kind_of_end() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for polite in [true, false] {
        let id = format!("polite-{polite}");
        {
            let hub = hub(dir.path()).await;
            hub.worker().register((add_one, long)).start()?;
            let run = hub.client().start(long, 200).instance_id(&id).await?;
            until_custom_status(&run, "half way").await;
            if polite {
                hub.close().await?;
            }
        }
        let hub = hub(dir.path()).await;
        hub.worker().register((add_one, long)).start()?;
        let run = hub.client().instance::<u32>(&id)?;
        assert_eq!(run.status().await?.unwrap().status, RuntimeStatus::Running);
        run.raise(GO, 1000).await?;
        assert_eq!(run.output().await?, 1400);
    }
    Ok(())
}

type Keys = std::sync::Arc<std::sync::Mutex<Vec<String>>>;

#[activity]
async fn passes(gate: State<Gate>, keys: State<Keys>, ctx: ActivityContext, n: u32) -> Result<u32> {
    keys.lock().unwrap().push(ctx.idempotency_key());
    gate.pass().await;
    Ok(n)
}

#[orchestrator]
async fn gated(ctx: OrchestrationContext, _: ()) -> Result<u32> {
    let all = try_join_all((0..20).map(|n| ctx.call(passes, n))).await?;
    Ok(all.into_iter().sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn activities_that_had_no_result_run_again() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (before, after) = (Keys::default(), Keys::default());
    {
        let hub = hub(dir.path()).await;
        hub.worker().register((passes, gated)).state(Gate::closed()).state(before.clone()).start()?;
        hub.client().start(gated, ()).instance_id("gated").await?;
        while before.lock().unwrap().len() < 20 {
            tokio::task::yield_now().await;
        }
    }
    let gate = Gate::closed();
    gate.open(20);
    let hub = hub(dir.path()).await;
    hub.worker().register((passes, gated)).state(gate).state(after.clone()).start()?;
    assert_eq!(hub.client().instance::<u32>("gated")?.output().await?, 190);
    let sorted = |keys: &Keys| {
        let mut keys = keys.lock().unwrap().clone();
        keys.sort();
        keys.dedup();
        keys
    };
    assert_eq!(sorted(&before).len(), 20);
    assert_eq!(sorted(&before), sorted(&after), "a call keeps its idempotency key");
    Ok(())
}

#[orchestrator]
async fn sleeps(ctx: OrchestrationContext, millis: u64) -> Result<()> {
    ctx.timer(Duration::from_millis(millis)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_that_came_due_meanwhile_fire() -> Result<()> {
    let dir = tempfile::tempdir()?;
    {
        let hub = hub(dir.path()).await;
        hub.worker().register(sleeps).start()?;
        for n in 0..50 {
            hub.client().start(sleeps, 400).instance_id(format!("short-{n}")).await?;
        }
        hub.client().start(sleeps, 3_600_000).instance_id("long").await?.wait_started().await?;
        hub.close().await?;
    }
    let hub = hub(dir.path()).await;
    hub.worker().register(sleeps).start()?;
    for n in 0..50 {
        hub.client().instance::<()>(&format!("short-{n}"))?.output().await?;
    }
    assert_eq!(hub.engine().timers(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_hub_says_so() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((add_one, long)).start()?;
    let client = hub.client();
    let run = client.start(long, 1).await?;
    let waiting = tokio::spawn({
        let run = run.clone();
        async move { run.output().await }
    });
    until_custom_status(&run, "half way").await;
    hub.close().await?;
    assert!(client.start(long, 1).await.unwrap_err().is::<strandline::HubClosed>());
    assert_eq!(run.status().await.unwrap_err().error_type(), "HubClosed");
    assert!(waiting.await?.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hubs_of_one_directory_are_apart() -> Result<()> {
    let dir = tempfile::tempdir()?;
    {
        let directory = DataDirectory::open(dir.path()).await?;
        let (a, b) = (directory.hub("a").await?, directory.hub("b").await?);
        for (hub, steps) in [(&a, 1), (&b, 2)] {
            hub.worker().register((add_one, long)).start()?;
            let run = hub.client().start(long, steps).instance_id("same").await?;
            run.raise(GO, 0).await?;
            assert_eq!(run.output().await?, 2 * steps);
        }
        directory.close().await?;
    }
    let directory = DataDirectory::open(dir.path()).await?;
    assert_eq!(directory.hubs()?, ["a", "b"]);
    let run = directory.hub("b").await?.client().instance::<u32>("same")?;
    assert_eq!(run.output().await?, 4);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_left_memory_come_back() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let hub = DataDirectory::at(dir.path()).cache_bytes(1).partitions(1).open_hub().await?;
    hub.worker().register((add_one, long)).cache(0, 0).start()?;
    let client = hub.client();
    for n in 0..200 {
        // So little memory is full at once: new work is refused until a flush lets instances leave.
        while let Err(error) = client.start(long, 5).instance_id(format!("run-{n}")).await {
            ensure!(error.is::<strandline::HubOverloaded>(), "{error:?}");
            tokio::task::yield_now().await;
        }
        // Twice the smallest cache there is, and what was under way when it was reached.
        let bytes = hub.engine().memory_bytes();
        ensure!(bytes < 512 << 10, "{bytes} bytes in memory");
    }
    for n in 0..200 {
        until_custom_status(&client.instance::<u32>(&format!("run-{n}"))?, "half way").await;
    }
    let engine = hub.engine().clone();
    tokio::task::spawn_blocking(move || engine.flush()).await?;
    for n in 0..200 {
        let run = client.instance::<u32>(&format!("run-{n}"))?;
        while let Err(error) = run.raise(GO, n).await {
            ensure!(error.is::<strandline::HubOverloaded>(), "{error:?}");
            tokio::task::yield_now().await;
        }
        assert_eq!(run.output().await?, n + 10);
    }
    assert!(hub.engine().counters().evicted > 0);
    Ok(())
}
