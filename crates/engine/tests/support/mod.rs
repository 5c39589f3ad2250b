//! A worker without an SDK: its orchestrator calls the activity `Hello` `n` times in sequence, where
//! `n` is the input, and returns how many results it saw.

#![allow(dead_code, reason = "each test uses its own part of this")]

pub(crate) mod machine;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use strandline_engine::worker::{
    ActivityResult, ActivityWork, EntityBatch, Turn, TurnOutcome, TurnRunner, Worker,
};
use strandline_hub::{ReusePolicy, Start};
use strandline_model::{
    Action, ActionKind, Completion, EntityOutcome, EventKind, ExecutionId, HistoryEvent, InstanceId,
};

pub(crate) struct Chain;

#[derive(Default)]
struct ChainRunner {
    held: BTreeMap<InstanceId, Held>,
}

#[derive(Clone, Copy)]
struct Held {
    execution: ExecutionId,
    seen: usize,
    total: i32,
    scheduled: i32,
    done: i32,
}

impl Held {
    fn feed(&mut self, event: &HistoryEvent) {
        match event.kind() {
            EventKind::ExecutionStarted(e) => {
                self.total = e.input.as_deref().and_then(|i| i.parse().ok()).unwrap_or(0);
            }
            EventKind::TaskCompleted(_) => self.done += 1,
            EventKind::TaskScheduled(_) => self.scheduled += 1,
            _ => {}
        }
        self.seen += 1;
    }
}

impl TurnRunner for ChainRunner {
    fn holds(&self, instance: &InstanceId, execution: ExecutionId, seen: usize) -> bool {
        self.held.get(instance).is_some_and(|h| h.execution == execution && h.seen == seen)
    }

    fn run(&mut self, turn: Turn) -> TurnOutcome {
        let fresh = Held { execution: turn.execution, seen: 0, total: 0, scheduled: 0, done: 0 };
        let mut held = match &turn.past {
            Some(past) => {
                let mut held = fresh;
                past.iter().for_each(|e| held.feed(e));
                held
            }
            None => self.held.remove(&turn.instance).unwrap(),
        };
        turn.new.iter().for_each(|e| held.feed(e));
        let id = held.scheduled;
        let kind = if held.done == held.total {
            ActionKind::Complete(Completion::Completed { result: Some(held.done.to_string()) })
        } else {
            held.scheduled += 1;
            held.seen += 2;
            self.held.insert(turn.instance.clone(), held);
            ActionKind::ScheduleTask {
                name: "Hello".to_owned(),
                version: None,
                input: Some(id.to_string()),
                tags: BTreeMap::new(),
                timeout: None,
                trace: None,
            }
        };
        TurnOutcome { actions: vec![Action { id, kind }], ..TurnOutcome::default() }
    }

    fn forget(&mut self, instance: &InstanceId) {
        self.held.remove(instance);
    }
}

impl Worker for Chain {
    fn orchestrators(&self) -> Vec<String> {
        vec!["Chain".to_owned()]
    }

    fn activities(&self) -> Vec<String> {
        vec!["Hello".to_owned()]
    }

    fn turn_runner(&self) -> Box<dyn TurnRunner> {
        Box::<ChainRunner>::default()
    }

    fn entities(&self) -> Vec<String> {
        Vec::new()
    }

    fn run_entity(&self, _batch: EntityBatch) -> Pin<Box<dyn Future<Output = EntityOutcome> + Send>> {
        Box::pin(async { EntityOutcome::default() })
    }

    fn run_activity(&self, work: ActivityWork) -> Pin<Box<dyn Future<Output = ActivityResult> + Send>> {
        Box::pin(async move { Ok(work.input) })
    }
}

/// A start of `Chain` with `input` activities.
pub(crate) fn start(id: &str, input: u32) -> Start {
    Start {
        id: InstanceId::new(id).unwrap(),
        name: "Chain".to_owned(),
        version: None,
        input: Some(input.to_string()),
        tags: Default::default(),
        scheduled_start: None,
        reuse: ReusePolicy::refuse(),
        execution: ExecutionId(0),
        seed: 0,
        trace_parent: None,
        trace_state: None,
    }
}
