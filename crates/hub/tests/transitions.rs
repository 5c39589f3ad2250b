//! Any sequence of commands keeps to the table of runtime statuses, and to what must always hold; what is
//! in memory is at any time what a restart would find.

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use strandline_hub::{Command, Refusal, Reply, ReusePolicy};
use strandline_model::{EntityOutcome, EventKind, NewState, Origin, RuntimeStatus};
use support::{Hub, activity, again, call, child, complete, fail_of, id, lock, signal, timer, unlock};

const ENTITIES: [&str; 3] = ["@e@1", "@e@2", "@e@3"];
const NAMES: [&str; 3] = ["a", "b", "a-child"];

#[derive(Clone, Debug)]
enum Step {
    Start(u8),
    Raise,
    Terminate(bool),
    Suspend,
    Resume,
    Purge,
    Rewind,
    ActivityEnds {
        task: i32,
        fails: bool,
    },
    Turn(Turn),
    /// A client signals an entity, to be run after so many milliseconds.
    Signal {
        entity: usize,
        after: u64,
    },
    /// An entity runs so many of its operations at most.
    Work {
        entity: usize,
        max: usize,
        keep: bool,
    },
    Pass(u64),
    /// The oldest message on its way arrives.
    Deliver,
    BeginFlush,
    EndFlush,
    Restart,
}

#[derive(Clone, Debug)]
enum Turn {
    Calls,
    SetsTimer,
    StartsChild,
    CallsEntity(usize),
    Signals(usize),
    Locks(u8),
    Unlocks(usize),
    Completes,
    Fails(u8),
    Continues,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        2 => Just(Turn::Calls),
        1 => Just(Turn::SetsTimer),
        1 => Just(Turn::StartsChild),
        3 => (0..3usize).prop_map(Turn::CallsEntity),
        2 => (0..3usize).prop_map(Turn::Signals),
        4 => (1..8u8).prop_map(Turn::Locks),
        2 => (0..3usize).prop_map(Turn::Unlocks),
        1 => Just(Turn::Completes),
        3 => (0..6u8).prop_map(Turn::Fails),
        1 => Just(Turn::Continues),
    ]
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let step = prop_oneof![
        4 => (0..3u8).prop_map(Step::Start),
        2 => Just(Step::Raise),
        1 => any::<bool>().prop_map(Step::Terminate),
        1 => Just(Step::Suspend),
        1 => Just(Step::Resume),
        1 => Just(Step::Purge),
        3 => Just(Step::Rewind),
        2 => (0..6, any::<bool>()).prop_map(|(task, fails)| Step::ActivityEnds { task, fails }),
        10 => turn().prop_map(Step::Turn),
        3 => (0..3usize, prop_oneof![Just(0u64), 1..50u64]).prop_map(|(entity, after)| Step::Signal { entity, after }),
        4 => (0..3usize, 1..4usize, any::<bool>())
            .prop_map(|(entity, max, keep)| Step::Work { entity, max, keep }),
        1 => (1..60u64).prop_map(Step::Pass),
        12 => Just(Step::Deliver),
        2 => Just(Step::BeginFlush),
        2 => Just(Step::EndFlush),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec((0..NAMES.len(), step), 1..100)
}

fn policy(n: u8) -> ReusePolicy {
    match n {
        0 => ReusePolicy::refuse(),
        1 => ReusePolicy::replace_terminal(),
        _ => ReusePolicy::replace_any(),
    }
}

/// A hub, and what was asked of its entities.
#[derive(Default)]
struct Model {
    operations: usize,
    /// Operations that are sent once and whether clients sent them; calls may be sent again by a rewind.
    sent: BTreeMap<String, bool>,
    /// What was run, by entity and in order.
    done: [Vec<String>; 3],
}

impl Model {
    fn operation(&mut self, kind: &str) -> String {
        self.operations += 1;
        format!("{kind}{:05}", self.operations)
    }

    fn actions(&mut self, hub: &Hub, name: &str, turn: &Turn) -> Vec<strandline_model::ActionKind> {
        let instance = hub.instance(name);
        match *turn {
            Turn::Calls => vec![activity("A"), activity("B")],
            Turn::SetsTimer => vec![timer(hub.now.saturating_add(std::time::Duration::from_millis(30)))],
            Turn::StartsChild => vec![child(&format!("{name}-child"))],
            Turn::CallsEntity(e) => vec![call(ENTITIES[e], &self.operation("call"))],
            Turn::Signals(e) => {
                let operation = self.operation("signal");
                self.sent.insert(operation.clone(), false);
                vec![signal(ENTITIES[e], &operation)]
            }
            Turn::Locks(mask) => {
                let set: Vec<&str> = (0..3).filter(|e| mask & (1 << e) != 0).map(|e| ENTITIES[e]).collect();
                vec![lock(&self.operation("section"), &set)]
            }
            Turn::Unlocks(e) => instance.sections.keys().map(|s| unlock(s, ENTITIES[e])).collect(),
            Turn::Completes => vec![complete()],
            Turn::Fails(n) => vec![fail_of(match n {
                0 | 1 => Origin::Unknown,
                2 => Origin::Code,
                n => Origin::Task(i32::from(n) - 3),
            })],
            Turn::Continues => vec![again()],
        }
    }

    fn carry_out(&mut self, hub: &mut Hub, name: &str, step: &Step) -> Reply {
        match *step {
            Step::Start(n) => return hub.start(name, policy(n)),
            Step::Raise => return hub.raise(name, "E"),
            Step::Terminate(recursive) => return hub.terminate(name, recursive),
            Step::Suspend => return hub.suspend(name),
            Step::Resume => return hub.resume(name),
            Step::Purge => return hub.purge(name),
            Step::Rewind => return hub.rewind(name).reply,
            Step::ActivityEnds { task, fails } => {
                let result = if fails { Err("no") } else { Ok("1") };
                return hub.activity_ends(name, task, result);
            }
            Step::Turn(ref turn) => {
                // Turns are handed out only to instances that are ready.
                if hub.partition.instance(name).is_some_and(|i| i.is_ready()) {
                    let id = id(name);
                    hub.tables.load_history(&mut hub.partition, &id);
                    let actions = self.actions(hub, name, turn);
                    return hub.turn(name, actions);
                }
            }
            Step::Signal { entity, after } => {
                let operation = self.operation(if after == 0 { "client" } else { "late" });
                self.sent.insert(operation.clone(), true);
                let at = hub.now.saturating_add(std::time::Duration::from_millis(after));
                return hub.signal_at(ENTITIES[entity], &operation, (after > 0).then_some(at));
            }
            Step::Work { entity, max, keep } => self.work(hub, entity, max, keep),
            Step::Pass(millis) => hub.pass(millis),
            Step::Deliver => drop(hub.deliver_one()),
            Step::BeginFlush => hub.begin_flush(),
            Step::EndFlush => hub.end_flush(),
            Step::Restart => hub.restart(),
        }
        Reply::Unchanged
    }

    fn work(&mut self, hub: &mut Hub, entity: usize, max: usize, keep: bool) {
        let (given, names): (Vec<_>, Vec<_>) = hub.runnable(ENTITIES[entity]).into_iter().unzip();
        if given.is_empty() {
            return;
        }
        let done = names.len().min(max);
        let outcome = EntityOutcome {
            results: vec![Ok(None); done],
            state: NewState::Set(keep.then(|| names[done - 1].clone())),
            actions: Vec::new(),
        };
        assert_eq!(hub.finish(ENTITIES[entity], given, outcome).reply, Reply::Accepted);
        self.done[entity].extend(names.into_iter().take(done));
    }

    /// All instances end; then every lock is free and everything sent was run once, in order.
    fn finish(&mut self, hub: &mut Hub) {
        hub.restart();
        hub.holds_messages = false;
        hub.deliver();
        for name in ["a", "b", "a-child", "a-child-child", "b-child"] {
            hub.terminate(name, false);
        }
        hub.pass(100);
        while ENTITIES.iter().any(|entity| !hub.runnable(entity).is_empty()) {
            (0..3).for_each(|entity| self.work(hub, entity, 2, false));
        }
        for entity in ENTITIES {
            let left = hub.partition.entity(entity).map(|e| e.snapshot());
            assert!(left.as_ref().is_none_or(|e| e.backlog == 0 && e.locked_by.is_none()), "{left:?}");
        }
        assert_eq!(hub.partition.timers().count(), 0);
        let mut count: BTreeMap<&str, usize> = BTreeMap::new();
        for done in &self.done {
            done.iter().for_each(|operation| *count.entry(operation).or_default() += 1);
            let of_clients: Vec<_> = done.iter().filter(|o| o.starts_with("client")).collect();
            assert!(of_clients.is_sorted(), "{of_clients:?}");
        }
        for operation in self.sent.keys() {
            assert_eq!(count.get(operation.as_str()), Some(&1), "{operation}");
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
        (Some(Pending | Running), Step::Turn(Turn::Completes), Some(Completed)) => true,
        (Some(Pending | Running), Step::Turn(Turn::Fails(_)), Some(Failed)) => true,
        (Some(Pending), Step::Turn(_), Some(Running)) => true,
        (Some(Failed), Step::Rewind, Some(Running)) => true,
        (Some(from), Step::Purge, None) => from.is_terminal(),
        // The child is started, terminated or rewound by its parent.
        (None, Step::Deliver, Some(Pending)) => true,
        (Some(from), Step::Deliver, Some(Pending)) => from.is_terminal(),
        (Some(Failed), Step::Deliver, Some(Running)) => true,
        (Some(Pending | Running | Suspended), Step::Deliver, Some(Terminated)) => true,
        _ => false,
    }
}

/// Well-formed: one start, one end at most and last, each task's result at most once, nothing of the dead.
fn check_instance(hub: &Hub, name: &str) {
    let Some(instance) = hub.partition.instance(name) else { return };
    let events = instance.history.in_memory();
    let started = events.iter().filter(|e| matches!(e.kind(), EventKind::ExecutionStarted(_))).count();
    assert!(started <= 1);
    let mut results: Vec<i32> = Vec::new();
    for (n, event) in events.iter().enumerate() {
        match event.kind() {
            EventKind::ExecutionCompleted(_) => assert_eq!(n + 1, events.len(), "nothing after the end"),
            EventKind::TaskCompleted(e) => results.push(e.task_id),
            EventKind::TaskFailed(e) => results.push(e.task_id),
            EventKind::SubOrchestrationFailed(e) => results.push(e.task_id),
            EventKind::EntityOperationCompleted(e) => results.push(e.task_id),
            EventKind::TimerFired(e) => results.push(e.timer_id),
            _ => {}
        }
    }
    let count = results.len();
    results.sort_unstable();
    results.dedup();
    assert_eq!(results.len(), count, "a result was recorded twice");
    if instance.is_over() {
        assert!(instance.open.is_empty() && instance.inbox.is_empty() && instance.sections.is_empty());
        assert!(hub.partition.timers().all(|timer| timer.instance != instance.id));
    }
}

/// Whoever holds a lock is there and wants it, or has sent an operation that is still to be run.
fn check_locks(hub: &Hub) {
    for entity in ENTITIES {
        let Some(entity) = hub.partition.entity(entity) else { continue };
        let Some(lock) = &entity.lock else { continue };
        let owner = hub.partition.instance(&lock.owner.instance_id);
        let wanted = owner.is_some_and(|owner| {
            owner.start().execution_id == lock.owner.execution_id
                && owner.sections.contains_key(&lock.owner.section_id)
        });
        assert!(wanted || entity.is_ready(), "{} is locked by {:?}, who is gone", entity.id, lock.owner);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn statuses_change_only_as_the_table_says(steps in steps(), slow in any::<bool>()) {
        let mut hub = Hub::new();
        hub.holds_messages = slow;
        let mut model = Model::default();
        for (name, step) in steps {
            let name = NAMES[name];
            let id = id(name);
            hub.tables.load(&mut hub.partition, &id);
            let before = hub.status(name);
            let reply = model.carry_out(&mut hub, name, &step);
            hub.tables.load(&mut hub.partition, &id);
            let after = hub.status(name);
            prop_assert!(allowed(before, &step, after), "{before:?} --{step:?}--> {after:?}");
            match reply {
                Reply::Refused(_) => prop_assert_eq!(before, after),
                Reply::Accepted if matches!(step, Step::Raise | Step::Terminate(_)) => {
                    prop_assert!(before.is_some_and(|s| !s.is_terminal()));
                }
                _ => {}
            }
            NAMES.iter().for_each(|name| check_instance(&hub, name));
            if hub.next_message().is_none() {
                check_locks(&hub);
            }
            hub.check_rebuilt();
        }
        model.finish(&mut hub);
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

/// It would take the results of the one before, whose tasks have the same ids.
#[test]
fn an_execution_id_is_not_used_again() {
    let mut hub = Hub::new();
    let execution = strandline_model::ExecutionId(7);
    let start = |hub: &mut Hub| hub.start_as("a", ReusePolicy::replace_any(), None, execution);
    assert_eq!(start(&mut hub), Reply::Started { execution });
    let exists = Reply::Refused(Refusal::AlreadyExists { status: RuntimeStatus::Pending });
    assert_eq!(start(&mut hub), exists);
    assert!(matches!(hub.start("a", ReusePolicy::replace_any()), Reply::Started { .. }));
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
        span: None,
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
