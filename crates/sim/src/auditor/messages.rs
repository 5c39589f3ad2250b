//! Messages between partitions: what is sent, and what taking one must lead to.

use strandline_hub::message::{
    ChildEnded, LockOwner, Message, MessageBody, RaiseEvent, Replied, StartChild, StartNew, Terminate,
};
use strandline_hub::record::{Acknowledged, EntityInput, Received, Sent};
use strandline_model::{
    EntityCaller, EntityOperation, EntityOperationCompleted, EntityOperationFailed, EventKind, EventRaised,
    ExecutionCompleted, FailureDetails, HistoryEvent, InstanceId, RuntimeStatus, SubOrchestrationCompleted,
    SubOrchestrationCreated, SubOrchestrationFailed, partition_of,
};
use strandline_store::PartitionRef;

use super::Auditor;
use super::entity::Sender;
use super::records::Scene;
use super::reference::{Known, Task};
use super::sections::Place;
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
    /// By an entity.
    CreatedNew {
        id: InstanceId,
        start: StartNew,
    },
    /// An operation or a lock request.
    EntityInput {
        id: InstanceId,
        input: Box<EntityInput>,
        sender: Sender,
    },
    LockReleased {
        id: InstanceId,
        owner: LockOwner,
    },
    SectionGranted {
        id: InstanceId,
        section_id: String,
        entity_id: String,
    },
    /// Just this message.
    Sent {
        what: &'static str,
        to: String,
        body: Box<MessageBody>,
    },
    /// With its parent.
    Rewound {
        id: InstanceId,
        reason: Option<String>,
        parent: Vec<u8>,
    },
    Adopted {
        id: InstanceId,
        parent: Vec<u8>,
        then: Box<Expected>,
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
    /// Returns receiver and number of the message.
    pub(super) fn send(&mut self, at: PartitionRef, to: &str, body: MessageBody) -> (u16, u64) {
        let receiver = partition_of(to, self.partitions(at.hub));
        let sent = self.reference.partitions.entry(at).or_default().sent.entry(receiver).or_default();
        sent.push(Message {
            from: u32::from(at.partition),
            to: u32::from(receiver),
            sequence: sent.len() as u64 + 1,
            instance_id: to.to_owned(),
            body: Some(body),
        });
        (receiver, sent.len() as u64)
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
        let sender = self.reference.books(from).and_then(|b| {
            let name = b.senders.get(&(at.partition, record.sequence))?;
            Some((name.clone(), record.sequence))
        });
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
            Some(MessageBody::StartChild(start)) => self.child_starts(at, id, start),
            Some(MessageBody::Start(start)) => match target {
                Some(existing) if !existing.is_over() => Expected::Nothing,
                _ => Expected::CreatedNew { id, start },
            },
            Some(MessageBody::Rewind(rewind)) => self.rewind_arrives(at, id, rewind),
            Some(MessageBody::Operation(operation)) => {
                let Some(sender) = sender else { return Err(format!("nobody sent {operation:?}")) };
                Expected::EntityInput { id, input: Box::new(EntityInput::Operation(operation)), sender }
            }
            Some(MessageBody::RequestLock(owner)) => {
                let sender = (owner.section_id.clone(), 0);
                Expected::EntityInput { id, input: Box::new(EntityInput::Lock(owner)), sender }
            }
            Some(MessageBody::ReleaseLock(owner)) => match self.entity(at, &id) {
                Some(_) => Expected::LockReleased { id, owner },
                None => Expected::Nothing,
            },
            Some(MessageBody::LockGranted(granted)) => self.grant_arrives(at, id, granted),
            Some(MessageBody::Replied(reply)) => {
                let waits = target.is_some_and(|caller| {
                    !caller.is_over()
                        && caller.start().execution_id == reply.execution_id
                        && matches!(caller.open.get(&reply.task_id), Some(Task::Call(_)))
                });
                self.coverage.add("entity/late reply", u64::from(!waits));
                let failed = reply.failure.is_some();
                self.coverage.add("entity/reply", u64::from(waits && !failed));
                self.coverage.add("entity/reply of a failure", u64::from(waits && failed));
                if waits {
                    Expected::Arrived { id, kind: Box::new(outcome_of(reply)) }
                } else {
                    Expected::Nothing
                }
            }
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
            None => Expected::Nothing,
        })
    }

    /// What the start of a child must lead to.
    pub(super) fn child_starts(&mut self, at: PartitionRef, id: InstanceId, start: StartChild) -> Expected {
        match self.reference.instance(at, &id) {
            Some(existing) if !existing.is_over() => {
                self.coverage.hit("tree/child refused");
                if start.parent.fire_and_forget {
                    Expected::Nothing
                } else {
                    Expected::Refusal { parent: start.parent.instance_id }
                }
            }
            _ => Expected::Created { id, start: Box::new(start) },
        }
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
        if let Expected::Sent { what, to, body } = expected {
            if (&to, Some(&*body)) != (&record.instance_id, record.body.as_ref()) {
                return Err(format!("{record:?} instead of {body:?} to {to}"));
            }
            self.coverage.hit(what);
            self.send(scene.at, &to, *body);
            return Ok(Expected::Nothing);
        }
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
                let body = child_start(known, id, event.id, child);
                self.send(at, &child.instance_id, MessageBody::StartChild(body));
            }
            EventKind::EventSent(sent) => {
                let body = RaiseEvent { name: sent.name.clone(), input: sent.input.clone() };
                self.send(at, &sent.instance_id, MessageBody::RaiseEvent(body));
            }
            EventKind::EntityOperationSignaled(signal) => {
                let operation = EntityOperation {
                    request_id: signal.request_id.clone(),
                    name: signal.operation.clone(),
                    input: signal.input.clone(),
                    caller: None,
                    scheduled_time: signal.scheduled_time,
                    trace: None,
                };
                self.send_operation(at, id, &signal.target, operation);
            }
            EventKind::EntityOperationCalled(call) => {
                let caller = EntityCaller {
                    instance_id: id.to_string(),
                    execution_id: known.start().execution_id.clone(),
                    task_id: event.id,
                    section_id: known.section_over(&call.target, |place| place == Place::Held),
                };
                let operation = EntityOperation {
                    request_id: call.request_id.clone(),
                    name: call.operation.clone(),
                    input: call.input.clone(),
                    caller: Some(caller),
                    scheduled_time: call.scheduled_time,
                    trace: None,
                };
                self.send_operation(at, id, &call.target, operation);
            }
            EventKind::EntityLockRequested(request) => {
                self.lock_requested(at, id, event.id, request)?;
            }
            EventKind::EntityUnlockSent(unlock) => {
                self.unlocked(at, id, &unlock.section_id, &unlock.target)?;
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

/// The message that starts a child.
pub(super) fn child_start(
    known: &Known,
    id: &InstanceId,
    task_id: i32,
    child: &SubOrchestrationCreated,
) -> StartChild {
    let start = known.start();
    let mut tags = start.tags.clone();
    tags.extend(child.tags.clone());
    let parent = strandline_model::ParentInstance {
        instance_id: id.to_string(),
        execution_id: start.execution_id.clone(),
        name: start.name.clone(),
        version: start.version.clone(),
        task_id,
        depth: start.parent.as_ref().map_or(0, |p| p.depth + 1),
        fire_and_forget: child.fire_and_forget,
    };
    let (name, version) = (child.name.clone(), child.version.clone());
    StartChild { name, version, input: child.input.clone(), tags, parent, trace: child.trace.clone() }
}

/// The event by which a caller hears of its operation.
fn outcome_of(reply: Replied) -> EventKind {
    let Replied { task_id, request_id, output, failure, .. } = reply;
    match failure {
        Some(failure) => {
            EventKind::EntityOperationFailed(EntityOperationFailed { task_id, request_id, failure })
        }
        None => EventKind::EntityOperationCompleted(EntityOperationCompleted { task_id, request_id, output }),
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
