//! Rewind: what failed is done again, and nothing else.

mod support;

use strandline_hub::{Effect, OpenTask, Refusal, Reply, ReusePolicy};
use strandline_model::{ActionKind, Completion, EventKind, FailureDetails, Origin, RuntimeStatus};
use support::{Hub, activity, again, call, child, complete, fail_of, id, lock, signal, timer, unlock};

const E: &str = "@e@1";
const F: &str = "@f@1";

/// The activities a decision hands out.
fn handed_out(effects: &[Effect]) -> Vec<i32> {
    let tasks = effects.iter().filter_map(|effect| match effect {
        Effect::Activity { task_id, .. } => Some(*task_id),
        _ => None,
    });
    tasks.collect()
}

fn after(hub: &Hub, millis: u64) -> strandline_model::Timestamp {
    hub.now.saturating_add(std::time::Duration::from_millis(millis))
}

/// An instance whose activity 0 failed, and it with it.
fn failed(hub: &mut Hub, name: &str) {
    hub.begin(&[name]);
    hub.turn(name, vec![activity("A")]);
    fails(hub, name);
}

/// The activity 0 of an instance fails, and it with it.
fn fails(hub: &mut Hub, name: &str) {
    assert_eq!(hub.activity_ends(name, 0, Err("no")), Reply::Accepted);
    hub.turn(name, vec![fail_of(Origin::Task(0))]);
    assert_eq!(hub.status(name), Some(RuntimeStatus::Failed));
}

#[test]
fn after_exhausted_retries_only_the_last_attempt_is_done_again() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    hub.turn("a", vec![activity("A")]);
    hub.activity_ends("a", 0, Err("first"));
    let due = after(&hub, 10);
    hub.turn("a", vec![timer(due)]);
    hub.pass(20);
    hub.turn("a", vec![activity("A")]);
    hub.activity_ends("a", 2, Err("second"));
    hub.turn("a", vec![fail_of(Origin::Task(2))]);
    let old = hub.instance("a").execution;

    let decision = hub.rewind("a");
    assert_eq!((decision.reply, handed_out(&decision.effects)), (Reply::Accepted, vec![]));
    let attempts = ["TaskScheduled", "TaskFailed", "TimerCreated", "TimerFired", "GenericEvent"];
    assert_eq!(hub.history("a")[1..], attempts);
    let a = hub.instance("a");
    assert_eq!((hub.status("a"), hub.inbox("a")), (Some(RuntimeStatus::Running), vec!["ExecutionRewound"]));
    assert!(a.execution != old && a.open.is_empty() && a.is_ready());
    assert_eq!(a.start().seed, 99, "the seed survives");
    assert_eq!(a.start().execution_id, a.execution.0.to_be_bytes());

    hub.turn_again("a", &[2], vec![activity("A")]);
    assert_eq!(hub.activity_ends("a", 2, Ok("fine")), Reply::Accepted);
    hub.turn("a", vec![complete()]);
    assert_eq!(hub.status("a"), Some(RuntimeStatus::Completed));
}

#[test]
fn failures_that_were_caught_and_results_stay() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    hub.turn("a", vec![activity("Caught"), activity("Fine"), child("kid"), activity("Fatal")]);
    hub.activity_ends("a", 0, Err("caught"));
    hub.activity_ends("a", 1, Ok("1"));
    hub.turn("kid", vec![fail_of(Origin::Code)]);
    hub.turn("a", Vec::new());
    hub.activity_ends("a", 3, Err("fatal"));
    hub.turn("a", vec![fail_of(Origin::Task(3))]);
    let decision = hub.rewind("a");
    assert_eq!(handed_out(&decision.effects), []);
    let names = hub.history("a");
    let count = |name| names.iter().filter(|n| **n == name).count();
    assert_eq!((count("TaskScheduled"), count("TaskFailed"), count("TaskCompleted")), (2, 1, 1));
    assert_eq!((count("SubOrchestrationInstanceFailed"), count("GenericEvent")), (1, 1));
    assert_eq!(hub.status("kid"), Some(RuntimeStatus::Failed), "its failure was dealt with");
    assert!(hub.instance("a").open.is_empty());
}

#[test]
fn failures_of_the_code_take_nothing_out() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    hub.turn("a", vec![activity("A")]);
    hub.activity_ends("a", 0, Err("caught"));
    hub.turn("a", vec![activity("B"), fail_of(Origin::Code)]);
    let decision = hub.rewind("a");
    // What the last turn asked for runs: it was recorded, and is waited for.
    assert_eq!(handed_out(&decision.effects), [1]);
    assert_eq!(hub.history("a")[1..], ["TaskScheduled", "TaskFailed", "TaskScheduled"]);
    // So do failures the hub finds in what the code asked for.
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    hub.turn("a", vec![activity("A")]);
    hub.activity_ends("a", 0, Err("caught"));
    hub.turn("a", vec![call("no entity", "o")]);
    assert_eq!(hub.status("a"), Some(RuntimeStatus::Failed));
    hub.rewind("a");
    assert_eq!(hub.history("a")[1..], ["TaskScheduled", "TaskFailed"]);
}

#[test]
fn what_the_last_turn_did_is_undone_with_the_failure() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    hub.turn("a", vec![activity("A"), activity("B")]);
    hub.activity_ends("a", 1, Ok("1"));
    hub.activity_ends("a", 0, Err("no"));
    // On its way out the code told somebody, and began what it never waited for.
    let due = after(&hub, 10_000);
    let last = vec![signal(E, "failed"), activity("C"), timer(due), child("kid"), fail_of(Origin::Task(0))];
    hub.turn("a", last);
    let decision = hub.rewind("a");
    assert_eq!(handed_out(&decision.effects), []);
    let names = hub.history("a");
    assert_eq!(names[1..4], ["GenericEvent", "TaskScheduled", "TaskCompleted"]);
    assert_eq!(names[4..], ["GenericEvent"; 4]);
    assert_eq!((hub.instance("a").open.len(), hub.partition.timers().count()), (0, 0));
}

#[test]
fn what_followed_from_the_failure_is_undone_turn_by_turn() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    hub.turn("a", vec![activity("A"), activity("Beside")]);
    hub.activity_ends("a", 0, Err("no"));
    hub.turn("a", vec![activity("Undo"), call(E, "undo")]);
    hub.activity_ends("a", 1, Ok("beside"));
    hub.turn("a", vec![activity("Beside, too")]);
    hub.activity_ends("a", 2, Ok("undone"));
    hub.turn("a", vec![signal(E, "tell"), fail_of(Origin::Task(0))]);
    let decision = hub.rewind("a");
    assert_eq!(handed_out(&decision.effects), [4], "what went on beside it stays, and goes on");
    let expected = ["GenericEvent", "TaskScheduled", "GenericEvent", "GenericEvent", "TaskCompleted"];
    assert_eq!(hub.history("a")[1..6], expected);
    assert_eq!(hub.history("a")[6..], ["TaskScheduled", "GenericEvent"]);
    // A late answer to the call that is undone is nobody's.
    hub.work(E);
    assert_eq!(hub.replies("a"), []);
}

#[test]
fn children_started_because_of_the_failure_make_room() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    hub.turn("a", vec![activity("A")]);
    hub.activity_ends("a", 0, Err("no"));
    hub.turn("a", vec![child("kid"), fail_of(Origin::Task(0))]);
    assert_eq!(hub.status("kid"), Some(RuntimeStatus::Pending));
    hub.rewind("a");
    assert_eq!(hub.status("kid"), Some(RuntimeStatus::Terminated));
    assert_eq!(hub.history("a").last(), Some(&"GenericEvent"), "its end is nobody's");
    assert!(hub.instance("a").open.is_empty());
    hub.check_rebuilt();
}

#[test]
fn locks_given_back_in_the_last_turn_are_taken_again_whatever_it_failed_of() {
    for origin in [Origin::Code, Origin::Unknown, Origin::Task(1)] {
        let mut hub = Hub::new();
        hub.begin(&["a"]);
        hub.turn("a", vec![lock("s", &[E])]);
        hub.turn("a", vec![activity("A")]);
        hub.activity_ends("a", 1, Err("no"));
        hub.turn("a", vec![unlock("s", E), fail_of(origin)]);
        assert_eq!(hub.holder(E), None);
        hub.rewind("a");
        assert_eq!(hub.holder(E).as_deref(), Some("a"), "{origin:?}");
        assert!(hub.instance("a").is_ready());
    }
}

#[test]
fn without_a_word_on_the_origin_it_is_what_failed_last() {
    let unknown = |message: &str| {
        let failure = FailureDetails::new("E", message);
        ActionKind::Complete(Completion::Failed { failure, origin: Origin::Unknown })
    };
    let again = |hub: &Hub| -> Vec<i32> {
        let events = hub.instance("a").history.in_memory().iter();
        events.filter(|e| matches!(e.kind(), EventKind::Generic(_))).map(|e| e.id).collect()
    };
    // All that failed after the code's last action.
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    hub.turn("a", vec![activity("A")]);
    hub.activity_ends("a", 0, Err("handled"));
    hub.turn("a", vec![activity("B"), activity("C"), activity("D")]);
    hub.activity_ends("a", 3, Err("one"));
    hub.turn("a", Vec::new());
    hub.activity_ends("a", 1, Err("two"));
    hub.turn("a", vec![unlock("s", E), unknown("handled")]);
    let decision = hub.rewind("a");
    assert_eq!((again(&hub), handed_out(&decision.effects)), (vec![1, 3, 4], vec![2]));

    // Else the failure that is told in the end, with what followed from it; else none.
    for (message, expected) in [("failed: 'first'", vec![0, 3]), ("something else", vec![])] {
        let mut hub = Hub::new();
        hub.begin(&["a"]);
        hub.turn("a", vec![activity("A"), activity("B"), activity("C")]);
        hub.activity_ends("a", 0, Err("first"));
        hub.activity_ends("a", 1, Err(""));
        hub.turn("a", vec![timer(after(&hub, 10))]);
        hub.pass(20);
        hub.turn("a", vec![unknown(message)]);
        hub.rewind("a");
        assert_eq!(again(&hub), expected);
    }
}

#[test]
fn what_was_open_is_begun_again() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    let due = after(&hub, 60_000);
    hub.turn("a", vec![activity("A"), activity("B"), timer(due), child("kid"), call(E, "o")]);
    let old = hub.instance("a").execution;
    fails(&mut hub, "a");
    assert_eq!(hub.partition.timers().count(), 0);
    let failed_at = hub.instance("a").updated;
    hub.now = after(&hub, 3_600_000);
    let decision = hub.rewind("a");
    assert_eq!(handed_out(&decision.effects), [1]);
    let a = hub.instance("a");
    // A timer has as long to go as it had when the instance failed.
    let due = due.saturating_add(a.updated.saturating_since(failed_at));
    let open: Vec<_> = a.open.iter().map(|(id, task)| (*id, task.clone())).collect();
    let OpenTask::Activity { index } = open[0].1 else { panic!("{open:?}") };
    assert!(matches!(a.history.get(index).unwrap().kind(), EventKind::TaskScheduled(e) if e.name == "B"));
    assert_eq!(open[0].0, 1);
    assert_eq!(open[1], (2, OpenTask::Timer { fire_at: due }));
    assert_eq!(open[2], (3, OpenTask::SubOrchestration { instance: id("kid") }));
    assert_eq!(open[3], (4, OpenTask::EntityCall { entity: id(E) }));
    assert_eq!(hub.partition.timers().count(), 1);
    hub.check_rebuilt();

    // Results of the execution that failed are nobody's, those of the new one are taken, each once.
    let late = strandline_hub::Command::ActivityFinished {
        id: id("a"),
        execution: old,
        task_id: 1,
        result: Ok(None),
    };
    assert!(matches!(hub.run(late).reply, Reply::Refused(Refusal::Stale(_))));
    assert_eq!(hub.activity_ends("a", 1, Ok("1")), Reply::Accepted);
    hub.turn("kid", vec![complete()]);
    hub.work(E);
    hub.pass(60_000);
    let mut inbox = hub.inbox("a");
    inbox.sort_unstable();
    let expected = [
        "EntityOperationCompleted",
        "ExecutionRewound",
        "SubOrchestrationInstanceCompleted",
        "TaskCompleted",
        "TimerFired",
    ];
    assert_eq!(inbox, expected);
}

#[test]
fn events_no_turn_saw_come_back_in_order() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    hub.turn("a", vec![activity("A")]);
    hub.raise("a", "Seen");
    hub.activity_ends("a", 0, Err("no"));
    // Two more come while the turn is out that is to be the last.
    let seen = hub.instance("a");
    let turn = strandline_hub::TurnFinished {
        id: id("a"),
        execution: seen.execution,
        seen: seen.history.len(),
        delivered: seen.inbox.len(),
        time: hub.now,
        actions: vec![strandline_model::Action { id: 1, kind: fail_of(Origin::Task(0)) }],
        custom_status: None,
        next_execution: Default::default(),
        next_seed: 0,
        span: None,
    };
    hub.raise("a", "First");
    hub.raise("a", "Second");
    hub.run(strandline_hub::Command::TurnFinished(Box::new(turn)));
    assert_eq!(hub.status("a"), Some(RuntimeStatus::Failed));
    hub.rewind("a");
    let names = |events: Vec<&EventKind>| -> Vec<(String, bool)> {
        let raised = events.into_iter().filter_map(|kind| match kind {
            EventKind::EventRaised(raised) => Some((raised.name.clone(), raised.undelivered)),
            _ => None,
        });
        raised.collect()
    };
    let a = hub.instance("a");
    let waiting = names(a.inbox.iter().map(|e| e.kind()).collect());
    assert_eq!(waiting, [("First".to_owned(), false), ("Second".to_owned(), false)]);
    let delivered = names(a.history.in_memory().iter().map(|e| e.kind()).collect());
    assert_eq!(delivered, [("Seen".to_owned(), false)]);
}

#[test]
fn only_what_failed_can_be_rewound() {
    type Make = fn(&mut Hub);
    let cases: [(Make, RuntimeStatus); 5] = [
        (|_| (), RuntimeStatus::Pending),
        (|hub| drop(hub.turn("a", Vec::new())), RuntimeStatus::Running),
        (|hub| drop(hub.suspend("a")), RuntimeStatus::Suspended),
        (|hub| drop(hub.turn("a", vec![complete()])), RuntimeStatus::Completed),
        (|hub| drop(hub.terminate("a", false)), RuntimeStatus::Terminated),
    ];
    for (make, status) in cases {
        let mut hub = Hub::new();
        hub.begin(&["a"]);
        make(&mut hub);
        let decision = hub.rewind("a");
        assert_eq!(decision.reply, Reply::Refused(Refusal::NotFailed { status }));
        assert_eq!((decision.records.len(), hub.status("a")), (0, Some(status)));
    }
    assert_eq!(Hub::new().rewind("a").reply, Reply::Refused(Refusal::NotFound));
    let mut hub = Hub::new();
    failed(&mut hub, "a");
    let reason = Some("x".repeat(5000));
    let long = strandline_hub::Command::Rewind { id: id("a"), reason, execution: Default::default() };
    assert!(matches!(hub.run(long).reply, Reply::Refused(Refusal::TooLarge { field: "reason", .. })));
}

#[test]
fn what_fails_again_can_be_rewound_again() {
    let mut hub = Hub::new();
    failed(&mut hub, "a");
    for _ in 0..3 {
        assert_eq!(hub.rewind("a").reply, Reply::Accepted);
        assert_eq!(
            hub.rewind("a").reply,
            Reply::Refused(Refusal::NotFailed { status: RuntimeStatus::Running })
        );
        hub.turn_again("a", &[0], vec![activity("A")]);
        fails(&mut hub, "a");
        let failures = hub.history("a").into_iter().filter(|name| *name == "TaskFailed").count();
        assert_eq!(failures, 1, "that of the last attempt");
        hub.flush();
        hub.check_rebuilt();
    }
    hub.rewind("a");
    hub.turn_again("a", &[0], vec![activity("A")]);
    hub.activity_ends("a", 0, Ok("1"));
    hub.turn("a", vec![complete()]);
    let rewinds = hub.history("a").into_iter().filter(|name| *name == "ExecutionRewound").count();
    assert_eq!((rewinds, hub.status("a")), (4, Some(RuntimeStatus::Completed)));
}

#[test]
fn a_history_that_is_partly_in_chunks_is_rewritten_whole() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    hub.turn("a", vec![activity("A")]);
    for _ in 0..5000 {
        hub.raise("a", "E");
    }
    hub.turn("a", Vec::new());
    hub.flush();
    assert!(hub.instance("a").history.base() > 4096, "it is not in memory any more");
    hub.activity_ends("a", 0, Err("no"));
    hub.turn("a", vec![fail_of(Origin::Task(0))]);
    let old = hub.instance("a").execution;
    hub.flush();
    hub.rewind("a");
    let a = hub.instance("a");
    assert_eq!((a.history.base(), a.history.len()), (0, 5000 + 8));
    assert_eq!(hub.history("a")[1], "GenericEvent");
    // Neither the rows nor the log say anything else, before the next flush and after it.
    hub.check_rebuilt();
    hub.restart();
    hub.flush();
    hub.check_rebuilt();
    assert!(hub.tables.chunks.keys().all(|(execution, _)| *execution != old), "old chunks go");
    hub.restart();
    assert!(hub.instance("a").history.base() > 4096);
    hub.turn_again("a", &[0], vec![activity("A")]);
    assert_eq!(hub.activity_ends("a", 0, Ok("1")), Reply::Accepted);
}

mod children {
    use super::*;

    /// "a" has the child "a-1", that the child "a-2", and the activity of that one failed all three.
    fn family() -> Hub {
        let mut hub = Hub::new();
        hub.begin(&["a"]);
        hub.turn("a", vec![child("a-1")]);
        hub.turn("a-1", vec![child("a-2")]);
        hub.turn("a-2", vec![activity("A")]);
        fails(&mut hub, "a-2");
        for name in ["a-1", "a"] {
            hub.turn(name, vec![fail_of(Origin::Task(0))]);
        }
        hub
    }

    fn statuses(hub: &Hub) -> [RuntimeStatus; 3] {
        ["a", "a-1", "a-2"].map(|name| hub.status(name).unwrap())
    }

    use RuntimeStatus::{Completed, Failed, Pending, Running, Terminated};

    #[test]
    fn failures_are_rewound_down_to_where_they_began() {
        let mut hub = family();
        assert_eq!(statuses(&hub), [Failed; 3]);
        hub.rewind("a");
        assert_eq!(statuses(&hub), [Running; 3]);
        hub.check_rebuilt();
        assert_eq!(hub.history("a"), ["ExecutionStarted", "SubOrchestrationInstanceCreated"]);
        hub.turn("a", Vec::new());
        hub.turn("a-1", Vec::new());
        hub.turn_again("a-2", &[0], vec![activity("A")]);
        hub.activity_ends("a-2", 0, Ok("1"));
        for name in ["a-2", "a-1", "a"] {
            hub.turn(name, vec![complete()]);
        }
        assert_eq!(statuses(&hub), [Completed; 3]);
        assert_eq!(hub.history("a")[3..], ["SubOrchestrationInstanceCompleted", "ExecutionCompleted"]);
    }

    #[test]
    fn and_up_to_where_it_is_asked_for() {
        let mut hub = family();
        hub.rewind("a-1");
        assert_eq!(statuses(&hub), [Failed, Running, Running]);
        hub.turn_again("a-2", &[0], vec![activity("A"), complete()]);
        hub.turn("a-1", vec![complete()]);
        assert_eq!((hub.inbox("a").len(), statuses(&hub)), (0, [Failed, Completed, Completed]));
        // Its parent is rewound later, and hears at once of what was done meanwhile.
        hub.rewind("a");
        assert_eq!(hub.inbox("a"), ["ExecutionRewound", "SubOrchestrationInstanceCompleted"]);
    }

    #[test]
    fn a_child_that_runs_again_already_is_adopted() {
        let mut hub = family();
        hub.rewind("a-1");
        let running = hub.instance("a-1").execution;
        hub.suspend("a-1");
        hub.rewind("a");
        assert_eq!(
            (hub.instance("a-1").execution, hub.status("a-1")),
            (running, Some(RuntimeStatus::Suspended))
        );
        let (a, b) = (hub.instance("a"), hub.instance("a-1").start().parent.clone().unwrap());
        assert_eq!(b.execution_id, a.start().execution_id);
        hub.check_rebuilt();
        hub.resume("a-1");
        hub.turn("a-1", vec![complete()]);
        assert_eq!(hub.inbox("a"), ["ExecutionRewound", "SubOrchestrationInstanceCompleted"]);
        // It is its parent's in every way.
        let mut hub = family();
        hub.rewind("a-1");
        hub.rewind("a");
        hub.terminate("a", true);
        assert_eq!(statuses(&hub), [Terminated; 3]);
    }

    #[test]
    fn a_child_that_is_gone_starts_again() {
        let ways: [fn(&mut Hub); 2] = [
            |hub| {
                hub.purge("a-1");
            },
            |hub| {
                hub.rewind("a-1");
                hub.terminate("a-1", false);
            },
        ];
        for gone in ways {
            let mut hub = family();
            let old = hub.instance("a-1").execution;
            gone(&mut hub);
            hub.rewind("a");
            assert_eq!(hub.status("a-1"), Some(Pending));
            assert!(hub.instance("a-1").execution != old);
            hub.turn("a-1", vec![complete()]);
            assert_eq!(hub.inbox("a"), ["ExecutionRewound", "SubOrchestrationInstanceCompleted"]);
        }
    }

    #[test]
    fn a_child_whose_id_is_somebody_elses_fails_again() {
        let mut hub = family();
        hub.start("a-1", ReusePolicy::replace_any());
        let other = hub.instance("a-1").execution;
        hub.rewind("a");
        assert_eq!((hub.instance("a-1").execution, hub.status("a-1")), (other, Some(Pending)));
        assert_eq!(hub.inbox("a"), ["ExecutionRewound", "SubOrchestrationInstanceFailed"]);
    }

    #[test]
    fn an_end_on_its_way_while_the_parent_is_rewound_is_not_lost() {
        let mut hub = Hub::new();
        hub.begin(&["a"]);
        hub.turn("a", vec![child("kid"), activity("A")]);
        hub.activity_ends("a", 1, Err("no"));
        hub.turn("a", vec![fail_of(Origin::Task(1))]);
        hub.holds_messages = true;
        // To the execution that failed: it will be dropped.
        hub.turn("kid", vec![complete()]);
        hub.rewind("a");
        hub.holds_messages = false;
        hub.deliver();
        assert_eq!(hub.inbox("a"), ["ExecutionRewound", "SubOrchestrationInstanceCompleted"]);
    }
}

mod sections {
    use super::*;

    /// "a" holds both entities and failed inside, giving them back on its way out; "b" got them.
    fn failed_inside(actions: Vec<ActionKind>) -> Hub {
        let mut hub = Hub::new();
        hub.begin(&["a", "b"]);
        hub.turn("a", vec![lock("s", &[E, F])]);
        hub.turn("a", [vec![activity("A")], actions].concat());
        hub.turn("b", vec![lock("t", &[E, F])]);
        hub.activity_ends("a", 1, Err("no"));
        hub.turn("a", vec![unlock("s", E), unlock("s", F), fail_of(Origin::Task(1))]);
        hub
    }

    fn holders(hub: &Hub) -> [Option<String>; 2] {
        [E, F].map(|entity| hub.holder(entity))
    }

    #[test]
    fn are_regained_before_the_code_goes_on() {
        let mut hub = failed_inside(Vec::new());
        assert_eq!(holders(&hub), [Some("b".to_owned()), Some("b".to_owned())]);
        hub.rewind("a");
        assert!(!hub.instance("a").is_ready(), "the code is inside, and must not be yet");
        hub.flush();
        hub.restart();
        hub.turn("b", vec![complete()]);
        assert_eq!(holders(&hub), [Some("a".to_owned()), Some("a".to_owned())]);
        assert!(hub.instance("a").is_ready());
        // The grant is in the history already: it is not told twice.
        assert_eq!(hub.inbox("a"), ["ExecutionRewound"]);
        assert!(!hub.history("a").contains(&"EntityUnlockSent"));
        hub.turn_again("a", &[1], vec![activity("A"), call(E, "mine")]);
        assert_eq!(hub.next_operations(E), ["mine"]);
        hub.turn("a", vec![complete()]);
        hub.work(E);
        assert_eq!(holders(&hub), [None, None]);
        hub.check_rebuilt();
    }

    #[test]
    fn keep_their_operations_from_others_until_then() {
        let mut hub = failed_inside(vec![call(F, "mine")]);
        hub.work(F);
        hub.rewind("a");
        assert_eq!((hub.next_operations(F).len(), hub.runnable(E).len()), (0, 0));
        // It survives in the row, too.
        hub.flush();
        hub.restart();
        hub.check_rebuilt();
        hub.turn("b", vec![complete()]);
        assert_eq!((holders(&hub)[1].as_deref(), hub.work(F)), (Some("a"), vec!["mine".to_owned()]));
        assert_eq!(hub.replies("a"), [(2, "mine".to_owned())]);
        hub.check_rebuilt();
    }

    #[test]
    fn are_given_up_when_it_ends_before_they_are_regained() {
        let mut hub = failed_inside(vec![call(F, "mine")]);
        hub.work(F);
        hub.rewind("a");
        hub.terminate("a", false);
        hub.turn("b", vec![complete()]);
        assert_eq!((holders(&hub), hub.runnable(F).len()), ([None, None], 0));
        hub.check_rebuilt();
    }

    #[test]
    fn that_were_left_stay_left_and_those_waited_for_are_asked_for_anew() {
        let mut hub = Hub::new();
        hub.begin(&["a", "b"]);
        hub.turn("b", vec![lock("t", &[F])]);
        hub.turn("a", vec![lock("s", &[E])]);
        hub.turn("a", vec![unlock("s", E), activity("A"), lock("u", &[E, F])]);
        hub.activity_ends("a", 2, Err("no"));
        hub.turn("a", vec![fail_of(Origin::Task(2))]);
        assert_eq!(holders(&hub), [None, Some("b".to_owned())]);
        hub.rewind("a");
        let sections: Vec<_> = hub.instance("a").sections.keys().cloned().collect();
        assert_eq!((sections, hub.instance("a").is_ready()), (vec!["u".to_owned()], true));
        assert_eq!(holders(&hub), [Some("a".to_owned()), Some("b".to_owned())]);
        hub.turn("b", vec![complete()]);
        assert_eq!(hub.inbox("a"), ["ExecutionRewound", "EntityLockGranted"], "this one the code waits for");
    }

    #[test]
    fn are_regained_also_when_the_code_parts_before_it_saw_the_grant() {
        let mut hub = Hub::new();
        hub.begin(&["a", "b"]);
        hub.turn("b", vec![lock("t", &[E])]);
        hub.turn("a", vec![lock("s", &[E]), activity("A"), activity("Old")]);
        hub.activity_ends("a", 1, Err("no"));
        hub.turn("a", vec![fail_of(Origin::Task(1))]);
        hub.turn("b", vec![complete()]);
        hub.rewind("a");
        assert_eq!(hub.inbox("a"), ["ExecutionRewound", "EntityLockGranted"]);
        // Another waits already when the new execution asks again.
        hub.begin(&["c"]);
        hub.turn("c", vec![lock("u", &[E])]);
        hub.turn_again("a", &[-1], vec![ActionKind::Part { from: 2 }]);
        assert_eq!((hub.holder(E).as_deref(), hub.instance("a").is_ready()), (Some("c"), false));
        hub.turn("c", vec![complete()]);
        assert_eq!((hub.holder(E).as_deref(), hub.instance("a").is_ready()), (Some("a"), true));
        assert_eq!(hub.inbox("a"), ["ExecutionRewound", "EntityLockGranted"]);
        hub.check_rebuilt();
    }

    #[test]
    fn continue_as_new_forgets_them() {
        let mut hub = Hub::new();
        hub.begin(&["a"]);
        hub.turn("a", vec![lock("s", &[E])]);
        hub.turn("a", vec![again()]);
        hub.turn("a", vec![activity("A")]);
        fails(&mut hub, "a");
        hub.rewind("a");
        assert_eq!((hub.holder(E), hub.instance("a").is_ready()), (None, true));
    }
}
