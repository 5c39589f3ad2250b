//! Histories in files guard running instances.

use std::path::Path;

use strandline::prelude::*;

use crate::support::{mentions, panic_of};

const SCORE: Activity<u32, f64> = Activity::named("ScoreOrder");
const APPROVAL: Event<bool> = Event::named("Approval");

#[orchestrator]
async fn purchase(ctx: OrchestrationContext, total: u32) -> Result<u32> {
    if ctx.call(SCORE, total).await? > 0.8 {
        ctx.set_custom_status("waiting for approval");
        select! {
            granted = ctx.wait_for(APPROVAL) => ensure!(granted?, "rejected"),
            _ = ctx.timer(hours(72)) => bail!("nobody answered"),
        }
    }
    Ok(total)
}

#[test]
fn a_history_in_the_repository() {
    let hub = TestHub::new().register(purchase).fake(SCORE, |_| Ok(0.9));
    let run = hub.start(purchase.instance_id("order-17"), 100);
    hub.advance(hours(72));
    run.assert_golden("tests/test_hub/purchase_expires.history");
    run.history().replay(&Registry::new().register(purchase).build().unwrap()).unwrap();
}

#[test]
fn a_difference_is_shown_with_what_it_means() {
    if std::env::var_os("STRANDLINE_GOLDEN").is_some() {
        return; // Nothing is compared then.
    }
    let dir = tempfile::tempdir().unwrap();
    let golden = dir.path().join("a.history");
    let run = |change: &'static str| {
        let code = orchestrator_fn("Purchase", move |ctx: OrchestrationContext, total: u32| async move {
            if change == "scored" {
                ctx.call(SCORE, total).await?;
            }
            ctx.timer(hours(if change == "longer" { 2 } else { 1 })).await
        });
        let hub = TestHub::new().register(code).fake(SCORE, |_| Ok(0.9));
        let run = hub.start(Orchestration::<u32, ()>::named("Purchase"), 5);
        hub.advance(hours(3));
        run
    };
    let text = panic_of(|| run("").assert_golden(&golden));
    mentions(&text, &["there is no golden history", "STRANDLINE_GOLDEN=write cargo test"]);
    std::fs::write(&golden, run("").history().to_string()).unwrap();
    run("").assert_golden(&golden);

    let text = panic_of(|| run("longer").assert_golden(&golden));
    mentions(&text, &["a.history", "line 4", "+1:00:00", "+2:00:00", "go on with the code as it is now"]);
    let text = panic_of(|| run("scored").assert_golden(&golden));
    mentions(&text, &["TimerCreated", "TaskScheduled", "would FAIL", "expected (recorded): timer"]);
}

#[test]
fn paths_begin_at_the_package() {
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/test_hub/purchase_expires.history").exists());
}
