//! Continue-as-new.

use strandline_model::{Completion, EventKind};
use strandline_replay::{ContextHandle, Ending};

use crate::driver::*;

fn next(drop_events: bool) -> Program {
    endings(move |ctx: ContextHandle| async move {
        let first = text(ctx.wait_for("take").await);
        let unseen = ctx.wait_for("take");
        let _ = activity(&ctx, "a").await;
        drop(unseen);
        Ending::ContinuedAsNew { input: Some(first), version: Some("2".into()), drop_events }
    })
}

fn carried(hub: &Hub) -> Vec<String> {
    match &hub.ended {
        Some(Completion::ContinuedAsNew { carryover, input, version }) => {
            assert_eq!((input.as_deref(), version.as_deref()), (Some("1"), Some("2")));
            let text = |kind: &EventKind| match kind {
                EventKind::EventRaised(raised) => {
                    format!("{}={}", raised.name, raised.input.as_deref().unwrap_or(""))
                }
                other => panic!("{other:?}"),
            };
            carryover.iter().map(|event| text(event.kind())).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn run(drop_events: bool) -> Hub {
    let mut hub = Hub::started(next(drop_events));
    hub.turn(vec![raised("take", "1"), raised("Zebra", "2"), raised("apple", "3"), raised("take", "4")]);
    hub.raise("apple", "5");
    let done = hub.done(0, "");
    hub.turn(vec![raised("take", "6"), done, raised("late", "7"), raised("apple", "8")]);
    hub
}

#[test]
fn unconsumed_events_move_on_in_order_of_arrival() {
    let hub = run(false);
    assert_eq!(carried(&hub), ["Zebra=2", "apple=3", "take=4", "apple=5", "take=6", "late=7", "apple=8"]);
}

#[test]
fn dropped_events_are_those_the_code_could_have_seen() {
    let hub = run(true);
    assert_eq!(carried(&hub), ["late=7", "apple=8"], "what came after the end always moves on");
}
