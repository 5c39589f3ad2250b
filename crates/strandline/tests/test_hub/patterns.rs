//! The patterns of durable functions, each in virtual time.

use std::cell::Cell;
use std::rc::Rc;

use strandline::RuntimeStatus;
use strandline::prelude::*;

use crate::support::names;

#[activity]
async fn add_one(n: u64) -> Result<u64> {
    Ok(n + 1)
}

#[orchestrator]
async fn chain(ctx: OrchestrationContext, n: u64) -> Result<u64> {
    let n = ctx.call(add_one, n).await?;
    let n = ctx.call(add_one, n).await?;
    ctx.call(add_one, n).await
}

#[test]
fn chaining() {
    let hub = TestHub::new().register((chain, add_one));
    let run = hub.start(chain, 1);
    assert_eq!(run.output(), 4);
    assert_eq!(run.status(), RuntimeStatus::Completed);
    assert_eq!(run.id(), "run-1");
    assert_eq!(hub.start(chain, 10).id(), "run-2");
}

#[orchestrator]
async fn fan_out(ctx: OrchestrationContext, n: u64) -> Result<u64> {
    let numbers = try_join_all((0..n).map(|i| ctx.call(add_one, i))).await?;
    Ok(numbers.into_iter().sum())
}

#[test]
fn fanning_out_and_in() {
    let hub = TestHub::new().register((fan_out, add_one));
    assert_eq!(hub.start(fan_out, 0).output(), 0);
    assert_eq!(hub.start(fan_out, 500).output(), 500 * 501 / 2);
}

const ANSWER: Event<String> = Event::named("Answer");

#[orchestrator]
async fn race(ctx: OrchestrationContext) -> Result<String> {
    ctx.set_custom_status("waiting");
    let answer = select! {
        answer = ctx.wait_for(ANSWER) => answer?,
        _ = ctx.timer(hours(72)) => format!("nobody answered until {}", ctx.now().format(0)),
    };
    ctx.set_custom_status(None::<String>);
    Ok(answer)
}

#[test]
fn a_race_of_event_and_timer() {
    let hub = TestHub::new().at("2026-03-01T12:00:00Z".parse().unwrap()).register(race);
    let (answered, silent) = (hub.start(race, ()), hub.start(race, ()));
    assert_eq!(answered.custom_status::<String>().as_deref(), Some("waiting"));
    hub.advance(hours(71));
    answered.raise(ANSWER, "yes".to_owned());
    assert_eq!(answered.output(), "yes");
    assert_eq!(answered.custom_status::<Option<String>>(), Some(None));
    assert_eq!(silent.status(), RuntimeStatus::Running);
    hub.advance(hours(1));
    assert_eq!(silent.output(), "nobody answered until 2026-03-04T12:00:00Z");
    assert_eq!(hub.now().format(0), "2026-03-04T12:00:00Z");
}

#[orchestrator]
async fn collect(ctx: OrchestrationContext, n: usize) -> Result<Vec<String>> {
    let mut all = Vec::new();
    while all.len() < n {
        all.push(ctx.wait_for(ANSWER).await?);
    }
    Ok(all)
}

#[test]
fn events_wait_for_the_code_and_for_the_end_of_a_suspension() {
    let hub = TestHub::new().register(collect);
    let run = hub.start(collect, 3);
    run.raise(ANSWER, "a".to_owned());
    run.suspend("a moment");
    assert_eq!(run.status(), RuntimeStatus::Suspended);
    run.raise(ANSWER, "b".to_owned());
    run.raise(ANSWER, "c".to_owned());
    assert_eq!(run.status(), RuntimeStatus::Suspended);
    run.resume("go on");
    assert_eq!(run.output(), ["a", "b", "c"]);
}

#[test]
fn termination() {
    let hub = TestHub::new().register(collect);
    let run = hub.start(collect, 3);
    run.terminate("no longer needed");
    assert_eq!(run.status(), RuntimeStatus::Terminated);
    let error = run.error();
    assert_eq!(
        (error.error_type(), error.message()),
        ("Terminated", "instance 'run-1' is Terminated: no longer needed")
    );
}

#[orchestrator]
async fn parent(ctx: OrchestrationContext, n: u64) -> Result<u64> {
    let first = ctx.call(chain.instance_id("first"), n);
    let second = ctx.call(chain, 10 * n);
    let (first, second) = try_join!(first, second)?;
    let waiting = ctx.start(race.instance_id("waiting"), ())?;
    ctx.send_event(waiting, ANSWER, "from the parent".to_owned())?;
    Ok(first + second)
}

#[test]
fn sub_orchestrations() {
    let hub = TestHub::new().register((parent, chain, race, add_one));
    let run = hub.start(parent, 1);
    assert_eq!(run.output(), 4 + 13);
    assert_eq!(hub.instance::<u64>("first").output(), 4);
    assert_eq!(hub.instance::<String>("waiting").output(), "from the parent");
}

#[orchestrator]
async fn stubborn(ctx: OrchestrationContext) -> Result<(u64, String)> {
    let policy = RetryPolicy::exponential(secs(10)).backoff_coefficient(2.0).max_attempts(4);
    let n = ctx.call(add_one.retry(policy), 1).await?;
    Ok((n, ctx.now().format(0)))
}

#[test]
fn retries_wait_in_virtual_time() {
    let begun = "2026-01-01T00:00:00Z".parse().unwrap();
    let busy = || Error::new("Busy", "not now");
    let hub = TestHub::new().at(begun).register((stubborn, add_one)).fail(add_one, 3, busy());
    let run = hub.start(stubborn, ());
    hub.advance(secs(10));
    hub.advance(secs(20));
    assert_eq!(run.status(), RuntimeStatus::Running);
    hub.advance(secs(40));
    assert_eq!(run.output(), (2, "2026-01-01T00:01:10Z".to_owned()));

    let hub = TestHub::new().register((stubborn, add_one)).fail(add_one, 4, busy());
    let run = hub.start(stubborn, ());
    // However long: each timer fires at its own time.
    hub.advance(days(30));
    assert_eq!(run.error().error_type(), "Busy");
    assert_eq!(names(&run).iter().filter(|name| **name == "TimerFired").count(), 3);
}

#[orchestrator]
async fn poll(ctx: OrchestrationContext, round: u32) -> Result<u32> {
    if ctx.call(READY, round).await? {
        return Ok(round);
    }
    ctx.timer(minutes(5)).await?;
    ctx.continue_as_new(round + 1)
}

const READY: Activity<u32, bool> = Activity::named("Ready");

#[test]
fn continuing_as_new() {
    let rounds = Rc::new(Cell::new(0));
    let seen = rounds.clone();
    let hub = TestHub::new().register(poll).fake(READY, move |round| {
        seen.set(seen.get() + 1);
        Ok(round == 20)
    });
    let run = hub.start(poll, 0);
    hub.advance(minutes(50));
    assert_eq!((rounds.get(), run.status()), (11, RuntimeStatus::Running));
    assert!(run.history().events().len() < 12, "a history of its own for each round");
    hub.advance(hours(1));
    assert_eq!((rounds.get(), run.output()), (21, 20));
}

#[orchestrator]
async fn timers(ctx: OrchestrationContext) -> Result<Vec<u64>> {
    let order = Rc::new(std::cell::RefCell::new(Vec::new()));
    let note = |n: u64| {
        let (order, timer) = (order.clone(), ctx.timer(secs(n)));
        async move {
            timer.await?;
            order.borrow_mut().push(n);
            Ok::<_, Error>(())
        }
    };
    try_join_all([30, 10, 20, 10].map(note)).await?;
    Ok(order.take())
}

#[test]
fn timers_fire_in_the_order_in_which_they_are_due() {
    let hub = TestHub::new().register(timers);
    let run = hub.start(timers, ());
    hub.advance(secs(100));
    assert_eq!(run.output(), [10, 10, 20, 30]);
}

#[test]
fn the_same_test_has_the_same_history_twice() {
    let history = || {
        let hub = TestHub::new().register((parent, chain, race, add_one));
        let run = hub.start(parent, 1);
        run.history().to_string() + &hub.instance::<String>("waiting").history().to_string()
    };
    assert_eq!(history(), history());
}
