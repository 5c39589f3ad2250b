//! Purging, restarting and rewinding instances.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use strandline::prelude::*;
use strandline::{
    InstanceExists, InstanceNotFailed, InstanceNotFound, InstanceNotOver, Purged, RuntimeStatus,
};

#[orchestrator]
async fn works(_ctx: OrchestrationContext, text: String) -> Result<String> {
    ensure!(text != "bad", "that is bad");
    Ok(text.to_uppercase())
}

const GO: Event<()> = Event::named("Go");

#[orchestrator]
async fn waits(ctx: OrchestrationContext, _: ()) -> Result<()> {
    ctx.wait_for(GO).await
}

/// A tree: each instance calls two below it.
#[orchestrator]
async fn grows(ctx: OrchestrationContext, depth: u32) -> Result<u32> {
    if depth == 0 {
        return Ok(1);
    }
    let below = (0..2).map(|_| ctx.call(grows, depth - 1));
    Ok(1 + try_join_all(below).await?.into_iter().sum::<u32>())
}

#[orchestrator]
async fn leaves_a_child(ctx: OrchestrationContext, _: ()) -> Result<()> {
    ctx.call(works, "x".to_owned()).await?;
    let _running = ctx.call(waits.instance_id("left"), ());
    ctx.call(works, "y".to_owned()).await?;
    Ok(())
}

fn flush(hub: &TaskHub) {
    tokio::task::block_in_place(|| hub.engine().flush());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_over_is_purged() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((works, waits)).start()?;
    let client = hub.client();
    for flushed in [false, true] {
        let done = client.start(works, "x".to_owned()).instance_id("done").await?;
        done.wait().await?;
        let failed = client.start(works, "bad".to_owned()).instance_id("failed").await?;
        failed.wait().await?;
        let killed = client.start(waits, ()).instance_id("killed").await?;
        let running = client.start(waits, ()).instance_id("running").await?;
        killed.terminate("enough").await?;
        running.wait_started().await?;
        if flushed {
            flush(&hub);
        }
        for id in ["done", "failed", "killed"] {
            let instance = client.instance::<Json>(id)?;
            assert_eq!(instance.purge().await?, 1, "{id}");
            assert_eq!(instance.status().await?, None);
            assert!(instance.history().await.unwrap_err().is::<InstanceNotFound>());
            assert_eq!(instance.purge().await?, 0, "there is nothing left");
        }
        assert!(running.purge().await.unwrap_err().is::<InstanceNotOver>());
        assert!(running.purge().recursive().await.unwrap_err().is::<InstanceNotOver>());
        running.suspend("a while").await?;
        assert!(running.purge().await.unwrap_err().is::<InstanceNotOver>());
        assert_eq!(client.query().count().await?, 1);
        running.terminate("enough").await?;
        assert_eq!(running.purge().await?, 1);
        assert_eq!(client.query().count().await?, 0);
    }
    // A purged id is free.
    client.start(works, "x".to_owned()).instance_id("done").await?.output().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_is_purged_with_its_children() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((grows, works)).start()?;
    let client = hub.client();
    client.start(works, "x".to_owned()).instance_id("other").await?.output().await?;
    for flushed in [false, true] {
        let run = client.start(grows, 4).instance_id("root").await?;
        assert_eq!(run.output().await?, 31);
        if flushed {
            flush(&hub);
        }
        assert_eq!(client.query().count().await?, 32);
        assert_eq!(run.purge().recursive().await?, 31);
        assert_eq!(client.query().count().await?, 1);
        assert_eq!(run.purge().recursive().await?, 0);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_with_a_running_child_is_purged_once_that_is_over() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((leaves_a_child, works, waits)).start()?;
    let client = hub.client();
    let run = client.start(leaves_a_child, ()).instance_id("root").await?;
    run.output().await?;
    assert_eq!(client.query().count().await?, 4);
    let all = client.query().name("leaves_a_child");
    for purged in [1, 0] {
        let part = client.purge_where(all.clone()).recursive().await?;
        assert_eq!(part, Purged { purged, complete: false, not_over: 1 });
        assert_eq!(client.query().count().await?, 3, "the child that comes last went first");
    }
    let error = run.purge().recursive().await.unwrap_err();
    assert!(error.is::<InstanceNotOver>() && error.message().contains("'left'"), "{error:?}");
    assert!(run.status().await?.is_some(), "from the root the rest is still found");
    client.instance::<()>("left")?.terminate("enough").await?;
    assert!(client.purge_where(all).recursive().await?.complete);
    assert_eq!(client.query().count().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_by_conditions_leaves_the_rest_alone() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((works, waits)).start()?;
    let client = hub.client();
    let start = |id: String, text: &str| {
        let start = client.start(works, text.to_owned()).instance_id(id);
        async move { start.await?.wait().await }
    };
    for n in 0..10 {
        start(format!("old-{n}"), "x").await?;
    }
    client.start(waits, ()).instance_id("old-running").await?.wait_started().await?;
    let middle = client.now().await?;
    for n in 0..5 {
        start(format!("new-{n}"), if n == 0 { "bad" } else { "x" }).await?;
    }
    flush(&hub);
    let running = client.query().status(RuntimeStatus::Running);
    assert_eq!(client.purge_where(running.clone()).await?, Purged { purged: 0, complete: true, not_over: 0 });
    assert_eq!(running.count().await?, 1);
    let failed = client.query().status(RuntimeStatus::Failed).status(RuntimeStatus::Running);
    assert_eq!(client.purge_where(failed).await?, Purged { purged: 1, complete: true, not_over: 0 });
    let old = client.query().created_to(middle).page_size(4);
    let mut parts = Vec::new();
    loop {
        let part = client.purge_where(old.clone()).timeout(Duration::ZERO).await?;
        parts.push(part.purged);
        if part.complete {
            break;
        }
    }
    assert_eq!(parts, [4, 4, 2], "each call goes on where the last one stopped");
    assert_eq!(client.query().id_prefix("old-").count().await?, 1, "what runs stays");
    assert_eq!(client.query().id_prefix("new-").count().await?, 4);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn several_are_purged_by_their_ids() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((works, waits)).start()?;
    let client = hub.client();
    let ids: Vec<String> = (0..100).map(|n| format!("i-{n}")).collect();
    for id in &ids[..60] {
        client.start(works, "x".to_owned()).instance_id(id).await?.output().await?;
    }
    assert_eq!(client.purge_ids(&ids).await?, Purged { purged: 60, complete: true, not_over: 0 });
    assert_eq!(client.purge_ids(&ids).await?, Purged { purged: 0, complete: true, not_over: 0 });
    client.start(waits, ()).instance_id("i-7").await?;
    assert_eq!(client.purge_ids(&ids).await?, Purged { purged: 0, complete: false, not_over: 1 });
    assert!(client.purge_ids([""]).await.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_instances_stay_gone() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for round in 0..3 {
        let hub = TaskHub::open(dir.path()).await?;
        hub.worker().register(works).start()?;
        let client = hub.client();
        assert_eq!(client.query().count().await?, round, "in round {round}");
        client.start(works, "x".to_owned()).instance_id(format!("kept-{round}")).await?.output().await?;
        client.start(works, "x".to_owned()).instance_id("gone").await?.output().await?;
        if round == 1 {
            flush(&hub);
        }
        client.instance::<Json>("gone")?.purge().await?;
        if round == 2 {
            hub.close().await?;
        }
    }
    let hub = TaskHub::open(dir.path()).await?;
    let ids: Vec<String> =
        hub.client().query().id_prefix("").stream().map_ok(|i| i.id.to_string()).try_collect().await?;
    assert_eq!(ids, ["kept-0", "kept-1", "kept-2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_can_be_started_again() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((works, waits)).start()?;
    let client = hub.client();
    let run = client.start(works, "abc".to_owned()).instance_id("a").tag("team", "blue").await?;
    run.output().await?;
    let first = run.status().await?.unwrap();
    run.restart().await?;
    assert_eq!(run.output().await?, "ABC");
    let second = run.status().await?.unwrap();
    assert_ne!(first.execution, second.execution);
    assert_eq!(second.tags().collect::<Vec<_>>(), [("team", "blue")]);
    let copy = run.restart_as_new().await?;
    assert_ne!(copy.id(), "a");
    assert_eq!(copy.output().await?, "ABC");
    assert_eq!(copy.status().await?.unwrap().tags().collect::<Vec<_>>(), [("team", "blue")]);
    let running = client.start(waits, ()).instance_id("running").await?;
    running.wait_started().await?;
    assert!(running.restart().await.unwrap_err().is::<InstanceExists>());
    assert_ne!(running.restart_as_new().await?.id(), "running");
    let unknown = client.instance::<()>("unknown")?;
    assert!(unknown.restart().await.unwrap_err().is::<InstanceNotFound>());
    assert!(unknown.restart_as_new().await.unwrap_err().is::<InstanceNotFound>());
    Ok(())
}

const CHARGE: Activity<(), u32> = Activity::named("Charge");

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_done_again() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    let works_now = Arc::new(AtomicBool::new(false));
    let charge = {
        let works_now = works_now.clone();
        activity_fn("Charge", move |_ctx, (): ()| {
            let works_now = works_now.clone();
            async move {
                ensure!(works_now.load(Ordering::Relaxed), "the bank is closed");
                Ok::<_, Error>(42)
            }
        })
    };
    let pays = orchestrator_fn("Pays", |ctx, (): ()| async move { ctx.call(CHARGE, ()).await });
    const PAYS: Orchestration<(), u32> = Orchestration::named("Pays");
    hub.worker().register((charge, pays, works)).start()?;
    let client = hub.client();
    let run = client.start(PAYS, ()).instance_id("payment").await?;
    assert_eq!(run.wait().await?.status, RuntimeStatus::Failed);
    works_now.store(true, Ordering::Relaxed);
    run.rewind("the bank is open").await?;
    assert_eq!(run.output().await?, 42);
    assert_eq!(client.query().status(RuntimeStatus::Completed).count().await?, 1);
    assert!(run.rewind("once more").await.unwrap_err().is::<InstanceNotFailed>());
    let unknown = client.instance::<()>("unknown")?;
    assert!(unknown.rewind("").await.unwrap_err().is::<InstanceNotFound>());
    Ok(())
}
