//! The reference model of an entity: a queue in order of arrival, a state that only batches change, and
//! at most one holder of its lock.

use std::collections::{BTreeMap, VecDeque};

use strandline_hub::message::LockOwner;
use strandline_hub::row::TimerKey;
use strandline_model::{EntityOperation, InstanceId, Timestamp};

/// Who sent an operation, and the how-manieth of its messages to that partition it was.
pub(crate) type Sender = (String, u64);

#[derive(Clone, Debug)]
pub(crate) struct Entity {
    pub(crate) state: Option<String>,
    pub(crate) modified: Timestamp,
    pub(crate) queue: VecDeque<Waiting>,
    pub(crate) lock: Option<LockOwner>,
    /// The holder gave the lock back; what it sent before is still to be done.
    pub(crate) releasing: bool,
    pub(crate) scheduled: BTreeMap<i32, (EntityOperation, Sender)>,
    next: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) number: u64,
    pub(crate) item: Item,
}

#[derive(Clone, Debug)]
pub(crate) enum Item {
    Operation(EntityOperation, Sender),
    Lock(LockOwner),
}

/// What a reader may see of an entity at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EntityVersion {
    pub(crate) state: Option<String>,
    pub(crate) modified: Timestamp,
    pub(crate) backlog: usize,
    pub(crate) locked_by: Option<LockOwner>,
}

/// The operation was sent from inside that section.
pub(super) fn made_by(owner: &LockOwner, operation: &EntityOperation) -> bool {
    operation.caller.as_ref().is_some_and(|caller| {
        caller.section_id.as_deref() == Some(owner.section_id.as_str())
            && (&caller.instance_id, &caller.execution_id) == (&owner.instance_id, &owner.execution_id)
    })
}

impl Entity {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            state: None,
            modified: now,
            queue: VecDeque::new(),
            lock: None,
            releasing: false,
            scheduled: BTreeMap::new(),
            next: 0,
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.state.is_none() && self.queue.is_empty() && self.lock.is_none() && self.scheduled.is_empty()
    }

    pub(super) fn push(&mut self, item: Item) {
        self.queue.push_back(Waiting { number: self.next, item });
        self.next += 1;
    }

    pub(super) fn schedule(&mut self, operation: EntityOperation, sender: Sender) {
        let timer = self.scheduled.keys().next_back().map_or(0, |last| last + 1);
        self.scheduled.insert(timer, (operation, sender));
    }

    /// What may be done next, in this order.
    pub(crate) fn may_run(&self) -> Vec<(u64, &EntityOperation, &Sender)> {
        let mut all = Vec::new();
        for waiting in &self.queue {
            match (&waiting.item, &self.lock) {
                (Item::Operation(operation, sender), None) => all.push((waiting.number, operation, sender)),
                (Item::Lock(_), None) => break,
                (Item::Operation(operation, sender), Some(owner)) if made_by(owner, operation) => {
                    all.push((waiting.number, operation, sender));
                }
                (_, Some(_)) => {}
            }
        }
        all
    }

    /// Frees the lock, if its holder is done, and says who gets it.
    pub(super) fn hand_on(&mut self) -> Option<LockOwner> {
        if self.releasing && self.may_run().is_empty() {
            (self.lock, self.releasing) = (None, false);
        }
        let next = match self.queue.front() {
            Some(Waiting { item: Item::Lock(owner), .. }) if self.lock.is_none() => owner.clone(),
            _ => return None,
        };
        self.queue.pop_front();
        self.lock = Some(next.clone());
        Some(next)
    }

    pub(super) fn version(&self) -> EntityVersion {
        EntityVersion {
            state: self.state.clone(),
            modified: self.modified,
            backlog: self.queue.len() + self.scheduled.len(),
            locked_by: self.lock.clone(),
        }
    }

    pub(super) fn timers<'a>(&'a self, id: &'a InstanceId) -> impl Iterator<Item = TimerKey> + 'a {
        self.scheduled.iter().map(move |(timer_id, (operation, _))| TimerKey {
            due_millis: operation.scheduled_time.unwrap_or_default().as_millis_up(),
            instance: id.clone(),
            timer_id: *timer_id,
        })
    }
}
