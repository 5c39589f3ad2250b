//! Fan-out and fan-in, races.

use std::time::{Duration, Instant};

use futures::future::{join_all, select, try_join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use strandline_model::{EventKind, FailureDetails, Origin};
use strandline_replay::ContextHandle;

use crate::driver::*;

fn join(width: usize) -> Program {
    program(move |ctx| async move {
        let tasks = (0..width).map(|i| activity(&ctx, &format!("a{i}")));
        let results: Vec<String> = join_all(tasks).await.into_iter().map(text).collect();
        Ok(results.join(","))
    })
}

/// A permutation without randomness: steps of a number coprime to the width.
fn shuffled(width: usize, step: usize) -> Vec<i32> {
    (0..width).map(|i| (i * step % width) as i32).collect()
}

#[test]
fn a_join_completes_in_any_order_of_completion() {
    // Above 30 futures `join_all` polls only those that were woken.
    for width in [1, 2, 30, 31, 64] {
        let forward: Vec<i32> = (0..width as i32).collect();
        let reverse: Vec<i32> = forward.iter().rev().copied().collect();
        for order in [forward, reverse, shuffled(width, 37)] {
            let mut hub = Hub::started(join(width));
            for id in order {
                hub.complete(id, &id.to_string());
            }
            let expected: Vec<String> = (0..width).map(|i| i.to_string()).collect();
            assert_eq!(hub.result(), expected.join(","), "width {width}");
        }
    }
}

#[test]
fn ten_thousand_tasks_join_in_linear_time() {
    let mut hub = Hub::new(join(10_000));
    hub.double = false;
    hub.start();
    let events: Vec<EventKind> = (0..10_000).rev().map(|id| hub.done(id, "x")).collect();
    let begun = Instant::now();
    hub.turn(events);
    println!("10,000-wide join, completions in reverse: {:?}", begun.elapsed());
    assert_eq!(hub.result().len(), 10_000 * 2 - 1);
    assert!(begun.elapsed() < Duration::from_secs(10), "far from quadratic, on any machine");
}

#[test]
fn ten_thousand_tasks_join_over_as_many_turns() {
    let mut hub = Hub::new(join(10_000));
    hub.double = false;
    hub.start();
    for id in shuffled(10_000, 7919) {
        hub.complete(id, "x");
    }
    assert_eq!(hub.result().len(), 10_000 * 2 - 1);
}

#[test]
fn unordered_streams_yield_in_history_order() {
    let code = program(|ctx: ContextHandle| async move {
        let mut tasks: FuturesUnordered<_> = (0..40).map(|i| activity(&ctx, &format!("a{i}"))).collect();
        let mut seen = String::new();
        while let Some(result) = tasks.next().await {
            seen += &text(result);
            seen.push(' ');
        }
        Ok(seen)
    });
    let mut hub = Hub::started(code);
    let order = shuffled(40, 17);
    for id in &order {
        hub.complete(*id, &id.to_string());
    }
    let expected: String = order.iter().map(|id| format!("{id} ")).collect();
    assert_eq!(hub.result(), expected);
}

#[test]
fn a_try_join_fails_at_the_first_failure() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        try_join_all((0..25).map(|i| activity(&ctx, &format!("a{i}")))).await.map(|_| "all".into())
    }));
    hub.complete(3, "x");
    let outcome = hub.fail(20, "no");
    assert_eq!(hub.failure(), &FailureDetails::new("E", "no"));
    match &outcome.actions[..] {
        [end] => match &end.kind {
            strandline_model::ActionKind::Complete(strandline_model::Completion::Failed {
                origin, ..
            }) => {
                assert_eq!(*origin, Origin::Task(20), "the failure says which task it came from");
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn race() -> Program {
    program(|ctx: ContextHandle| async move {
        let (a, b) = (activity(&ctx, "a"), activity(&ctx, "b"));
        let winner = match select(a, b).await {
            futures::future::Either::Left((result, _)) => format!("a={}", text(result)),
            futures::future::Either::Right((result, _)) => format!("b={}", text(result)),
        };
        Ok(winner)
    })
}

#[test]
fn the_history_decides_a_race() {
    let mut hub = Hub::started(race());
    hub.complete(0, "1");
    assert_eq!(hub.result(), "a=1");

    let mut hub = Hub::started(race());
    hub.complete(1, "2");
    assert_eq!(hub.result(), "b=2");

    // Both in one turn: still one after the other.
    let mut hub = Hub::started(race());
    let both = vec![hub.done(1, "2"), hub.done(0, "1")];
    hub.turn(both);
    assert_eq!(hub.result(), "b=2");
}

#[test]
fn of_two_done_before_the_first_written_wins_every_time() {
    let code = program(|ctx: ContextHandle| async move {
        let (mut a, mut b) = (activity(&ctx, "a"), activity(&ctx, "b"));
        activity(&ctx, "c").await?;
        let mut a = futures::FutureExt::fuse(&mut a);
        let mut b = futures::FutureExt::fuse(&mut b);
        futures::select_biased! {
            result = b => Ok(format!("b={}", text(result))),
            result = a => Ok(format!("a={}", text(result))),
        }
    });
    for _ in 0..20 {
        let mut hub = Hub::started(code.clone());
        hub.complete(0, "1");
        hub.complete(1, "2");
        hub.complete(2, "3");
        assert_eq!(hub.result(), "b=2");
    }
}
