//! A partition driven by hand.
#![allow(dead_code, reason = "each test uses its own part of this")]

use strandline_hub::message::Message;
use strandline_hub::{
    Command, Decision, Identity, Partition, Record, Reply, ReusePolicy, Start, TurnFinished, decide, evolve,
};
use strandline_model::{
    Action, ActionKind, Completion, ExecutionId, InstanceId, Origin, RuntimeStatus, Timestamp,
};

pub(crate) struct Hub {
    pub(crate) partition: Partition,
    pub(crate) now: Timestamp,
    /// Everything decided so far.
    pub(crate) log: Vec<Record>,
    entropy: u128,
}

pub(crate) fn id(text: &str) -> InstanceId {
    InstanceId::new(text).unwrap()
}

impl Hub {
    /// A hub with one partition.
    pub(crate) fn new() -> Self {
        let identity = Identity { number: 0, partitions: 1 };
        Self {
            partition: Partition::new(identity, None, Vec::new()),
            now: Timestamp::from_millis(1_700_000_000_000),
            log: Vec::new(),
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
        while let Some(message) = self.next_message() {
            let command = Command::Message {
                message: Box::new(message),
                execution: ExecutionId(self.entropy()),
                seed: 7,
            };
            self.run_alone(command);
        }
        decision
    }

    pub(crate) fn run_alone(&mut self, command: Command) -> Decision {
        for missing in self.partition.missing(&command) {
            self.partition.install(missing, None);
        }
        self.now = self.now.saturating_add(std::time::Duration::from_millis(1));
        let decision = decide(&self.partition, self.now, command);
        for record in &decision.records {
            self.log.push(record.clone());
            evolve(&mut self.partition, record.clone());
        }
        decision
    }

    fn next_message(&self) -> Option<Message> {
        self.partition.outbox(0, self.partition.received(0)).next().map(|m| Message::clone(m))
    }

    pub(crate) fn start(&mut self, name: &str, reuse: ReusePolicy) -> Reply {
        self.start_at(name, reuse, None)
    }

    pub(crate) fn start_at(&mut self, name: &str, reuse: ReusePolicy, at: Option<Timestamp>) -> Reply {
        let execution = ExecutionId(self.entropy());
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

    /// A turn that sees everything in the inbox and takes these actions.
    pub(crate) fn turn(&mut self, name: &str, kinds: Vec<ActionKind>) -> Reply {
        let Some(instance) = self.partition.instance(name) else { return Reply::Accepted };
        let first = instance.actions as i32;
        let finished = TurnFinished {
            id: id(name),
            execution: instance.execution,
            seen: instance.history.len(),
            delivered: instance.inbox.len(),
            time: self.now,
            actions: kinds
                .into_iter()
                .enumerate()
                .map(|(n, kind)| Action { id: first + n as i32, kind })
                .collect(),
            custom_status: None,
            next_execution: ExecutionId(0xabc),
            next_seed: 5,
        };
        self.run(Command::TurnFinished(Box::new(finished))).reply
    }

    pub(crate) fn status(&self, name: &str) -> Option<RuntimeStatus> {
        self.partition.instance(name).map(|i| i.status())
    }
}

pub(crate) fn activity(name: &str) -> ActionKind {
    ActionKind::ScheduleTask {
        name: name.to_owned(),
        version: None,
        input: Some("1".to_owned()),
        tags: Default::default(),
        timeout: None,
    }
}

pub(crate) fn child(id: &str) -> ActionKind {
    ActionKind::CreateSubOrchestration {
        instance_id: id.to_owned(),
        name: "Child".to_owned(),
        version: None,
        input: None,
        tags: Default::default(),
        fire_and_forget: false,
    }
}

pub(crate) fn complete() -> ActionKind {
    ActionKind::Complete(Completion::Completed { result: Some("done".to_owned()) })
}

pub(crate) fn fail() -> ActionKind {
    let failure = strandline_model::FailureDetails::new("Oops", "it broke");
    ActionKind::Complete(Completion::Failed { failure, origin: Origin::Task(3) })
}

pub(crate) fn again() -> ActionKind {
    ActionKind::Complete(Completion::ContinuedAsNew {
        input: Some("2".to_owned()),
        version: None,
        carryover: Vec::new(),
    })
}
