//! Whatever a test expects and does not get is explained.

use strandline::prelude::*;

use crate::support::{mentions, panic_of};

const GO: Event<u32> = Event::named("Go");

#[orchestrator]
async fn waits(ctx: OrchestrationContext) -> Result<u32> {
    ctx.wait_for(GO).await
}

#[orchestrator]
async fn sleeps(ctx: OrchestrationContext) -> Result<()> {
    ctx.timer(hours(3)).await
}

#[orchestrator]
async fn calls(ctx: OrchestrationContext) -> Result<()> {
    const NOBODY: Orchestration<(), ()> = Orchestration::named("Nobody");
    ctx.call(NOBODY.instance_id("child"), ()).await
}

#[test]
fn an_output_that_is_not_there() {
    let hub = TestHub::new().register((waits, sleeps, calls));
    let run = hub.start(waits, ());
    mentions(&panic_of(|| run.output()), &["'run-1'", "Running", "external event", "run.raise"]);
    mentions(&panic_of(|| run.error()), &["did not fail", "external event"]);
    run.suspend("a moment");
    mentions(&panic_of(|| run.output()), &["suspended", "run.resume"]);
    run.resume("");
    run.raise(GO, 7);
    assert_eq!(run.output(), 7);
    mentions(&panic_of(|| run.error()), &["did not fail", "Completed: 7"]);
    mentions(&panic_of(|| run.raise(GO, 8)), &["the instance is over"]);
    mentions(&panic_of(|| hub.instance::<String>("run-1").output()), &["is not a `alloc::string::String`"]);
    let run = hub.start(sleeps, ());
    mentions(&panic_of(|| run.output()), &["a timer that fires in 10800s", "hub.advance"]);
    let run = hub.start(calls, ());
    mentions(&panic_of(|| run.output()), &["sub-orchestration 'child'"]);
    mentions(
        &panic_of(|| hub.instance::<()>("child").output()),
        &["Pending", "nobody serves orchestrator 'Nobody'"],
    );
    mentions(&panic_of(|| hub.instance::<()>("x")), &["no instance 'x'"]);
}

#[test]
fn a_start_that_can_not_be() {
    let hub = TestHub::new().register(waits);
    mentions(&panic_of(|| hub.start(sleeps, ())), &["'sleeps' is not registered", ".register(..)"]);
    hub.start(waits.instance_id("a"), ());
    mentions(&panic_of(|| hub.start(waits.instance_id("a"), ())), &["'a'", "exists already"]);
    // The unversioned one serves all versions where it is alone.
    hub.start(waits.version("2"), ());
    mentions(&panic_of(|| hub.register(sleeps)), &["before the first start"]);
}

#[test]
fn functions_that_lack_something() {
    #[activity]
    async fn needy(_n: State<u8>) -> Result<()> {
        Ok(())
    }
    let hub = TestHub::new().register((waits, needy));
    mentions(&panic_of(|| hub.start(waits, ())), &["needs state `u8`", ".state(..)"]);
}

#[test]
fn an_orchestration_without_rest() {
    #[orchestrator]
    async fn restless(ctx: OrchestrationContext, n: u64) -> Result<()> {
        ctx.continue_as_new(n + 1)
    }
    let hub = TestHub::new().register(restless);
    mentions(&panic_of(|| hub.start(restless, 0)), &["does not come to rest", "continues as new"]);
}
