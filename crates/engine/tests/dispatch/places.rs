//! How much of a hub is out at a time, here and elsewhere together.

use std::time::Duration;

use strandline_engine::dispatch::{DispatchConfig, Kind, Order, OutMax, Returned, Seat};

use crate::bench::{Bench, activity, filters, offer, takes_all};

const SEAT: Seat = Seat(0);

fn bench(most: usize) -> Bench {
    let most = Some(most);
    let out_max = OutMax { orchestrations: most, activities: most, entities: most };
    Bench::new(DispatchConfig { out_max, ..DispatchConfig::default() })
}

fn greet(task: i32) -> strandline_engine::dispatch::Item {
    activity("i", task, "greet", None, None)
}

/// Who may begin here; nothing else is ordered.
fn seats(bench: &mut Bench) -> Vec<Seat> {
    let orders = bench.orders().into_iter().map(|order| match order {
        Order::Here { kind: Kind::Activity, seat } => seat,
        other => panic!("{other:?} instead of a place here"),
    });
    orders.collect()
}

#[test]
fn all_workers_together_get_no_more() {
    let mut bench = bench(2);
    bench.connect(takes_all());
    bench.connect(takes_all());
    for task in 0..5 {
        bench.offer(greet(task));
    }
    let mut sent = bench.sends();
    let mut tasks: Vec<i32> = sent.iter().map(|(_, task, _)| *task).collect();
    while let Some((_, _, token)) = sent.pop() {
        assert!(bench.dispatcher.out(Kind::Activity) <= 2);
        assert!(matches!(bench.finish(token), Returned::Leased(_)));
        let next = bench.sends();
        tasks.extend(next.iter().map(|(_, task, _)| *task));
        sent.extend(next);
    }
    assert_eq!(tasks, [0, 1, 2, 3, 4], "in the order they came");
    assert_eq!(bench.dispatcher.out(Kind::Activity), 0);
}

#[test]
fn each_kind_has_places_of_its_own() {
    let mut bench = bench(1);
    bench.connect(takes_all());
    for task in 0..2 {
        bench.offer(greet(task));
        bench.offer(offer(&format!("i{task}"), "a", None));
        bench.offer(offer(&format!("@counter@{task}"), "counter", None));
    }
    assert_eq!(bench.orders().len(), 3);
}

#[test]
fn a_claim_has_a_place_until_it_is_in_vain() {
    let mut bench = bench(1);
    bench.connect(takes_all());
    bench.offer(offer("1", "a", None));
    bench.offer(offer("2", "a", None));
    assert_eq!(bench.claims(), ["1"]);
    bench.claimed_nothing("1");
    assert_eq!(bench.claims(), ["2"]);
}

#[test]
fn what_can_go_out_is_not_held_up_by_older_work_for_others() {
    let mut bench = bench(1);
    bench.offer(offer("1", "unserved", None));
    bench.connect(filters(&[("a", &[])], &[]));
    bench.offer(offer("2", "a", None));
    bench.offer(offer("3", "a", None));
    assert_eq!(bench.claims(), ["2"]);
    bench.claimed_nothing("2");
    assert_eq!(bench.claims(), ["3"]);
}

#[test]
fn here_and_elsewhere_take_turns() {
    let mut bench = bench(1);
    bench.connect(takes_all());
    assert!(bench.begin_here(SEAT));
    assert!(!bench.begin_here(SEAT));
    for task in 0..10 {
        bench.offer(greet(task));
    }
    assert!(bench.orders().is_empty());
    let mut who = Vec::new();
    bench.over_here();
    for _ in 0..10 {
        match bench.orders().as_slice() {
            [Order::Here { seat, .. }] => {
                who.push("here");
                let seat = *seat;
                assert!(!bench.begin_here(seat), "it is taken by being given");
                bench.over_here();
            }
            [Order::Send { token, .. }] => {
                who.push("elsewhere");
                let token = *token;
                bench.finish(token);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(who.iter().filter(|w| **w == "here").count(), 5, "{who:?}");
}

#[test]
fn who_waits_longest_here_is_first_and_waits_once() {
    let mut bench = bench(1);
    assert!(bench.begin_here(Seat(0)));
    for seat in [3, 1, 3, 2, 1] {
        assert!(!bench.begin_here(Seat(seat)));
    }
    let mut order = Vec::new();
    loop {
        bench.over_here();
        match seats(&mut bench).as_slice() {
            [] => break,
            [seat] => order.push(seat.0),
            several => panic!("{several:?} for one place"),
        }
    }
    assert_eq!(order, [3, 1, 2]);
    assert_eq!(bench.dispatcher.out(Kind::Activity), 0);
}

#[test]
fn a_place_that_is_not_needed_goes_to_others() {
    let mut bench = bench(1);
    assert!(bench.begin_here(SEAT));
    assert!(!bench.begin_here(SEAT));
    bench.connect(takes_all());
    bench.offer(greet(1));
    bench.over_here();
    assert_eq!(seats(&mut bench), [SEAT]);
    bench.over_here();
    assert_eq!(bench.sends().len(), 1);
}

#[test]
fn lost_workers_and_delays_keep_no_places() {
    let mut bench = bench(1);
    let first = bench.connect(takes_all());
    bench.offer(greet(1));
    bench.offer(greet(2));
    let (_, _, token) = bench.sends().remove(0);
    assert!(bench.abandon(token));
    let (_, task, _) = bench.sends().remove(0);
    assert_eq!(task, 2, "while the other waits for its time");
    bench.connect(takes_all());
    bench.disconnect(first);
    let (_, task, token) = bench.sends().remove(0);
    assert_eq!(task, 1, "it waited longer, and was not for the one that is gone");
    bench.finish(token);
    assert_eq!(bench.sends().len(), 1);
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.dispatcher.out(Kind::Activity), 1);
}

#[test]
fn a_killed_turn_frees_its_place() {
    let mut bench = bench(1);
    bench.connect(takes_all());
    bench.offer(offer("1", "a", None));
    bench.offer(offer("2", "a", None));
    bench.send_turn("1", 7);
    bench.killed("1", 1);
    let orders = bench.orders();
    let claimed = orders.iter().any(|o| matches!(o, Order::Claim { offer, .. } if offer.id.as_str() == "2"));
    assert!(claimed, "{orders:?}");
}
