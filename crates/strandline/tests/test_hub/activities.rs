//! Real activities, fakes, failures, and activities that take their time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use strandline::RuntimeStatus;
use strandline::prelude::*;

use crate::support::{mentions, panic_of};

struct Till(AtomicU32);

#[activity]
async fn charge(till: State<Arc<Till>>, ctx: ActivityContext, sum: u32) -> Result<String> {
    tokio::time::sleep(millis(1)).await;
    let total = till.0.fetch_add(sum, Ordering::Relaxed) + sum;
    Ok(format!("{total} by {}", ctx.idempotency_key()))
}

#[orchestrator]
async fn pay(ctx: OrchestrationContext, sum: u32) -> Result<String> {
    ctx.call(charge, sum).await
}

#[test]
fn real_code_has_its_state_its_context_and_a_runtime() {
    let till = Arc::new(Till(AtomicU32::new(0)));
    let hub = TestHub::new().register((pay, charge)).state(till.clone());
    assert_eq!(hub.start(pay, 3).output(), "3 by run-1:00000000000000000000000000000001:0");
    mentions(&hub.start(pay, 4).output(), &["7 by run-2:"]);
    assert_eq!(till.0.load(Ordering::Relaxed), 7);
}

#[tokio::test]
async fn a_test_on_a_runtime_may_have_a_hub_too() {
    let hub = TestHub::new().register((pay, charge)).state(Arc::new(Till(AtomicU32::new(0))));
    mentions(&hub.start(pay, 3).output(), &["3 by"]);
}

#[test]
fn fakes_stand_in_for_registered_code_and_for_none() {
    // State is needed only by what is registered.
    let hub = TestHub::new().register(pay).fake(charge, |sum| Ok(format!("faked {sum}")));
    assert_eq!(hub.start(pay, 3).output(), "faked 3");

    let till = Arc::new(Till(AtomicU32::new(0)));
    let hub = TestHub::new().register((pay, charge)).state(till.clone()).fake(charge, |sum| {
        ensure!(sum < 100, "{sum} is too much");
        Ok(String::new())
    });
    assert_eq!(hub.start(pay, 100).error().message(), "100 is too much");
    assert_eq!(till.0.load(Ordering::Relaxed), 0);
}

#[test]
fn failures_come_first_and_in_order() {
    let hub = TestHub::new()
        .register(pay)
        .fake(charge, |_| Ok("at last".to_owned()))
        .fail(charge, 1, Error::msg("first"))
        .fail(charge, 2, Error::msg("then"));
    let ends = [(); 4].map(|()| {
        let run = hub.start(pay, 1);
        if run.status() == RuntimeStatus::Failed { run.error().message().to_owned() } else { run.output() }
    });
    assert_eq!(ends, ["first", "then", "then", "at last"]);
}

#[test]
fn a_panic_in_an_activity_fails_it_and_one_in_a_fake_fails_the_test() {
    #[activity]
    async fn explode() -> Result<()> {
        panic!("boom")
    }
    #[orchestrator]
    async fn touch(ctx: OrchestrationContext) -> Result<()> {
        ctx.call(explode, ()).await
    }
    let hub = TestHub::new().register((touch, explode));
    assert_eq!(hub.start(touch, ()).error().error_type(), "panic");
    let hub = TestHub::new().register(touch).fake(explode, |()| panic!("an assertion of the test"));
    assert_eq!(panic_of(|| hub.start(touch, ())), "an assertion of the test");
}

#[orchestrator]
async fn impatient(ctx: OrchestrationContext) -> Result<String> {
    match ctx.timeout(hours(2), ctx.call(charge, 1)).await {
        Err(error) if error.is::<TimeoutError>() => Ok("too slow".to_owned()),
        other => other,
    }
}

#[test]
fn activities_take_virtual_time_on_request() {
    for (duration, expected) in [(hours(1), "done"), (hours(3), "too slow")] {
        let hub = TestHub::new()
            .register(impatient)
            .fake(charge, |_| Ok("done".to_owned()))
            .takes(charge, duration);
        let run = hub.start(impatient, ());
        assert_eq!(run.status(), RuntimeStatus::Running);
        mentions(&panic_of(|| run.output()), &["takes its time", "hub.advance"]);
        hub.advance(days(1));
        assert_eq!(run.output(), expected);
    }
}

#[test]
fn the_timeout_of_a_call_counts() {
    #[orchestrator]
    async fn limited(ctx: OrchestrationContext) -> Result<String> {
        ctx.call(charge.timeout(minutes(5)), 1).await
    }
    let hub =
        TestHub::new().register(limited).fake(charge, |_| Ok("done".to_owned())).takes(charge, hours(1));
    let run = hub.start(limited, ());
    hub.advance(minutes(5));
    assert!(run.error().is::<TimeoutError>());
}

#[test]
fn an_activity_nobody_serves_waits_until_somebody_does() {
    let hub = TestHub::new().register(pay);
    let run = hub.start(pay, 1);
    mentions(&panic_of(|| run.output()), &["activity 'charge'", "nobody serves", ".fake(..)"]);
    let _hub = hub.fake(charge, |_| Ok("late".to_owned()));
    assert_eq!(run.output(), "late");
}
