//! Turns whose outcome comes in parts.

use strandline_engine::dispatch::{ALL_PART_BYTES_MAX, Lease, PART_BYTES_MAX, PartError, Returned, Token};
use strandline_engine::worker::TurnOutcome;
use strandline_model::{Action, ActionKind, Timestamp};

use crate::bench::{Bench, activity, offer, takes_all};

fn part(id: i32) -> TurnOutcome {
    let kind = ActionKind::CreateTimer { fire_at: Timestamp::EPOCH };
    TurnOutcome { actions: vec![Action { id, kind }], ..TurnOutcome::default() }
}

/// The sequence ids of what a turn decided whose last part is `last`.
fn whole(bench: &mut Bench, token: Token, last: TurnOutcome) -> Vec<i32> {
    let Returned::Leased(lease) = bench.finish(token) else { panic!("it is out") };
    let Lease { parts: Some(parts), .. } = *lease else { panic!("parts are there") };
    parts.complete(last).actions.iter().map(|action| action.id).collect()
}

#[test]
fn parts_are_put_together_once_each() {
    let mut bench = Bench::default();
    bench.connect(takes_all());
    bench.offer(offer("i", "a", None));
    let token = bench.send_turn("i", 1);
    for (number, id) in [(0, 0), (1, 1), (1, 1), (0, 0)] {
        assert_eq!(bench.dispatcher.keep_part(token, Some(number), part(id), 10), Ok(()));
    }
    assert_eq!(whole(&mut bench, token, part(2)), [0, 1, 2]);
    assert_eq!(bench.dispatcher.keep_part(token, None, part(3), 10), Err(PartError::NotOut));
}

#[test]
fn parts_are_bounded_and_go_with_their_lease() {
    let mut bench = Bench::default();
    let worker = bench.connect(takes_all());
    let turns = ALL_PART_BYTES_MAX / PART_BYTES_MAX;
    let mut tokens = Vec::new();
    for n in 0..=turns {
        let id = format!("i{n}");
        bench.offer(offer(&id, "a", None));
        tokens.push(bench.send_turn(&id, n as u64));
    }
    let last = tokens[turns];
    let too_large = bench.dispatcher.keep_part(last, None, part(0), PART_BYTES_MAX + 1);
    assert_eq!(too_large, Err(PartError::TurnTooLarge));
    for token in &tokens[..turns] {
        assert_eq!(bench.dispatcher.keep_part(*token, None, part(0), PART_BYTES_MAX), Ok(()));
    }
    assert_eq!(bench.dispatcher.keep_part(last, None, part(0), 1), Err(PartError::TooMany));
    // Another delivery begins without the parts of the one before, and with their room.
    bench.disconnect(worker);
    bench.orders();
    bench.connect(takes_all());
    bench.offer(offer("again", "a", None));
    let token = bench.send_turn("again", 99);
    assert_eq!(bench.dispatcher.keep_part(token, None, part(0), PART_BYTES_MAX), Ok(()));
}

#[test]
fn only_turns_come_in_parts() {
    let mut bench = Bench::default();
    bench.connect(takes_all());
    bench.offer(activity("i", 1, "greet", None, None));
    let (_, _, token) = bench.sends().remove(0);
    assert_eq!(bench.dispatcher.keep_part(token, None, part(0), 10), Err(PartError::NotOut));
}
