//! Work for workers elsewhere: it is offered by name, claimed by somebody with room for it, and leaves
//! once everything it contains is durable.
//!
//! An offer is an id, so that much that waits takes little room, and what comes meanwhile goes out with it.

use strandline_model::{EntityId, InstanceId};
use strandline_store::{Store, StoreError};

use super::{EntityDispatch, HandedOut, Pipeline, Release, Sabotage, Ticket};

/// A turn, or operations of an entity, that waits because this process does not serve it.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The instance, or the entity: `@name@key`.
    pub id: InstanceId,
    /// The orchestrator's name, or the entity's in lower case.
    pub name: String,
    pub version: Option<String>,
}

/// The answer to a claim.
#[derive(Debug)]
pub struct Claimed {
    pub claim: u128,
    pub id: InstanceId,
    /// `None`: there is nothing to do any more. If there is again, it will be offered again.
    pub work: Option<ClaimedWork>,
}

/// What was claimed.
#[derive(Debug)]
pub enum ClaimedWork {
    Turn(HandedOut),
    Entity(EntityDispatch),
}

impl ClaimedWork {
    /// What its outcome must come back with.
    pub fn token(&self) -> u64 {
        match self {
            Self::Turn(out) => out.token,
            Self::Entity(out) => out.token,
        }
    }
}

impl<T: Ticket> Pipeline<T> {
    /// What waits for a worker elsewhere since the last call.
    pub fn take_offers(&mut self) -> Vec<Offer> {
        std::mem::take(&mut self.offers)
    }

    /// Somebody has room for what was offered. The answer is [`Release::Claimed`].
    pub fn claim(&mut self, offer: Offer, claim: u128) {
        self.claims.push_back((offer, claim));
    }

    pub(super) fn hand_out_claims(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        while self.has_room() {
            let Some((offer, claim)) = self.claims.pop_front() else { break };
            self.load(&offer.id, store)?;
            let work = match EntityId::parse(offer.id.as_str()) {
                Ok(entity) => self.claim_batch(&offer, entity),
                Err(_) => self.claim_turn(&offer, store)?,
            };
            let release = Release::Claimed(Claimed { claim, id: offer.id, work });
            match self.sabotage {
                Sabotage::ClaimBeforeDurable => self.free.push(release),
                _ => self.release(release),
            }
        }
        Ok(())
    }

    fn claim_turn(&mut self, offer: &Offer, store: &dyn Store) -> Result<Option<ClaimedWork>, StoreError> {
        let Offer { id, name, version } = offer;
        let key = (name.clone(), version.clone());
        if let Some(parked) = self.unserved.get_mut(&key) {
            parked.remove(id);
            if parked.is_empty() {
                self.unserved.remove(&key);
            }
        }
        let Some(instance) = self.partition.instance(id.as_str()) else { return Ok(None) };
        // One that was replaced since, by another orchestrator or version, was offered again as such.
        let start = instance.start();
        let same = (&start.name, &start.version) == (name, version);
        let ready = same && instance.is_ready() && !self.turns_out.contains(id);
        let turn = if ready { self.make_turn(id, store, &|_, _, _| false)? } else { None };
        Ok(turn.map(ClaimedWork::Turn))
    }

    fn claim_batch(&mut self, offer: &Offer, entity: EntityId) -> Option<ClaimedWork> {
        if let Some(parked) = self.unserved_entities.get_mut(entity.name()) {
            parked.remove(&offer.id);
            if parked.is_empty() {
                self.unserved_entities.remove(entity.name());
            }
        }
        self.make_batch(&offer.id, entity).map(ClaimedWork::Entity)
    }
}
