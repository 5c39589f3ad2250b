//! Entities: operations in order, what batches change, who hears of it.

mod support;

use strandline_hub::message::MessageBody;
use strandline_hub::{Command, Discard, Record, Refusal, Reply, ReusePolicy};
use strandline_model::limits::{NAME_BYTES_MAX, PAYLOAD_BYTES_MAX, PENDING_OPERATIONS_MAX};
use strandline_model::{
    EntityAction, EntityCaller, EntityOperation, EntityOutcome, FailureDetails, NewState, RuntimeStatus,
};
use support::{Hub, again, call, complete, id, lock, signal};

const E: &str = "@e@1";
const F: &str = "@f@1";

fn outcome(results: usize) -> EntityOutcome {
    EntityOutcome { results: vec![Ok(None); results], ..EntityOutcome::default() }
}

fn state(hub: &Hub, entity: &str) -> Option<String> {
    hub.partition.entity(entity)?.state.as_deref().map(str::to_owned)
}

fn send(name: &str, target: &str) -> EntityAction {
    let (target, operation) = (target.to_owned(), name.to_owned());
    EntityAction::Signal { target, operation, input: None, scheduled_time: None, trace: None }
}

fn begin(name: &str, instance_id: &str) -> EntityAction {
    let (name, instance_id) = (name.to_owned(), instance_id.to_owned());
    EntityAction::Start { instance_id, name, version: None, input: None, scheduled_start: None, trace: None }
}

#[test]
fn operations_run_in_the_order_they_arrive() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    assert_eq!(hub.signal(E, "1"), Reply::Accepted);
    hub.turn("a", vec![signal(E, "2"), call(E, "3")]);
    hub.signal(E, "4");
    assert_eq!(hub.next_operations(E), ["1", "2", "3", "4"]);
    let status = hub.partition.entity(E).unwrap().snapshot();
    assert_eq!((status.backlog, status.state, status.locked_by), (4, None, None));
    assert_eq!(hub.work(E), ["1", "2", "3", "4"]);
    assert_eq!(state(&hub, E).as_deref(), Some("1 2 3 4 "));
    assert_eq!(hub.replies("a"), [(1, "3".to_owned())]);
    let status = hub.partition.entity(E).unwrap().snapshot();
    assert_eq!((status.backlog, status.modified > strandline_model::Timestamp::EPOCH), (0, true));
}

#[test]
fn what_a_batch_did_not_get_to_stays_in_front() {
    let mut hub = Hub::new();
    for operation in ["1", "2", "3"] {
        hub.signal(E, operation);
    }
    let given: Vec<u64> = hub.runnable(E).into_iter().map(|(number, _)| number).collect();
    hub.signal(E, "4");
    hub.finish(E, given, outcome(1));
    assert_eq!(hub.next_operations(E), ["2", "3", "4"]);
    // Nothing at all was done: nothing is recorded either, whatever else the outcome says.
    let given = hub.runnable(E).into_iter().map(|(number, _)| number).collect();
    let nothing = EntityOutcome {
        state: NewState::Set(Some("x".to_owned())),
        actions: vec![send("o", F)],
        ..outcome(0)
    };
    let decision = hub.finish(E, given, nothing);
    assert!(decision.records.is_empty());
    assert_eq!((hub.next_operations(E).len(), state(&hub, E)), (3, None));
}

#[test]
fn a_batch_counts_once() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    hub.turn("a", vec![call(E, "1")]);
    let given: Vec<u64> = hub.runnable(E).into_iter().map(|(number, _)| number).collect();
    assert_eq!(hub.finish(E, given.clone(), outcome(1)).reply, Reply::Accepted);
    let again = hub.finish(E, given, outcome(1));
    assert!(matches!(again.reply, Reply::Refused(Refusal::Stale(_))));
    assert!(again.records.is_empty());
    assert_eq!(hub.replies("a").len(), 1);
}

#[test]
fn an_operation_that_fails_tells_its_caller_alone() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    hub.turn("a", vec![call(E, "1"), call(E, "2"), signal(E, "3")]);
    let given = hub.runnable(E).into_iter().map(|(number, _)| number).collect();
    let results = vec![
        Ok(Some("fine".to_owned())),
        Err(FailureDetails::new("E", "no")),
        Err(FailureDetails::new("E", "nobody hears this")),
    ];
    let done = EntityOutcome { results, state: NewState::Set(Some("s".to_owned())), actions: Vec::new() };
    hub.finish(E, given, done);
    assert_eq!(hub.replies("a"), [(0, "fine".to_owned()), (1, "no".to_owned())]);
    assert_eq!(state(&hub, E).as_deref(), Some("s"));
}

#[test]
fn replies_reach_only_the_execution_that_called() {
    let mut hub = Hub::new();
    hub.begin(&["goes on", "dies", "vanishes"]);
    for name in ["goes on", "dies", "vanishes"] {
        hub.turn(name, vec![call(E, name)]);
    }
    hub.raise("goes on", "E");
    hub.turn("goes on", vec![again()]);
    // The new execution waits for a call of the same sequence id.
    hub.turn("goes on", vec![call(E, "anew")]);
    hub.terminate("dies", false);
    hub.terminate("vanishes", false);
    hub.purge("vanishes");
    let given: Vec<u64> = hub.runnable(E).into_iter().take(3).map(|(number, _)| number).collect();
    hub.finish(E, given, outcome(3));
    assert_eq!(hub.replies("goes on"), []);
    assert_eq!(hub.work(E), ["anew"]);
    assert_eq!(hub.replies("goes on"), [(0, "anew".to_owned())]);
    assert_eq!((hub.status("dies"), hub.status("vanishes")), (Some(RuntimeStatus::Terminated), None));
}

#[test]
fn signals_of_clients_have_no_caller() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    hub.turn("a", vec![call(F, "1")]);
    let instance = hub.instance("a");
    let caller = EntityCaller {
        instance_id: "a".to_owned(),
        execution_id: instance.start().execution_id.clone(),
        task_id: 0,
        section_id: None,
    };
    let operation =
        EntityOperation { name: "forged".to_owned(), caller: Some(caller), ..EntityOperation::default() };
    hub.run(Command::SignalEntity { id: id(E), operation });
    hub.work(E);
    assert_eq!(hub.replies("a"), []);
}

#[test]
fn a_state_too_large_fails_the_whole_batch() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    hub.signal(E, "0");
    hub.work(E);
    hub.turn("a", vec![call(E, "1"), call(E, "2")]);
    let given: Vec<u64> = hub.runnable(E).into_iter().map(|(number, _)| number).collect();
    let large = EntityOutcome {
        results: vec![Ok(Some("fine".to_owned())); 2],
        state: NewState::Set(Some("x".repeat(PAYLOAD_BYTES_MAX + 1))),
        actions: vec![send("never", F), begin("Never", "never")],
    };
    hub.finish(E, given, large);
    let replies = hub.replies("a");
    assert_eq!(replies.len(), 2);
    assert!(replies.iter().all(|(_, text)| text.contains("the limit is 16777216")), "{replies:?}");
    assert_eq!(state(&hub, E).as_deref(), Some("0 "));
    assert_eq!((hub.partition.entity(F), hub.status("never")), (None, None));
}

#[test]
fn a_result_too_large_fails_its_operation() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    hub.turn("a", vec![call(E, "1"), call(E, "2")]);
    let given: Vec<u64> = hub.runnable(E).into_iter().map(|(number, _)| number).collect();
    let results = vec![Ok(Some("x".repeat(PAYLOAD_BYTES_MAX + 1))), Ok(Some("fine".to_owned()))];
    let done = EntityOutcome { results, state: NewState::Set(Some("s".to_owned())), actions: Vec::new() };
    hub.finish(E, given, done);
    let replies = hub.replies("a");
    assert!(replies[0].1.contains("the limit is 16777216"), "{replies:?}");
    assert_eq!((replies[1].1.as_str(), state(&hub, E).as_deref()), ("fine", Some("s")));
}

#[test]
fn an_entity_signals_and_starts() {
    let mut hub = Hub::new();
    hub.begin(&["taken"]);
    hub.signal(E, "1");
    let actions = vec![
        send("hello", "@F@1"),
        send("self", E),
        begin("Named", "named"),
        begin("Unnamed", ""),
        begin("Taken", "taken"),
        send("lost", "no entity"),
        begin("Lost", "@f@2"),
        begin("", "lost"),
    ];
    let before = hub.log.len();
    let decision = hub.finish(E, vec![0], EntityOutcome { actions, ..outcome(1) });
    assert_eq!(decision.discarded, Some(Discard::InvalidAction));
    // Names of entities are folded, whoever writes them.
    assert_eq!((hub.next_operations(F), hub.next_operations(E)), (vec!["hello".into()], vec!["self".into()]));
    assert_eq!(hub.instance("named").start().name, "Named");
    assert_eq!(hub.instance("named").start().parent, None);
    assert_eq!(hub.instance("taken").start().name, "Test");
    let created = hub.log[before..].iter().filter_map(|record| match record {
        Record::Created(created) => Some(created.id.as_str()),
        _ => None,
    });
    let created: Vec<&str> = created.collect();
    assert_eq!(created.len(), 2, "{created:?}");
    let unnamed = created.iter().find(|id| **id != "named").unwrap();
    assert!(unnamed.len() == 32 && unnamed.chars().all(|c| c.is_ascii_hexdigit()), "{unnamed}");
    // GUIDs that every SDK can read.
    let request = hub.partition.entity(F).unwrap().runnable(1).next().unwrap().1.request_id.clone();
    let parts: Vec<usize> = request.split('-').map(str::len).collect();
    assert_eq!((parts, &request[14..15]), (vec![8, 4, 4, 4, 12], "4"), "{request}");
}

#[test]
fn a_start_takes_the_place_of_what_is_over() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    hub.turn("a", vec![complete()]);
    hub.signal(E, "1");
    hub.finish(E, vec![0], EntityOutcome { actions: vec![begin("New", "a")], ..outcome(1) });
    assert_eq!(
        (hub.status("a"), hub.instance("a").start().name.as_str()),
        (Some(RuntimeStatus::Pending), "New")
    );
}

#[test]
fn scheduled_operations_wait_for_their_time() {
    let mut hub = Hub::new();
    let at = |hub: &Hub, millis| Some(hub.now.saturating_add(std::time::Duration::from_millis(millis)));
    let (soon, later, past) = (at(&hub, 1000), at(&hub, 2000), at(&hub, 0));
    hub.signal_at(E, "later", later);
    hub.signal_at(E, "soon", soon);
    hub.signal_at(E, "soon, too", soon);
    hub.signal_at(E, "at once", past);
    assert_eq!(hub.work(E), ["at once"]);
    assert_eq!(hub.partition.entity(E).unwrap().snapshot().backlog, 3);
    hub.pass(900);
    assert_eq!(hub.next_operations(E).len(), 0, "nothing before its time");
    // Both the tables and the log bring them back.
    hub.flush();
    hub.signal_at(F, "logged", later);
    hub.restart();
    hub.pass(200);
    hub.signal(E, "sent after");
    assert_eq!(hub.work(E), ["soon", "soon, too", "sent after"]);
    hub.restart();
    hub.pass(2000);
    assert_eq!((hub.work(E), hub.work(F)), (vec!["later".into()], vec!["logged".into()]));
    assert_eq!(hub.partition.timers().count(), 0);
    hub.check_rebuilt();
}

#[test]
fn an_entity_of_which_nothing_is_left_vanishes() {
    let mut hub = Hub::new();
    let gone = |results| EntityOutcome { state: NewState::Set(None), ..outcome(results) };
    hub.signal(E, "1");
    hub.work(E);
    hub.flush();
    assert_eq!((hub.tables.entities.len(), hub.tables.active.len()), (1, 0));
    hub.signal(E, "2");
    let given: Vec<u64> = hub.runnable(E).into_iter().map(|(number, _)| number).collect();
    hub.finish(E, given, gone(1));
    assert_eq!((hub.partition.entity(E), hub.partition.memory_bytes()), (None, 0));
    hub.flush();
    assert_eq!((hub.tables.entities.len(), hub.tables.active.len(), hub.partition.loaded()), (0, 0, 0));
    // Operations make it anew.
    hub.signal(E, "3");
    assert_eq!(hub.work(E), ["3"]);
    assert_eq!(state(&hub, E).as_deref(), Some("3 "));
}

#[test]
fn an_entity_that_vanished_and_came_back_runs_each_operation_once_after_a_crash() {
    let mut hub = Hub::new();
    for operation in ["1", "2"] {
        hub.signal(E, operation);
    }
    hub.finish(E, vec![0, 1], outcome(2));
    // The rows written say that it is gone; the operation comes before they are.
    hub.begin_flush();
    hub.signal(E, "3");
    hub.end_flush();
    hub.work(E);
    hub.check_rebuilt();
    hub.restart();
    assert_eq!((hub.next_operations(E).len(), state(&hub, E).as_deref()), (0, Some("3 ")));
}

#[test]
fn rows_hold_all_of_an_entity() {
    let mut hub = Hub::new();
    hub.begin(&["a", "b"]);
    let later = hub.now.saturating_add(std::time::Duration::from_secs(5));
    hub.signal(E, "0");
    hub.work(E);
    hub.turn("a", vec![support::lock("s", &[E, F])]);
    hub.turn("a", vec![call(E, "mine")]);
    hub.turn("b", vec![support::lock("t", &[E])]);
    hub.signal(E, "waits");
    hub.signal_at(E, "later", Some(later));
    hub.terminate("a", false);
    let before = hub.partition.entity(E).cloned().unwrap();
    hub.flush();
    assert!(hub.tables.active.contains(&id(E)) && !hub.tables.active.contains(&id(F)));
    hub.restart();
    assert_eq!(hub.partition.entity(E), Some(&before));
    hub.check_rebuilt();
    // And it goes on as it would have: the holder's last operation, then who is next.
    assert_eq!((hub.work(E), hub.holder(E).as_deref()), (vec!["mine".into()], Some("b")));
}

#[test]
fn clean_entities_leave_memory_and_come_back() {
    let mut hub = Hub::new();
    hub.signal(E, "1");
    hub.work(E);
    assert!(!hub.partition.evict(&id(E)), "its row does not say what it is");
    hub.begin_flush();
    assert!(!hub.partition.evict(&id(E)), "its row is not written yet");
    hub.end_flush();
    assert!(hub.partition.evict(&id(E)));
    assert_eq!((hub.partition.memory_bytes(), hub.partition.loaded()), (0, 0));
    hub.signal(E, "2");
    hub.work(E);
    assert_eq!(state(&hub, E).as_deref(), Some("1 2 "));
    hub.check_rebuilt();
}

#[test]
fn too_many_operations_of_clients_are_refused() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    let operation = EntityOperation { name: "o".to_owned(), ..EntityOperation::default() };
    let one = Command::SignalEntity { id: id(E), operation: operation.clone() };
    hub.run(one.clone());
    let record = hub.log.last().cloned().unwrap();
    for _ in 1..PENDING_OPERATIONS_MAX {
        strandline_hub::evolve(&mut hub.partition, record.clone());
    }
    assert!(matches!(hub.run(one).reply, Reply::Refused(Refusal::TooManyPendingOperations { .. })));
    // Those of orchestrations are not: what was decided is carried out.
    hub.turn("a", vec![signal(E, "mine")]);
    assert_eq!(hub.partition.entity(E).unwrap().snapshot().backlog, PENDING_OPERATIONS_MAX + 1);
}

#[test]
fn signals_are_checked() {
    let mut hub = Hub::new();
    let mut signal = |target: &str, change: &dyn Fn(&mut EntityOperation)| {
        let mut operation = EntityOperation { name: "o".to_owned(), ..EntityOperation::default() };
        change(&mut operation);
        let decision = hub.run(Command::SignalEntity { id: id(target), operation });
        assert!(decision.records.is_empty());
        match decision.reply {
            Reply::Refused(refusal) => refusal.to_string(),
            other => panic!("{other:?}"),
        }
    };
    for target in ["plain", "@", "@noslash", "@@key", "@e@\n"] {
        assert!(signal(target, &|_| ()).starts_with("entity id"), "{target:?}");
    }
    // It would be another entity, in another partition.
    assert!(signal("@E@1", &|_| ()).contains("lower case"));
    assert!(signal(E, &|o| o.name = "x".repeat(NAME_BYTES_MAX + 1)).starts_with("operation name"));
    assert!(signal(E, &|o| o.request_id = "x".repeat(NAME_BYTES_MAX + 1)).starts_with("request id"));
    assert!(signal(E, &|o| o.input = Some("x".repeat(PAYLOAD_BYTES_MAX + 1))).starts_with("operation input"));
    assert_eq!(hub.partition.entity(E), None);
    let nameless = Command::SignalEntity { id: id(E), operation: EntityOperation::default() };
    assert_eq!(hub.run(nameless).reply, Reply::Accepted);
}

#[test]
fn a_turn_that_names_no_entity_fails_its_instance() {
    for action in [call("plain", "o"), signal("@E@1", "o"), support::lock("s", &["@E@1"])] {
        let mut hub = Hub::new();
        hub.begin(&["a"]);
        hub.turn("a", vec![action]);
        assert_eq!(hub.status("a"), Some(RuntimeStatus::Failed));
    }
}

#[test]
fn an_entity_is_no_instance() {
    let mut hub = Hub::new();
    hub.signal(E, "1");
    hub.work(E);
    let before = hub.log.len();
    assert!(matches!(
        hub.start(E, ReusePolicy::replace_any()),
        Reply::Refused(Refusal::Invalid { field: "instance id", .. })
    ));
    let not_found = Reply::Refused(Refusal::NotFound);
    assert_eq!(hub.raise(E, "E"), not_found);
    assert_eq!(hub.terminate(E, true), not_found);
    assert_eq!(hub.suspend(E), not_found);
    assert_eq!(hub.resume(E), not_found);
    assert_eq!(hub.purge(E), not_found);
    assert_eq!(hub.rewind(E).reply, not_found);
    assert_eq!(hub.log.len(), before);
    assert_eq!((hub.partition.instance(E), state(&hub, E).as_deref()), (None, Some("1 ")));
    hub.flush();
    assert_eq!((hub.tables.instances.len(), hub.tables.entities.len()), (0, 1));
}

#[test]
fn messages_for_the_wrong_kind_are_dropped() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    let operation = EntityOperation { name: "o".to_owned(), ..EntityOperation::default() };
    let event = strandline_hub::message::RaiseEvent { name: "E".to_owned(), input: None };
    for (to, body) in [("a", MessageBody::Operation(operation)), (E, MessageBody::RaiseEvent(event))] {
        let sequence = hub.partition.received(0) + 1;
        let message = strandline_hub::message::Message {
            sequence,
            instance_id: to.to_owned(),
            body: Some(body),
            ..Default::default()
        };
        let decision =
            hub.run(Command::Message { message: Box::new(message), execution: Default::default(), seed: 0 });
        assert_eq!((decision.discarded, decision.records.len()), (Some(Discard::UnknownTarget), 1));
    }
    assert_eq!((hub.inbox("a").len(), hub.partition.entity("a"), hub.partition.entity(E)), (1, None, None));
}

#[test]
fn a_purged_entity_answers_those_who_wait_and_is_gone() {
    let mut hub = Hub::new();
    hub.begin(&["a"]);
    hub.signal(E, "1");
    hub.work(E);
    hub.signal(E, "2");
    hub.turn("a", vec![call(E, "3")]);
    let later = hub.now.saturating_add(std::time::Duration::from_secs(60));
    assert_eq!(hub.signal_at(E, "4", Some(later)), Reply::Accepted);
    assert_eq!(hub.run(Command::PurgeEntity { id: id(E) }).reply, Reply::Accepted);
    assert!(hub.partition.entity(E).is_none());
    assert_eq!(hub.partition.timers().count(), 0);
    assert_eq!(hub.replies("a"), [(0, "the entity was purged before it did this".to_owned())]);
    assert_eq!(hub.run(Command::PurgeEntity { id: id(E) }).reply, Reply::Refused(Refusal::NotFound));
    // The same id begins anew.
    hub.signal(E, "5");
    hub.work(E);
    assert_eq!(state(&hub, E).as_deref(), Some("5 "));
    hub.check_rebuilt();
}

#[test]
fn an_entity_that_a_section_holds_is_not_purged_and_one_that_waits_gets_it() {
    let mut hub = Hub::new();
    hub.begin(&["a", "b"]);
    hub.signal(E, "1");
    // Behind the operation.
    hub.turn("a", vec![lock("s", &[E])]);
    assert_eq!(hub.holder(E), None);
    assert_eq!(hub.run(Command::PurgeEntity { id: id(E) }).reply, Reply::Accepted);
    assert_eq!(hub.holder(E).as_deref(), Some("a"));
    hub.turn("b", vec![call(E, "2")]);
    let refused = hub.run(Command::PurgeEntity { id: id(E) }).reply;
    assert!(matches!(refused, Reply::Refused(Refusal::EntityInUse(_))));
    assert_eq!(hub.partition.entity(E).unwrap().snapshot().backlog, 1);
    hub.check_rebuilt();
}
