//! Records of entities: every operation that was accepted is done exactly once, in the order of its
//! sender, and changes exactly what it says.

use std::collections::{BTreeMap, BTreeSet};

use strandline_engine::pipeline::EntityDispatch;
use strandline_hub::message::{LockGranted, LockOwner, MessageBody, Replied, StartNew};
use strandline_hub::record::{EntityArrived, EntityCommitted, EntityInput, LockReleased, OperationDue};
use strandline_model::{EntityAction, EntityOperation, EntityOutcome, FailureDetails, InstanceId, Timestamp};
use strandline_store::PartitionRef;

use super::entity::{Entity, Item, Sender, made_by};
use super::leases::POISON;
use super::messages::Expected;
use super::records::Scene;
use super::{Auditor, CallKind};
use crate::Violation;
use crate::account::{Account, Act, CONFLICT, Kind};

/// What the auditor keeps about the work of entities.
#[derive(Debug, Default)]
pub(crate) struct Works {
    /// Batches a worker has.
    pub(super) out: BTreeMap<(PartitionRef, InstanceId), u64>,
    /// Batches that ran; one may be committed, or lost in a crash.
    runs: BTreeMap<(PartitionRef, InstanceId), Vec<Run>>,
    /// The last message of each sender that each entity has done.
    last_done: BTreeMap<(PartitionRef, InstanceId, String), u64>,
    /// Sections that believe to hold an entity: from the record of the grant to that of the release.
    pub(super) holders: BTreeMap<(u32, String), LockOwner>,
    /// Executions that were rewound: what they did in a section may have been interrupted.
    pub(super) rewound: BTreeSet<Vec<u8>>,
    /// Signals of clients are numbered by their acceptance.
    accepted: u64,
    pub(super) money: Money,
}

#[derive(Debug)]
struct Run {
    operations: Vec<EntityOperation>,
    results: Vec<Result<Option<String>, FailureDetails>>,
}

/// Where money came from and went.
#[derive(Debug, Default)]
pub(super) struct Money {
    minted: i64,
    burned: i64,
    /// By hub and transfer: what was taken from one account, and given to another.
    transfers: BTreeMap<(u32, String), Transfer>,
    /// On its way as a signal.
    moving: i64,
}

#[derive(Debug, Default)]
struct Transfer {
    taken: Vec<i64>,
    given: Vec<i64>,
    /// Its orchestration was rewound in the middle.
    loose: bool,
}

impl Auditor {
    pub(super) fn entity(&self, at: PartitionRef, id: &InstanceId) -> Option<&Entity> {
        self.reference.partitions.get(&at)?.entities.get(id)
    }

    /// Changes an entity, which comes to be if it is not there; and hands its lock on.
    fn change_entity(
        &mut self,
        at: PartitionRef,
        id: &InstanceId,
        now: Timestamp,
        change: impl FnOnce(&mut Entity),
    ) {
        let books = self.reference.partitions.entry(at).or_default();
        let entity = books.entities.entry(id.clone()).or_insert_with(|| Entity::new(now));
        change(entity);
        let granted = entity.hand_on();
        if entity.is_nothing() {
            books.entities.remove(id);
            self.coverage.hit("entity/vanished");
        }
        if let Some(owner) = granted {
            let entity_id = id.to_string();
            let LockOwner { instance_id, execution_id, section_id } = owner;
            let body = MessageBody::LockGranted(LockGranted { execution_id, section_id, entity_id });
            self.send(at, &instance_id, body);
        }
    }

    /// Sends an operation; the order among those of one sender is part of the promise.
    pub(super) fn send_operation(
        &mut self,
        at: PartitionRef,
        sender: &InstanceId,
        to: &str,
        operation: EntityOperation,
    ) {
        let place = self.send(at, to, MessageBody::Operation(operation));
        let books = self.reference.partitions.entry(at).or_default();
        books.senders.insert(place, sender.to_string());
    }

    pub(super) fn entity_arrived(
        &mut self,
        scene: Scene,
        record: EntityArrived,
        expected: Expected,
    ) -> Result<Expected, Violation> {
        let EntityArrived { id, time, input } = record;
        let id = InstanceId::trusted(id);
        if time > scene.time {
            return Err(format!("{id}: an operation of {time} in a batch of {}", scene.time));
        }
        let (input, sender) = match (expected, input) {
            (Expected::EntityInput { id: asked, input, sender }, Some(found)) => {
                if asked != id || *input != found {
                    return Err(format!("{found:?} reaches {id} instead of {input:?} for {asked}"));
                }
                (found, sender)
            }
            (Expected::Nothing, Some(EntityInput::Operation(operation))) => {
                let version = self.reference.version(scene.at, &id) + 1;
                self.calls.claim(
                    scene.at,
                    &id,
                    version,
                    "a signal",
                    |kind| matches!(kind, CallKind::Signal { operation: asked } if *asked == operation),
                )?;
                self.works.accepted += 1;
                (EntityInput::Operation(operation), ("a client".to_owned(), self.works.accepted))
            }
            (expected, input) => return Err(format!("{id} gets {input:?} instead of {expected:?}")),
        };
        let created = self.entity(scene.at, &id).is_none();
        let again = created && self.reference.version(scene.at, &id) > 0;
        self.coverage.add("entity/came back", u64::from(again));
        let mut later = false;
        self.change_entity(scene.at, &id, time, |entity| match input {
            EntityInput::Lock(owner) => entity.push(Item::Lock(owner)),
            EntityInput::Operation(operation) => {
                later = operation.scheduled_time.is_some_and(|due| due > time);
                if later {
                    entity.schedule(operation, sender);
                } else {
                    entity.push(Item::Operation(operation, sender));
                }
            }
        });
        self.coverage.add("entity/scheduled signal", u64::from(later));
        Ok(Expected::Nothing)
    }

    pub(super) fn lock_released(
        &mut self,
        scene: Scene,
        record: &LockReleased,
        expected: Expected,
    ) -> Result<Expected, Violation> {
        let id = InstanceId::trusted(record.id.as_str());
        match expected {
            Expected::LockReleased { id: asked, owner } if asked == id && owner == record.owner => {}
            other => return Err(format!("{record:?} instead of {other:?}")),
        }
        let Some(modified) = self.entity(scene.at, &id).map(|entity| entity.modified) else {
            return Err(format!("the lock of {id}, of which nothing is there, is given back"));
        };
        let owner = &record.owner;
        self.change_entity(scene.at, &id, modified, |entity| {
            if entity.lock.as_ref() == Some(owner) {
                entity.releasing = true;
            } else {
                entity.queue.retain(|w| !matches!(&w.item, Item::Lock(other) if other == owner));
            }
        });
        Ok(Expected::Nothing)
    }

    pub(super) fn operation_due(
        &mut self,
        scene: Scene,
        record: &OperationDue,
    ) -> Result<Expected, Violation> {
        let id = InstanceId::trusted(record.id.as_str());
        let books = self.reference.partitions.entry(scene.at).or_default();
        let found = books.entities.get_mut(&id).and_then(|e| Some((e.scheduled.remove(&record.timer)?, e)));
        let Some(((operation, sender), entity)) = found else {
            return Err(format!("timer {} of {id} comes due but is not there", record.timer));
        };
        if operation.scheduled_time.is_none_or(|due| due > scene.time) {
            return Err(format!("{operation:?} reaches {id} too early, at {}", scene.time));
        }
        entity.push(Item::Operation(operation, sender));
        self.coverage.hit("entity/scheduled signal due");
        Ok(Expected::Nothing)
    }

    /// A batch leaves for a worker: all it holds is durable, and it is the only one.
    pub(crate) fn batch_out(&mut self, dispatch: &EntityDispatch) -> Result<(), Violation> {
        let EntityDispatch { at, id, token, batch } = dispatch;
        if let Some(other) = self.works.out.insert((*at, id.clone()), *token) {
            return Err(format!("batch {token} of {id} is handed out while {other} is"));
        }
        let Some(entity) = self.entity(*at, id) else {
            return Err(format!("a batch of {id} is handed out, of which nothing is durable"));
        };
        let fits = entity.state.as_deref() == batch.state.as_deref()
            && entity.may_run().len() >= batch.operations.len()
            && entity.may_run().iter().zip(&batch.operations).all(|((_, a, _), b)| **a == **b);
        if fits {
            return Ok(());
        }
        Err(format!("{id} is {entity:?}, but handed out is {batch:?}"))
    }

    /// The worker gave it back.
    pub(crate) fn batch_back(&mut self, dispatch: &EntityDispatch) {
        self.works.out.remove(&(dispatch.at, dispatch.id.clone()));
    }

    /// All workers are gone.
    pub(super) fn batches_lost(&mut self) {
        self.works.out.clear();
    }

    pub(crate) fn batch_ran(&mut self, dispatch: &EntityDispatch, outcome: &EntityOutcome) {
        let operations = dispatch.batch.operations.iter().map(|o| EntityOperation::clone(o)).collect();
        let run = Run { operations, results: outcome.results.clone() };
        self.works.runs.entry((dispatch.at, dispatch.id.clone())).or_default().push(run);
    }

    pub(super) fn batch_committed(
        &mut self,
        scene: Scene,
        record: EntityCommitted,
    ) -> Result<Expected, Violation> {
        let (at, id) = (scene.at, InstanceId::trusted(record.id.as_str()));
        let Some(entity) = self.entity(at, &id).cloned() else {
            return Err(format!("a batch of {id} is committed, of which nothing is there"));
        };
        let count = record.done.len();
        let next = entity.may_run();
        let numbers = next.iter().map(|(number, ..)| *number);
        if count > next.len() || !record.done.iter().map(|d| d.number).eq(numbers.take(count)) {
            return Err(format!("{id} did {:?}, not what comes next: {next:?}", record.done));
        }
        let done = &next[..count];
        self.claim_run(at, &id, &record, done)?;
        let actions = self.fold(at, &id, &entity, &record, done)?;
        check_sent(&id, &record, &actions)?;
        for (_, operation, sender) in done {
            self.in_order(at, &id, operation, sender)?;
            self.in_section(at, &id, operation)?;
        }
        self.coverage.hit("entity/batch committed");
        let others = entity.queue.len() > next.len();
        self.coverage.add("entity/holder first", u64::from(entity.lock.is_some() && others && count > 0));
        for (done, (_, operation, _)) in record.done.iter().zip(done) {
            self.reply(at, operation, done.output.clone(), done.failure.clone());
        }
        for signal in record.signals {
            self.coverage.hit("entity/signals an entity");
            self.coverage.add("entity/signals itself", u64::from(signal.target == id.as_str()));
            self.send_operation(at, &id, &signal.target, signal.operation);
        }
        for start in record.starts {
            self.coverage.hit("entity/starts an orchestration");
            self.send(at, &start.instance_id, MessageBody::Start(start.start));
        }
        let numbers: BTreeSet<u64> = record.done.iter().map(|d| d.number).collect();
        self.works.out.remove(&(at, id.clone()));
        self.change_entity(at, &id, record.time, |entity| {
            entity.modified = record.time;
            if let Some(state) = record.state {
                entity.state = state.text;
            }
            entity.queue.retain(|waiting| !numbers.contains(&waiting.number));
        });
        Ok(Expected::Nothing)
    }

    /// A worker must have reported just that, and only once.
    fn claim_run(
        &mut self,
        at: PartitionRef,
        id: &InstanceId,
        record: &EntityCommitted,
        done: &[(u64, &EntityOperation, &Sender)],
    ) -> Result<(), Violation> {
        let runs = self.works.runs.entry((at, id.clone())).or_default();
        let fits = |run: &Run| {
            run.results.len() == done.len()
                && run.operations.iter().zip(done).all(|(a, (_, b, _))| a == *b)
                && run.results.iter().zip(&record.done).all(|(result, done)| match result {
                    Ok(output) => done.failure.is_none() && done.output == *output,
                    Err(failure) => done.failure.as_ref() == Some(failure),
                })
        };
        match runs.iter().position(fits) {
            Some(found) => {
                runs.swap_remove(found);
                Ok(())
            }
            None => Err(format!("no worker that counts reported this batch of {id}: {record:?}")),
        }
    }

    /// The state after the batch, and what is sent, follow from those operations that succeeded.
    fn fold(
        &mut self,
        at: PartitionRef,
        id: &InstanceId,
        entity: &Entity,
        record: &EntityCommitted,
        done: &[(u64, &EntityOperation, &Sender)],
    ) -> Result<Vec<EntityAction>, Violation> {
        let mut state = entity.state.clone();
        let mut actions = Vec::new();
        for (result, (_, operation, _)) in record.done.iter().zip(done) {
            let (act, token) = Act::parse(operation);
            if let Some(failure) = &result.failure {
                self.coverage.hit("entity/operation failed");
                if failure.error_type == POISON && act.kind == Kind::Credit {
                    let money = &mut self.works.money;
                    money.moving -= act.numbers[0];
                    money.burned += act.numbers[0];
                }
                self.may_fail(id, operation, failure)?;
                continue;
            }
            let effect = act.effect(token, state.as_deref(), &self.ids);
            let effect = effect.map_err(|why| format!("{operation:?} of {id} succeeded despite {why}"))?;
            self.count_money(at, operation, &act, token, state.as_deref());
            let deleted = state.is_some() && effect.state.is_none();
            self.coverage.add("entity/state deleted", u64::from(deleted));
            state = effect.state;
            actions.extend(effect.actions);
        }
        let found = match &record.state {
            Some(state) => state.text.clone(),
            None => entity.state.clone(),
        };
        if found != state {
            return Err(format!("{id} is {found:?} after {done:?}, and should be {state:?}"));
        }
        Ok(actions)
    }

    /// What was read in a critical section does not change before it is left.
    fn may_fail(
        &self,
        id: &InstanceId,
        operation: &EntityOperation,
        failure: &FailureDetails,
    ) -> Result<(), Violation> {
        let caller = operation.caller.as_ref().filter(|caller| caller.section_id.is_some());
        match caller {
            Some(caller)
                if failure.error_type == CONFLICT
                    && Act::parse(operation).0.numbers[0] != i64::MIN
                    && !self.works.rewound.contains(&caller.execution_id) =>
            {
                Err(format!("{id} was changed by others within the section of {operation:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Each sender's operations are done in the order in which it sent them, and each once.
    fn in_order(
        &mut self,
        at: PartitionRef,
        id: &InstanceId,
        operation: &EntityOperation,
        sender: &Sender,
    ) -> Result<(), Violation> {
        if operation.scheduled_time.is_some() {
            return Ok(());
        }
        let (name, number) = sender;
        let last = self.works.last_done.entry((at, id.clone(), name.clone())).or_default();
        if *last >= *number {
            return Err(format!("{id} did {operation:?}, the {number}. of {name}, after the {last}."));
        }
        *last = *number;
        Ok(())
    }

    /// While a section believes to hold an entity, nobody else's operations are done.
    fn in_section(
        &mut self,
        at: PartitionRef,
        id: &InstanceId,
        operation: &EntityOperation,
    ) -> Result<(), Violation> {
        let Some(holder) = self.works.holders.get(&(at.hub, id.to_string())) else { return Ok(()) };
        if made_by(holder, operation) {
            self.coverage.hit("section/call inside");
            return Ok(());
        }
        Err(format!("{id} did {operation:?} although {holder:?} holds it"))
    }

    fn reply(
        &mut self,
        at: PartitionRef,
        operation: &EntityOperation,
        output: Option<String>,
        failure: Option<FailureDetails>,
    ) {
        let Some(caller) = &operation.caller else { return };
        let reply = Replied {
            execution_id: caller.execution_id.clone(),
            task_id: caller.task_id,
            request_id: operation.request_id.clone(),
            output,
            failure,
        };
        self.send(at, &caller.instance_id, MessageBody::Replied(reply));
    }

    fn count_money(
        &mut self,
        at: PartitionRef,
        operation: &EntityOperation,
        act: &Act,
        token: &str,
        state: Option<&str>,
    ) {
        let money = &mut self.works.money;
        let [first, second] = act.numbers;
        match act.kind {
            Kind::Mint | Kind::Flaky => money.minted += first,
            Kind::Clear => money.burned += Account::read(state).balance,
            Kind::Move => money.moving += first,
            Kind::Credit => money.moving -= first,
            Kind::Set => {
                let (transfer, side) = token.rsplit_once('/').unwrap_or((token, "from"));
                let transfer = money.transfers.entry((at.hub, transfer.to_owned())).or_default();
                let side = if side == "to" { &mut transfer.given } else { &mut transfer.taken };
                side.push(second - first);
                let caller = operation.caller.as_ref();
                transfer.loose |= caller.is_some_and(|c| self.works.rewound.contains(&c.execution_id));
            }
            _ => {}
        }
    }

    /// Money is neither lost nor made. To be asked when all messages have arrived.
    pub(crate) fn check_money(&mut self) -> Result<(), Violation> {
        let money = &self.works.money;
        let mut torn = 0;
        for (transfer, Transfer { taken, given, loose }) in &money.transfers {
            let balance = taken.iter().chain(given).sum::<i64>();
            let fits = match (&taken[..], &given[..]) {
                ([_], []) => true,
                ([taken], [given]) => *taken == -given,
                _ => false,
            };
            if !fits && !loose {
                return Err(format!("transfer {transfer:?} took {taken:?} and gave {given:?}"));
            }
            self.coverage.add("section/transfer whole", u64::from(balance == 0));
            self.coverage.add("section/transfer torn", u64::from(balance != 0));
            torn += balance;
        }
        let all = self.reference.partitions.values().flat_map(|books| books.entities.values());
        let there: i64 = all.map(|entity| Account::read(entity.state.as_deref()).balance).sum();
        let Money { minted, burned, moving, .. } = money;
        if *moving != 0 || there != minted - burned + torn {
            return Err(format!(
                "the accounts hold {there}: {minted} came, {burned} went, {torn} are torn, {moving} on their way"
            ));
        }
        Ok(())
    }
}

/// What the batch sends is what its operations asked for, except for what can't be.
fn check_sent(id: &InstanceId, record: &EntityCommitted, actions: &[EntityAction]) -> Result<(), Violation> {
    let differs = || Err(format!("{id} sent {record:?}, asked for was {actions:?}"));
    let mut signals = record.signals.iter();
    let mut starts = record.starts.iter();
    let mut requests = BTreeSet::new();
    for action in actions {
        match action {
            EntityAction::Signal { target, operation, input, scheduled_time, trace } => {
                if !super::turns::names_entity(target) {
                    continue;
                }
                let fits = signals.next().is_some_and(|sent| {
                    let found = &sent.operation;
                    sent.target == *target
                        && (&found.name, &found.input) == (operation, input)
                        && found.scheduled_time == *scheduled_time
                        && found.trace == *trace
                        && found.caller.is_none()
                        && requests.insert(&found.request_id)
                });
                if !fits {
                    return differs();
                }
            }
            EntityAction::Start { instance_id, name, version, input, scheduled_start, trace } => {
                let asked = StartNew {
                    name: name.clone(),
                    version: version.clone(),
                    input: input.clone(),
                    scheduled_start: *scheduled_start,
                    trace: trace.clone(),
                };
                let fits = starts.next().is_some_and(|sent| {
                    let given = instance_id.is_empty() && sent.instance_id.len() == 32;
                    sent.start == asked && (given || sent.instance_id == *instance_id)
                });
                if !fits {
                    return differs();
                }
            }
        }
    }
    if signals.next().is_some() || starts.next().is_some() { differs() } else { Ok(()) }
}
