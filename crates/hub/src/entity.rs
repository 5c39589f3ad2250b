use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use strandline_model::{EntityOperation, InstanceId, Timestamp};

use crate::message::LockOwner;
use crate::row::{EntityRow, LockRow, QueuedKind, QueuedRow, ScheduledRow};

/// An entity: a small state, the operations that wait for it, and who holds its lock.
///
/// It exists as long as one of these is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    /// `@name@key`.
    pub id: InstanceId,
    pub state: Option<Arc<str>>,
    /// When the last batch was committed; before the first one, when it came to be.
    pub modified: Timestamp,
    pub lock: Option<Lock>,
    queue: VecDeque<Queued>,
    /// Operations whose time has not come, by the id of their timer.
    scheduled: BTreeMap<i32, Arc<EntityOperation>>,
    next_number: u64,
    bytes: usize,
    /// Operations in the queue that belong to the section that holds the lock.
    of_holder: usize,
}

/// The lock of an entity, held by a critical section.
#[derive(Clone, Debug, PartialEq)]
pub struct Lock {
    pub owner: LockOwner,
    /// It was given back, and ends with the last operation its owner sent before.
    pub(crate) releasing: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Queued {
    number: u64,
    item: Item,
}

#[derive(Clone, Debug, PartialEq)]
enum Item {
    Operation(Arc<EntityOperation>),
    Lock(LockOwner),
}

/// What is known of an entity at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct EntityStatus {
    /// `@name@key`.
    pub id: InstanceId,
    /// `None`: it has no state; it shows because operations or a lock are there.
    pub state: Option<Arc<str>>,
    /// When its last operations were committed.
    pub modified: Timestamp,
    /// Operations and lock requests that wait, scheduled ones included.
    pub backlog: usize,
    /// The orchestration whose critical section it is in.
    pub locked_by: Option<LockOwner>,
}

/// Memory of an entity besides its texts, about; and of an operation.
const ENTITY_BYTES: usize = 400;
const OPERATION_BYTES: usize = 250;

fn bytes_of(operation: &EntityOperation) -> usize {
    OPERATION_BYTES + operation.name.len() + operation.input.as_ref().map_or(0, String::len)
}

impl Queued {
    fn bytes(&self) -> usize {
        match &self.item {
            Item::Operation(operation) => bytes_of(operation),
            Item::Lock(_) => OPERATION_BYTES,
        }
    }
}

impl Entity {
    pub(crate) fn new(id: InstanceId, now: Timestamp) -> Self {
        Self {
            id,
            state: None,
            modified: now,
            lock: None,
            queue: VecDeque::new(),
            scheduled: BTreeMap::new(),
            next_number: 0,
            bytes: 0,
            of_holder: 0,
        }
    }

    /// Nothing is there: it vanishes.
    pub fn is_empty(&self) -> bool {
        self.state.is_none() && self.queue.is_empty() && self.lock.is_none() && self.scheduled.is_empty()
    }

    /// Its next operations, at most `max`: all that stand before the next lock request, or those of the
    /// section that holds the lock, whatever stands before them.
    pub fn runnable(&self, max: usize) -> impl Iterator<Item = (u64, &Arc<EntityOperation>)> {
        let holder = self.lock.as_ref().map(|lock| &lock.owner);
        let until_lock = self
            .queue
            .iter()
            .map_while(move |queued| match (&queued.item, holder) {
                (Item::Lock(_), None) => None,
                (Item::Operation(operation), None) => Some(Some((queued.number, operation))),
                (Item::Operation(operation), Some(owner)) if owner.made(operation) => {
                    Some(Some((queued.number, operation)))
                }
                (_, Some(_)) => Some(None),
            })
            .flatten();
        until_lock.take(max)
    }

    /// It has operations a worker could run now.
    pub fn is_ready(&self) -> bool {
        match &self.lock {
            Some(_) => self.of_holder > 0,
            None => self.runnable(1).next().is_some(),
        }
    }

    /// It has something to hand out after a restart, now or once its lock is free.
    pub fn is_active(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Operations and lock requests that wait, and about how many bytes they take.
    pub(crate) fn backlog(&self) -> (usize, usize) {
        (self.queue.len() + self.scheduled.len(), self.bytes)
    }

    /// The operation under this number, if it waits.
    pub(crate) fn operation(&self, number: u64) -> Option<&Arc<EntityOperation>> {
        let at = self.queue.binary_search_by_key(&number, |queued| queued.number).ok()?;
        match &self.queue[at].item {
            Item::Operation(operation) => Some(operation),
            Item::Lock(_) => None,
        }
    }

    /// The timers of scheduled operations, and the numbers of all operations once those are due, with
    /// whether somebody waits for a reply.
    pub(crate) fn pending(&self) -> (Vec<i32>, Vec<(u64, bool)>) {
        let waiting = self.queue.iter().filter_map(|queued| match &queued.item {
            Item::Operation(operation) => Some((queued.number, operation.caller.is_some())),
            Item::Lock(_) => None,
        });
        let due = (self.next_number..).zip(self.scheduled.values());
        let due = due.map(|(number, operation)| (number, operation.caller.is_some()));
        (self.scheduled.keys().copied().collect(), waiting.chain(due).collect())
    }

    pub(crate) fn scheduled(&self, timer: i32) -> Option<&Arc<EntityOperation>> {
        self.scheduled.get(&timer)
    }

    fn push(&mut self, item: Item) {
        let queued = Queued { number: self.next_number, item };
        self.next_number += 1;
        self.bytes += queued.bytes();
        self.of_holder += usize::from(self.is_of_holder(&queued));
        self.queue.push_back(queued);
    }

    fn is_of_holder(&self, queued: &Queued) -> bool {
        let Item::Operation(operation) = &queued.item else { return false };
        self.lock.as_ref().is_some_and(|lock| lock.owner.made(operation))
    }

    pub(crate) fn enqueue(&mut self, operation: Arc<EntityOperation>) {
        self.push(Item::Operation(operation));
    }

    pub(crate) fn request_lock(&mut self, owner: LockOwner) {
        self.push(Item::Lock(owner));
    }

    /// Keeps an operation until its time comes; returns the id of its timer.
    pub(crate) fn schedule(&mut self, operation: EntityOperation) -> i32 {
        let next = self.scheduled.last_key_value().map_or(Some(0), |(last, _)| last.checked_add(1));
        let timer = next.or_else(|| (0..i32::MAX).find(|id| !self.scheduled.contains_key(id))).unwrap_or(0);
        self.bytes += bytes_of(&operation);
        self.scheduled.insert(timer, Arc::new(operation));
        timer
    }

    pub(crate) fn take_scheduled(&mut self, timer: i32) -> Option<Arc<EntityOperation>> {
        let operation = self.scheduled.remove(&timer)?;
        self.bytes -= bytes_of(&operation);
        Some(operation)
    }

    /// Takes an operation that is done out of the queue.
    pub(crate) fn remove(&mut self, number: u64) -> Option<Arc<EntityOperation>> {
        let at = self.queue.binary_search_by_key(&number, |queued| queued.number).ok()?;
        let queued = self.queue.remove(at)?;
        self.bytes -= queued.bytes();
        self.of_holder -= usize::from(self.is_of_holder(&queued));
        match queued.item {
            Item::Operation(operation) => Some(operation),
            Item::Lock(_) => None,
        }
    }

    /// A section gives its lock back, or its request for it.
    pub(crate) fn release(&mut self, owner: &LockOwner) {
        match &mut self.lock {
            Some(lock) if lock.owner == *owner => lock.releasing = true,
            _ => {
                let mut freed = 0;
                self.queue.retain(|queued| {
                    let gone = matches!(&queued.item, Item::Lock(other) if other == owner);
                    freed += if gone { queued.bytes() } else { 0 };
                    !gone
                });
                self.bytes -= freed;
            }
        }
    }

    /// Frees the lock when its owner is done with it, and gives it to who is next. Returns the section
    /// that got it.
    pub(crate) fn settle(&mut self, grant_twice: bool) -> Option<LockOwner> {
        if self.lock.as_ref().is_some_and(|lock| lock.releasing) && !self.is_ready() {
            self.lock = None;
        }
        if self.lock.is_some() && !grant_twice {
            return None;
        }
        let Some(Queued { item: Item::Lock(owner), .. }) = self.queue.front() else { return None };
        let owner = owner.clone();
        self.bytes -= self.queue.pop_front().map_or(0, |queued| queued.bytes());
        self.lock = Some(Lock { owner: owner.clone(), releasing: false });
        self.of_holder = self.queue.iter().filter(|queued| self.is_of_holder(queued)).count();
        Some(owner)
    }

    /// About how many bytes of memory it takes.
    pub fn memory_bytes(&self) -> usize {
        ENTITY_BYTES + self.bytes + self.state.as_ref().map_or(0, |s| s.len())
    }

    pub fn snapshot(&self) -> EntityStatus {
        EntityStatus {
            id: self.id.clone(),
            state: self.state.clone(),
            modified: self.modified,
            backlog: self.backlog().0,
            locked_by: self.lock.as_ref().map(|lock| lock.owner.clone()),
        }
    }

    /// Rebuilds an entity from its row.
    pub fn from_row(row: EntityRow) -> Self {
        let mut entity = Self::new(InstanceId::trusted(row.id), row.modified);
        entity.state = row.state.map(Into::into);
        entity.lock = row.lock.map(|lock| Lock { owner: lock.owner, releasing: lock.releasing });
        let queued = row.queue.into_iter().filter_map(|queued| {
            let item = match queued.kind? {
                QueuedKind::Operation(operation) => Item::Operation(Arc::new(operation)),
                QueuedKind::Lock(owner) => Item::Lock(owner),
            };
            Some(Queued { number: queued.number, item })
        });
        entity.queue = queued.collect();
        let scheduled = row.scheduled.into_iter().map(|s| (s.timer, Arc::new(s.operation)));
        entity.scheduled = scheduled.collect();
        entity.next_number = row.next_number;
        entity.bytes = entity.queue.iter().map(Queued::bytes).sum::<usize>()
            + entity.scheduled.values().map(|o| bytes_of(o)).sum::<usize>();
        entity.of_holder = entity.queue.iter().filter(|queued| entity.is_of_holder(queued)).count();
        entity
    }

    /// The row that [`Entity::from_row`] reads.
    pub(crate) fn to_row(&self) -> EntityRow {
        let queue = self.queue.iter().map(|queued| QueuedRow {
            number: queued.number,
            kind: Some(match &queued.item {
                Item::Operation(operation) => QueuedKind::Operation(EntityOperation::clone(operation)),
                Item::Lock(owner) => QueuedKind::Lock(owner.clone()),
            }),
        });
        let scheduled = self.scheduled.iter().map(|(timer, operation)| ScheduledRow {
            timer: *timer,
            operation: EntityOperation::clone(operation),
        });
        EntityRow {
            id: self.id.to_string(),
            state: self.state.as_deref().map(str::to_owned),
            modified: self.modified,
            lock: self
                .lock
                .as_ref()
                .map(|lock| LockRow { owner: lock.owner.clone(), releasing: lock.releasing }),
            queue: queue.collect(),
            scheduled: scheduled.collect(),
            next_number: self.next_number,
        }
    }
}

impl LockOwner {
    /// The operation was sent from inside this section.
    pub fn made(&self, operation: &EntityOperation) -> bool {
        operation.caller.as_ref().is_some_and(|caller| {
            caller.section_id.as_ref() == Some(&self.section_id)
                && caller.instance_id == self.instance_id
                && caller.execution_id == self.execution_id
        })
    }
}
