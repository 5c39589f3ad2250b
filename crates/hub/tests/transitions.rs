//! Any sequence of commands keeps to the table of runtime statuses, and to what must always hold.

mod support;

use proptest::prelude::*;
use strandline_hub::{Command, Refusal, Reply, ReusePolicy};
use strandline_model::{EventKind, RuntimeStatus};
use support::{Hub, activity, again, child, complete, fail, id};

#[derive(Clone, Debug)]
enum Step {
    Start(u8),
    Raise,
    Terminate(bool),
    Suspend,
    Resume,
    TurnCalls,
    TurnStartsChild,
    TurnCompletes,
    TurnFails,
    TurnContinues,
    ActivityEnds(i32),
}

fn steps() -> impl Strategy<Value = Vec<(bool, Step)>> {
    let step = prop_oneof![
        (0..3u8).prop_map(Step::Start),
        Just(Step::Raise),
        any::<bool>().prop_map(Step::Terminate),
        Just(Step::Suspend),
        Just(Step::Resume),
        Just(Step::TurnCalls),
        Just(Step::TurnStartsChild),
        Just(Step::TurnCompletes),
        Just(Step::TurnFails),
        Just(Step::TurnContinues),
        (0..4).prop_map(Step::ActivityEnds),
    ];
    proptest::collection::vec((any::<bool>(), step), 1..40)
}

fn policy(n: u8) -> ReusePolicy {
    match n {
        0 => ReusePolicy::refuse(),
        1 => ReusePolicy::replace_terminal(),
        _ => ReusePolicy::replace_any(),
    }
}

fn carry_out(hub: &mut Hub, name: &str, step: Step) -> Reply {
    // Turns are handed out only to instances that are ready.
    let ready = hub.partition.instance(name).is_some_and(|i| i.is_ready());
    let reason = Some("r".to_owned());
    match step {
        Step::Start(n) => hub.start(name, policy(n)),
        Step::Raise => hub.raise(name, "E"),
        Step::Terminate(recursive) => hub.terminate(name, recursive),
        Step::Suspend => hub.run(Command::Suspend { id: id(name), reason }).reply,
        Step::Resume => hub.run(Command::Resume { id: id(name), reason }).reply,
        _ if !ready && !matches!(step, Step::ActivityEnds(_)) => Reply::Unchanged,
        Step::TurnCalls => hub.turn(name, vec![activity("A"), activity("B")]),
        Step::TurnStartsChild => hub.turn(name, vec![child(&format!("{name}-child"))]),
        Step::TurnCompletes => hub.turn(name, vec![complete()]),
        Step::TurnFails => hub.turn(name, vec![fail()]),
        Step::TurnContinues => hub.turn(name, vec![again()]),
        Step::ActivityEnds(task_id) => {
            let execution = hub.partition.instance(name).map(|i| i.execution).unwrap_or_default();
            let result = Ok(Some("1".to_owned()));
            hub.run(Command::ActivityFinished { id: id(name), execution, task_id, result }).reply
        }
    }
}

fn allowed(from: Option<RuntimeStatus>, step: &Step, to: Option<RuntimeStatus>) -> bool {
    use RuntimeStatus::{Completed, Failed, Pending, Running, Suspended, Terminated};
    if from == to {
        return true;
    }
    match (from, step, to) {
        (None, Step::Start(_), Some(Pending)) => true,
        (Some(from), Step::Start(2), Some(Pending)) => from != Pending,
        (Some(from), Step::Start(1), Some(Pending)) => from.is_terminal(),
        (Some(Pending | Running | Suspended), Step::Terminate(_), Some(Terminated)) => true,
        (Some(Pending | Running), Step::Suspend, Some(Suspended)) => true,
        (Some(Suspended), Step::Resume, Some(Pending | Running)) => true,
        (Some(Pending), Step::TurnCalls | Step::TurnStartsChild | Step::TurnContinues, Some(Running)) => true,
        (Some(Pending | Running), Step::TurnCompletes, Some(Completed)) => true,
        (Some(Pending | Running), Step::TurnFails, Some(Failed)) => true,
        _ => false,
    }
}

/// Well-formed: one start, one end at most and last, each task's result at most once, no timers of the dead.
fn check(hub: &Hub, name: &str) {
    let Some(instance) = hub.partition.instance(name) else { return };
    assert_eq!(instance.history.base(), 0);
    let events = instance.history.in_memory();
    let started = events.iter().filter(|e| matches!(e.kind(), EventKind::ExecutionStarted(_))).count();
    assert!(started <= 1);
    let mut results: Vec<i32> = Vec::new();
    for (n, event) in events.iter().enumerate() {
        match event.kind() {
            EventKind::ExecutionCompleted(_) => assert_eq!(n + 1, events.len(), "nothing after the end"),
            EventKind::TaskCompleted(e) => results.push(e.task_id),
            _ => {}
        }
    }
    let count = results.len();
    results.sort_unstable();
    results.dedup();
    assert_eq!(results.len(), count, "a result was recorded twice");
    if instance.is_over() {
        assert!(instance.open.is_empty() && instance.inbox.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn statuses_change_only_as_the_table_says(steps in steps()) {
        let mut hub = Hub::new();
        for (first, step) in steps {
            let name = if first { "a" } else { "b" };
            let before = hub.status(name);
            let reply = carry_out(&mut hub, name, step.clone());
            let after = hub.status(name);
            prop_assert!(allowed(before, &step, after), "{before:?} --{step:?}--> {after:?}");
            match reply {
                Reply::Refused(_) => prop_assert_eq!(before, after),
                Reply::Accepted if matches!(step, Step::Raise | Step::Terminate(_)) => {
                    prop_assert!(before.is_some_and(|s| !s.is_terminal()));
                }
                _ => {}
            }
            check(&hub, "a");
            check(&hub, "b");
        }
    }
}

#[test]
fn what_is_over_or_absent_says_so() {
    let mut hub = Hub::new();
    assert_eq!(hub.raise("a", "E"), Reply::Refused(Refusal::NotFound));
    assert_eq!(hub.terminate("a", false), Reply::Refused(Refusal::NotFound));
    hub.start("a", ReusePolicy::refuse());
    hub.turn("a", vec![complete()]);
    let over = Reply::Refused(Refusal::Terminal { status: RuntimeStatus::Completed });
    assert_eq!(hub.raise("a", "E"), over);
    assert_eq!(hub.terminate("a", false), over);
    let exists = Reply::Refused(Refusal::AlreadyExists { status: RuntimeStatus::Completed });
    assert_eq!(hub.start("a", ReusePolicy::refuse()), exists);
}

#[test]
fn a_scheduled_start_outlives_the_one_it_replaces() {
    let mut hub = Hub::new();
    let at = hub.now.saturating_add(std::time::Duration::from_secs(60));
    for (policy, terminate) in [
        (ReusePolicy::refuse(), false),
        (ReusePolicy::replace_any(), true),
        (ReusePolicy::replace_terminal(), false),
    ] {
        assert!(matches!(hub.start_at("a", policy, Some(at)), Reply::Started { .. }));
        assert_eq!(hub.partition.timers().count(), 1);
        if terminate {
            hub.terminate("a", false);
            assert_eq!(hub.partition.timers().count(), 0);
        }
    }
}

#[test]
fn too_many_pending_events_are_refused() {
    let mut hub = Hub::new();
    hub.start("a", ReusePolicy::refuse());
    let accepted = (0..20_000).take_while(|_| hub.raise("a", "E") == Reply::Accepted).count();
    // The start itself waits in the inbox, too.
    assert_eq!(accepted, 9_999);
    assert!(matches!(hub.raise("a", "E"), Reply::Refused(Refusal::TooManyPendingEvents { .. })));
}

#[test]
fn a_turn_that_does_not_fit_is_discarded_whole() {
    let mut hub = Hub::new();
    hub.start("a", ReusePolicy::refuse());
    let instance = hub.partition.instance("a").unwrap();
    let turn = strandline_hub::TurnFinished {
        id: id("a"),
        execution: instance.execution,
        seen: 0,
        delivered: 1,
        time: hub.now,
        actions: Vec::new(),
        custom_status: None,
        next_execution: Default::default(),
        next_seed: 0,
    };
    let wrong = [
        strandline_hub::TurnFinished { seen: 1, ..turn.clone() },
        strandline_hub::TurnFinished { delivered: 2, ..turn.clone() },
        strandline_hub::TurnFinished { execution: strandline_model::ExecutionId(77), ..turn.clone() },
    ];
    for turn in wrong {
        let decision = hub.run(Command::TurnFinished(Box::new(turn)));
        assert!(matches!(decision.reply, Reply::Refused(Refusal::Stale(_))));
        assert!(decision.records.is_empty());
    }
    assert_eq!(hub.run(Command::TurnFinished(Box::new(turn))).reply, Reply::Accepted);
    assert_eq!(hub.status("a"), Some(RuntimeStatus::Running));
}
