//! A partition driven by hand, with tables it is flushed to.
#![allow(dead_code, reason = "each test uses its own part of this")]

pub(crate) mod actions;
pub(crate) mod tables;

use std::collections::BTreeSet;

use strandline_hub::message::Message;
use strandline_hub::row::PartitionRows;
use strandline_hub::{
    Command, Decision, EntityFinished, Identity, Instance, Partition, Record, Reply, ReusePolicy, Start,
    TurnFinished, decide, evolve,
};
use strandline_model::{
    Action, ActionKind, EntityOperation, EntityOutcome, EventKind, ExecutionId, FailureDetails, InstanceId,
    RuntimeStatus, Timestamp,
};

pub(crate) use actions::*;
use tables::Tables;

pub(crate) struct Hub {
    pub(crate) partition: Partition,
    pub(crate) now: Timestamp,
    /// Everything decided so far.
    pub(crate) log: Vec<Record>,
    pub(crate) tables: Tables,
    /// Records that the tables reflect.
    flushed: usize,
    /// Rows on their way to the tables, and the records they reflect.
    flushing: Option<(PartitionRows, usize)>,
    /// Messages stay on their way until they are delivered one by one.
    pub(crate) holds_messages: bool,
    entropy: u128,
}

pub(crate) fn id(text: &str) -> InstanceId {
    InstanceId::trusted(text)
}

const IDENTITY: Identity = Identity { number: 0, partitions: 1 };

impl Hub {
    /// A hub with one partition.
    pub(crate) fn new() -> Self {
        Self {
            partition: Partition::new(IDENTITY, None, Vec::new()),
            now: Timestamp::from_millis(1_700_000_000_000),
            log: Vec::new(),
            tables: Tables::default(),
            flushed: 0,
            flushing: None,
            holds_messages: false,
            entropy: 0,
        }
    }

    pub(crate) fn entropy(&mut self) -> u128 {
        self.entropy += 1;
        self.entropy
    }

    /// Decides a command and applies its records, and then the messages they send.
    pub(crate) fn run(&mut self, command: Command) -> Decision {
        let decision = self.run_alone(command);
        if !self.holds_messages {
            self.deliver();
        }
        decision
    }

    /// Delivers all messages on their way.
    pub(crate) fn deliver(&mut self) {
        while self.deliver_one().is_some() {}
    }

    /// Delivers the oldest message on its way.
    pub(crate) fn deliver_one(&mut self) -> Option<Decision> {
        let message = self.next_message()?;
        let execution = ExecutionId(self.entropy());
        Some(self.run_alone(Command::Message { message: Box::new(message), execution, seed: 7 }))
    }

    pub(crate) fn run_alone(&mut self, command: Command) -> Decision {
        for id in command.keys() {
            self.tables.load(&mut self.partition, &id);
            if command.needs_history() {
                self.tables.load_history(&mut self.partition, &id);
            }
        }
        self.now = self.now.saturating_add(std::time::Duration::from_millis(1));
        let decision = decide(&self.partition, self.now, command);
        for record in &decision.records {
            self.log.push(record.clone());
            evolve(&mut self.partition, record.clone());
        }
        decision
    }

    pub(crate) fn next_message(&self) -> Option<Message> {
        self.partition.outbox(0, self.partition.received(0)).next().map(|m| Message::clone(m))
    }

    /// Moves time on and fires what is due.
    pub(crate) fn pass(&mut self, millis: u64) {
        self.now = self.now.saturating_add(std::time::Duration::from_millis(millis));
        let due = self.partition.due(self.now, 1000);
        self.run(Command::TimersDue(due));
    }

    pub(crate) fn start(&mut self, name: &str, reuse: ReusePolicy) -> Reply {
        self.start_at(name, reuse, None)
    }

    /// Starts instances that are not there.
    pub(crate) fn begin(&mut self, names: &[&str]) {
        for name in names {
            assert!(matches!(self.start(name, ReusePolicy::refuse()), Reply::Started { .. }));
        }
    }

    pub(crate) fn start_at(&mut self, name: &str, reuse: ReusePolicy, at: Option<Timestamp>) -> Reply {
        let execution = ExecutionId(self.entropy());
        self.start_as(name, reuse, at, execution)
    }

    pub(crate) fn start_as(
        &mut self,
        name: &str,
        reuse: ReusePolicy,
        at: Option<Timestamp>,
        execution: ExecutionId,
    ) -> Reply {
        let start = Start {
            id: id(name),
            name: "Test".to_owned(),
            version: Some("2".to_owned()),
            input: Some("[1,\"ü\"]".to_owned()),
            tags: [("k".to_owned(), "v".to_owned())].into(),
            scheduled_start: at,
            reuse,
            execution,
            seed: 99,
            trace_parent: None,
            trace_state: None,
        };
        self.run(Command::Start(Box::new(start))).reply
    }

    pub(crate) fn raise(&mut self, name: &str, event: &str) -> Reply {
        let input = Some("{}".to_owned());
        self.run(Command::RaiseEvent { id: id(name), name: event.to_owned(), input }).reply
    }

    pub(crate) fn terminate(&mut self, name: &str, recursive: bool) -> Reply {
        let reason = Some("because".to_owned());
        self.run(Command::Terminate { id: id(name), reason, recursive }).reply
    }

    pub(crate) fn suspend(&mut self, name: &str) -> Reply {
        self.run(Command::Suspend { id: id(name), reason: None }).reply
    }

    pub(crate) fn resume(&mut self, name: &str) -> Reply {
        self.run(Command::Resume { id: id(name), reason: None }).reply
    }

    pub(crate) fn rewind(&mut self, name: &str) -> Decision {
        let execution = ExecutionId(self.entropy());
        self.run(Command::Rewind { id: id(name), reason: Some("fixed".to_owned()), execution })
    }

    pub(crate) fn purge(&mut self, name: &str) -> Reply {
        self.run(Command::Purge { id: id(name), execution: None }).reply
    }

    /// A turn that sees everything in the inbox and takes these actions, under the next sequence ids.
    pub(crate) fn turn(&mut self, name: &str, kinds: Vec<ActionKind>) -> Reply {
        self.turn_again(name, &[], kinds)
    }

    /// The same; the first actions are done again under the sequence ids they had.
    pub(crate) fn turn_again(&mut self, name: &str, again: &[i32], kinds: Vec<ActionKind>) -> Reply {
        let Some(instance) = self.partition.instance(name) else { return Reply::Accepted };
        let first = next_id(instance);
        let ids = again.iter().copied().chain(first..);
        let finished = TurnFinished {
            id: id(name),
            execution: instance.execution,
            seen: instance.history.len(),
            delivered: instance.inbox.len(),
            time: self.now,
            actions: ids.zip(kinds).map(|(id, kind)| Action { id, kind }).collect(),
            custom_status: None,
            next_execution: ExecutionId(0xabc),
            next_seed: 5,
            span: None,
        };
        self.run(Command::TurnFinished(Box::new(finished))).reply
    }

    pub(crate) fn activity_ends(&mut self, name: &str, task_id: i32, result: Result<&str, &str>) -> Reply {
        let Some(execution) = self.partition.instance(name).map(|i| i.execution) else {
            return Reply::Unchanged;
        };
        let result = result.map(|r| Some(r.to_owned())).map_err(|e| FailureDetails::new("E", e));
        self.run(Command::ActivityFinished { id: id(name), execution, task_id, result }).reply
    }

    pub(crate) fn status(&self, name: &str) -> Option<RuntimeStatus> {
        self.partition.instance(name).map(|i| i.status())
    }

    pub(crate) fn instance(&self, name: &str) -> &Instance {
        self.partition.instance(name).unwrap_or_else(|| panic!("{name} is not there"))
    }

    /// The names of the events in the history, those of turns left out.
    pub(crate) fn history(&self, name: &str) -> Vec<&'static str> {
        let events = self.instance(name).history.in_memory().iter();
        let names = events.map(|e| e.kind().name());
        names.filter(|n| *n != "OrchestratorStarted" && *n != "OrchestratorCompleted").collect()
    }

    /// The names of the events the next turn sees.
    pub(crate) fn inbox(&self, name: &str) -> Vec<&'static str> {
        self.instance(name).inbox.iter().map(|e| e.kind().name()).collect()
    }

    /// Results of entity calls in the inbox: the id of the call with the result, or the failure's text.
    pub(crate) fn replies(&self, name: &str) -> Vec<(i32, String)> {
        let replies = self.instance(name).inbox.iter().filter_map(|event| match event.kind() {
            EventKind::EntityOperationCompleted(e) => Some((e.task_id, e.output.clone().unwrap_or_default())),
            EventKind::EntityOperationFailed(e) => Some((e.task_id, e.failure.message.clone())),
            _ => None,
        });
        replies.collect()
    }

    // Entities.

    pub(crate) fn signal(&mut self, entity: &str, operation: &str) -> Reply {
        self.signal_at(entity, operation, None)
    }

    pub(crate) fn signal_at(&mut self, entity: &str, operation: &str, at: Option<Timestamp>) -> Reply {
        let request_id = format!("r{}", self.entropy());
        let operation = EntityOperation {
            request_id,
            name: operation.to_owned(),
            input: Some("1".to_owned()),
            caller: None,
            scheduled_time: at,
            trace: None,
        };
        self.run(Command::SignalEntity { id: id(entity), operation }).reply
    }

    /// The numbers and names of the operations a worker would be given.
    pub(crate) fn runnable(&self, entity: &str) -> Vec<(u64, String)> {
        let Some(entity) = self.partition.entity(entity) else { return Vec::new() };
        entity.runnable(100).map(|(number, operation)| (number, operation.name.clone())).collect()
    }

    /// Their names.
    pub(crate) fn next_operations(&self, entity: &str) -> Vec<String> {
        self.runnable(entity).into_iter().map(|(_, name)| name).collect()
    }

    /// Finishes a batch of these operations.
    pub(crate) fn finish(&mut self, entity: &str, given: Vec<u64>, outcome: EntityOutcome) -> Decision {
        let entropy = self.entropy() << 32;
        self.run(Command::EntityFinished(Box::new(EntityFinished {
            id: id(entity),
            given,
            outcome,
            entropy,
        })))
    }

    /// Runs what an entity has to run: each operation answers with its name, the state is their names.
    pub(crate) fn work(&mut self, entity: &str) -> Vec<String> {
        let (given, names): (Vec<_>, Vec<_>) = self.runnable(entity).into_iter().unzip();
        if given.is_empty() {
            return names;
        }
        let old = self.partition.entity(entity).and_then(|e| e.state.clone()).unwrap_or_default();
        let state = names.iter().fold(old.to_string(), |state, name| format!("{state}{name} "));
        let outcome = EntityOutcome {
            results: names.iter().map(|name| Ok(Some(name.clone()))).collect(),
            state: strandline_model::NewState::Set(Some(state)),
            actions: Vec::new(),
        };
        self.finish(entity, given, outcome);
        names
    }

    /// The instance that holds the lock.
    pub(crate) fn holder(&self, entity: &str) -> Option<String> {
        let lock = self.partition.entity(entity)?.lock.as_ref()?;
        Some(lock.owner.instance_id.clone())
    }

    // Tables.

    /// Takes what the tables lack; it gets there with [`Hub::end_flush`].
    pub(crate) fn begin_flush(&mut self) {
        if self.flushing.is_none() {
            self.flushing = Some((tables::rows_of(&mut self.partition), self.log.len()));
        }
    }

    pub(crate) fn end_flush(&mut self) {
        if let Some((rows, records)) = self.flushing.take() {
            self.tables.write(rows);
            self.flushed = records;
            self.partition.flushed();
        }
    }

    pub(crate) fn flush(&mut self) {
        self.end_flush();
        self.begin_flush();
        self.end_flush();
    }

    /// What is in memory is what a restart would find.
    pub(crate) fn check_rebuilt(&mut self) {
        let mut rebuilt = self.tables.rebuild(IDENTITY, &self.log[self.flushed..]);
        assert!(self.partition.timers().eq(rebuilt.timers()), "timers");
        assert_eq!(self.partition.sent(), rebuilt.sent());
        assert_eq!(self.partition.received(0), rebuilt.received(0));
        assert!(self.partition.outbox(0, 0).eq(rebuilt.outbox(0, 0)), "outbox");
        let ids: BTreeSet<InstanceId> = self.log.iter().filter_map(Record::key).collect();
        let (mut live_bytes, mut rebuilt_bytes) = (0, 0);
        for id in &ids {
            let loaded = !self.partition.is_missing(id);
            self.tables.load(&mut self.partition, id);
            self.tables.load(&mut rebuilt, id);
            if !id.is_entity() && loaded {
                self.tables.load_history(&mut rebuilt, id);
            }
            assert_eq!(self.partition.instance(id.as_str()), rebuilt.instance(id.as_str()));
            assert_eq!(self.partition.entity(id.as_str()), rebuilt.entity(id.as_str()));
            live_bytes += bytes(&self.partition, id);
            rebuilt_bytes += bytes(&rebuilt, id);
        }
        assert_eq!(self.partition.memory_bytes(), live_bytes, "the accounts are wrong");
        assert_eq!(rebuilt.memory_bytes(), rebuilt_bytes, "the accounts are wrong");
    }

    /// Goes on as after a restart.
    pub(crate) fn restart(&mut self) {
        self.flushing = None;
        self.partition = self.tables.rebuild(IDENTITY, &self.log[self.flushed..]);
        let known: BTreeSet<InstanceId> = self.log.iter().filter_map(Record::key).collect();
        for id in known {
            self.tables.load(&mut self.partition, &id);
        }
    }
}

fn bytes(partition: &Partition, id: &InstanceId) -> usize {
    let instance = partition.instance(id.as_str()).map_or(0, |i| i.memory_bytes());
    instance + partition.entity(id.as_str()).map_or(0, |e| e.memory_bytes())
}

/// The sequence id that comes next.
fn next_id(instance: &Instance) -> i32 {
    if instance.history.base() > 0 {
        return instance.actions as i32;
    }
    instance.history.in_memory().iter().map(|event| event.id).max().unwrap_or(-1) + 1
}
