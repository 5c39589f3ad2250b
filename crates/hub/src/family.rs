//! What parents and children tell each other.

use strandline_model::{
    EventKind, ExecutionCompleted, FailureDetails, ParentInstance, RuntimeStatus, SubOrchestrationCreated,
};

use crate::instance::Instance;
use crate::message::{ChildEnded, StartChild};

impl Instance {
    /// The start of a sub-orchestration with this sequence id.
    pub(crate) fn child_start(&self, task_id: i32, created: &SubOrchestrationCreated) -> StartChild {
        let start = self.start();
        let mut tags = start.tags.clone();
        tags.extend(created.tags.iter().map(|(k, v)| (k.clone(), v.clone())));
        let parent = ParentInstance {
            instance_id: self.id.to_string(),
            execution_id: start.execution_id.clone(),
            name: start.name.clone(),
            version: start.version.clone(),
            task_id,
            depth: start.parent.as_ref().map_or(0, |p| p.depth + 1),
            fire_and_forget: created.fire_and_forget,
        };
        StartChild {
            name: created.name.clone(),
            version: created.version.clone(),
            input: created.input.clone(),
            tags,
            parent,
            trace: created.trace.clone(),
        }
    }

    /// What the parent that waits for this instance hears of its end.
    pub(crate) fn end_for_parent(&self) -> Option<ChildEnded> {
        let parent = self.start().parent.as_ref().filter(|p| !p.fire_and_forget)?;
        let EventKind::ExecutionCompleted(end) = self.ended.as_ref()?.kind() else { return None };
        let failure = self.failure_for_parent(end);
        let result = if failure.is_none() { end.result.clone() } else { None };
        Some(ChildEnded {
            execution_id: parent.execution_id.clone(),
            task_id: parent.task_id,
            result,
            failure,
        })
    }

    fn failure_for_parent(&self, end: &ExecutionCompleted) -> Option<FailureDetails> {
        if end.status == RuntimeStatus::Completed as i32 {
            return None;
        }
        Some(end.failure.clone().unwrap_or_else(|| {
            let reason = end.result.as_deref().map(|r| format!(": {r}")).unwrap_or_default();
            let what = format!("sub-orchestration '{}' was terminated{reason}", self.id);
            FailureDetails::new("Terminated", what)
        }))
    }
}
