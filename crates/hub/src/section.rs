use strandline_model::{EntityOperation, HistoryEvent};

use crate::instance::Instance;
use crate::message::{LockOwner, MessageBody};
use crate::partition::{Ledger, Sabotage};
use crate::row::{DelayedRow, SectionRow};

/// A critical section of an execution. Its entities are locked one after the other, in their order, so
/// that sections can't wait for each other in a circle.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// The sequence id of its `EntityLockRequested`.
    pub task_id: i32,
    /// The entities, sorted.
    pub lock_set: Vec<String>,
    /// How many of them were asked for: all but perhaps the last of these are locked.
    pub(crate) requested: usize,
    pub(crate) granted: usize,
    /// Which were given back.
    pub(crate) released: Vec<bool>,
    /// After a rewind: the code holds the section already, and waits until it is locked again.
    pub(crate) regaining: bool,
    /// Operations for its entities that are sent once it is.
    pub(crate) delayed: Vec<(String, EntityOperation)>,
}

impl Section {
    pub(crate) fn new(task_id: i32, lock_set: Vec<String>) -> Self {
        let released = vec![false; lock_set.len()];
        let delayed = Vec::new();
        Self { task_id, lock_set, requested: 0, granted: 0, released, regaining: false, delayed }
    }

    /// All its entities are locked.
    pub fn is_held(&self) -> bool {
        self.granted == self.lock_set.len()
    }

    /// The entity whose lock it waits for.
    pub fn waits_for(&self) -> Option<&str> {
        let next = self.lock_set.get(self.granted).filter(|_| self.granted < self.requested);
        next.map(String::as_str)
    }

    /// It holds the lock of this entity.
    pub(crate) fn holds(&self, entity: &str) -> bool {
        self.index(entity).is_some_and(|at| at < self.granted && !self.released[at])
    }

    /// It is over this entity, which was not given back.
    pub(crate) fn locks(&self, entity: &str) -> bool {
        self.index(entity).is_some_and(|at| !self.released[at])
    }

    fn index(&self, entity: &str) -> Option<usize> {
        self.lock_set.iter().position(|id| id == entity)
    }

    /// It waits for the lock of this entity.
    pub(crate) fn awaits(&self, entity: &str) -> bool {
        self.waits_for() == Some(entity)
    }

    pub(crate) fn from_row(row: SectionRow) -> (String, Self) {
        let released = (0..row.lock_set.len()).map(|at| row.released.contains(&(at as u32))).collect();
        let section = Self {
            task_id: row.task_id,
            lock_set: row.lock_set,
            requested: row.requested as usize,
            granted: row.granted as usize,
            released,
            regaining: row.regaining,
            delayed: row.delayed.into_iter().map(|d| (d.target, d.operation)).collect(),
        };
        (row.section_id, section)
    }

    pub(crate) fn to_row(&self, section_id: &str) -> SectionRow {
        let released = self.released.iter().enumerate().filter(|(_, released)| **released);
        SectionRow {
            section_id: section_id.to_owned(),
            task_id: self.task_id,
            lock_set: self.lock_set.clone(),
            requested: self.requested as u32,
            granted: self.granted as u32,
            released: released.map(|(at, _)| at as u32).collect(),
            regaining: self.regaining,
            delayed: self
                .delayed
                .iter()
                .map(|(target, operation)| DelayedRow {
                    target: target.clone(),
                    operation: operation.clone(),
                })
                .collect(),
        }
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let entities: usize = self.lock_set.iter().map(|id| 64 + id.len()).sum();
        let delayed = self.delayed.iter().map(|(_, o)| 250 + o.input.as_ref().map_or(0, String::len));
        200 + entities + delayed.sum::<usize>()
    }
}

impl Instance {
    fn lock_owner(&self, section_id: &str) -> LockOwner {
        LockOwner {
            instance_id: self.id.to_string(),
            execution_id: self.start().execution_id.clone(),
            section_id: section_id.to_owned(),
        }
    }

    /// Begins a section: asks for its first entity.
    pub(crate) fn begin_section(&mut self, section_id: &str, section: Section, ledger: &mut Ledger) {
        self.sections.insert(section_id.to_owned(), section);
        self.request_next_lock(section_id, ledger);
    }

    /// Asks for the next entity; entities given back before their turn are passed over.
    fn request_next_lock(&mut self, section_id: &str, ledger: &mut Ledger) {
        let owner = self.lock_owner(section_id);
        let Some(section) = self.sections.get_mut(section_id) else { return };
        while section.released.get(section.granted) == Some(&true) {
            section.granted += 1;
        }
        section.requested = (section.granted + 1).min(section.lock_set.len());
        if let Some(entity) = section.lock_set.get(section.granted) {
            ledger.send(entity, MessageBody::RequestLock(owner));
        }
    }

    /// An entity of a section is locked. True when it was the last one and the code waits for it.
    pub(crate) fn lock_granted(&mut self, section_id: &str, ledger: &mut Ledger) -> bool {
        let Some(section) = self.sections.get_mut(section_id) else { return false };
        section.granted += 1;
        self.request_next_lock(section_id, ledger);
        let Some(section) = self.sections.get_mut(section_id).filter(|s| s.is_held()) else { return false };
        for (target, operation) in std::mem::take(&mut section.delayed) {
            ledger.send(&target, MessageBody::Operation(operation));
        }
        !std::mem::take(&mut section.regaining)
    }

    /// Gives one entity of a section back.
    pub(crate) fn unlock(&mut self, section_id: &str, entity: &str, ledger: &mut Ledger) {
        let owner = self.lock_owner(section_id);
        let Some(section) = self.sections.get_mut(section_id) else { return };
        let Some(at) = section.index(entity) else { return };
        if std::mem::replace(&mut section.released[at], true) {
            return;
        }
        if at < section.requested {
            ledger.send(entity, MessageBody::ReleaseLock(owner));
        }
        if section.released.iter().all(|released| *released) {
            self.sections.remove(section_id);
        } else if at == section.granted {
            self.request_next_lock(section_id, ledger);
        }
    }

    /// Gives back whatever the execution holds or asked for: it is over.
    pub(crate) fn release_sections(&mut self, ledger: &mut Ledger) {
        if ledger.sabotage == Sabotage::LoseRelease {
            self.sections.clear();
            return;
        }
        for (section_id, section) in std::mem::take(&mut self.sections) {
            let owner = self.lock_owner(&section_id);
            for at in (0..section.requested).filter(|at| !section.released[*at]) {
                ledger.send(&section.lock_set[at], MessageBody::ReleaseLock(owner.clone()));
            }
        }
    }

    /// The section in which this entity is locked now.
    pub(crate) fn section_of(&self, entity: &str) -> Option<&String> {
        self.sections.iter().find(|(_, section)| section.holds(entity)).map(|(id, _)| id)
    }

    /// After a rewind the code must not go on before its sections are locked again.
    pub(crate) fn regains_locks(&self) -> bool {
        self.sections.values().any(|section| section.regaining)
    }
}

/// The sections a history shows as begun and not given back whole, for an execution that goes on with
/// it: each asks for its locks anew.
pub(crate) fn sections_of<'a>(
    history: impl Iterator<Item = &'a HistoryEvent>,
) -> std::collections::BTreeMap<String, Section> {
    use strandline_model::EventKind;
    let mut sections = std::collections::BTreeMap::new();
    for event in history {
        match event.kind() {
            EventKind::EntityLockRequested(e) => {
                sections.insert(e.section_id.clone(), Section::new(event.id, e.lock_set.clone()));
            }
            EventKind::EntityLockGranted(e) => {
                if let Some(section) = sections.get_mut(&e.section_id) {
                    section.regaining = true;
                }
            }
            EventKind::EntityUnlockSent(e) => {
                if let Some(section) = sections.get_mut(&e.section_id)
                    && let Some(at) = section.index(&e.target)
                {
                    section.released[at] = true;
                }
            }
            _ => {}
        }
    }
    sections.retain(|_, section| !section.released.iter().all(|released| *released));
    sections
}
