//! One pipeline driven by hand, on a store in memory that outlives it.

use std::sync::Arc;

use strandline_engine::pipeline::{
    EntityDispatch, HandedOut, Input, Intake, Pipeline, PipelineConfig, Release, Ticket,
};
use strandline_engine::worker::TurnOutcome;
use strandline_hub::{Command, Record, ReusePolicy, Start};
use strandline_model::{
    Action, ActionKind, EntityOperation, EntityOutcome, ExecutionId, InstanceId, Timestamp,
};
use strandline_store::disk::MemoryDisk;
use strandline_store::{Batch, PartitionRef, Store};
use strandline_store_local::{LocalOptions, LocalStore};

/// Answers to whoever asked under this number.
pub(crate) struct Asked(pub(crate) u32);

impl Ticket for Asked {
    fn is_abandoned(&self) -> bool {
        false
    }
}

pub(crate) struct Pipe {
    pub(crate) store: LocalStore,
    pub(crate) pipeline: Pipeline<Asked>,
    pub(crate) now: Timestamp,
    config: PipelineConfig,
    at: PartitionRef,
    entropy: u128,
}

pub(crate) fn id(text: &str) -> InstanceId {
    InstanceId::trusted(text)
}

impl Pipe {
    pub(crate) fn new(config: PipelineConfig) -> Self {
        let disk = Arc::new(MemoryDisk::new());
        let store = LocalStore::open_on(disk, LocalOptions::in_memory()).unwrap();
        let hub = store.create_hub("default", 1).unwrap().number;
        let at = PartitionRef { hub, partition: 0 };
        let pipeline = recover(&store, at, config);
        Self { store, pipeline, now: Timestamp::from_millis(1_700_000_000_000), config, at, entropy: 0 }
    }

    fn entropy(&mut self) -> u128 {
        self.entropy += 1;
        self.entropy
    }

    /// Queues a command and works on what is queued; nothing is written.
    pub(crate) fn run(&mut self, command: Command) {
        self.pipeline.submit(Input::Command { command, ticket: None });
        self.work();
    }

    pub(crate) fn work(&mut self) {
        self.now = self.now.saturating_add(std::time::Duration::from_millis(1));
        self.pipeline.run(self.now, &self.store, &Intake::Open).unwrap();
    }

    pub(crate) fn start(&mut self, name: &str) {
        let execution = ExecutionId(self.entropy());
        self.run(Command::Start(Box::new(Start {
            id: id(name),
            name: "Test".to_owned(),
            version: None,
            input: None,
            tags: Default::default(),
            scheduled_start: None,
            reuse: ReusePolicy::refuse(),
            execution,
            seed: 0,
            trace_parent: None,
            trace_state: None,
        })));
    }

    pub(crate) fn signal(&mut self, entity: &str, operation: &str) {
        let operation = EntityOperation {
            request_id: operation.to_owned(),
            name: operation.to_owned(),
            ..EntityOperation::default()
        };
        self.run(Command::SignalEntity { id: id(entity), operation });
    }

    /// The next turn, as a runner that holds nothing gets it.
    pub(crate) fn next_turn(&mut self) -> Option<HandedOut> {
        self.pipeline.next_turn(self.now, &self.store, &|_, _, _| false, &mut || true).unwrap()
    }

    /// Hands out the next turn and takes these actions as its outcome. Returns how many events came before
    /// it.
    pub(crate) fn turn(&mut self, actions: Vec<(i32, ActionKind)>) -> usize {
        let HandedOut { token, turn } = self.next_turn().expect("a turn is ready");
        let actions = actions.into_iter().map(|(id, kind)| Action { id, kind }).collect();
        let outcome = TurnOutcome { actions, ..TurnOutcome::default() };
        let entropy = self.entropy() << 64;
        self.pipeline.turn_finished(&turn.instance, token, outcome, None, &mut || entropy);
        self.work();
        turn.past.map_or(0, |past| past.len())
    }

    pub(crate) fn finish(&mut self, batch: &EntityDispatch, outcome: EntityOutcome) {
        let entropy = self.entropy() << 64;
        self.pipeline.entity_finished(&batch.id, batch.token, outcome, None, &mut || entropy);
        self.work();
    }

    /// Closes the batch.
    pub(crate) fn close(&mut self) -> Option<Batch> {
        self.pipeline.take_batch(true)
    }

    /// Writes everything decided, with all the messages it leads to, and returns what may leave then.
    pub(crate) fn commit(&mut self) -> Vec<Release<Asked>> {
        loop {
            let batch = self.close();
            let wrote = batch.is_some();
            batch.into_iter().for_each(|batch| self.write(batch));
            let (messages, acknowledgements) = self.pipeline.take_messages();
            if !wrote && messages.is_empty() && acknowledgements.is_empty() {
                break;
            }
            for message in messages {
                let execution = ExecutionId(self.entropy());
                let message = Box::new(strandline_hub::message::Message::clone(&message));
                self.run(Command::Message { message, execution, seed: 0 });
            }
            for (_, command) in acknowledgements {
                self.run(command);
            }
        }
        self.pipeline.take_releases()
    }

    pub(crate) fn write(&mut self, batch: Batch) {
        let position = batch.position;
        self.store.append(&[batch]).unwrap();
        self.pipeline.durable(position);
    }

    /// As [`Pipe::commit`], for the batches of entities among it.
    pub(crate) fn batches(&mut self) -> Vec<EntityDispatch> {
        entities(self.commit())
    }

    pub(crate) fn flush(&mut self) {
        self.commit();
        if let Some(flush) = self.pipeline.capture() {
            let position = flush.position;
            self.store.flush(&[(self.at, flush.into_rows())]).unwrap();
            self.pipeline.flushed(position);
        }
    }

    /// Forgets all that is not written, as a crash does.
    pub(crate) fn crash(&mut self) {
        self.pipeline = recover(&self.store, self.at, self.config);
    }
}

fn recover(store: &LocalStore, at: PartitionRef, config: PipelineConfig) -> Pipeline<Asked> {
    let recovered = store.acquire(at).unwrap();
    let mut pipeline = Pipeline::recover(at, 1, config, recovered, store).unwrap();
    let names: Arc<[String]> = ["Test".to_owned()].into();
    pipeline.serve(Some(names));
    pipeline
}

pub(crate) fn entities(releases: Vec<Release<Asked>>) -> Vec<EntityDispatch> {
    let batches = releases.into_iter().filter_map(|release| match release {
        Release::Entity(dispatch) => Some(dispatch),
        _ => None,
    });
    batches.collect()
}

pub(crate) fn operations(batch: &EntityDispatch) -> Vec<String> {
    batch.batch.operations.iter().map(|operation| operation.name.clone()).collect()
}

pub(crate) fn records(batch: &Batch) -> Vec<Record> {
    Record::decode_all(&batch.records).unwrap()
}
