//! Purge: what is over vanishes, whole and for good.

mod support;

use strandline_hub::{Command, Discard, Refusal, Reply, ReusePolicy};
use strandline_model::{ExecutionId, RuntimeStatus};
use support::{Hub, activity, again, call, child, complete, fail, id, lock, timer};

/// An instance with chunk rows, and its execution.
fn with_chunks(hub: &mut Hub, name: &str) -> ExecutionId {
    hub.begin(&[name]);
    for _ in 0..200 {
        hub.raise(name, "E");
    }
    hub.turn(name, Vec::new());
    hub.flush();
    let execution = hub.instance(name).execution;
    assert!(has_chunks(hub, execution));
    execution
}

fn has_chunks(hub: &Hub, execution: ExecutionId) -> bool {
    hub.tables.chunks.keys().any(|(e, _)| *e == execution)
}

#[test]
fn only_what_is_over_goes() {
    type Make = fn(&mut Hub);
    let cases: [(Make, RuntimeStatus); 6] = [
        (|_| (), RuntimeStatus::Pending),
        (|hub| drop(hub.turn("a", Vec::new())), RuntimeStatus::Running),
        (|hub| drop(hub.suspend("a")), RuntimeStatus::Suspended),
        (|hub| drop(hub.turn("a", vec![complete()])), RuntimeStatus::Completed),
        (|hub| drop(hub.turn("a", vec![fail()])), RuntimeStatus::Failed),
        (|hub| drop(hub.terminate("a", false)), RuntimeStatus::Terminated),
    ];
    for (make, status) in cases {
        let mut hub = Hub::new();
        hub.begin(&["a"]);
        make(&mut hub);
        hub.flush();
        let reply = hub.purge("a");
        if !status.is_terminal() {
            assert_eq!(reply, Reply::Refused(Refusal::NotOver { status }));
            assert_eq!(hub.status("a"), Some(status));
            continue;
        }
        assert_eq!((reply, hub.status("a"), hub.partition.memory_bytes()), (Reply::Accepted, None, 0));
        assert_eq!(hub.purge("a"), Reply::Refused(Refusal::NotFound));
        hub.check_rebuilt();
        hub.flush();
        assert!(hub.tables.instances.is_empty() && hub.tables.active.is_empty());
        assert_eq!((hub.partition.loaded(), hub.partition.dirty()), (0, 0), "not even its name stays");
    }
    assert_eq!(Hub::new().purge("a"), Reply::Refused(Refusal::NotFound));
}

#[test]
fn only_the_execution_that_was_meant_goes() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    let first = hub.instance("a").execution;
    hub.turn("a", vec![complete()]);
    let purge = |execution| Command::Purge { id: id("a"), execution: Some(execution) };
    hub.start("a", ReusePolicy::replace_terminal());
    hub.turn("a", vec![complete()]);
    let second = hub.instance("a").execution;
    let decision = hub.run(purge(first));
    assert_eq!((decision.reply, decision.records.len()), (Reply::Refused(Refusal::NotFound), 0));
    assert_eq!(hub.run(purge(second)).reply, Reply::Accepted);
    assert_eq!(hub.status("a"), None);
}

#[test]
fn all_of_its_rows_go() {
    let mut hub = Hub::new();
    let first = with_chunks(&mut hub, "a");
    hub.terminate("a", false);
    hub.purge("a");
    hub.check_rebuilt();
    assert!(has_chunks(&hub, first), "until the next flush");
    hub.flush();
    assert!(hub.tables.chunks.is_empty() && hub.tables.instances.is_empty());

    // Also those of generations before that a flush did not get to.
    let first = with_chunks(&mut hub, "b");
    hub.raise("b", "E");
    hub.turn("b", vec![again()]);
    hub.turn("b", vec![complete()]);
    hub.purge("b");
    assert!(has_chunks(&hub, first));
    hub.restart();
    hub.flush();
    assert!(hub.tables.chunks.is_empty());
}

#[test]
fn an_id_can_be_used_again_at_once() {
    let mut hub = Hub::new();
    let first = with_chunks(&mut hub, "a");
    // Purged while its rows are on their way to the tables.
    hub.terminate("a", false);
    hub.begin_flush();
    hub.purge("a");
    assert!(matches!(hub.start("a", ReusePolicy::refuse()), Reply::Started { .. }));
    hub.end_flush();
    let second = hub.instance("a").execution;
    assert!(first != second && hub.instance("a").history.is_empty());
    hub.check_rebuilt();
    hub.flush();
    assert!(!has_chunks(&hub, first), "nobody else will remove them");
    hub.restart();
    assert_eq!((hub.instance("a").execution, hub.status("a")), (second, Some(RuntimeStatus::Pending)));

    // Three times between two flushes.
    let third = {
        hub.terminate("a", false);
        hub.purge("a");
        with_chunks(&mut hub, "a")
    };
    for _ in 0..3 {
        hub.terminate("a", false);
        hub.purge("a");
        hub.begin(&["a"]);
        hub.check_rebuilt();
    }
    hub.terminate("a", false);
    hub.purge("a");
    hub.flush();
    assert!(!has_chunks(&hub, third) && hub.tables.instances.is_empty());
}

#[test]
fn the_timers_of_one_that_took_its_place_stay() {
    let mut hub = Hub::new();
    let at = hub.now.saturating_add(std::time::Duration::from_secs(60));
    hub.start_at("a", ReusePolicy::refuse(), Some(at));
    hub.terminate("a", false);
    hub.flush();
    hub.purge("a");
    hub.start_at("a", ReusePolicy::refuse(), Some(at));
    assert_eq!(hub.partition.timers().count(), 1);
    hub.check_rebuilt();
    hub.flush();
    assert_eq!(hub.tables.timers.len(), 1);
    hub.restart();
    hub.pass(61_000);
    assert!(hub.instance("a").is_ready());
}

#[test]
fn what_comes_late_does_not_bring_it_back() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    let due = hub.now.saturating_add(std::time::Duration::from_secs(5));
    let actions =
        vec![activity("A"), timer(due), child("kid"), call("@e@1", "o"), lock("s", &["@f@1"]), activity("B")];
    hub.turn("a", actions);
    let (execution, instance) = (hub.instance("a").execution, hub.instance("a"));
    let turn = strandline_hub::TurnFinished {
        id: id("a"),
        execution,
        seen: instance.history.len(),
        delivered: instance.inbox.len(),
        time: hub.now,
        actions: Vec::new(),
        custom_status: None,
        next_execution: Default::default(),
        next_seed: 0,
        span: None,
    };
    hub.terminate("a", false);
    hub.purge("a");
    let result = Ok(None);
    let finished = Command::ActivityFinished { id: id("a"), execution, task_id: 0, result };
    assert_eq!(hub.run(finished).discarded, Some(Discard::LateResult));
    assert_eq!(hub.run(Command::TurnFinished(Box::new(turn))).discarded, Some(Discard::StaleTurn));
    hub.holds_messages = true;
    hub.turn("kid", vec![complete()]);
    assert_eq!(hub.deliver_one().unwrap().discarded, Some(Discard::UnknownTarget));
    hub.work("@e@1");
    assert_eq!(hub.deliver_one().unwrap().discarded, Some(Discard::UnknownTarget));
    assert!(hub.next_message().is_none());
    hub.pass(6_000);
    assert_eq!((hub.status("a"), hub.partition.timers().count(), hub.holder("@f@1")), (None, 0, None));
    assert_eq!(hub.raise("a", "E"), Reply::Refused(Refusal::NotFound));
    hub.check_rebuilt();
}

#[test]
fn a_child_started_by_a_message_on_its_way_is_started() {
    // Not late: the start was decided before, by somebody who waits for it.
    let mut hub = Hub::new();
    hub.begin(&["a", "kid"]);
    hub.turn("kid", vec![complete()]);
    hub.holds_messages = true;
    hub.turn("a", vec![child("kid")]);
    hub.purge("kid");
    hub.deliver_one();
    assert_eq!(hub.status("kid"), Some(RuntimeStatus::Pending));
}
