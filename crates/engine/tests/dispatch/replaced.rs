//! Instances that end from outside, or are replaced, while their work waits or is out.

use strandline_engine::dispatch::{Kind, Order, Returned};

use crate::SECOND;
use crate::bench::{Bench, activity, filters, line, offer, takes_all};

#[test]
fn what_waits_of_a_killed_execution_is_dropped() {
    let mut bench = Bench::default();
    let worker = bench.connect(takes_all());
    bench.offer(activity("i", 1, "greet", None, None));
    let (_, _, token) = bench.sends().remove(0);
    bench.abandon(token);
    bench.disconnect(worker);
    bench.offer(activity("i", 2, "greet", None, None));
    bench.offer(activity("j", 1, "greet", None, None));
    bench.killed("i", 2);
    bench.killed("i", 1);
    bench.connect(takes_all());
    assert_eq!(bench.sends().len(), 1, "that of the other instance");
    assert_eq!(bench.dispatcher.next_due(), None);
}

#[test]
fn a_killed_turn_frees_its_slot_and_comes_back_for_nothing() {
    let mut bench = Bench::default();
    let worker = bench.connect(takes_all());
    bench.offer(offer("i", "a", None));
    let token = bench.send_turn("i", 7);
    bench.killed("i", 1);
    assert_eq!(bench.in_flight(worker), [0; 3]);
    assert!(matches!(bench.finish(token), Returned::Unknown));
}

#[test]
fn a_turn_that_is_offered_before_the_old_one_is_killed_is_not_lost() {
    let mut bench = Bench::default();
    bench.connect(takes_all());
    bench.offer(offer("i", "a", None));
    let old = bench.send_turn("i", 7);
    // Ended and begun anew: the news of the end leaves later, when it is durable.
    bench.offer(offer("i", "a", None));
    assert!(bench.orders().is_empty(), "one at a time");
    bench.killed("i", 1);
    bench.orders();
    bench.pass(SECOND);
    let new = bench.send_turn("i", 8);
    assert!(matches!(bench.finish(old), Returned::Unknown));
    assert!(matches!(bench.finish(new), Returned::Leased(lease) if lease.claimed == Some(8)));
}

#[test]
fn nor_is_it_when_the_old_one_comes_back_first() {
    let mut bench = Bench::default();
    bench.connect(takes_all());
    bench.offer(offer("i", "a", None));
    let old = bench.send_turn("i", 7);
    bench.offer(offer("i", "a", None));
    assert!(matches!(bench.finish(old), Returned::Leased(_)));
    bench.pass(SECOND);
    assert_eq!(bench.claims(), ["i"]);
}

#[test]
fn news_of_an_older_end_leaves_the_turn_of_the_newer_execution_alone() {
    let mut bench = Bench::default();
    let worker = bench.connect(takes_all());
    bench.offer(offer("i", "a", None));
    assert_eq!(bench.claims(), ["i"]);
    bench.killed("i", 1);
    assert_eq!(bench.claimed_turn_of("i", 2, 7), Some(worker));
    bench.killed("i", 1);
    assert_eq!(bench.in_flight(worker), [1, 0, 0]);
}

#[test]
fn one_that_goes_by_another_name_now_waits_for_others() {
    let mut bench = Bench::default();
    bench.offer(offer("i", "a", None));
    bench.offer(offer("i", "b", Some("2")));
    bench.connect(filters(&[("a", &[])], &[]));
    assert!(bench.orders().is_empty());
    assert!(!bench.dispatcher.waiting().any(|(waiting, _)| *waiting == line(Kind::Orchestration, "a")));
    bench.connect(filters(&[("b", &[])], &[]));
    let orders = bench.orders();
    assert!(matches!(&orders[..], [Order::Claim { offer, .. }] if offer.name == "b"), "{orders:?}");
}

#[test]
fn what_is_delayed_and_offered_again_goes_out_once() {
    let mut bench = Bench::default();
    bench.connect(takes_all());
    bench.offer(offer("i", "a", None));
    let token = bench.send_turn("i", 7);
    bench.abandon(token);
    bench.orders();
    bench.offer(offer("i", "a", None));
    bench.now = bench.now.saturating_add(SECOND);
    // Its time has come, but the dispatcher did not look yet.
    bench.offer(offer("i", "a", None));
    assert_eq!(bench.claims(), ["i"]);
    bench.pass(SECOND);
    assert!(bench.orders().is_empty());
}
