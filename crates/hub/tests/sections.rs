//! Critical sections: locks are granted in order, kept from everybody else, and always given back.

mod support;

use strandline_hub::message::LockOwner;
use strandline_hub::{Command, Reply, ReusePolicy, Sabotage};
use strandline_model::RuntimeStatus;
use support::{Hub, again, call, complete, fail, id, lock, signal, unlock};

const E: &str = "@e@1";
const F: &str = "@f@1";
const G: &str = "@g@1";

/// `a` holds the locks of these entities in the section "s".
fn held(entities: &[&str]) -> Hub {
    let mut hub = Hub::new();
    hub.begin(&["a", "b", "c"]);
    hub.turn("a", vec![lock("s", entities)]);
    assert_eq!(hub.inbox("a"), ["EntityLockGranted"]);
    hub.turn("a", Vec::new());
    hub
}

fn is_free(hub: &Hub, entity: &str) -> bool {
    hub.partition.entity(entity).is_none_or(|e| e.lock.is_none())
}

#[test]
fn what_came_before_a_lock_request_is_run_before_it_is_granted() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    hub.signal(E, "before");
    hub.turn("a", vec![lock("s", &[E])]);
    hub.signal(E, "after");
    assert_eq!((hub.next_operations(E), hub.holder(E)), (vec!["before".to_owned()], None));
    hub.work(E);
    assert_eq!((hub.holder(E).as_deref(), hub.inbox("a")), (Some("a"), vec!["EntityLockGranted"]));
    assert_eq!(hub.next_operations(E).len(), 0, "the lock keeps it out");
    hub.turn("a", vec![unlock("s", E)]);
    assert_eq!(hub.work(E), ["after"]);
}

#[test]
fn the_holders_operations_run_ahead_and_alone() {
    let mut hub = held(&[E]);
    hub.signal(E, "of a client");
    hub.turn("b", vec![call(E, "of b")]);
    hub.raise("a", "go on");
    hub.turn("a", vec![call(E, "mine"), call(E, "mine, too")]);
    assert_eq!(hub.work(E), ["mine", "mine, too"]);
    assert_eq!(hub.replies("a").len(), 2);
    assert_eq!(hub.work(E).len(), 0);
    hub.turn("a", vec![unlock("s", E)]);
    assert_eq!(hub.work(E), ["of a client", "of b"]);
}

#[test]
fn locks_are_granted_in_the_order_they_were_asked_for() {
    let mut hub = held(&[E]);
    hub.turn("b", vec![lock("s", &[E])]);
    hub.signal(E, "between");
    hub.turn("c", vec![lock("s", &[E])]);
    hub.raise("a", "go on");
    hub.turn("a", vec![unlock("s", E)]);
    assert_eq!((hub.holder(E).as_deref(), hub.next_operations(E).len()), (Some("b"), 0));
    hub.turn("b", vec![unlock("s", E)]);
    assert_eq!((hub.holder(E), hub.work(E)), (None, vec!["between".to_owned()]));
    assert_eq!(hub.holder(E).as_deref(), Some("c"));
    hub.turn("c", vec![complete()]);
    assert!(is_free(&hub, E));
}

#[test]
fn entities_are_locked_one_after_the_other() {
    let mut hub = Hub::new();
    hub.begin(&["a", "b"]);
    hub.turn("b", vec![lock("s", &[F])]);
    hub.turn("a", vec![lock("s", &[E, F, G])]);
    // It has the first, waits for the second and has not asked for the third.
    assert_eq!((hub.holder(E).as_deref(), hub.holder(F).as_deref()), (Some("a"), Some("b")));
    assert_eq!((hub.partition.entity(G), hub.inbox("a").len()), (None, 0));
    assert!(!hub.instance("a").sections["s"].is_held());
    hub.turn("b", vec![complete()]);
    assert_eq!([E, F, G].map(|e| hub.holder(e).unwrap()), ["a", "a", "a"]);
    assert_eq!(hub.inbox("a"), ["EntityLockGranted"], "told once, when all are locked");
    assert!(hub.instance("a").sections["s"].is_held());
}

#[test]
fn every_end_of_the_holder_gives_its_locks_back() {
    type End = fn(&mut Hub);
    let ends: [End; 8] = [
        |hub| drop(hub.turn("a", vec![complete()])),
        |hub| drop(hub.turn("a", vec![fail()])),
        |hub| drop(hub.turn("a", vec![again()])),
        |hub| drop(hub.terminate("a", false)),
        |hub| {
            hub.suspend("a");
            assert_eq!(hub.holder(E).as_deref(), Some("a"), "suspended, it keeps them");
            hub.terminate("a", false);
        },
        |hub| drop(hub.start("a", ReusePolicy::replace_any())),
        // An action nobody can carry out.
        |hub| drop(hub.turn("a", vec![call("no entity", "o")])),
        |hub| {
            hub.terminate("a", false);
            assert_eq!(hub.purge("a"), Reply::Accepted);
        },
    ];
    for end in ends {
        let mut hub = held(&[E, F]);
        hub.turn("b", vec![lock("s", &[E, F])]);
        hub.raise("a", "go on");
        end(&mut hub);
        assert_eq!([E, F].map(|e| hub.holder(e).unwrap()), ["b", "b"]);
        assert_eq!(hub.inbox("b"), ["EntityLockGranted"]);
        assert!(hub.partition.instance("a").is_none_or(|a| a.sections.is_empty()));
        hub.check_rebuilt();
    }
}

#[test]
fn a_lock_ends_with_the_last_operation_its_holder_sent() {
    let mut hub = held(&[E]);
    hub.signal(E, "of a client");
    hub.turn("b", vec![lock("s", &[E])]);
    hub.raise("a", "go on");
    hub.turn("a", vec![call(E, "1"), call(E, "2"), complete()]);
    // The end is there, but so are two operations that belong to the section.
    assert_eq!(hub.status("a"), Some(RuntimeStatus::Completed));
    assert_eq!(hub.holder(E).as_deref(), Some("a"));
    hub.flush();
    hub.restart();
    assert_eq!(hub.runnable(E).len(), 2);
    let given = hub.runnable(E)[..1].iter().map(|(number, _)| *number).collect();
    let one = strandline_model::EntityOutcome { results: vec![Ok(None)], ..Default::default() };
    hub.finish(E, given, one);
    assert_eq!((hub.holder(E).as_deref(), hub.next_operations(E)), (Some("a"), vec!["2".to_owned()]));
    hub.work(E);
    assert_eq!((hub.holder(E), hub.work(E)), (None, vec!["of a client".to_owned()]));
    assert_eq!(hub.holder(E).as_deref(), Some("b"));
}

#[test]
fn a_request_that_waits_can_be_taken_back() {
    for end in [false, true] {
        let mut hub = held(&[E]);
        hub.turn("b", vec![lock("s", &[E, F])]);
        hub.turn("c", vec![lock("s", &[E])]);
        hub.signal(E, "last");
        if end {
            hub.terminate("b", false);
        } else {
            hub.raise("b", "go on");
            hub.turn("b", vec![unlock("s", E), unlock("s", F)]);
            assert!(hub.instance("b").sections.is_empty());
        }
        assert!(is_free(&hub, F));
        hub.raise("a", "go on");
        hub.turn("a", vec![unlock("s", E)]);
        assert_eq!(hub.holder(E).as_deref(), Some("c"));
        hub.terminate("c", false);
        assert_eq!(hub.work(E), ["last"]);
        hub.check_rebuilt();
    }
}

#[test]
fn one_entity_of_a_section_can_be_given_back() {
    let mut hub = held(&[E, F]);
    hub.turn("b", vec![lock("t", &[E])]);
    hub.raise("a", "go on");
    hub.turn("a", vec![unlock("s", E)]);
    assert_eq!((hub.holder(E).as_deref(), hub.holder(F).as_deref()), (Some("b"), Some("a")));
    // What it calls now on the one it gave back is a call like any other.
    hub.raise("a", "go on");
    hub.turn("a", vec![call(E, "outside"), call(F, "inside"), unlock("s", E), unlock("t", F)]);
    assert_eq!((hub.next_operations(E).len(), hub.next_operations(F)), (0, vec!["inside".to_owned()]));
    hub.flush();
    hub.restart();
    hub.turn("b", vec![complete()]);
    assert_eq!(hub.work(E), ["outside"]);
    hub.turn("a", vec![complete()]);
    hub.work(F);
    assert!(is_free(&hub, F));
}

#[test]
fn an_entity_given_back_before_its_turn_is_passed_over() {
    let mut hub = Hub::new();
    hub.begin(&["a", "b"]);
    hub.turn("b", vec![lock("s", &[E])]);
    hub.turn("a", vec![lock("s", &[E, F, G])]);
    hub.raise("a", "go on");
    hub.turn("a", vec![unlock("s", F)]);
    hub.turn("b", vec![complete()]);
    assert_eq!((hub.holder(E).as_deref(), hub.holder(G).as_deref()), (Some("a"), Some("a")));
    assert_eq!((hub.partition.entity(F), hub.inbox("a")), (None, vec!["EntityLockGranted"]));
}

#[test]
fn a_grant_nobody_waits_for_is_given_back() {
    type Gone = fn(&mut Hub);
    let ways: [Gone; 3] = [
        |hub| {
            hub.terminate("a", false);
            hub.purge("a");
        },
        |hub| drop(hub.start("a", ReusePolicy::replace_any())),
        |hub| {
            hub.raise("a", "go on");
            hub.turn("a", vec![unlock("s", E)]);
        },
    ];
    for gone in ways {
        let mut hub = Hub::new();
        hub.begin(&["a", "b"]);
        hub.holds_messages = true;
        hub.turn("a", vec![lock("s", &[E])]);
        hub.deliver_one();
        assert_eq!(hub.holder(E).as_deref(), Some("a"));
        // The grant is on its way.
        gone(&mut hub);
        hub.holds_messages = false;
        hub.deliver();
        assert!(is_free(&hub, E));
        hub.turn("b", vec![lock("s", &[E])]);
        assert_eq!(hub.holder(E).as_deref(), Some("b"));
    }
}

#[test]
fn a_lock_whose_owner_was_lost_can_be_freed() {
    let mut hub = held(&[E]);
    hub.turn("b", vec![lock("s", &[E])]);
    hub.partition.sabotage(Sabotage::LoseRelease);
    hub.terminate("a", false);
    assert_eq!(hub.holder(E).as_deref(), Some("a"), "an orphan, as only a bug can make it");
    let owner = hub.partition.entity(E).unwrap().snapshot().locked_by.unwrap();
    let other = LockOwner { execution_id: vec![0; 16], ..owner.clone() };
    hub.run(Command::ReleaseLock { id: id(E), owner: other });
    assert_eq!(hub.holder(E).as_deref(), Some("a"), "only that very execution's lock is freed");
    hub.run(Command::ReleaseLock { id: id(E), owner });
    assert_eq!(hub.holder(E).as_deref(), Some("b"));
}

#[test]
fn sections_that_make_no_sense_fail_the_instance() {
    for actions in [
        vec![lock("s", &[])],
        vec![lock("s", &[F, E])],
        vec![lock("s", &[E, E])],
        vec![lock("s", &[E]), lock("s", &[F])],
        vec![lock("s", &["plain"])],
        vec![lock(&"s".repeat(257), &[E])],
    ] {
        let mut hub = Hub::new();
        hub.begin(&["a"]);
        hub.turn("a", actions);
        assert_eq!(hub.status("a"), Some(RuntimeStatus::Failed));
        assert!(is_free(&hub, E) && is_free(&hub, F));
    }
    let mut hub = held(&[E]);
    hub.raise("a", "go on");
    hub.turn("a", vec![lock("s", &[F])]);
    assert_eq!(hub.status("a"), Some(RuntimeStatus::Failed));
    assert!(is_free(&hub, E));
}

#[test]
fn two_that_want_the_same_entities_take_turns() {
    let mut hub = Hub::new();
    hub.begin(&["a", "b"]);
    hub.holds_messages = true;
    hub.turn("a", vec![lock("s", &[E, F]), signal(G, "a")]);
    hub.turn("b", vec![lock("s", &[E, F]), signal(G, "b")]);
    hub.holds_messages = false;
    hub.deliver();
    assert_eq!((hub.inbox("a").len(), hub.inbox("b").len()), (1, 0));
    hub.turn("a", vec![complete()]);
    assert_eq!(hub.inbox("b"), ["EntityLockGranted"]);
}
