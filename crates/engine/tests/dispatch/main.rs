//! Which worker elsewhere gets which work: the dispatcher alone, with the clock in the test's hand.

mod bench;
mod parts;
mod places;
mod poison;
mod random;
mod replaced;

use std::time::Duration;

use strandline_engine::dispatch::{Kind, Order, Returned};

use bench::{Bench, activity, filters, line, offer, slots, takes_all};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn filters_take_names_in_versions() {
    let mut bench = Bench::default();
    let worker = bench.connect(filters(&[("a", &["3.0"])], &[("greet", &["3.0"])]));
    bench.offer(offer("unversioned", "a", None));
    bench.offer(offer("other name", "b", Some("3.0")));
    bench.offer(offer("fits", "a", Some("3.0")));
    assert_eq!(bench.claims(), ["fits"]);

    // An activity without a version has that of its orchestration.
    bench.offer(activity("i", 1, "greet", None, Some("3.0")));
    bench.offer(activity("i", 2, "greet", None, None));
    bench.offer(activity("i", 3, "greet", Some("2.0"), Some("3.0")));
    bench.offer(activity("i", 4, "greet", Some("3.0"), None));
    let sent: Vec<_> = bench.sends().into_iter().map(|(to, task, _)| (to, task)).collect();
    assert_eq!(sent, [(worker, 1), (worker, 4)]);
}

#[test]
fn a_worker_without_filters_takes_all() {
    let mut bench = Bench::default();
    bench.offer(offer("i", "a", Some("1")));
    bench.offer(offer("@counter@x", "counter", None));
    bench.offer(activity("i", 1, "greet", None, None));
    assert!(bench.orders().is_empty(), "nobody is there");
    bench.connect(takes_all());
    assert_eq!(bench.orders().len(), 3);
}

#[test]
fn what_nobody_takes_is_in_nobodys_way() {
    let mut bench = Bench::default();
    for n in 0..50 {
        bench.offer(offer(&format!("unserved {n}"), "unserved", None));
    }
    bench.offer(offer("served", "a", None));
    let worker = bench.connect(slots(filters(&[("a", &[])], &[]), 1));
    assert_eq!(bench.claims(), ["served"]);
    assert_eq!(
        bench.dispatcher.waiting().collect::<Vec<_>>(),
        [(&line(Kind::Orchestration, "unserved"), 50)]
    );
    assert!(!bench.dispatcher.serves(&line(Kind::Orchestration, "unserved")));
    bench.disconnect(worker);
}

#[test]
fn who_waits_longest_is_first() {
    let mut bench = Bench::default();
    for (id, name) in [("1", "a"), ("2", "b"), ("3", "a"), ("4", "b")] {
        bench.offer(offer(id, name, None));
    }
    bench.connect(filters(&[("a", &[]), ("b", &[])], &[]));
    assert_eq!(bench.claims(), ["1", "2", "3", "4"]);
}

#[test]
fn slots_are_kept_by_kind_and_filled_again() {
    let mut bench = Bench::default();
    let worker = bench.connect(slots(takes_all(), 2));
    for task in 0..4 {
        bench.offer(activity("i", task, "greet", None, None));
    }
    bench.offer(offer("i", "a", None));
    let orders = bench.orders();
    let sent = orders.iter().filter(|order| matches!(order, Order::Send { .. })).count();
    assert_eq!((sent, orders.len()), (2, 3), "two activities, and a turn all the same");
    let Some(Order::Send { token, .. }) = orders.into_iter().next() else { panic!("an activity is first") };
    assert_eq!(bench.in_flight(worker), [1, 2, 0]);

    assert!(matches!(bench.finish(token), Returned::Leased(_)));
    assert_eq!(bench.sends().len(), 1);
    assert_eq!(bench.in_flight(worker), [1, 2, 0]);
}

#[test]
fn the_emptiest_worker_is_chosen() {
    let mut bench = Bench::default();
    let (small, large) = (bench.connect(slots(takes_all(), 2)), bench.connect(slots(takes_all(), 6)));
    for task in 0..8 {
        bench.offer(activity("i", task, "greet", None, None));
    }
    let to: Vec<_> = bench.sends().into_iter().map(|(to, ..)| to).collect();
    let of = |worker| to.iter().filter(|to| **to == worker).count();
    assert_eq!((of(small), of(large)), (2, 6));
    let first: Vec<_> = to[..4].iter().filter(|to| **to == small).collect();
    assert_eq!(first.len(), 1, "a share of a quarter: {to:?}");
}

#[test]
fn what_a_lost_worker_had_goes_to_others_at_once() {
    let mut bench = Bench::default();
    let first = bench.connect(takes_all());
    bench.offer(activity("i", 1, "greet", None, None));
    bench.offer(offer("i", "a", None));
    let (_, _, old) = bench.sends_and_claims().remove(0);
    let claimed = bench.claimed_turn("i", 7);
    assert_eq!(claimed, Some(first));

    let second = bench.connect(takes_all());
    bench.disconnect(first);
    let orders = bench.orders();
    let again = orders.iter().any(
        |o| matches!(o, Order::Send { connection, token, .. } if *connection == second && *token != old),
    );
    let back = orders.iter().any(|o| matches!(o, Order::GiveBack { claimed: 7, .. }));
    assert!(again && back, "{orders:?}");
    assert!(matches!(bench.finish(old), Returned::Unknown));
}

#[test]
fn a_claim_of_a_lost_worker_goes_back_when_it_is_answered() {
    let mut bench = Bench::default();
    let worker = bench.connect(takes_all());
    bench.offer(offer("i", "a", None));
    assert_eq!(bench.claims(), ["i"]);
    bench.disconnect(worker);
    assert!(bench.orders().is_empty());
    assert_eq!(bench.claimed_turn("i", 7), None);
    assert!(matches!(bench.orders()[..], [Order::GiveBack { claimed: 7, .. }]));
}

#[test]
fn a_claim_in_vain_frees_its_slot() {
    let mut bench = Bench::default();
    let worker = bench.connect(slots(takes_all(), 1));
    bench.offer(offer("1", "a", None));
    bench.offer(offer("2", "a", None));
    assert_eq!(bench.claims(), ["1"]);
    bench.claimed_nothing("1");
    assert_eq!(bench.claims(), ["2"]);
    assert_eq!(bench.in_flight(worker), [1, 0, 0]);
}

#[test]
fn what_is_given_back_waits_longer_each_time() {
    let mut bench = Bench::default();
    bench.connect(takes_all());
    bench.offer(activity("i", 1, "greet", None, None));
    let mut delays = Vec::new();
    for _ in 0..10 {
        let (_, _, token) = bench.sends().remove(0);
        assert!(bench.abandon(token));
        let due = bench.dispatcher.next_due().expect("it comes again");
        delays.push(due.saturating_since(bench.now).as_millis());
        bench.pass(due.saturating_since(bench.now) - Duration::from_nanos(1));
        assert!(bench.orders().is_empty(), "not before its time");
        bench.pass(Duration::from_nanos(1));
    }
    assert_eq!(delays, [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
}

#[test]
fn a_turn_that_is_given_back_waits_though_it_is_offered_again() {
    let mut bench = Bench::default();
    bench.connect(takes_all());
    bench.offer(offer("i", "a", None));
    let token = bench.send_turn("i", 7);
    bench.abandon(token);
    assert!(matches!(bench.orders()[..], [Order::GiveBack { claimed: 7, .. }]));
    bench.offer(offer("i", "a", None));
    assert!(bench.orders().is_empty());
    bench.pass(SECOND);
    assert_eq!(bench.claims(), ["i"]);
}

#[test]
fn somebody_else_is_preferred_to_who_gave_it_back() {
    let mut bench = Bench::default();
    let first = bench.connect(takes_all());
    bench.offer(activity("i", 1, "greet", None, None));
    let (_, _, token) = bench.sends().remove(0);
    let second = bench.connect(takes_all());
    // The other one is busier.
    for task in 2..5 {
        bench.offer(activity("i", task, "greet", None, None));
    }
    let others = bench.sends();
    for (to, _, token) in others {
        if to == first {
            bench.finish(token);
        }
    }
    bench.abandon(token);
    bench.pass(SECOND);
    let (to, task, _) = bench.sends().remove(0);
    assert_eq!((to, task), (second, 1));
}

#[test]
fn a_new_worker_ends_delays() {
    let mut bench = Bench::default();
    bench.connect(takes_all());
    bench.offer(activity("i", 1, "greet", None, None));
    bench.offer(offer("i", "a", None));
    let (_, _, token) = bench.sends_and_claims().remove(0);
    let turn = bench.claimed_token("i", 7);
    bench.abandon(token);
    bench.abandon(turn);
    bench.orders();

    let second = bench.connect(takes_all());
    let (to, ..) = bench.sends().remove(0);
    assert_eq!(to, second);
    bench.offer(offer("i", "a", None));
    assert_eq!(bench.claims(), ["i"]);
}

#[test]
fn leases_of_turns_expire_and_those_of_activities_do_not() {
    let mut bench = Bench::default();
    bench.connect(takes_all());
    bench.offer(activity("i", 1, "greet", None, None));
    bench.offer(offer("i", "a", None));
    bench.orders();
    let token = bench.claimed_token("i", 7);
    assert_eq!(bench.dispatcher.next_due(), Some(bench.now.saturating_add(300 * SECOND)));
    bench.pass(300 * SECOND - Duration::from_nanos(1));
    assert!(bench.orders().is_empty());
    bench.pass(Duration::from_nanos(1));
    assert!(matches!(bench.orders()[..], [Order::GiveBack { claimed: 7, .. }]));
    assert!(matches!(bench.finish(token), Returned::Unknown));
    bench.pass(3_000_000 * SECOND);
    assert!(bench.orders().is_empty());
}

#[test]
fn returning_twice_is_fine_and_foreign_tokens_are_not() {
    let mut bench = Bench::default();
    bench.connect(takes_all());
    bench.offer(activity("i", 1, "greet", None, None));
    bench.offer(activity("i", 2, "greet", None, None));
    let sent = bench.sends();
    let (done, given_back) = (sent[0].2, sent[1].2);
    assert!(matches!(bench.finish(done), Returned::Leased(_)));
    assert!(matches!(bench.finish(done), Returned::Before));
    assert!(!bench.abandon(done));
    assert!(bench.abandon(given_back));
    assert!(!bench.abandon(given_back));
    assert!(matches!(bench.finish(given_back), Returned::Unknown), "it is not done");
    assert!(matches!(bench.finish(bench::foreign()), Returned::Unknown));
    assert!(!bench.abandon(bench::foreign()));
}

#[test]
fn what_is_served_here_is_withdrawn() {
    let mut bench = Bench::default();
    let worker = bench.connect(takes_all());
    bench.offer(activity("i", 1, "here", None, None));
    let (_, _, token) = bench.sends().remove(0);
    bench.abandon(token);
    bench.disconnect(worker);
    bench.offer(activity("i", 2, "here", None, None));
    bench.offer(activity("i", 3, "there", None, None));
    let items = bench.dispatcher.withdraw(|line| line.name == "here");
    assert_eq!(items.len(), 2, "what waits, and what is delayed");
    bench.connect(takes_all());
    assert_eq!(bench.sends().len(), 1);
    assert_eq!(bench.dispatcher.waiting_bytes(), 0);
}
