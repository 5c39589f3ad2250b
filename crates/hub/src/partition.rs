use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use strandline_model::{ExecutionId, InstanceId, Timestamp, partition_of};

use crate::command::Command;
use crate::entity::Entity;
use crate::instance::Instance;
use crate::lookup::Lookup;
use crate::message::{Message, MessageBody};
use crate::record::Sent;
use crate::row::{Census, EntityRow, InstanceRow, PartitionRow, TimerKey};

/// Which partition of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub number: u16,
    /// Partitions of the hub.
    pub partitions: u16,
}

/// Bugs the simulator plants to see that it finds them.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Sabotage {
    #[default]
    None,
    /// A second result of a task is recorded like the first.
    AcceptDuplicates,
    /// A result is delivered to whatever execution the instance has now.
    AcceptStrangers,
    /// Events accepted and not seen by any turn vanish when the instance ends.
    LoseUndelivered,
    /// An entity gives its lock to the next section while one holds it.
    GrantTwice,
    /// The end of an execution does not give its locks back.
    LoseRelease,
    /// Purge takes whatever state an instance is in.
    PurgeRunning,
    /// Rewind does the first attempt of a task again, not its last.
    RewindFirstAttempt,
}

/// The state of one partition: its singletons, and those of its instances that are in memory.
#[derive(Debug)]
pub struct Partition {
    /// Loaded instances; `None` is known to be absent.
    instances: Lookup<InstanceId, Option<Box<Instance>>>,
    entities: Lookup<InstanceId, Option<Box<Entity>>>,
    pub(crate) ledger: Ledger,
    /// Instances and entities that differ from their rows.
    pub(crate) dirty: BTreeSet<InstanceId>,
    /// Those whose rows are being written; they must stay in memory until that is done.
    pub(crate) flushing: BTreeSet<InstanceId>,
    pub(crate) memory_bytes: usize,
    /// Executions with chunk rows of instances that are gone, until those are removed.
    pub(crate) buried: BTreeMap<InstanceId, Vec<ExecutionId>>,
}

/// What a partition keeps besides its instances.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub identity: Identity,
    pub timers: BTreeSet<TimerKey>,
    /// Timers added (true) and removed since the last flush.
    pub timer_changes: BTreeMap<TimerKey, bool>,
    /// By sending partition: the last message taken.
    pub received: BTreeMap<u16, u64>,
    /// By receiving partition: the last message sent.
    pub sent: BTreeMap<u16, u64>,
    /// Messages not acknowledged, by receiver and sequence.
    pub outbox: BTreeMap<(u16, u64), Arc<Message>>,
    /// `None`: the tables are of a program that did not count.
    pub census: Option<Census>,
    pub sabotage: Sabotage,
}

impl Ledger {
    pub(crate) fn add_timer(&mut self, timer: TimerKey) {
        // One that was removed since the last flush is in the tables still.
        if self.timers.insert(timer.clone()) && self.timer_changes.remove(&timer) != Some(false) {
            self.timer_changes.insert(timer, true);
        }
    }

    pub(crate) fn remove_timer(&mut self, timer: &TimerKey) {
        if self.timers.remove(timer) && self.timer_changes.remove(timer) != Some(true) {
            self.timer_changes.insert(timer.clone(), false);
        }
    }

    pub(crate) fn send(&mut self, to: &str, body: MessageBody) {
        let receiver = partition_of(to, self.identity.partitions);
        let sequence = self.sent.entry(receiver).or_default();
        *sequence += 1;
        let sent = Sent { instance_id: to.to_owned(), body: Some(body) };
        let message = sent.into_message(self.identity.number, receiver, *sequence);
        self.outbox.insert((receiver, *sequence), Arc::new(message));
    }
}

impl Partition {
    /// A partition as the tables have it: the row of its singletons and all its timers. Instances
    /// are loaded as commands and records need them.
    pub fn new(identity: Identity, row: Option<PartitionRow>, timers: Vec<TimerKey>) -> Self {
        let row =
            row.unwrap_or_else(|| PartitionRow { census: Some(Census::default()), ..Default::default() });
        let narrow = |map: BTreeMap<u32, u64>| map.into_iter().map(|(p, s)| (p as u16, s)).collect();
        let outbox = row.outbox.into_iter().map(|m| ((m.to as u16, m.sequence), Arc::new(m)));
        Self {
            instances: Lookup::default(),
            entities: Lookup::default(),
            ledger: Ledger {
                identity,
                timers: timers.into_iter().collect(),
                timer_changes: BTreeMap::new(),
                received: narrow(row.received),
                sent: narrow(row.sent),
                outbox: outbox.collect(),
                census: row.census,
                sabotage: Sabotage::None,
            },
            dirty: BTreeSet::new(),
            flushing: BTreeSet::new(),
            memory_bytes: 0,
            buried: BTreeMap::new(),
        }
    }

    #[doc(hidden)]
    pub fn sabotage(&mut self, sabotage: Sabotage) {
        self.ledger.sabotage = sabotage;
    }

    pub fn identity(&self) -> Identity {
        self.ledger.identity
    }

    /// The instance, if it is loaded and exists.
    pub fn instance(&self, id: &str) -> Option<&Instance> {
        self.instances.get(id)?.as_deref()
    }

    /// The entity, if it is loaded and exists.
    pub fn entity(&self, id: &str) -> Option<&Entity> {
        self.entities.get(id)?.as_deref()
    }

    /// Neither loaded nor known to be absent: [`Partition::install`] it (an entity:
    /// [`Partition::install_entity`]) before a command or record that touches it.
    pub fn is_missing(&self, id: &InstanceId) -> bool {
        if id.is_entity() { !self.entities.contains(id) } else { !self.instances.contains(id) }
    }

    /// What a command touches that is missing.
    pub fn missing(&self, command: &Command) -> Vec<InstanceId> {
        let mut keys = command.keys();
        keys.retain(|id| self.is_missing(id));
        keys
    }

    /// Loads an instance from its row; no row makes it known to be absent.
    pub fn install(&mut self, id: InstanceId, row: Option<InstanceRow>) {
        let instance = row.map(|row| Box::new(Instance::from_row(row)));
        self.memory_bytes += instance.as_ref().map_or(0, |i| i.memory_bytes());
        self.instances.insert(id, instance);
    }

    /// As [`Partition::install`], for an entity.
    pub fn install_entity(&mut self, id: InstanceId, row: Option<EntityRow>) {
        let entity = row.map(|row| Box::new(Entity::from_row(row)));
        self.memory_bytes += entity.as_ref().map_or(0, |e| e.memory_bytes());
        self.entities.insert(id, entity);
    }

    /// Gives back the older events of an instance whose history was partly in memory.
    pub fn restore_history(&mut self, id: &str, missing: Vec<Arc<strandline_model::HistoryEvent>>) {
        self.change(id, |instance, _| instance.history.restore(missing));
    }

    /// Takes an instance or entity out of memory if its row says the same. False when it must stay.
    pub fn evict(&mut self, id: &InstanceId) -> bool {
        if self.dirty.contains(id) || self.flushing.contains(id) {
            return false;
        }
        let freed = if id.is_entity() {
            self.entities.remove(id).flatten().map(|entity| entity.memory_bytes())
        } else {
            self.instances.remove(id).flatten().map(|instance| instance.memory_bytes())
        };
        self.memory_bytes -= freed.unwrap_or(0);
        true
    }

    /// About how many bytes the loaded instances and entities take.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Instances and entities loaded or known to be absent.
    pub fn loaded(&self) -> usize {
        self.instances.len() + self.entities.len()
    }

    /// Instances and entities that differ from their rows.
    pub fn dirty(&self) -> usize {
        self.dirty.len()
    }

    /// When the next timer is due, in milliseconds since the epoch.
    pub fn next_due_millis(&self) -> Option<i64> {
        self.ledger.timers.first().map(|t| t.due_millis)
    }

    /// At most `max` timers due at `now`, oldest first.
    pub fn due(&self, now: Timestamp, max: usize) -> Vec<TimerKey> {
        let now = whole_millis(now);
        self.ledger.timers.iter().take_while(|t| t.due_millis <= now).take(max).cloned().collect()
    }

    /// How many instances there are, in memory or not; `None` in a partition whose tables were begun by a
    /// program that did not count.
    pub fn census(&self) -> Option<&Census> {
        self.ledger.census.as_ref()
    }

    /// How many timers wait.
    pub fn timer_count(&self) -> usize {
        self.ledger.timers.len()
    }

    /// All timers, in order.
    pub fn timers(&self) -> impl Iterator<Item = &TimerKey> {
        self.ledger.timers.iter()
    }

    /// Drops a timer that no instance knows.
    pub fn drop_timer(&mut self, timer: &TimerKey) {
        self.ledger.remove_timer(timer);
    }

    /// Messages to partition `to` that it has not acknowledged, after `sequence`.
    pub fn outbox(&self, to: u16, sequence: u64) -> impl Iterator<Item = &Arc<Message>> {
        self.ledger.outbox.range((to, sequence + 1)..=(to, u64::MAX)).map(|(_, message)| message)
    }

    /// By receiving partition: the last message sent to it.
    pub fn sent(&self) -> &BTreeMap<u16, u64> {
        &self.ledger.sent
    }

    /// The last message taken from partition `from`.
    pub fn received(&self, from: u16) -> u64 {
        self.ledger.received.get(&from).copied().unwrap_or(0)
    }

    /// Changes a loaded instance and keeps the accounts.
    pub(crate) fn change<T>(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut Instance, &mut Ledger) -> T,
    ) -> Option<T> {
        let instance = self.instances.get_mut(id)?.as_deref_mut()?;
        let (before, was) = (instance.memory_bytes(), instance.status());
        let result = change(instance, &mut self.ledger);
        self.memory_bytes = (self.memory_bytes + instance.memory_bytes()).saturating_sub(before);
        let is = instance.status();
        if let Some(census) = self.ledger.census.as_mut().filter(|_| was != is) {
            census.leave(was);
            census.enter(is);
        }
        Some(result)
    }

    /// Changes an entity, which comes to be if it was absent, and keeps the accounts. One of which nothing
    /// is left vanishes at once: what a restart finds has forgotten how far its numbers were, too.
    pub(crate) fn change_entity(
        &mut self,
        id: &str,
        now: Timestamp,
        change: impl FnOnce(&mut Entity, &mut Ledger),
    ) {
        let id = InstanceId::trusted(id);
        let slot = self.entities.entry_or_default(id.clone());
        let before = slot.as_ref().map_or(0, |entity| entity.memory_bytes());
        let entity = slot.get_or_insert_with(|| Box::new(Entity::new(id.clone(), now)));
        change(entity, &mut self.ledger);
        let after = if entity.is_empty() { 0 } else { entity.memory_bytes() };
        if after == 0 {
            *slot = None;
        }
        self.memory_bytes = (self.memory_bytes + after).saturating_sub(before);
        self.dirty.insert(id);
    }

    /// Takes an instance away for good; what its rows hold is removed with the next flush.
    pub(crate) fn bury(&mut self, id: &str) {
        let id = InstanceId::trusted(id);
        let Some(mut instance) = self.instances.insert(id.clone(), None).flatten() else { return };
        self.memory_bytes -= instance.memory_bytes();
        if let Some(census) = &mut self.ledger.census {
            census.leave(instance.status());
        }
        let mut executions = std::mem::take(&mut instance.flushed.dropped);
        if instance.flushed.chunks > 0 {
            executions.push(instance.execution);
        }
        if !executions.is_empty() {
            self.buried.entry(id.clone()).or_default().extend(executions);
        }
        self.dirty.insert(id);
    }

    /// Puts an instance under its id and returns what stood there.
    pub(crate) fn replace(&mut self, instance: Instance) -> Option<Box<Instance>> {
        self.memory_bytes += instance.memory_bytes();
        let status = instance.status();
        let old = self.instances.insert(instance.id.clone(), Some(Box::new(instance))).flatten();
        self.memory_bytes -= old.as_ref().map_or(0, |i| i.memory_bytes());
        if let Some(census) = &mut self.ledger.census {
            census.enter(status);
            if let Some(old) = &old {
                census.leave(old.status());
            }
        }
        old
    }
}

/// Milliseconds since the epoch, rounded down: what has surely passed.
pub(crate) fn whole_millis(now: Timestamp) -> i64 {
    now.seconds.saturating_mul(1000).saturating_add(i64::from(now.nanos / 1_000_000))
}
