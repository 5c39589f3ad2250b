//! What a test hub consists of: one partition, a clock that is set by hand, and whatever runs code.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use strandline_engine::worker::{ActivityResult, EntityBatch, Turn, Worker};
use strandline_hub::{
    Command, Effect, Entity, EntityFinished, Identity, Instance, OpenTask, Partition, Reply, TurnFinished,
    decide, evolve,
};
use strandline_model::limits::OPERATIONS_PER_BATCH;
use strandline_model::{
    Empty, EntityId, EventKind, ExecutionId, HistoryEvent, InstanceId, TaskScheduled, Timestamp,
};

use super::activities::Activities;
use super::turns::Turns;
use crate::registry::Registry;
use crate::worker::RustWorker;

/// One partition, which sends its messages to itself.
const ONLY: Identity = Identity { number: 0, partitions: 1 };

/// Steps of one call of a test, after which nothing more is expected to come to rest.
const STEPS_MAX: usize = 50_000;

pub(super) struct World {
    pub(super) partition: Partition,
    pub(super) now: Timestamp,
    /// Until the first start.
    pub(super) registry: Option<Registry>,
    code: Option<Code>,
    pub(super) activities: Activities,
    /// Instances that may have a turn to run, each once.
    ready: VecDeque<InstanceId>,
    queued: BTreeSet<InstanceId>,
    /// The operation a test asks for, and its result once it is there.
    pub(super) asked: Option<(String, Option<ActivityResult>)>,
    /// Counts what is random in a real hub.
    entropy: u64,
    /// Instances that were given an id here.
    named: u64,
}

struct Code {
    worker: RustWorker,
    turns: Turns,
    /// Names of its entities, in lower case.
    entities: BTreeSet<String>,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            partition: Partition::new(ONLY, None, Vec::new()),
            // Any moment will do, as long as it is the same in every run.
            now: Timestamp { seconds: 1_767_225_600, nanos: 0 },
            registry: Some(Registry::new()),
            code: None,
            activities: Activities::default(),
            ready: VecDeque::new(),
            queued: BTreeSet::new(),
            asked: None,
            entropy: 0,
            named: 0,
        }
    }

    /// What was registered is complete.
    pub(super) fn build(&mut self) {
        if let Some(registry) = self.registry.take() {
            let worker = registry.build().unwrap_or_else(|error| panic!("what the test hub serves: {error}"));
            let turns = Turns::new(worker.program.clone());
            let entities = worker.entities().into_iter().collect();
            self.code = Some(Code { worker, turns, entities });
        }
    }

    pub(super) fn worker(&self) -> Option<&RustWorker> {
        self.code.as_ref().map(|code| &code.worker)
    }

    pub(super) fn next_random(&mut self) -> u64 {
        self.entropy += 1;
        self.entropy
    }

    pub(super) fn next_id(&mut self) -> String {
        self.named += 1;
        format!("run-{}", self.named)
    }

    pub(super) fn next_execution(&mut self) -> ExecutionId {
        ExecutionId(u128::from(self.next_random()))
    }

    pub(super) fn command(&mut self, command: Command) -> Reply {
        // There is nothing but what is in memory.
        for id in self.partition.missing(&command) {
            if id.is_entity() {
                self.partition.install_entity(id, None);
            } else {
                self.partition.install(id, None);
            }
        }
        let decision = decide(&self.partition, self.now, command);
        for record in decision.records {
            let key = record.key();
            evolve(&mut self.partition, record);
            if let Some(id) = key.filter(|id| self.is_ready(id))
                && self.queued.insert(id.clone())
            {
                self.ready.push_back(id);
            }
        }
        for effect in decision.effects {
            self.carry_out(effect);
        }
        decision.reply
    }

    fn is_ready(&self, id: &InstanceId) -> bool {
        if id.is_entity() {
            self.partition.entity(id.as_str()).is_some_and(Entity::is_ready)
        } else {
            self.partition.instance(id.as_str()).is_some_and(Instance::is_ready)
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Activity { id, execution, task_id, scheduled } => {
                if let Some(task) = self.task(&id, task_id, scheduled) {
                    self.activities.schedule(id, execution, task_id, task);
                }
            }
            Effect::CancelActivity { id, execution, task_id } => {
                self.activities.cancel(&id, execution, task_id);
            }
            Effect::Ended { id, execution } => self.activities.ended(&id, execution),
            Effect::Killed { id, execution } => self.activities.killed(&id, execution),
        }
    }

    fn task(
        &self,
        id: &InstanceId,
        task_id: i32,
        scheduled: Option<Arc<HistoryEvent>>,
    ) -> Option<TaskScheduled> {
        let history = &self.partition.instance(id.as_str())?.history;
        let in_history = || history.in_memory().iter().rev().find(|event| event.id == task_id).cloned();
        let scheduled = scheduled.or_else(in_history)?;
        match scheduled.kind() {
            EventKind::TaskScheduled(task) => Some(task.clone()),
            _ => None,
        }
    }

    /// Runs everything that can run at this moment.
    pub(super) fn settle(&mut self) {
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(
                steps < STEPS_MAX,
                "the test hub does not come to rest: {STEPS_MAX} steps without time passing. Some orchestration \
                 goes round in circles without a timer, as one that continues as new at once does"
            );
        }
    }

    fn step(&mut self) -> bool {
        let message = self.partition.outbox(ONLY.number, 0).next().cloned();
        if let Some(message) = message {
            let sequence = message.sequence;
            let (execution, seed) = (self.next_execution(), self.next_random());
            self.command(Command::Message {
                message: Box::new(Arc::unwrap_or_clone(message)),
                execution,
                seed,
            });
            self.command(Command::Acknowledged { by: ONLY.number, sequence });
            return true;
        }
        if let Some(id) = self.ready.pop_front() {
            self.queued.remove(&id);
            if id.is_entity() {
                self.operations(&id);
            } else {
                self.turn(&id);
            }
            return true;
        }
        let Some(code) = &self.code else { return false };
        let done = match self.activities.done(self.now, &code.worker) {
            Some(done) => Some(done),
            None => self.activities.next(self.now, &code.worker),
        };
        let Some((call, result)) = done else { return false };
        let (id, execution, task_id) = (call.instance, call.execution, call.task_id);
        self.command(Command::ActivityFinished { id, execution, task_id, result });
        true
    }

    fn turn(&mut self, id: &InstanceId) {
        let Some(instance) = self.partition.instance(id.as_str()).filter(|instance| instance.is_ready())
        else {
            return;
        };
        let Some(code) = &mut self.code else { return };
        let start = instance.start();
        if !code.worker.serves_orchestrator(&start.name, start.version.as_deref()) {
            return;
        }
        let time = instance.inbox.iter().map(|event| event.timestamp).fold(self.now, Timestamp::max);
        let begin = HistoryEvent::new(time, EventKind::OrchestratorStarted(Empty {}));
        let turn = Turn {
            instance: id.clone(),
            execution: instance.execution,
            name: start.name.clone(),
            version: start.version.clone(),
            seen: instance.history.len(),
            past: Some(instance.history.in_memory().to_vec()),
            new: std::iter::once(Arc::new(begin)).chain(instance.inbox.iter().cloned()).collect(),
            span: instance.span.clone(),
        };
        let (execution, seen, delivered) = (turn.execution, turn.seen, instance.inbox.len());
        let outcome = code.turns.run(turn);
        let finished = TurnFinished {
            id: id.clone(),
            execution,
            seen,
            delivered,
            time,
            actions: outcome.actions,
            custom_status: outcome.custom_status,
            span: outcome.span,
            next_execution: self.next_execution(),
            next_seed: self.next_random(),
        };
        self.command(Command::TurnFinished(Box::new(finished)));
    }

    /// Runs what waits for an entity.
    fn operations(&mut self, id: &InstanceId) {
        let Some(entity) = self.partition.entity(id.as_str()) else { return };
        let (Some(code), Ok(entity_id)) = (&self.code, EntityId::parse(id.as_str())) else { return };
        if !code.entities.contains(entity_id.name()) {
            return;
        }
        let waiting =
            entity.runnable(OPERATIONS_PER_BATCH).map(|(number, operation)| (number, operation.clone()));
        let (given, operations): (Vec<_>, Vec<_>) = waiting.unzip();
        if given.is_empty() {
            return;
        }
        let asked = self.asked.as_ref().map(|(request, _)| request);
        let asked = asked.and_then(|id| operations.iter().position(|operation| operation.request_id == *id));
        let batch = EntityBatch { entity: entity_id, state: entity.state.clone(), operations };
        let outcome = self.activities.run(code.worker.run_entity(batch));
        if let (Some((_, result)), Some(at)) = (&mut self.asked, asked) {
            *result = outcome.results.get(at).cloned();
        }
        let entropy = u128::from(self.next_random());
        let finished = EntityFinished { id: id.clone(), given, outcome, entropy };
        self.command(Command::EntityFinished(Box::new(finished)));
    }

    /// Lets time pass, and stops wherever something is due.
    pub(super) fn advance(&mut self, duration: Duration) {
        let until = self.now.saturating_add(duration);
        self.settle();
        while let Some(due) = self.next_due().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            if let Some(timer) = self.partition.due(self.now, 1).pop() {
                self.command(Command::TimersDue(vec![timer.clone()]));
                // One that fired is gone already.
                self.partition.drop_timer(&timer);
            }
            self.settle();
        }
        self.now = until;
    }

    fn next_due(&self) -> Option<Timestamp> {
        let timer = self.partition.next_due_millis().map(Timestamp::from_millis);
        timer.into_iter().chain(self.activities.next_due()).min()
    }

    /// What an instance that is not over waits for, in words.
    pub(super) fn waits_for(&self, instance: &Instance) -> String {
        let name = &instance.start().name;
        let served =
            self.worker().is_some_and(|w| w.serves_orchestrator(name, instance.start().version.as_deref()));
        if !served {
            return format!("nobody serves orchestrator '{name}': register it with `.register(..)`");
        }
        if instance.suspended {
            return "it is suspended: let it go on with `run.resume(..)`".to_owned();
        }
        let tasks = instance.open.iter().map(|(id, task)| self.waits_for_task(instance, *id, task));
        let sections = instance.sections.values().filter(|section| !section.is_held());
        let missing = sections.flat_map(|section| &section.lock_set).filter(|id| {
            let lock = self.partition.entity(id).and_then(|entity| entity.lock.as_ref());
            lock.is_none_or(|lock| lock.owner.instance_id != instance.id.as_str())
        });
        let locks =
            missing.map(|id| format!("the lock of {}", self.entity_state(&InstanceId::trusted(id.as_str()))));
        let open: Vec<_> = tasks.chain(locks).collect();
        if open.is_empty() {
            return "it waits for an external event: raise it with `run.raise(EVENT, payload)`".to_owned();
        }
        format!("it waits for {}, or for an external event", open.join(", for "))
    }

    /// An entity, and why operations on it may wait.
    pub(super) fn entity_state(&self, id: &InstanceId) -> String {
        let name = EntityId::parse(id.as_str()).map(|id| id.name().to_owned()).unwrap_or_default();
        if !self.code.as_ref().is_some_and(|code| code.entities.contains(&name)) {
            return format!("entity '{id}', which nobody serves (register it with `.register(..)`)");
        }
        match self.partition.entity(id.as_str()).and_then(|entity| entity.lock.as_ref()) {
            Some(lock) => format!("entity '{id}', which instance '{}' has locked", lock.owner.instance_id),
            None => format!("entity '{id}'"),
        }
    }

    fn waits_for_task(&self, instance: &Instance, id: i32, task: &OpenTask) -> String {
        match task {
            OpenTask::Timer { fire_at } => {
                let rest = fire_at.saturating_since(self.now);
                format!("a timer that fires in {rest:?} (let time pass with `hub.advance(..)`)")
            }
            OpenTask::SubOrchestration { instance } => format!("sub-orchestration '{instance}'"),
            OpenTask::EntityCall { entity } => self.entity_state(entity),
            OpenTask::Activity { .. } => match self.activities.unserved(&instance.id, id) {
                Some(name) => format!(
                    "activity '{name}', which nobody serves (register it, or give it a stand-in with `.fake(..)`)"
                ),
                None => {
                    let name = self.task(&instance.id, id, None).map(|task| task.name).unwrap_or_default();
                    format!("activity '{name}', which takes its time (let it pass with `hub.advance(..)`)")
                }
            },
        }
    }
}
