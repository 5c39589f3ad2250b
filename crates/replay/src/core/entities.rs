//! What the code does with entities.

use std::task::Waker;

use strandline_model::{ActionKind, FailureDetails, Timestamp};

use super::{Core, Source, canceled, of_code};
use crate::follow::Next;
use crate::guid;
use crate::section::Section;
use crate::task::{DEAD, Finished, TaskKey, TaskKind};

impl Core {
    pub(crate) fn signal_entity(
        &mut self,
        target: String,
        operation: String,
        input: Option<String>,
        scheduled_time: Option<Timestamp>,
    ) -> Result<(), FailureDetails> {
        if !self.closed {
            self.sections.check_signal(&target)?;
            let request_id = self.request_id();
            self.act(ActionKind::SignalEntity { target, request_id, operation, input, scheduled_time });
        }
        Ok(())
    }

    pub(crate) fn call_entity(
        &mut self,
        target: String,
        operation: String,
        input: Option<String>,
    ) -> Result<TaskKey, FailureDetails> {
        if self.closed {
            return Ok(DEAD);
        }
        self.sections.check_call(&target)?;
        let request_id = self.request_id();
        let called = target.clone();
        let kind = ActionKind::CallEntity { target, request_id, operation, input, scheduled_time: None };
        let Some(id) = self.act_for(kind, self.next_key) else { return Ok(DEAD) };
        self.sections.called(id, called);
        Ok(self.add(TaskKind::EntityCall { id }, None))
    }

    /// The id of the section, and the task that waits for its locks.
    pub(crate) fn lock_entities(
        &mut self,
        mut lock_set: Vec<String>,
    ) -> Result<(String, TaskKey), FailureDetails> {
        if self.closed {
            return Ok((String::new(), DEAD));
        }
        // One order for everybody, so that no two executions wait for each other.
        lock_set.sort_unstable();
        lock_set.dedup();
        self.sections.check_lock(&lock_set)?;
        let section_id = self.recorded_ids.remove(&self.sequence.next_id());
        let section_id = section_id.unwrap_or_else(|| self.request_id());
        let kind = ActionKind::LockEntities { section_id: section_id.clone(), lock_set: lock_set.clone() };
        let Some(id) = self.act_for(kind, self.next_key) else { return Ok((section_id, DEAD)) };
        self.sections.enter(section_id.clone(), id, lock_set);
        Ok((section_id, self.add(TaskKind::Lock { id }, None)))
    }

    fn request_id(&self) -> String {
        guid::of_action(self.execution, self.sequence.next_id())
    }

    /// Leaves a critical section. Whoever still waits for its locks waits no longer.
    pub(crate) fn unlock(&mut self, section_id: &str) -> Option<Waker> {
        if self.closed {
            return None;
        }
        let section = self.sections.leave(|section| section.id == section_id)?;
        let waiting = self.open.remove(&section.request);
        self.release(section);
        self.finish(waiting?, Finished::Value(Err(of_code(canceled()))))
    }

    /// Nobody wants the locks that were requested under this sequence id.
    pub(super) fn give_up(&mut self, request: i32) {
        self.open.remove(&request);
        if let Some(section) = self.sections.leave(|section| section.request == request) {
            self.release(section);
        }
    }

    /// Destructors come here, which must not unwind: so the limit on actions does not count, and may
    /// be passed by one lock set.
    fn release(&mut self, section: Section) {
        for target in section.lock_set {
            self.sequence.push(ActionKind::UnlockEntity { section_id: section.id.clone(), target });
        }
    }

    /// All entities of a critical section are locked.
    pub(crate) fn granted(&mut self, request: i32, section_id: &str) -> Option<Waker> {
        if !self.sections.granted(request, section_id) {
            return None;
        }
        self.ended(request, Source::Lock, Ok(None), Next::Return)
    }
}
