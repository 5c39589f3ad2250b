//! Replay of what a real hub did against the code as it is now.

use strandline::testing::History;
use strandline::{RustWorker, prelude::*};

use crate::support::mentions;

const STEP: Activity<u32, u32> = Activity::named("Step");
const GO: Event<u32> = Event::named("Go");

/// The same orchestrator as different versions of a program have it.
fn program(change: &'static str) -> RustWorker {
    let code = orchestrator_fn("Work", move |ctx: OrchestrationContext, n: u32| async move {
        let n = ctx.call(STEP, n + u32::from(change == "input")).await?;
        if change == "inserted" {
            ctx.call(STEP, n).await?;
        }
        match change {
            "swapped" => drop(ctx.wait_for(GO).await?),
            "early" => return Ok::<_, Error>(n),
            _ => ctx.timer(millis(u64::from(change == "due"))).await?,
        }
        let other = if change == "event" { Event::named("Other") } else { GO };
        Ok(n + ctx.wait_for(other).await?)
    });
    Registry::new()
        .register((code, activity_fn("Step", |_, n: u32| async move { Ok::<_, Error>(n + 1) })))
        .build()
        .unwrap()
}

#[tokio::test]
async fn what_a_real_hub_did_against_changed_code() {
    let dir = tempfile::tempdir().unwrap();
    let hub = TaskHub::open(dir.path()).await.unwrap();
    let step = activity_fn("Step", |_, n: u32| async move { Ok::<_, Error>(n + 1) });
    let work = orchestrator_fn("Work", |ctx: OrchestrationContext, n: u32| async move {
        let n = ctx.call(STEP, n).await?;
        ctx.timer(millis(0)).await?;
        Ok::<_, Error>(n + ctx.wait_for(GO).await?)
    });
    hub.worker().register((step, work)).start().unwrap();
    const WORK: Orchestration<u32, u32> = Orchestration::named("Work");
    let run = hub.client().start(WORK, 1).await.unwrap();
    run.raise(GO, 5).await.unwrap();
    assert_eq!(run.output().await.unwrap(), 7);
    let exported = History::from(run.history().await.unwrap()).to_string();
    hub.close().await.unwrap();

    let history: History = exported.parse().unwrap();
    for same in ["", "input", "due"] {
        history.replay(&program(same)).unwrap();
    }
    for (change, parts) in [
        ("inserted", &["timer", "activity 'Step'", "different"][..]),
        ("swapped", &["timer", "nothing", "missing"]),
        ("early", &["timer", "nothing", "missing"]),
        ("event", &["the end is missing"]),
    ] {
        let error = history.replay(&program(change)).unwrap_err();
        assert_eq!(error.error_type(), "NonDeterminismError", "{change}: {error}");
        mentions(error.message(), parts);
        mentions(error.message(), &["history index", ".version()"]);
    }
    let nobody = Registry::new().build().unwrap();
    mentions(history.replay(&nobody).unwrap_err().message(), &["is not registered"]);
}
