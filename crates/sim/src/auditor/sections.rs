//! Critical sections, from the side of the orchestrations that enter them.

use std::collections::BTreeMap;

use strandline_hub::message::{LockGranted, LockOwner, MessageBody};
use strandline_hub::record::SectionGranted;
use strandline_model::{
    EntityLockGranted, EntityLockRequested, EntityOperation, EventKind, HistoryEvent, InstanceId,
};
use strandline_store::PartitionRef;

use super::Auditor;
use super::messages::Expected;
use super::records::Scene;
use super::reference::Known;
use crate::Violation;

/// A section that was begun and not left whole.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) task_id: i32,
    /// In the order in which they are locked.
    pub(crate) places: Vec<(String, Place)>,
    /// The code was told before a rewind, and is not told again.
    pub(crate) regaining: bool,
    /// Calls that are sent once it is locked again.
    pub(crate) delayed: Vec<(String, EntityOperation)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    NotAsked,
    Asked,
    Held,
    GivenBack,
}

impl Section {
    pub(super) fn new(task_id: i32, lock_set: &[String]) -> Self {
        let places = lock_set.iter().map(|entity| (entity.clone(), Place::NotAsked)).collect();
        Self { task_id, places, regaining: false, delayed: Vec::new() }
    }

    fn place(&mut self, entity: &str) -> Option<&mut Place> {
        self.places.iter_mut().find(|(id, _)| id == entity).map(|(_, place)| place)
    }

    pub(super) fn give_back(&mut self, entity: &str) -> Option<Place> {
        Some(std::mem::replace(self.place(entity)?, Place::GivenBack))
    }

    fn any(&self, wanted: Place) -> bool {
        self.places.iter().any(|(_, place)| *place == wanted)
    }

    pub(super) fn is_left(&self) -> bool {
        self.places.iter().all(|(_, place)| *place == Place::GivenBack)
    }

    /// All locks are there.
    pub(crate) fn is_held(&self) -> bool {
        !self.any(Place::NotAsked) && !self.any(Place::Asked)
    }
}

impl Known {
    pub(super) fn owner(&self, id: &InstanceId, section_id: &str) -> LockOwner {
        LockOwner {
            instance_id: id.to_string(),
            execution_id: self.start().execution_id.clone(),
            section_id: section_id.to_owned(),
        }
    }

    /// The section in which the code may call this entity.
    pub(super) fn section_over(&self, entity: &str, wanted: fn(Place) -> bool) -> Option<String> {
        let over = |section: &Section| section.places.iter().any(|(id, p)| id == entity && wanted(*p));
        self.sections.iter().find(|(_, section)| over(section)).map(|(id, _)| id.clone())
    }

    pub(crate) fn regains_locks(&self) -> bool {
        self.sections.values().any(|section| section.regaining)
    }
}

impl Auditor {
    pub(super) fn lock_requested(
        &mut self,
        at: PartitionRef,
        id: &InstanceId,
        task_id: i32,
        request: &EntityLockRequested,
    ) -> Result<(), Violation> {
        let sorted = request.lock_set.windows(2).all(|pair| pair[0] < pair[1]);
        if !sorted || request.lock_set.is_empty() {
            return Err(format!("{id} asks for locks in no good order: {request:?}"));
        }
        self.coverage.add("section/several locks", u64::from(request.lock_set.len() > 1));
        self.begin_section(at, id, &request.section_id, Section::new(task_id, &request.lock_set))
    }

    pub(super) fn begin_section(
        &mut self,
        at: PartitionRef,
        id: &InstanceId,
        section_id: &str,
        section: Section,
    ) -> Result<(), Violation> {
        let known = self.live(at, id)?;
        if let Some(other) = known.sections.insert(section_id.to_owned(), section) {
            return Err(format!("{id} begins section {section_id} twice: {other:?}"));
        }
        self.ask_next(at, id, section_id)
    }

    /// Asks for the next lock, once the one before it is there.
    fn ask_next(&mut self, at: PartitionRef, id: &InstanceId, section_id: &str) -> Result<(), Violation> {
        let known = self.live(at, id)?;
        let owner = known.owner(id, section_id);
        let section = known.sections.get_mut(section_id).filter(|section| !section.any(Place::Asked));
        let next = section.and_then(|s| s.places.iter_mut().find(|(_, place)| *place == Place::NotAsked));
        if let Some((entity, place)) = next {
            *place = Place::Asked;
            let entity = entity.clone();
            self.send(at, &entity, MessageBody::RequestLock(owner));
        }
        Ok(())
    }

    /// The code leaves one entity of a section.
    pub(super) fn unlocked(
        &mut self,
        at: PartitionRef,
        id: &InstanceId,
        section_id: &str,
        entity: &str,
    ) -> Result<(), Violation> {
        let known = self.live(at, id)?;
        let owner = known.owner(id, section_id);
        let Some(section) = known.sections.get_mut(section_id) else { return Ok(()) };
        let was = section.give_back(entity);
        let left = section.is_left();
        if left {
            known.sections.remove(section_id);
        }
        match was {
            Some(Place::Held) => self.coverage.hit("section/left by the code"),
            Some(Place::Asked) => self.coverage.hit("section/given up"),
            _ => {}
        }
        if matches!(was, Some(Place::Asked | Place::Held)) {
            self.give_back(at, entity, owner);
        }
        if was == Some(Place::Asked) && !left { self.ask_next(at, id, section_id) } else { Ok(()) }
    }

    fn give_back(&mut self, at: PartitionRef, entity: &str, owner: LockOwner) {
        let place = (at.hub, entity.to_owned());
        if self.works.holders.get(&place) == Some(&owner) {
            self.works.holders.remove(&place);
        }
        self.send(at, entity, MessageBody::ReleaseLock(owner));
    }

    /// An execution ends: everything it holds or asked for is given back with the same commit.
    pub(super) fn release_sections(
        &mut self,
        at: PartitionRef,
        id: &InstanceId,
        how: &'static str,
    ) -> Result<(), Violation> {
        let known = self.live(at, id)?;
        let sections: BTreeMap<String, Section> = std::mem::take(&mut known.sections);
        let owners: Vec<_> = sections.keys().map(|section| known.owner(id, section)).collect();
        for (section, owner) in sections.into_values().zip(owners) {
            self.coverage.hit(how);
            for (entity, place) in section.places {
                if matches!(place, Place::Asked | Place::Held) {
                    self.give_back(at, &entity, owner.clone());
                }
            }
        }
        Ok(())
    }

    /// What a grant that arrives must lead to.
    pub(super) fn grant_arrives(&self, at: PartitionRef, id: InstanceId, granted: LockGranted) -> Expected {
        let waits = self.reference.instance(at, &id).filter(|known| !known.is_over()).is_some_and(|known| {
            let asked = |section: &Section| {
                section.places.iter().any(|(e, p)| *e == granted.entity_id && *p == Place::Asked)
            };
            known.start().execution_id == granted.execution_id
                && known.sections.get(&granted.section_id).is_some_and(asked)
        });
        let LockGranted { execution_id, section_id, entity_id } = granted;
        if waits {
            return Expected::SectionGranted { id, section_id, entity_id };
        }
        let owner = LockOwner { instance_id: id.to_string(), execution_id, section_id };
        let body = Box::new(MessageBody::ReleaseLock(owner));
        Expected::Sent { what: "section/late grant given back", to: entity_id, body }
    }

    pub(super) fn section_granted(
        &mut self,
        scene: Scene,
        record: &SectionGranted,
        expected: Expected,
    ) -> Result<Expected, Violation> {
        let id = InstanceId::trusted(record.id.as_str());
        let entity = match expected {
            Expected::SectionGranted { id: asked, section_id, entity_id }
                if asked == id && section_id == record.section_id =>
            {
                entity_id
            }
            other => return Err(format!("{record:?} instead of {other:?}")),
        };
        let known = self.live(scene.at, &id)?;
        let owner = known.owner(&id, &record.section_id);
        let Some(section) = known.sections.get_mut(&record.section_id) else {
            return Err(format!("{record:?}, which {id} is not in"));
        };
        if let Some(place) = section.place(&entity) {
            *place = Place::Held;
        }
        let held = section.is_held();
        let regained = held && std::mem::take(&mut section.regaining);
        if held && !regained {
            let granted =
                EntityLockGranted { task_id: section.task_id, section_id: record.section_id.clone() };
            known.updated = record.time;
            known.inbox.push_back(HistoryEvent::new(record.time, EventKind::EntityLockGranted(granted)));
        }
        let delayed = if held { std::mem::take(&mut section.delayed) } else { Vec::new() };
        self.coverage.add("section/calls delayed", delayed.len() as u64);
        self.coverage.add("section/granted", u64::from(held && !regained));
        self.coverage.add("section/regained after a rewind", u64::from(regained));
        match self.works.holders.insert((scene.at.hub, entity.clone()), owner.clone()) {
            None => {
                self.ask_next(scene.at, &id, &record.section_id)?;
                for (target, operation) in delayed {
                    self.send_operation(scene.at, &id, &target, operation);
                }
                Ok(Expected::Nothing)
            }
            Some(other) => Err(format!("{entity} is held by {other:?} and by {owner:?}")),
        }
    }
}
