//! Handing out batches of entity operations. At most one batch of an entity is out, and it leaves like
//! an activity: once everything it contains is durable.

use std::collections::VecDeque;
use std::sync::Arc;

use strandline_hub::{Command, EntityFinished, EntityStatus, Lookup};
use strandline_model::limits::OPERATIONS_PER_BATCH;
use strandline_model::{EntityId, EntityOutcome, InstanceId};
use strandline_store::{PartitionRef, Store, StoreError};

use super::{Input, Offer, Pipeline, Release, Ticket};
use crate::worker::EntityBatch;

/// A batch somebody runs.
pub(super) struct BatchOut {
    token: u64,
    /// The numbers of its operations.
    given: Vec<u64>,
}

/// Entities that are ready, each once, in order.
#[derive(Default)]
pub(super) struct Queue {
    order: VecDeque<InstanceId>,
    queued: Lookup<InstanceId, ()>,
}

impl Queue {
    fn push(&mut self, id: InstanceId) {
        if self.queued.insert(id.clone(), ()).is_none() {
            self.order.push_back(id);
        }
    }

    fn pop(&mut self) -> Option<InstanceId> {
        let id = self.order.pop_front()?;
        self.queued.remove(&id);
        Some(id)
    }

    pub(super) fn contains(&self, id: &InstanceId) -> bool {
        self.queued.contains(id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}

/// Operations of an entity to run, in order; once they are done, or once more after a crash.
#[derive(Clone, Debug)]
pub struct EntityDispatch {
    pub at: PartitionRef,
    /// `@name@key`.
    pub id: InstanceId,
    /// What its outcome must come back with.
    pub token: u64,
    pub batch: EntityBatch,
}

impl<T: Ticket> Pipeline<T> {
    /// An entity may have become ready.
    pub(super) fn entity_changed(&mut self, id: &InstanceId) {
        let ready = self.partition.entity(id.as_str()).is_some_and(|entity| entity.is_ready());
        if ready && !self.batches_out.contains(id) {
            self.ready_entities.push(id.clone());
        }
    }

    /// Puts those that waited for a worker where the next run looks at them.
    pub(super) fn revive_entities(&mut self) {
        self.revived.extend(std::mem::take(&mut self.unserved_entities).into_values().flatten());
    }

    /// Looks at entities that waited for a worker; they may have left memory meanwhile.
    pub(super) fn look_at_revived(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        for id in std::mem::take(&mut self.revived) {
            self.load(&id, store)?;
            self.entity_changed(&id);
        }
        Ok(())
    }

    /// An entity nobody serves waits by its id alone, so that it may leave memory and blocks nobody.
    fn park_entity(&mut self, entity: &EntityId, id: InstanceId) {
        let served = self.served.as_ref().and_then(|served| served.entities.as_ref());
        if let Some(names) = served
            && !self.unserved_entities.contains_key(entity.name())
        {
            let nearest = crate::nearest::nearest(entity.name(), names.iter().map(String::as_str));
            tracing::warn!(
                entity = id.as_str(),
                ?nearest,
                "no worker serves this entity: operations for it wait"
            );
        }
        self.offers.push(Offer { id: id.clone(), name: entity.name().to_owned(), version: None });
        self.unserved_entities.entry(entity.name().to_owned()).or_default().insert(id);
    }

    fn serves_entity(&self, entity: &EntityId) -> bool {
        self.served.as_ref().is_some_and(|served| {
            served.entities.as_ref().is_none_or(|names| names.iter().any(|name| name == entity.name()))
        })
    }

    /// As late as can be, so that a batch holds all that came meanwhile.
    pub(super) fn hand_out_entities(&mut self) {
        while let Some(id) = self.ready_entities.pop() {
            let Ok(entity_id) = EntityId::parse(id.as_str()) else { continue };
            if !self.serves_entity(&entity_id) {
                self.park_entity(&entity_id, id);
                continue;
            }
            if let Some(dispatch) = self.make_batch(&id, entity_id) {
                self.release(Release::Entity(dispatch));
            }
        }
    }

    /// Hands out the next operations of an entity, if there are any and none are out.
    pub(super) fn make_batch(&mut self, id: &InstanceId, entity_id: EntityId) -> Option<EntityDispatch> {
        let entity = self.partition.entity(id.as_str()).filter(|_| !self.batches_out.contains(id))?;
        let max = self.config.operations_per_batch.clamp(1, OPERATIONS_PER_BATCH);
        let (given, operations): (Vec<u64>, Vec<_>) =
            entity.runnable(max).map(|(number, operation)| (number, Arc::clone(operation))).unzip();
        if given.is_empty() {
            return None;
        }
        let batch = EntityBatch { entity: entity_id, state: entity.state.clone(), operations };
        self.next_token += 1;
        let token = self.next_token;
        self.counters.entity_batches += 1;
        self.counters.entity_operations += given.len() as u64;
        self.batches_out.insert(id.clone(), BatchOut { token, given });
        Some(EntityDispatch { at: self.at, id: id.clone(), token, batch })
    }

    /// Takes the outcome of a batch; one with a token that is not out is dropped.
    pub fn entity_finished(
        &mut self,
        id: &InstanceId,
        token: u64,
        outcome: EntityOutcome,
        ticket: Option<T>,
        entropy: &mut dyn FnMut() -> u128,
    ) {
        let Some(out) = self.batches_out.get_mut(id).filter(|out| out.token == token) else {
            self.refuse_stale(ticket);
            return;
        };
        // Out until it is decided, but under no token any more.
        out.token = 0;
        let given = std::mem::take(&mut out.given);
        let finished = EntityFinished { id: id.clone(), given, outcome, entropy: entropy() };
        let command = Command::EntityFinished(Box::new(finished));
        self.mailbox.push_back(Input::Command { command, ticket });
    }

    /// A batch comes back undone: it is handed out again.
    pub fn entity_abandoned(&mut self, id: &InstanceId, token: u64) {
        if self.batches_out.get(id).is_some_and(|out| out.token == token) {
            self.batches_out.remove(id);
            self.entity_changed(id);
        }
    }

    pub(super) fn entity_status(&self, id: &InstanceId) -> Option<Box<EntityStatus>> {
        self.partition.entity(id.as_str()).map(|entity| Box::new(entity.snapshot()))
    }
}
