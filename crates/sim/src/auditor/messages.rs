//! Messages between partitions: what is sent, and what taking one must lead to.

use strandline_hub::message::{ChildEnded, Message, MessageBody, RaiseEvent, StartChild, Terminate};
use strandline_hub::record::{Acknowledged, Received, Sent};
use strandline_model::{
    EventKind, EventRaised, ExecutionCompleted, FailureDetails, HistoryEvent, InstanceId, RuntimeStatus,
    SubOrchestrationCompleted, SubOrchestrationFailed, partition_of,
};
use strandline_store::PartitionRef;

use super::Auditor;
use super::records::Scene;
use super::reference::{Known, Task};
use crate::Violation;

/// What the next record of a batch must be.
#[derive(Debug)]
pub(super) enum Expected {
    /// Anything.
    Nothing,
    Created {
        id: InstanceId,
        start: Box<StartChild>,
    },
    Arrived {
        id: InstanceId,
        kind: Box<EventKind>,
    },
    Terminated {
        id: InstanceId,
        reason: Option<String>,
        recursive: bool,
    },
    /// To the parent of a child that could not start.
    Refusal {
        parent: String,
    },
    /// The start for which a live instance was ended; what that instance was.
    Replacement {
        id: InstanceId,
        status: RuntimeStatus,
    },
}

impl Expected {
    pub(super) fn nothing(&self, came: &str) -> Result<(), Violation> {
        match self {
            Self::Nothing => Ok(()),
            other => Err(format!("{came} instead of {other:?}")),
        }
    }
}

/// Equal but for the words of a failure.
pub(super) fn alike(expected: &EventKind, found: &EventKind) -> bool {
    match (expected, found) {
        (EventKind::SubOrchestrationFailed(a), EventKind::SubOrchestrationFailed(b)) => {
            a.task_id == b.task_id && a.failure.error_type == b.failure.error_type
        }
        (a, b) => a == b,
    }
}

/// The same for messages.
pub(super) fn same_message(expected: &Message, found: &Message) -> bool {
    let plain = |message: &Message| {
        let mut message = message.clone();
        if let Some(MessageBody::ChildEnded(ChildEnded { failure: Some(failure), .. })) = &mut message.body {
            *failure = FailureDetails::new(failure.error_type.as_str(), "");
        }
        message
    };
    plain(expected) == plain(found)
}

impl Auditor {
    pub(super) fn send(&mut self, at: PartitionRef, to: &str, body: MessageBody) {
        let receiver = partition_of(to, self.partitions(at.hub));
        let sent = self.reference.partitions.entry(at).or_default().sent.entry(receiver).or_default();
        sent.push(Message {
            from: u32::from(at.partition),
            to: u32::from(receiver),
            sequence: sent.len() as u64 + 1,
            instance_id: to.to_owned(),
            body: Some(body),
        });
    }

    fn partitions(&self, hub: u32) -> u16 {
        self.reference.partitions.keys().filter(|at| at.hub == hub).count() as u16
    }

    pub(super) fn received(&mut self, scene: Scene, record: &Received) -> Result<Expected, Violation> {
        let at = scene.at;
        let from = PartitionRef { hub: at.hub, partition: record.from as u16 };
        let books = self.reference.partitions.entry(at).or_default();
        let last = books.received.entry(from.partition).or_default();
        if record.sequence != *last + 1 {
            return Err(format!("{at:?} takes message {} of {from:?} after {last}", record.sequence));
        }
        *last = record.sequence;
        let sent = self.reference.books(from).and_then(|b| b.sent.get(&at.partition));
        let message = sent.and_then(|s| s.get(record.sequence as usize - 1)).cloned();
        let Some(message) = message else {
            return Err(format!(
                "{at:?} takes message {} of {from:?}, which was never durable",
                record.sequence
            ));
        };
        let id = InstanceId::trusted(message.instance_id.as_str());
        let target = self.reference.instance(at, &id);
        Ok(match message.body {
            Some(MessageBody::StartChild(start)) => match target {
                Some(existing) if !existing.is_over() => {
                    self.coverage.hit("tree/child refused");
                    if start.parent.fire_and_forget {
                        Expected::Nothing
                    } else {
                        Expected::Refusal { parent: start.parent.instance_id }
                    }
                }
                _ => Expected::Created { id, start: Box::new(start) },
            },
            Some(MessageBody::ChildEnded(ended)) => match target.filter(|t| waits_for(t, &ended)) {
                Some(_) => {
                    self.coverage.hit("tree/child told its parent");
                    Expected::Arrived { id, kind: Box::new(result_of(ended)) }
                }
                None => Expected::Nothing,
            },
            Some(MessageBody::RaiseEvent(event)) => match target {
                Some(known) if !known.is_over() => {
                    let raised = EventRaised { name: event.name, input: event.input, undelivered: false };
                    Expected::Arrived { id, kind: Box::new(EventKind::EventRaised(raised)) }
                }
                _ => Expected::Nothing,
            },
            Some(MessageBody::Terminate(terminate)) => match target {
                Some(known) if !known.is_over() && is_child(known, &terminate) => {
                    let Terminate { reason, recursive, .. } = terminate;
                    Expected::Terminated { id, reason, recursive }
                }
                _ => Expected::Nothing,
            },
            Some(_) | None => Expected::Nothing,
        })
    }

    pub(super) fn acknowledged(
        &mut self,
        scene: Scene,
        record: &Acknowledged,
    ) -> Result<Expected, Violation> {
        let at = scene.at;
        let by = PartitionRef { hub: at.hub, partition: record.by as u16 };
        let taken = self.reference.books(by).and_then(|b| b.received.get(&at.partition).copied());
        if taken.is_none_or(|taken| taken < record.sequence) {
            return Err(format!("{by:?} acknowledges {} of {at:?} but took {taken:?}", record.sequence));
        }
        let books = self.reference.partitions.entry(at).or_default();
        let last = books.acknowledged.entry(by.partition).or_default();
        *last = (*last).max(record.sequence);
        Ok(Expected::Nothing)
    }

    pub(super) fn sent(
        &mut self,
        scene: Scene,
        record: Sent,
        expected: Expected,
    ) -> Result<Expected, Violation> {
        let Expected::Refusal { parent } = expected else {
            return Err(format!("a message is sent for no reason: {record:?}"));
        };
        let refused = matches!(&record.body, Some(MessageBody::ChildEnded(e)) if e.failure.is_some());
        let (Some(body), true) = (record.body, record.instance_id == parent && refused) else {
            return Err(format!("the refusal of a child does not go to {parent}"));
        };
        self.send(scene.at, &parent, body);
        Ok(Expected::Nothing)
    }

    /// A turn's action or event that sends something.
    pub(super) fn send_for(
        &mut self,
        at: PartitionRef,
        id: &InstanceId,
        event: &HistoryEvent,
    ) -> Result<(), Violation> {
        let known = self.live(at, id)?;
        match event.kind() {
            EventKind::SubOrchestrationCreated(child) => {
                let start = known.start();
                let mut tags = start.tags.clone();
                tags.extend(child.tags.clone());
                let parent = strandline_model::ParentInstance {
                    instance_id: id.to_string(),
                    execution_id: start.execution_id.clone(),
                    name: start.name.clone(),
                    version: start.version.clone(),
                    task_id: event.id,
                    depth: start.parent.as_ref().map_or(0, |p| p.depth + 1),
                    fire_and_forget: child.fire_and_forget,
                };
                let (name, version) = (child.name.clone(), child.version.clone());
                let body = StartChild { name, version, input: child.input.clone(), tags, parent };
                self.send(at, &child.instance_id, MessageBody::StartChild(body));
            }
            EventKind::EventSent(sent) => {
                let body = RaiseEvent { name: sent.name.clone(), input: sent.input.clone() };
                self.send(at, &sent.instance_id, MessageBody::RaiseEvent(body));
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn terminate_child(
        &mut self,
        at: PartitionRef,
        id: &InstanceId,
        child: &str,
        reason: Option<String>,
    ) -> Result<(), Violation> {
        let parent_execution_id = Some(self.live(at, id)?.start().execution_id.clone());
        let body = Terminate { reason, recursive: true, parent_execution_id };
        self.send(at, child, MessageBody::Terminate(body));
        Ok(())
    }

    pub(super) fn terminate_children(
        &mut self,
        at: PartitionRef,
        id: &InstanceId,
        reason: Option<String>,
    ) -> Result<(), Violation> {
        let open: Vec<Task> = self.live(at, id)?.open.values().cloned().collect();
        for task in open {
            if let Task::Child(child) = task {
                self.terminate_child(at, id, &child, reason.clone())?;
            }
        }
        Ok(())
    }

    pub(super) fn tell_parent(
        &mut self,
        at: PartitionRef,
        id: &InstanceId,
        ended: &HistoryEvent,
    ) -> Result<(), Violation> {
        let EventKind::ExecutionCompleted(end) = ended.kind() else {
            return Err(format!("{id} is ended by {}", ended.kind().name()));
        };
        let Some(parent) = self.live(at, id)?.start().parent.clone() else { return Ok(()) };
        if !parent.fire_and_forget {
            let (result, failure) = outcome(end);
            let body =
                ChildEnded { execution_id: parent.execution_id, task_id: parent.task_id, result, failure };
            self.send(at, &parent.instance_id, MessageBody::ChildEnded(body));
        }
        Ok(())
    }
}

fn outcome(end: &ExecutionCompleted) -> (Option<String>, Option<FailureDetails>) {
    match end.status() {
        RuntimeStatus::Completed => (end.result.clone(), None),
        RuntimeStatus::Terminated => (None, Some(FailureDetails::new("Terminated", ""))),
        _ => (None, end.failure.clone()),
    }
}

/// A parent hears of the end of a child only if the same execution still waits for it.
fn waits_for(parent: &Known, ended: &ChildEnded) -> bool {
    !parent.is_over()
        && parent.start().execution_id == ended.execution_id
        && matches!(parent.open.get(&ended.task_id), Some(Task::Child(_)))
}

fn is_child(known: &Known, terminate: &Terminate) -> bool {
    let of = terminate.parent_execution_id.as_ref();
    of.is_none_or(|of| known.start().parent.as_ref().is_some_and(|p| p.execution_id == *of))
}

fn result_of(ended: ChildEnded) -> EventKind {
    let task_id = ended.task_id;
    match ended.failure {
        Some(failure) => EventKind::SubOrchestrationFailed(SubOrchestrationFailed { task_id, failure }),
        None => {
            EventKind::SubOrchestrationCompleted(SubOrchestrationCompleted { task_id, result: ended.result })
        }
    }
}
