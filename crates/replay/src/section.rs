//! The critical section an execution is in, and what may be done inside.

use std::collections::BTreeMap;

use strandline_model::FailureDetails;
use strandline_model::limits::LOCK_SET_MAX;

use crate::violation::CRITICAL_SECTION;

/// At most one section at a time: from the request for its locks until they are given back.
#[derive(Default)]
pub(crate) struct Sections {
    current: Option<Section>,
}

pub(crate) struct Section {
    pub(crate) id: String,
    /// The sequence id of the request for its locks.
    pub(crate) request: i32,
    /// Sorted, each once.
    pub(crate) lock_set: Vec<String>,
    granted: bool,
    /// By sequence id: the entities whose reply to a call is still to come, awaited or not.
    calls: BTreeMap<i32, String>,
}

impl Section {
    fn locks(&self, target: &str) -> bool {
        self.lock_set.binary_search_by(|entity| entity.as_str().cmp(target)).is_ok()
    }
}

/// The texts are those of Durable Functions.
fn refused<T>(text: impl Into<String>) -> Result<T, FailureDetails> {
    Err(FailureDetails::new(CRITICAL_SECTION, text).non_retriable())
}

impl Sections {
    pub(crate) fn enter(&mut self, id: String, request: i32, lock_set: Vec<String>) {
        self.current = Some(Section { id, request, lock_set, granted: false, calls: BTreeMap::new() });
    }

    /// The locked entities, once they are.
    pub(crate) fn held(&self) -> Option<&[String]> {
        self.current.as_ref().filter(|section| section.granted).map(|section| section.lock_set.as_slice())
    }

    /// Whether that is the section whose locks are waited for: a late grant finds it left.
    pub(crate) fn granted(&mut self, request: i32, id: &str) -> bool {
        match &mut self.current {
            Some(section) if section.request == request && section.id == id => {
                section.granted = true;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn called(&mut self, id: i32, target: String) {
        if let Some(section) = &mut self.current {
            section.calls.insert(id, target);
        }
    }

    pub(crate) fn replied(&mut self, id: i32) {
        if let Some(section) = &mut self.current {
            section.calls.remove(&id);
        }
    }

    /// Takes the section out, if it is the one that is asked for.
    pub(crate) fn leave(&mut self, is_it: impl FnOnce(&Section) -> bool) -> Option<Section> {
        self.current.take_if(|section| is_it(section))
    }

    pub(crate) fn check_lock(&self, lock_set: &[String]) -> Result<(), FailureDetails> {
        if self.current.is_some() {
            return refused("Must not enter another critical section from within a critical section.");
        }
        if lock_set.is_empty() {
            return refused("The list of entities to lock must not be empty: name at least one.");
        }
        if lock_set.len() > LOCK_SET_MAX {
            return refused(format!(
                "{} entities in one critical section: the limit is {LOCK_SET_MAX}. Lock one entity that \
                 stands for many instead.",
                lock_set.len()
            ));
        }
        Ok(())
    }

    pub(crate) fn check_call(&self, target: &str) -> Result<(), FailureDetails> {
        let Some(section) = &self.current else { return Ok(()) };
        if !section.granted {
            return refused("Must await the completion of the lock request prior to calling any entity.");
        }
        if !section.locks(target) {
            return refused(
                "Must not call an entity from a critical section if it is not one of the locked entities.",
            );
        }
        if section.calls.values().any(|called| called == target) {
            return refused(
                "Must not call an entity from a critical section while a prior call to the same entity is \
                 still pending.",
            );
        }
        Ok(())
    }

    pub(crate) fn check_signal(&self, target: &str) -> Result<(), FailureDetails> {
        match &self.current {
            Some(section) if section.locks(target) => {
                refused("Must not signal a locked entity from a critical section.")
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn check_sub_orchestration(&self) -> Result<(), FailureDetails> {
        match &self.current {
            Some(_) => refused("While holding locks, cannot call suborchestrators."),
            None => Ok(()),
        }
    }
}
