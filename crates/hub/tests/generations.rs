//! What passes from one execution of an instance to the next.

mod support;

use strandline_hub::ReusePolicy;
use strandline_model::{
    ActionKind, Completion, EventKind, EventRaised, HistoryEvent, RuntimeStatus, Timestamp,
};
use support::{Hub, complete};

#[test]
fn what_is_carried_over_arrives_with_a_time_of_its_own() {
    let raised =
        |name: &str| EventKind::EventRaised(EventRaised { name: name.to_owned(), ..EventRaised::default() });
    let mut hub = Hub::new();
    hub.start("a", ReusePolicy::refuse());
    hub.pass(5);
    // Some SDKs give events back without number and time, others as they came.
    let bare = HistoryEvent::of_action(0, Timestamp::EPOCH, raised("bare"));
    let whole = HistoryEvent::new(hub.instance("a").inbox[0].timestamp, raised("whole"));
    let again =
        Completion::ContinuedAsNew { input: None, version: None, carryover: vec![bare, whole.clone()] };
    hub.turn("a", vec![ActionKind::Complete(again)]);

    let inbox = &hub.instance("a").inbox;
    let [started, bare, kept] = [0, 1, 2].map(|at| inbox[at].as_ref());
    assert_eq!((bare.id, bare.timestamp), (-1, started.timestamp));
    assert_ne!(started.timestamp, whole.timestamp);
    assert_eq!(*kept, whole);

    hub.turn("a", vec![complete()]);
    assert_eq!(hub.status("a"), Some(RuntimeStatus::Completed));
    let history = ["ExecutionStarted", "EventRaised", "EventRaised", "ExecutionCompleted"];
    assert_eq!(hub.history("a"), history);
}
