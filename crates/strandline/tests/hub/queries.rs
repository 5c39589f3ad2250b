//! Finding instances: lists, counts, pages.

use std::collections::BTreeSet;

use strandline::prelude::*;
use strandline::{InvalidRequest, QueryInstances, RuntimeStatus};

use super::support::{Gate, until_custom_status};

#[orchestrator]
async fn works(_ctx: OrchestrationContext, text: String) -> Result<String> {
    ensure!(text != "bad", "that is bad");
    Ok(text.to_uppercase())
}

const GO: Event<()> = Event::named("Go");

#[orchestrator]
async fn waits(ctx: OrchestrationContext, _: ()) -> Result<()> {
    ctx.set_custom_status("waiting");
    ctx.wait_for(GO).await
}

#[orchestrator]
async fn calls(ctx: OrchestrationContext, children: u32) -> Result<()> {
    try_join_all((0..children).map(|n| ctx.call(works, n.to_string()))).await?;
    Ok(())
}

async fn ids(query: QueryInstances) -> Result<Vec<String>> {
    query.stream().map_ok(|i| i.id.to_string()).try_collect().await
}

fn flush(hub: &TaskHub) {
    tokio::task::block_in_place(|| hub.engine().flush());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_condition_counts() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((works, waits, calls)).start()?;
    let client = hub.client();
    for (id, text, tenant) in [("a-1", "x", "blue"), ("a-2", "bad", "blue"), ("b-1", "x", "red")] {
        let start = client.start(works, text.to_owned()).instance_id(id).tag("tenant", tenant).tag("n", id);
        start.await?.wait().await?;
    }
    let middle = client.now().await?;
    let waiting = client.start(waits, ()).instance_id("b-2").await?;
    until_custom_status(&waiting, "waiting").await;
    client.start(calls, 3).instance_id("parent").await?.output().await?;
    let children: BTreeSet<String> = ids(client.query().parent("parent")).await?.into_iter().collect();
    assert_eq!(children.len(), 3);
    for flushed in [false, true] {
        if flushed {
            flush(&hub);
        }
        let all = client.query();
        assert_eq!(all.count().await?, 8);
        assert_eq!(ids(all.clone().created_to(middle)).await?, ["b-1", "a-2", "a-1"]);
        assert_eq!(ids(all.clone().created_from(middle).name("waits")).await?, ["b-2"]);
        assert_eq!(ids(all.clone().status(RuntimeStatus::Failed)).await?, ["a-2"]);
        let two = all.clone().status(RuntimeStatus::Failed).status(RuntimeStatus::Running);
        assert_eq!(ids(two).await?, ["b-2", "a-2"]);
        assert_eq!(ids(all.clone().id_prefix("a-")).await?, ["a-1", "a-2"]);
        assert_eq!(ids(all.clone().tag("tenant", "blue")).await?, ["a-2", "a-1"]);
        assert_eq!(ids(all.clone().tag("tenant", "blue").tag("n", "a-1")).await?, ["a-1"]);
        assert_eq!(ids(all.clone().completed_to(middle)).await?, ["b-1", "a-2", "a-1"]);
        assert_eq!(ids(all.clone().completed_from(middle)).await?.len(), 4, "all that came later but b-2");
        assert_eq!(ids(all.clone().name("Works")).await?, [""; 0], "names are exact");
        let again: BTreeSet<String> = ids(all.parent("parent")).await?.into_iter().collect();
        assert_eq!(again, children);
    }
    waiting.raise(GO, ()).await?;
    waiting.output().await?;
    assert_eq!(client.query().status(RuntimeStatus::Running).count().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_and_one_instances_come_in_pages() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register(works).start()?;
    let client = hub.client();
    let starts = (0..1001).map(|n| {
        let start = client.start(works, n.to_string()).instance_id(format!("i-{n:04}"));
        async move { start.await?.output().await }
    });
    futures::future::try_join_all(starts).await?;
    let expected: BTreeSet<String> = (0..1001).map(|n| format!("i-{n:04}")).collect();
    for flushed in [false, true] {
        if flushed {
            flush(&hub);
        }
        let pages: Vec<_> = client.query().pages().try_collect().await?;
        let sizes: Vec<_> = pages.iter().map(|p| p.instances.len()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 1001);
        assert!(sizes.iter().all(|size| *size <= 100));
        let found: Vec<String> = pages.iter().flat_map(|p| &p.instances).map(|i| i.id.to_string()).collect();
        assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), expected);
        let by_id = ids(client.query().id_prefix("i-").page_size(1000)).await?;
        assert_eq!(by_id, expected.iter().cloned().collect::<Vec<_>>());
        assert_eq!(client.query().count().await?, 1001);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_come_along_or_stay_behind() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((works, waits)).start()?;
    let client = hub.client();
    client.start(works, "abc".to_owned()).instance_id("over").await?.output().await?;
    let waiting = client.start(waits, ()).instance_id("waiting").await?;
    until_custom_status(&waiting, "waiting").await;
    let with = client.query().page(None).await?.instances;
    let without = client.query().with_payloads(false).page(None).await?.instances;
    let payloads = |i: &strandline::InstanceStatus| {
        (i.input().map(str::to_owned), i.output().map(str::to_owned), i.custom_status.is_some())
    };
    assert_eq!(payloads(&with[0]), (Some("null".into()), None, true));
    assert_eq!(payloads(&with[1]), (Some("\"abc\"".into()), Some("\"ABC\"".into()), false));
    for (with, without) in with.iter().zip(&without) {
        assert_eq!(payloads(without), (None, None, false));
        assert_eq!(
            (without.name(), without.status, without.created),
            (with.name(), with.status, with.created)
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_statuses_are_read_in_one_call() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register(works).start()?;
    let client = hub.client();
    for n in 0..50 {
        client.start(works, n.to_string()).instance_id(format!("i-{n}")).await?.output().await?;
    }
    let asked: Vec<String> = (0..100).rev().map(|n| format!("i-{n}")).collect();
    let statuses = client.statuses(&asked).await?;
    assert_eq!(statuses.len(), 100);
    for (id, status) in asked.iter().zip(&statuses) {
        let exists = id[2..].parse::<u32>()? < 50;
        assert_eq!(status.as_ref().map(|s| s.id.as_str()), exists.then_some(id.as_str()));
    }
    assert!(client.statuses(["fine", ""]).await.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_sizes_are_checked() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register(works).start()?;
    let client = hub.client();
    for n in 0..3 {
        client.start(works, n.to_string()).await?.output().await?;
    }
    let token = client.query().page_size(1).page(None).await?.continuation_token.unwrap();
    assert_eq!(client.query().page_size(10).page(Some(&token)).await?.instances.len(), 2);
    let other = client.query().name("works").page(Some(&token)).await.unwrap_err();
    assert!(other.is::<InvalidRequest>() && other.message().contains("another query"), "{other:?}");
    let nonsense = client.query().page(Some("00ff")).await.unwrap_err();
    assert!(nonsense.is::<InvalidRequest>() && nonsense.message().contains("token"), "{nonsense:?}");
    assert!(client.query().page_size(0).page(None).await.unwrap_err().is::<InvalidRequest>());
    assert!(ids(client.query().page_size(1001)).await.unwrap_err().is::<InvalidRequest>());
    assert!(client.query().name("x".repeat(300)).count().await.unwrap_err().is::<InvalidRequest>());
    assert!(ids(client.query().parent("")).await.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_do_not_wait_for_busy_code() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    let gate = Gate::closed();
    let blocked = {
        let gate = gate.clone();
        activity_fn("Blocked", move |_ctx, (): ()| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                Ok::<_, Error>(())
            }
        })
    };
    const BLOCKED: Activity<(), ()> = Activity::named("Blocked");
    let runs = orchestrator_fn("Runs", |ctx, (): ()| async move { ctx.call(BLOCKED, ()).await });
    const RUNS: Orchestration<(), ()> = Orchestration::named("Runs");
    hub.worker().register((blocked, runs)).start()?;
    let run = hub.client().start(RUNS, ()).instance_id("busy").await?;
    run.wait_started().await?;
    assert_eq!(ids(hub.client().query().status(RuntimeStatus::Running)).await?, ["busy"]);
    gate.open(1);
    run.output().await?;
    assert_eq!(ids(hub.client().query().status(RuntimeStatus::Completed)).await?, ["busy"]);
    Ok(())
}
