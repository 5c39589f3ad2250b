//! Suspended orchestrators are kept between turns, within limits, and promises are kept too.

use std::sync::Arc;

use strandline::prelude::*;
use strandline::{ExecutionId, InstanceId};
use strandline_engine::worker::{Turn, TurnRunner, Worker};
use strandline_model::{Empty, EventKind, EventRaised, ExecutionStarted, HistoryEvent, Timestamp};

#[orchestrator]
async fn wait(ctx: OrchestrationContext) -> Result<()> {
    ctx.wait_for(Event::<()>::named("go")).await
}

fn turn(id: &str, seen: usize, past: Option<Vec<Arc<HistoryEvent>>>, event: EventKind) -> Turn {
    let new = [EventKind::OrchestratorStarted(Empty {}), event];
    Turn {
        instance: InstanceId::trusted(id),
        execution: ExecutionId(1),
        name: "wait".into(),
        version: None,
        seen,
        past,
        new: new.map(|kind| Arc::new(HistoryEvent::new(Timestamp::EPOCH, kind))).into(),
        span: None,
    }
}

fn start(runner: &mut dyn TurnRunner, id: &str) {
    let started = ExecutionStarted { name: "wait".into(), ..Default::default() };
    let outcome = runner.run(turn(id, 0, Some(Vec::new()), EventKind::ExecutionStarted(Box::new(started))));
    assert_eq!(outcome.actions, []);
}

fn holds(runner: &dyn TurnRunner, id: &str) -> bool {
    runner.holds(&InstanceId::trusted(id), ExecutionId(1), 3)
}

fn go() -> EventKind {
    EventKind::EventRaised(EventRaised { name: "GO".into(), input: None, undelivered: false })
}

#[test]
fn the_least_recently_used_is_let_go() {
    let worker = Registry::new().register(wait).cache(2, usize::MAX).build().unwrap();
    let mut runner = worker.turn_runner();
    for id in ["a", "b", "c"] {
        start(&mut *runner, id);
    }
    assert!(!holds(&*runner, "a"));
    assert!(holds(&*runner, "b") && holds(&*runner, "c"));
    // Both are promised to the engine now: newcomers go first.
    start(&mut *runner, "d");
    assert!(!holds(&*runner, "d"));
    for id in ["b", "c"] {
        let outcome = runner.run(turn(id, 3, None, go()));
        assert_eq!(outcome.actions.len(), 1, "it went on without its past");
        assert!(!holds(&*runner, id), "it is over");
    }
}

#[test]
fn bytes_are_limited_too() {
    let worker = Registry::new().register(wait).cache(100, 10_000).build().unwrap();
    let mut runner = worker.turn_runner();
    let ids: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    for id in &ids {
        start(&mut *runner, id);
    }
    let held = ids.iter().filter(|id| holds(&*runner, id)).count();
    assert!((1..10).contains(&held), "{held} held");
    assert!(holds(&*runner, "49"), "the newest is");
}

#[test]
fn only_the_exact_state_counts_as_held() {
    let worker = Registry::new().register(wait).build().unwrap();
    let mut runner = worker.turn_runner();
    start(&mut *runner, "a");
    let a = InstanceId::trusted("a");
    assert!(runner.holds(&a, ExecutionId(1), 3));
    assert!(!runner.holds(&a, ExecutionId(1), 4));
    assert!(!runner.holds(&a, ExecutionId(2), 3));
    runner.forget(&a);
    assert!(!runner.holds(&a, ExecutionId(1), 3));
    let outcome = runner.run(turn("a", 3, None, go()));
    assert_eq!(outcome.actions.len(), 1, "a broken promise is a failure, not a panic");
}
