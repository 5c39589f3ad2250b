//! The reference: what instances and partitions must be, told from the durable records alone. Written
//! apart from the hub, as plainly as possible.

use std::collections::{BTreeMap, VecDeque};

use strandline_hub::message::Message;
use strandline_hub::row::TimerKey;
use strandline_model::{
    EventKind, ExecutionId, ExecutionStarted, HistoryEvent, InstanceId, Origin, RuntimeStatus, Timestamp,
};
use strandline_store::PartitionRef;

use super::entity::{Entity, EntityVersion};
use super::sections::Section;

/// One instance as its records have it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) execution: ExecutionId,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) started: HistoryEvent,
    pub(crate) ended: Option<HistoryEvent>,
    pub(crate) custom_status: Option<String>,
    pub(crate) inbox: VecDeque<HistoryEvent>,
    pub(crate) open: BTreeMap<i32, Task>,
    pub(crate) sections: BTreeMap<String, Section>,
    pub(crate) suspended: bool,
    pub(crate) pending: bool,
    pub(crate) before_start: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Task {
    Activity(usize),
    Timer(Timestamp),
    Child(String),
    /// Of an entity.
    Call(String),
}

/// One execution, kept for ever.
#[derive(Clone, Debug, Default)]
pub(crate) struct Execution {
    pub(crate) history: Vec<HistoryEvent>,
    /// Results recorded, by task.
    pub(crate) results: BTreeMap<i32, Result<Option<String>, strandline_model::FailureDetails>>,
    /// Nothing happens to it any more.
    pub(crate) over: bool,
    pub(crate) at: Option<PartitionRef>,
}

/// What a reader may see of an instance at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Version {
    pub(crate) execution: ExecutionId,
    pub(crate) status: RuntimeStatus,
    pub(crate) history_len: usize,
    pub(crate) custom_status: Option<String>,
    pub(crate) updated: Timestamp,
}

#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) position: u64,
    pub(crate) epoch: u64,
    pub(crate) time: Timestamp,
    pub(crate) instances: BTreeMap<InstanceId, Known>,
    pub(crate) entities: BTreeMap<InstanceId, Entity>,
    /// By receiving partition: all messages ever sent.
    pub(crate) sent: BTreeMap<u16, Vec<Message>>,
    /// Who sent an operation, by receiving partition and number.
    pub(crate) senders: BTreeMap<(u16, u64), String>,
    pub(crate) acknowledged: BTreeMap<u16, u64>,
    pub(crate) received: BTreeMap<u16, u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Reference {
    pub(crate) partitions: BTreeMap<PartitionRef, Books>,
    pub(crate) executions: BTreeMap<ExecutionId, Execution>,
    versions: BTreeMap<(PartitionRef, InstanceId), Vec<Option<Version>>>,
    entity_versions: BTreeMap<(PartitionRef, InstanceId), Vec<Option<EntityVersion>>>,
}

impl Known {
    pub(crate) fn start(&self) -> &ExecutionStarted {
        match self.started.kind() {
            EventKind::ExecutionStarted(started) => started,
            other => unreachable!("an instance is begun by {}", other.name()),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    pub(crate) fn status(&self) -> RuntimeStatus {
        match self.ended.as_ref().map(HistoryEvent::kind) {
            Some(EventKind::ExecutionCompleted(end)) => end.status(),
            _ if self.suspended => RuntimeStatus::Suspended,
            _ if self.pending => RuntimeStatus::Pending,
            _ => RuntimeStatus::Running,
        }
    }

    /// Where its failure came from, if it failed.
    pub(crate) fn origin(&self) -> Option<Origin> {
        match self.ended.as_ref()?.kind() {
            EventKind::ExecutionCompleted(end) if end.status() == RuntimeStatus::Failed => {
                Some(end.failure_origin())
            }
            _ => None,
        }
    }

    /// The timers of the index that belong to it.
    pub(crate) fn timers<'a>(&'a self, id: &'a InstanceId) -> impl Iterator<Item = TimerKey> + 'a {
        let key = |due: Timestamp, timer_id| TimerKey {
            due_millis: due.as_millis_up(),
            instance: id.clone(),
            timer_id,
        };
        let open = self.open.iter().filter_map(move |(task, kind)| match kind {
            Task::Timer(due) => Some(key(*due, *task)),
            _ => None,
        });
        let start = self.start().scheduled_start.filter(|_| self.before_start && !self.is_over());
        open.chain(start.map(move |due| key(due, TimerKey::START)))
    }
}

impl Reference {
    pub(crate) fn books(&self, at: PartitionRef) -> Option<&Books> {
        self.partitions.get(&at)
    }

    pub(crate) fn instance(&self, at: PartitionRef, id: &InstanceId) -> Option<&Known> {
        self.partitions.get(&at)?.instances.get(id)
    }

    /// The number of the newest durable version of an instance or entity; 0 stands for absence at the
    /// beginning.
    pub(crate) fn version(&self, at: PartitionRef, id: &InstanceId) -> usize {
        if id.is_entity() {
            return self.entity_versions.get(&(at, id.clone())).map_or(0, Vec::len);
        }
        self.versions.get(&(at, id.clone())).map_or(0, |v| v.len())
    }

    /// Version `number` of an instance.
    pub(crate) fn look(&self, at: PartitionRef, id: &InstanceId, number: usize) -> Option<&Version> {
        let versions = self.versions.get(&(at, id.clone()))?;
        versions.get(number.checked_sub(1)?)?.as_ref()
    }

    /// Version `number` of an entity.
    pub(crate) fn look_at_entity(
        &self,
        at: PartitionRef,
        id: &InstanceId,
        number: usize,
    ) -> Option<&EntityVersion> {
        let versions = self.entity_versions.get(&(at, id.clone()))?;
        versions.get(number.checked_sub(1)?)?.as_ref()
    }

    /// All instances there ever were.
    pub(crate) fn instance_ids(&self) -> impl Iterator<Item = &(PartitionRef, InstanceId)> {
        self.versions.keys()
    }

    /// All entities there ever were.
    pub(crate) fn entity_ids(&self, at: PartitionRef) -> impl Iterator<Item = &InstanceId> {
        self.entity_versions.keys().filter(move |(there, _)| *there == at).map(|(_, id)| id)
    }

    pub(crate) fn entities(&self) -> impl Iterator<Item = (PartitionRef, &InstanceId, &Entity)> {
        self.partitions.iter().flat_map(|(at, books)| books.entities.iter().map(|(id, e)| (*at, id, e)))
    }

    /// Notes what an instance or entity has become.
    pub(crate) fn note_version(&mut self, at: PartitionRef, id: &InstanceId) {
        if id.is_entity() {
            let entity = self.partitions.get(&at).and_then(|b| b.entities.get(id));
            let version = entity.map(Entity::version);
            self.entity_versions.entry((at, id.clone())).or_default().push(version);
            return;
        }
        let version = self.partitions.get(&at).and_then(|b| b.instances.get(id)).map(|known| Version {
            execution: known.execution,
            status: known.status(),
            history_len: self.executions.get(&known.execution).map_or(0, |e| e.history.len()),
            custom_status: known.custom_status.clone(),
            updated: known.updated,
        });
        self.versions.entry((at, id.clone())).or_default().push(version);
    }

    pub(crate) fn history(&self, execution: ExecutionId) -> &[HistoryEvent] {
        self.executions.get(&execution).map_or(&[], |e| &e.history)
    }

    pub(crate) fn known(&self) -> impl Iterator<Item = (PartitionRef, &InstanceId, &Known)> {
        self.partitions.iter().flat_map(|(at, books)| books.instances.iter().map(|(id, k)| (*at, id, k)))
    }
}
