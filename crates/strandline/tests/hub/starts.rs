//! Starts of one id at the same time.

use strandline::prelude::*;
use strandline::{EventKind, ReusePolicy};

use crate::support::count;

const GO: Event<()> = Event::named("Go");

#[orchestrator]
async fn waits(ctx: OrchestrationContext, n: u32) -> Result<u32> {
    ctx.wait_for(GO).await?;
    Ok(n)
}

/// Of fifty starts of one id at the same time one wins, whatever is to happen to what is there.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_fifty_starts_wins() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register(waits).start()?;
    let client = hub.client();
    for policy in [ReusePolicy::refuse(), ReusePolicy::replace_terminal()] {
        let id = format!("{policy:?}");
        let starts = (0..50).map(|n| {
            let (client, id, policy) = (client.clone(), id.clone(), policy.clone());
            tokio::spawn(async move { client.start(waits, n).instance_id(id).reuse(policy).await.is_ok() })
        });
        let mut won = Vec::new();
        for (n, start) in starts.collect::<Vec<_>>().into_iter().enumerate() {
            if start.await? {
                won.push(n as u32);
            }
        }
        assert_eq!(won.len(), 1, "{policy:?}");
        let run = client.instance::<u32>(&id)?;
        run.raise(GO, ()).await?;
        assert_eq!(run.output().await?, won[0]);
    }
    // Each replaces the one before, and the last one is there.
    let starts = (0..50).map(|n| {
        let client = client.clone();
        let policy = ReusePolicy::replace_any();
        tokio::spawn(async move { client.start(waits, n).instance_id("any").reuse(policy).await.map(drop) })
    });
    for start in starts.collect::<Vec<_>>() {
        start.await??;
    }
    let run = client.instance::<u32>("any")?;
    run.raise(GO, ()).await?;
    run.output().await?;
    let history = run.history().await?;
    assert_eq!(count(&history, |e| matches!(e, EventKind::ExecutionStarted(_))), 1);
    hub.close().await
}
