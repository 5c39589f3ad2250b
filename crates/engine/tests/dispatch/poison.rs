//! Work that costs workers their lives is not handed out for ever.

use strandline_engine::dispatch::{DispatchConfig, Order, Poison, Token};

use crate::SECOND;
use crate::bench::{Bench, activity, offer, takes_all};

fn three_at_most() -> Bench {
    Bench::new(DispatchConfig { deliveries_max: 3, ..DispatchConfig::default() })
}

/// A worker comes for the activity that waits, and dies of it.
fn die(bench: &mut Bench, bytes: usize) -> Vec<Order> {
    let worker = bench.connect(takes_all());
    let (_, _, token) = bench.sends().remove(0);
    bench.sent(token, bytes);
    bench.disconnect(worker);
    bench.orders()
}

fn reason(orders: &[Order]) -> Option<&Poison> {
    match orders {
        [] => None,
        [Order::Fail { reason, .. }] => Some(reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_loses_its_workers_fails() {
    let mut bench = three_at_most();
    bench.offer(activity("i", 1, "greet", None, None));
    assert_eq!(reason(&die(&mut bench, 10)), None);
    assert_eq!(reason(&die(&mut bench, 10)), None);
    assert_eq!(reason(&die(&mut bench, 10)), Some(&Poison::LosesWorkers { deliveries: 3 }));
    bench.connect(takes_all());
    assert!(bench.orders().is_empty(), "it is over");
    assert_eq!(bench.dispatcher.redelivered().worker_lost, 2, "what fails is not handed out again");
}

#[test]
fn a_wrong_answer_counts_once() {
    let mut bench = three_at_most();
    let item = activity("i", 1, "greet", None, None);
    let key = item.key();
    bench.offer(item);
    bench.connect(takes_all());
    let (_, _, token) = bench.sends().remove(0);
    assert!(bench.reject(token));
    bench.pass(60 * SECOND);
    let (_, _, token) = bench.sends().remove(0);
    assert!(bench.abandon(token));
    let tries = bench.dispatcher.tries(&key);
    assert_eq!((tries.lost, tries.refused, tries.problem.as_deref()), (1, 1, Some("nonsense")));
}

#[test]
fn what_is_too_large_for_workers_fails_with_that_reason() {
    let mut bench = Bench::default();
    bench.offer(activity("i", 1, "greet", None, None));
    let bytes = 5 << 20;
    assert_eq!(reason(&die(&mut bench, bytes)), None);
    assert_eq!(reason(&die(&mut bench, bytes)), None);
    assert_eq!(reason(&die(&mut bench, bytes)), Some(&Poison::TooLarge { bytes }));
}

#[test]
fn an_expired_lease_counts_as_a_lost_worker() {
    let mut bench = three_at_most();
    bench.connect(takes_all());
    for delivery in 1..=3 {
        bench.offer(offer("i", "a", None));
        bench.send_turn("i", delivery);
        bench.pass(300 * SECOND);
        let orders = bench.orders();
        match &orders[..] {
            [Order::GiveBack { claimed, .. }] => assert!(*claimed == delivery && delivery < 3),
            [Order::Fail { lease, .. }] => assert_eq!((lease.claimed, delivery), (Some(3), 3)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn giving_back_and_waiting_do_not_count_and_success_forgets() {
    let mut bench = three_at_most();
    bench.offer(activity("i", 1, "greet", None, None));
    die(&mut bench, 10);
    die(&mut bench, 10);
    let worker = bench.connect(takes_all());
    for _ in 0..20 {
        let (_, _, token) = bench.sends().remove(0);
        bench.abandon(token);
        bench.pass(60 * SECOND);
    }
    let (_, _, token) = bench.sends().remove(0);
    bench.finish(token);
    bench.disconnect(worker);
    bench.offer(activity("i", 1, "greet", None, None));
    assert_eq!(reason(&die(&mut bench, 10)), None, "it counts from the beginning");
}

#[test]
fn a_claim_that_was_never_sent_does_not_count() {
    let mut bench = three_at_most();
    for claimed in 1..=9 {
        let worker = bench.connect(takes_all());
        bench.offer(offer("i", "a", None));
        assert_eq!(bench.claims(), ["i"]);
        bench.disconnect(worker);
        bench.claimed_turn("i", claimed);
        assert!(matches!(bench.orders()[..], [Order::GiveBack { .. }]));
    }
}

#[test]
fn answers_that_cannot_be_fail_in_the_end() {
    let mut bench = three_at_most();
    bench.connect(takes_all());
    bench.offer(activity("i", 1, "greet", None, None));
    for _ in 0..2 {
        let (_, _, token) = bench.sends().remove(0);
        assert!(bench.reject(token));
        assert!(bench.orders().is_empty(), "after a while");
        bench.pass(60 * SECOND);
    }
    let (_, _, token) = bench.sends().remove(0);
    assert!(bench.reject(token));
    let problem = "nonsense".to_owned();
    assert_eq!(reason(&bench.orders()), Some(&Poison::BadAnswers { problem }));
    assert!(!bench.reject(Token(0)));
}
