//! Code that decides by something other than its history is caught.

use std::sync::atomic::{AtomicU32, Ordering};

use strandline::prelude::*;

use crate::support::{mentions, panic_of};

const STEP: Activity<u32, u32> = Activity::named("Step");

fn hub(functions: impl strandline::Register) -> TestHub {
    TestHub::new().register(functions).fake(STEP, Ok)
}

#[test]
fn in_the_first_turn() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    #[orchestrator]
    async fn counts(ctx: OrchestrationContext) -> Result<u32> {
        ctx.call(STEP, RUNS.fetch_add(1, Ordering::Relaxed)).await
    }
    let text = panic_of(|| hub(counts).start(counts, ()));
    mentions(&text, &["orchestrator 'counts'", "run-1", "not deterministic", "Some(\"0\")", "Some(\"1\")"]);
}

#[test]
fn in_a_later_turn() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    #[orchestrator]
    async fn wanders(ctx: OrchestrationContext) -> Result<u32> {
        let round = RUNS.fetch_add(1, Ordering::Relaxed);
        ctx.timer(secs(1)).await?;
        if round == 0 { ctx.call(STEP, 1).await } else { Ok(0) }
    }
    let hub = hub(wanders);
    let run = hub.start(wanders, ());
    // Built anew for this turn it takes the other branch.
    let text = panic_of(|| hub.advance(secs(1)));
    mentions(&text, &["not deterministic", "activity 'Step'", "the end, with 0", "Take time, GUIDs"]);
    drop(run);
}

#[test]
fn against_its_own_history() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    #[orchestrator]
    async fn renames(ctx: OrchestrationContext) -> Result<u32> {
        let first = RUNS.fetch_add(1, Ordering::Relaxed) < 2;
        const OTHER: Activity<u32, u32> = Activity::named("Other");
        ctx.timer(secs(1)).await?;
        ctx.call(if first { STEP } else { OTHER }, 1).await?;
        ctx.timer(secs(1)).await?;
        Ok(1)
    }
    let hub = TestHub::new().register(renames).fake(STEP, Ok);
    hub.start(renames, ());
    let text = panic_of(|| hub.advance(secs(1)));
    mentions(&text, &["'Step'", "'Other'"]);
}

#[test]
fn a_custom_status_by_chance() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    #[orchestrator]
    async fn shows(ctx: OrchestrationContext) -> Result<()> {
        ctx.set_custom_status(RUNS.fetch_add(1, Ordering::Relaxed));
        ctx.timer(secs(1)).await
    }
    mentions(&panic_of(|| hub(shows).start(shows, ())), &["custom status"]);
}

#[test]
fn what_the_context_gives_is_the_same_each_time() {
    #[orchestrator]
    async fn sound(ctx: OrchestrationContext) -> Result<String> {
        use strandline::rand_chacha::rand_core::Rng;
        let mut random = ctx.rng();
        let mut text = String::new();
        for _ in 0..3 {
            let n = ctx.call(STEP, random.next_u32()).await?;
            ctx.timer(secs(u64::from(n % 7))).await?;
            text += &format!("{} {} {n};", ctx.new_guid(), ctx.now());
        }
        Ok(text)
    }
    let hub = hub(sound);
    let run = hub.start(sound, ());
    hub.advance(minutes(1));
    assert_eq!(run.output().matches(';').count(), 3);
}

#[test]
fn long_histories_are_replayed_now_and_then_and_at_the_end() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    #[orchestrator]
    async fn long(ctx: OrchestrationContext, n: u32) -> Result<u32> {
        RUNS.fetch_add(1, Ordering::Relaxed);
        for i in 0..n {
            ctx.call(STEP, i).await?;
        }
        Ok(n)
    }
    assert_eq!(hub(long).start(long, 2000).output(), 2000);
    let runs = RUNS.load(Ordering::Relaxed);
    assert!((100..300).contains(&runs), "{runs} runs for 2001 turns");
}
