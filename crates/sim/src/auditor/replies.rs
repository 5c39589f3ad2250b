//! Answers: what a client is told must be durable, and true at some moment between call and answer.

use strandline_engine::pipeline::{Answer, HistoryPage, Read};
use strandline_hub::{EntityStatus, InstanceStatus, Refusal, Reply};
use strandline_model::{ExecutionId, RuntimeStatus};

use super::entity::EntityVersion;
use super::reference::{Execution, Version};
use super::{Auditor, Call, CallKind, CallState};
use crate::Violation;

impl Auditor {
    /// A client gets its answer.
    pub(crate) fn answered(&mut self, number: usize, answer: &Answer) -> Result<(), Violation> {
        if let Answer::Reply(reply) = answer {
            let recorded = matches!(reply, Reply::Started { .. } | Reply::Accepted);
            self.calls.rebook(number, recorded);
        }
        let call = self.calls.get(number).clone();
        let checked = match answer {
            Answer::Reply(reply) => self.check_reply(&call, reply),
            Answer::Status(status) => {
                self.check_status(&call, status.as_deref()).map(|()| CallState::Accepted)
            }
            Answer::History(page) => self.check_page(&call, page.as_ref()).map(|()| CallState::Accepted),
            Answer::Entity(entity) => {
                self.check_entity(&call, entity.as_deref()).map(|()| CallState::Accepted)
            }
            Answer::Overlay(_)
            | Answer::EntityOverlay(_)
            | Answer::Standing(_)
            | Answer::EntityStanding(_) => Err("which nobody asked for".to_owned()),
        };
        let state = checked.map_err(|why| format!("call {number} {call:?} is answered {answer:?}: {why}"))?;
        self.calls.close(number, state)
    }

    /// Whether a durable version of the instance between call and answer was so.
    fn was(&self, call: &Call, so: impl Fn(Option<&Version>) -> bool) -> bool {
        let last = self.reference.version(call.at, &call.id);
        (call.since..=last).any(|number| so(self.reference.look(call.at, &call.id, number)))
    }

    fn check_reply(&mut self, call: &Call, reply: &Reply) -> Result<CallState, Violation> {
        let recorded = match (&call.kind, call.recorded) {
            (CallKind::Activity { execution, task_id, result }, _) => {
                self.results_of(*execution).and_then(|e| e.results.get(task_id)) == Some(result)
            }
            (_, recorded) => recorded.is_some(),
        };
        let (name, refused) = match reply {
            Reply::Started { .. } => ("reply/started", false),
            Reply::Accepted => ("reply/accepted", false),
            Reply::Unchanged => ("reply/unchanged", true),
            Reply::Refused(refusal) => (name_of(refusal), true),
        };
        self.coverage.hit(name);
        // Results without a value look alike.
        let alike = matches!(&call.kind, CallKind::Activity { result: Ok(None), .. });
        if refused == recorded && !(refused && alike) {
            return Err(if refused { "but it is recorded" } else { "but it is not durable" }.to_owned());
        }
        match reply {
            Reply::Started { execution } => {
                if !matches!(&call.kind, CallKind::Start { execution: asked, .. } if asked == execution) {
                    return Err("that is another execution".to_owned());
                }
            }
            Reply::Accepted => {}
            Reply::Unchanged => {
                let suspend = matches!(call.kind, CallKind::Suspend { .. });
                let so = |v: Option<&Version>| {
                    v.is_some_and(|v| {
                        (v.status == RuntimeStatus::Suspended) == suspend && !v.status.is_terminal()
                    })
                };
                if !self.was(call, so) {
                    return Err("it never was so".to_owned());
                }
            }
            Reply::Refused(refusal) => self.check_refusal(call, refusal)?,
        }
        Ok(if refused { CallState::Refused } else { CallState::Accepted })
    }

    fn check_refusal(&self, call: &Call, refusal: &Refusal) -> Result<(), Violation> {
        let true_once = match refusal {
            Refusal::AlreadyExists { status } => {
                let CallKind::Start { reuse, .. } = &call.kind else {
                    return Err("it is no start".to_owned());
                };
                !reuse.replaceable.contains(status)
                    && self.was(call, |v| v.is_some_and(|v| v.status == *status))
            }
            Refusal::NotFound => match &call.kind {
                CallKind::Purge { execution: Some(execution) } => {
                    self.was(call, |v| v.is_none_or(|v| v.execution != *execution))
                }
                _ => self.was(call, |v| v.is_none()),
            },
            Refusal::Terminal { status } => self.was(call, |v| v.is_some_and(|v| v.status == *status)),
            Refusal::TooLarge { bytes, limit, .. } => bytes > limit,
            Refusal::Invalid { .. } => true,
            Refusal::TooManyPendingEvents { .. }
            | Refusal::TooManyPendingOperations { .. }
            | Refusal::EntityInUse(_) => false,
            Refusal::NotFailed { status } => {
                matches!(call.kind, CallKind::Rewind { .. })
                    && *status != RuntimeStatus::Failed
                    && self.was(call, |v| v.is_some_and(|v| v.status == *status))
            }
            Refusal::NotOver { status } => {
                matches!(call.kind, CallKind::Purge { .. })
                    && !status.is_terminal()
                    && self.was(call, |v| v.is_some_and(|v| v.status == *status))
            }
            Refusal::Overloaded(_) | Refusal::StorageFull(_) => {
                matches!(call.kind, CallKind::Start { .. } | CallKind::Raise { .. } | CallKind::Signal { .. })
            }
            Refusal::Stale(_) => match &call.kind {
                CallKind::Activity { execution, task_id, .. } => self.is_stale(call, *execution, *task_id),
                _ => false,
            },
        };
        if true_once { Ok(()) } else { Err("that was never true".to_owned()) }
    }

    /// Nobody waits for the task: it has a result, or its execution is over.
    fn is_stale(&self, call: &Call, execution: ExecutionId, task_id: i32) -> bool {
        let current = self.reference.instance(call.at, &call.id);
        let waited = current.is_some_and(|known| {
            known.execution == execution && !known.is_over() && known.open.contains_key(&task_id)
        });
        !waited
    }

    fn results_of(&self, execution: ExecutionId) -> Option<&Execution> {
        self.reference.executions.get(&execution)
    }

    fn check_status(&self, call: &Call, status: Option<&InstanceStatus>) -> Result<(), Violation> {
        let CallKind::Read(read) = call.kind else { return Err("it is no read".to_owned()) };
        let Some(status) = status else {
            let fits = read == Read::Status && self.was(call, |v| v.is_none());
            return if fits { Ok(()) } else { Err("it always existed".to_owned()) };
        };
        let waited = match read {
            Read::Started => status.status != RuntimeStatus::Pending,
            Read::Ended => status.status.is_terminal(),
            _ => true,
        };
        let seen = Version {
            execution: status.execution,
            status: status.status,
            history_len: status.history_len,
            custom_status: status.custom_status.as_deref().map(str::to_owned),
            updated: status.updated,
        };
        if !waited || !self.was(call, |v| v == Some(&seen)) {
            return Err(format!("it never was so between call ({}) and answer", call.since));
        }
        if status.status.is_terminal() != status.completed().is_some() {
            return Err("status and end do not fit".to_owned());
        }
        Ok(())
    }

    /// An entity was so between call and answer.
    fn check_entity(&self, call: &Call, found: Option<&EntityStatus>) -> Result<(), Violation> {
        if call.kind != CallKind::Read(Read::Entity) {
            return Err("it asked for no entity".to_owned());
        }
        let found = found.map(|status| EntityVersion {
            state: status.state.as_deref().map(str::to_owned),
            modified: status.modified,
            backlog: status.backlog,
            locked_by: status.locked_by.clone(),
        });
        let last = self.reference.version(call.at, &call.id);
        let mut versions =
            (call.since..=last).map(|number| self.reference.look_at_entity(call.at, &call.id, number));
        if versions.any(|version| version == found.as_ref()) {
            return Ok(());
        }
        Err("it never was so between call and answer".to_owned())
    }

    fn check_page(&self, call: &Call, page: Option<&HistoryPage>) -> Result<(), Violation> {
        let CallKind::Read(Read::History { from, max }) = call.kind else {
            return Err("it asked for no history".to_owned());
        };
        let Some(page) = page else {
            return if self.was(call, |v| v.is_none()) {
                Ok(())
            } else {
                Err("it always existed".to_owned())
            };
        };
        let so = |v: &Version| v.execution == page.execution && v.history_len == page.total;
        if !self.was(call, |v| v.is_some_and(so)) {
            return Err("its history never was that long between call and answer".to_owned());
        }
        let history = self.reference.history(page.execution);
        let to = page.total.min(from.saturating_add(max));
        let expected = history.get(from.min(to)..to).unwrap_or_default();
        if !expected.iter().eq(page.events.iter().map(|e| &**e)) {
            return Err("these are not the events of its history".to_owned());
        }
        Ok(())
    }
}

fn name_of(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::AlreadyExists { .. } => "refusal/already exists",
        Refusal::NotFound => "refusal/not found",
        Refusal::Terminal { .. } => "refusal/terminal",
        Refusal::TooLarge { .. } => "refusal/too large",
        // Takes more events than a run has.
        Refusal::Invalid { .. }
        | Refusal::TooManyPendingEvents { .. }
        | Refusal::TooManyPendingOperations { .. }
        | Refusal::EntityInUse(_) => "refusal/invalid",
        Refusal::NotFailed { .. } => "refusal/not failed",
        Refusal::NotOver { .. } => "refusal/not over",
        Refusal::Overloaded(_) => "refusal/overloaded",
        Refusal::StorageFull(_) => "refusal/storage full",
        Refusal::Stale(_) => "refusal/stale",
    }
}
