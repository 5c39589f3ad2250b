//! Applies durable records to the reference; each must have exactly one cause.

use strandline_hub::Record;
use strandline_hub::record::{Arrived, Committed, Created};
use strandline_model::{EventKind, ExecutionId, HistoryEvent, InstanceId, RuntimeStatus, Timestamp};
use strandline_store::{Batch, PartitionRef};

use super::messages::Expected;
use super::reference::{Known, Task};
use super::{Auditor, CallKind};
use crate::Violation;

/// Where and when a record was decided.
#[derive(Clone, Copy)]
pub(super) struct Scene {
    pub(super) at: PartitionRef,
    pub(super) time: Timestamp,
}

impl Auditor {
    /// A batch is durable.
    pub(crate) fn durable(&mut self, batch: &Batch) -> Result<(), Violation> {
        let at = batch.at;
        let books = self.reference.partitions.entry(at).or_default();
        if batch.position != books.position + 1 {
            return Err(format!("{at:?}: batch {} follows {}", batch.position, books.position));
        }
        if batch.epoch < books.epoch {
            return Err(format!("{at:?}: a batch of epoch {} after {}", batch.epoch, books.epoch));
        }
        if batch.time < books.time || batch.time > self.now {
            let (was, now) = (books.time, self.now);
            return Err(format!("{at:?}: a batch at {} after {was}, and it is {now}", batch.time));
        }
        (books.position, books.time) = (batch.position, batch.time);
        let records = Record::decode_all(&batch.records).map_err(|e| format!("{at:?}: {e}"))?;
        let scene = Scene { at, time: batch.time };
        let mut expected = Expected::Nothing;
        for record in records {
            expected = self.record(scene, record, expected)?;
        }
        expected.nothing("the end of the batch")
    }

    fn record(&mut self, scene: Scene, record: Record, expected: Expected) -> Result<Expected, Violation> {
        let touched = record.key();
        let next = match record {
            Record::Created(created) => self.created(scene, created, expected),
            Record::Arrived(arrived) => self.arrived(scene, arrived, expected),
            Record::Committed(committed) => self.committed(scene, *committed, expected),
            Record::Received(received) => {
                expected.nothing("Received")?;
                self.received(scene, &received)
            }
            Record::Acknowledged(ack) => {
                expected.nothing("Acknowledged")?;
                self.acknowledged(scene, &ack)
            }
            Record::StartDue(due) => {
                expected.nothing("StartDue")?;
                self.start_due(scene, &InstanceId::trusted(due.id))
            }
            Record::Sent(sent) => self.sent(scene, sent, expected),
            Record::EntityArrived(arrived) => self.entity_arrived(scene, arrived, expected),
            Record::LockReleased(released) => self.lock_released(scene, &released, expected),
            Record::OperationDue(due) => {
                expected.nothing("OperationDue")?;
                self.operation_due(scene, &due)
            }
            Record::EntityCommitted(committed) => {
                expected.nothing("EntityCommitted")?;
                self.batch_committed(scene, *committed)
            }
            Record::SectionGranted(granted) => self.section_granted(scene, &granted, expected),
            Record::Purged(purged) => self.purged(scene, &purged, &expected),
            Record::Rewound(rewound) => self.rewound(scene, *rewound, expected),
            Record::Adopted(adopted) => self.adopted(scene, adopted, expected),
        }?;
        if let Some(id) = touched {
            self.reference.note_version(scene.at, &id);
        }
        Ok(next)
    }

    fn created(&mut self, scene: Scene, record: Created, expected: Expected) -> Result<Expected, Violation> {
        let id = InstanceId::trusted(record.id);
        let EventKind::ExecutionStarted(start) = record.started.kind() else {
            return Err(format!("{id} is begun by {}", record.started.kind().name()));
        };
        let execution = execution_of(&start.execution_id);
        if !self.executions.insert(execution) {
            return Err(format!("execution {execution} of {id} begins a second time"));
        }
        let existing = self.reference.instance(scene.at, &id).map(Known::status);
        if let Some(status) = existing.filter(|s| !s.is_terminal()) {
            return Err(format!("{id} is replaced although it is {status}"));
        }
        self.coverage.add("start/replaced terminal", u64::from(existing.is_some()));
        match expected {
            Expected::Created { id: child, start: message } => {
                let same = child == id
                    && message.name == start.name
                    && message.input == start.input
                    && message.tags == start.tags
                    && Some(&message.parent) == start.parent.as_ref();
                if !same {
                    return Err(format!("{id} is begun as {start:?}, asked for was {message:?}"));
                }
            }
            Expected::CreatedNew { id: asked, start: message } => {
                let same = asked == id
                    && (&message.name, &message.input) == (&start.name, &start.input)
                    && message.scheduled_start == start.scheduled_start
                    && start.parent.is_none()
                    && start.tags.is_empty();
                if !same {
                    return Err(format!("{id} is begun as {start:?}, asked for was {message:?}"));
                }
                self.coverage.hit("start/by an entity");
            }
            Expected::Nothing | Expected::Replacement { .. } => {
                let was = match &expected {
                    Expected::Replacement { id: replaced, status } if *replaced == id => Some(*status),
                    Expected::Replacement { id: replaced, .. } => {
                        return Err(format!("{replaced} was ended for {id}"));
                    }
                    _ => existing,
                };
                self.coverage.add("start/replaced live", u64::from(was != existing));
                let version = self.reference.version(scene.at, &id) + 1;
                self.calls.claim(scene.at, &id, version, "a start", |kind| match kind {
                    CallKind::Start { execution: asked, reuse, scheduled } => {
                        *asked == execution
                            && was.is_none_or(|status| reuse.replaceable.contains(&status))
                            && *scheduled == start.scheduled_start
                    }
                    _ => false,
                })?;
            }
            other => return Err(format!("a start of {id} instead of {other:?}")),
        }
        let begun = record.started.timestamp;
        let known = Known {
            execution,
            created: begun,
            updated: begun,
            ended: None,
            custom_status: None,
            inbox: [record.started.clone()].into(),
            open: std::collections::BTreeMap::new(),
            sections: std::collections::BTreeMap::new(),
            suspended: false,
            pending: true,
            before_start: start.scheduled_start.is_some_and(|due| due > begun),
            started: record.started,
        };
        self.reference.executions.entry(execution).or_default().at = Some(scene.at);
        self.reference.partitions.entry(scene.at).or_default().instances.insert(id, known);
        Ok(Expected::Nothing)
    }

    /// The instance a record is about, which must be there and not over.
    pub(super) fn live(&mut self, at: PartitionRef, id: &InstanceId) -> Result<&mut Known, Violation> {
        let known = self.reference.partitions.get_mut(&at).and_then(|b| b.instances.get_mut(id));
        match known {
            Some(known) if !known.is_over() => Ok(known),
            Some(_) => Err(format!("a record of {id} after its end")),
            None => Err(format!("a record of {id}, which does not exist")),
        }
    }

    fn start_due(&mut self, scene: Scene, id: &InstanceId) -> Result<Expected, Violation> {
        let known = self.live(scene.at, id)?;
        if !std::mem::replace(&mut known.before_start, false) {
            return Err(format!("the start of {id} comes due a second time"));
        }
        if known.start().scheduled_start.is_none_or(|due| due > scene.time) {
            return Err(format!("{id} starts before its time"));
        }
        Ok(Expected::Nothing)
    }

    fn arrived(&mut self, scene: Scene, record: Arrived, expected: Expected) -> Result<Expected, Violation> {
        let id = InstanceId::trusted(record.id);
        let event = record.event;
        if event.timestamp > scene.time {
            return Err(format!("{id}: an event of {} in a batch of {}", event.timestamp, scene.time));
        }
        let execution = self.live(scene.at, &id)?.execution;
        if let Expected::Arrived { id: target, kind } = &expected {
            if *target != id || !super::messages::alike(kind, event.kind()) {
                return Err(format!("{event:?} for {id} instead of {kind:?} for {target}"));
            }
            if let EventKind::EventRaised(raised) = event.kind() {
                self.home(execution, raised.input.as_ref())?;
            }
        } else {
            expected.nothing("Arrived")?;
            self.arrived_from_outside(scene, &id, execution, &event)?;
        }
        let known = self.live(scene.at, &id)?;
        match event.kind() {
            EventKind::TaskCompleted(e) => drop(known.open.remove(&e.task_id)),
            EventKind::TaskFailed(e) => drop(known.open.remove(&e.task_id)),
            EventKind::SubOrchestrationCompleted(e) => drop(known.open.remove(&e.task_id)),
            EventKind::SubOrchestrationFailed(e) => drop(known.open.remove(&e.task_id)),
            EventKind::EntityOperationCompleted(e) => drop(known.open.remove(&e.task_id)),
            EventKind::EntityOperationFailed(e) => drop(known.open.remove(&e.task_id)),
            EventKind::TimerFired(e) => drop(known.open.remove(&e.timer_id)),
            EventKind::ExecutionSuspended(_) => known.suspended = true,
            EventKind::ExecutionResumed(_) => known.suspended = false,
            _ => {}
        }
        known.updated = event.timestamp;
        known.inbox.push_back(event);
        Ok(Expected::Nothing)
    }

    /// Results, timers and client calls.
    fn arrived_from_outside(
        &mut self,
        scene: Scene,
        id: &InstanceId,
        execution: ExecutionId,
        event: &HistoryEvent,
    ) -> Result<(), Violation> {
        let (at, version) = (scene.at, self.reference.version(scene.at, id) + 1);
        match event.kind() {
            EventKind::EventRaised(e) => {
                let call = self.calls.claim(at, id, version, "an event", |kind| {
                    matches!(kind, CallKind::Raise { name, input } if *name == e.name && *input == e.input)
                })?;
                let before = self.live(at, id)?.before_start;
                self.coverage.add("event/buffered before start", u64::from(before));
                let _ = call;
                self.home(execution, e.input.as_ref())
            }
            EventKind::ExecutionSuspended(e) => {
                let what = "a suspension";
                let fits =
                    |kind: &CallKind| matches!(kind, CallKind::Suspend { reason } if *reason == e.input);
                self.calls.claim(at, id, version, what, fits).map(drop)
            }
            EventKind::ExecutionResumed(e) => {
                let fits =
                    |kind: &CallKind| matches!(kind, CallKind::Resume { reason } if *reason == e.input);
                self.calls.claim(at, id, version, "a resumption", fits).map(drop)
            }
            EventKind::TaskCompleted(e) => self.task_done(at, id, execution, e.task_id, Ok(e.result.clone())),
            EventKind::TaskFailed(e) => self.task_done(at, id, execution, e.task_id, Err(e.failure.clone())),
            EventKind::TimerFired(e) => {
                let due = match self.live(at, id)?.open.get(&e.timer_id) {
                    Some(Task::Timer(due)) => *due,
                    _ => return Err(format!("timer {} of {id} fires but is not open", e.timer_id)),
                };
                if due != e.fire_at || event.timestamp < due || scene.time < due {
                    let (at, time) = (event.timestamp, scene.time);
                    return Err(format!("a timer of {id} due {due} fires at {at} in a batch of {time}"));
                }
                self.coverage.hit("timer/fired");
                Ok(())
            }
            other => Err(format!("{} arrives at {id} from nowhere", other.name())),
        }
    }

    fn task_done(
        &mut self,
        at: PartitionRef,
        id: &InstanceId,
        execution: ExecutionId,
        task_id: i32,
        result: super::ActivityResult,
    ) -> Result<(), Violation> {
        if !matches!(self.live(at, id)?.open.get(&task_id), Some(Task::Activity(_))) {
            return Err(format!("task {task_id} of {id} gets a result but is not open"));
        }
        let reported = self.results.get(&(execution, task_id));
        if !reported.is_some_and(|results| results.contains(&result)) {
            return Err(format!(
                "task {task_id} of {id} ({execution}) gets a result that is not its own: {result:?}"
            ));
        }
        self.coverage.add("activity/failed", u64::from(result.is_err()));
        let results = &mut self.reference.executions.entry(execution).or_default().results;
        match results.insert(task_id, result) {
            None => Ok(()),
            Some(first) => Err(format!("task {task_id} of {id} has the result {first:?} already")),
        }
    }

    /// An accepted event belongs to an execution; no other may have it as well.
    fn home(&mut self, execution: ExecutionId, input: Option<&String>) -> Result<(), Violation> {
        match input.and_then(|input| self.homes.insert(input.clone(), execution)) {
            None => Ok(()),
            Some(other) => Err(format!("event {input:?} is accepted twice, by {other} and {execution}")),
        }
    }

    fn committed(
        &mut self,
        scene: Scene,
        record: Committed,
        expected: Expected,
    ) -> Result<Expected, Violation> {
        let id = InstanceId::trusted(record.id.as_str());
        if record.time > scene.time {
            return Err(format!("{id}: a commit of {} in a batch of {}", record.time, scene.time));
        }
        if record.turn {
            expected.nothing("Committed")?;
            self.turn_committed(scene, &id, record)?;
            return Ok(Expected::Nothing);
        }
        self.terminated(scene, &id, record, expected)
    }

    /// An instance is ended from outside.
    fn terminated(
        &mut self,
        scene: Scene,
        id: &InstanceId,
        record: Committed,
        expected: Expected,
    ) -> Result<Expected, Violation> {
        let was = self.live(scene.at, id)?.status();
        let [event] = &record.events[..] else { return Err(format!("{id} is ended by {record:?}")) };
        let (EventKind::ExecutionTerminated(terminated), Some(ended)) = (event.kind(), &record.ended) else {
            return Err(format!("{id} is ended by {record:?}"));
        };
        let fits = matches!(ended.kind(), EventKind::ExecutionCompleted(end)
            if end.status() == RuntimeStatus::Terminated && end.result == terminated.input);
        if !fits || record.terminate_children.is_some() != terminated.recurse {
            return Err(format!("{id} is terminated with {record:?}"));
        }
        let (reason, recursive) = (terminated.input.clone(), terminated.recurse);
        let next = match expected {
            Expected::Terminated { id: target, reason: asked, recursive: all } => {
                if target != *id || asked != reason || all != recursive {
                    return Err(format!("{id} is terminated instead of {target}"));
                }
                self.coverage.hit("tree/terminated with its parent");
                Expected::Nothing
            }
            Expected::Nothing => {
                let version = self.reference.version(scene.at, id) + 1;
                let claimed = self.calls.claim(scene.at, id, version, "a termination", |kind| {
                    matches!(kind, CallKind::Terminate { reason: asked, recursive: all }
                        if *asked == reason && *all == recursive)
                });
                match claimed {
                    Ok(_) => Expected::Nothing,
                    // Or it makes room for a start, which must follow in the same batch.
                    Err(_) if reason.as_ref().is_some_and(|r| r.starts_with("replaced")) => {
                        Expected::Replacement { id: id.clone(), status: was }
                    }
                    Err(violation) => return Err(violation),
                }
            }
            other => return Err(format!("a termination of {id} instead of {other:?}")),
        };
        let event = event.clone();
        let ended = ended.clone();
        self.keep_undelivered(scene.at, id)?;
        let execution = self.live(scene.at, id)?.execution;
        self.reference.executions.entry(execution).or_default().history.push(event);
        self.live(scene.at, id)?.updated = record.time;
        if recursive {
            self.terminate_children(scene.at, id, reason)?;
        }
        self.finish(scene.at, id, ended)?;
        Ok(next)
    }

    /// Events that were accepted and no turn has seen go into the history, marked.
    pub(super) fn keep_undelivered(&mut self, at: PartitionRef, id: &InstanceId) -> Result<(), Violation> {
        let known = self.live(at, id)?;
        let (execution, inbox) = (known.execution, std::mem::take(&mut known.inbox));
        for mut event in inbox {
            match event.kind_mut() {
                EventKind::EventRaised(raised) => {
                    raised.undelivered = true;
                    self.coverage.hit("event/undelivered");
                }
                EventKind::ExecutionStarted(_) => {}
                _ => continue,
            }
            self.reference.executions.entry(execution).or_default().history.push(event);
        }
        Ok(())
    }

    /// The end of an instance.
    pub(super) fn finish(
        &mut self,
        at: PartitionRef,
        id: &InstanceId,
        ended: HistoryEvent,
    ) -> Result<(), Violation> {
        self.keep_undelivered(at, id)?;
        let how = match ended.kind() {
            EventKind::ExecutionCompleted(end) => match end.status() {
                RuntimeStatus::Terminated => "section/left by termination",
                RuntimeStatus::Failed => "section/left by failure",
                _ => "section/left by the end",
            },
            _ => "section/left by the end",
        };
        self.release_sections(at, id, how)?;
        self.tell_parent(at, id, &ended)?;
        let known = self.live(at, id)?;
        known.open.clear();
        known.suspended = false;
        known.ended = Some(ended.clone());
        let execution = known.execution;
        let execution = self.reference.executions.entry(execution).or_default();
        execution.history.push(ended);
        execution.over = true;
        super::history::well_formed(&execution.history, true).map_err(|e| format!("{id}: {e}"))
    }
}

/// The execution id of 16 bytes.
pub(super) fn execution_of(bytes: &[u8]) -> ExecutionId {
    ExecutionId(<[u8; 16]>::try_from(bytes).map_or(0, u128::from_be_bytes))
}
