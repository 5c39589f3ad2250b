//! What an instance or entity is about, for those who ask why it waits.

use std::sync::Arc;

use strandline_hub::{EntityStatus, InstanceStatus, OpenTask};
use strandline_model::limits::NAME_BYTES_MAX;
use strandline_model::{ExecutionId, HistoryEvent, InstanceId, Timestamp};

use super::{Pipeline, Ticket};

/// Open tasks, and events that no turn has seen, that are told of one instance.
const LISTED_MAX: usize = 1_000;
/// Names of events that are remembered of one instance.
const AWAITED_MAX: usize = 100;

/// What an instance is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    pub status: InstanceStatus,
    pub suspended: bool,
    /// Its scheduled start, if that has not come.
    pub starts: Option<Timestamp>,
    pub turn: TurnStanding,
    /// Tasks without a result by their ids, the first of them; and how many there are.
    pub open: Vec<(i32, OpenTask)>,
    pub open_total: usize,
    /// The entities whose locks its critical sections wait for, with the ids of those tasks.
    pub locks: Vec<(i32, InstanceId)>,
    /// Events that no turn has seen, the first of them.
    pub inbox: Vec<Arc<HistoryEvent>>,
    /// Actions this execution has taken.
    pub actions: u32,
    /// The external events its code waits for, if who ran the last turn told so.
    pub awaited: Option<Vec<String>>,
}

/// Where the next turn of an instance, or the next batch of an entity, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnStanding {
    /// There is nothing for it to do.
    NotDue,
    /// It is about to be handed out, or waits for a place: with how many turns of its partition before it.
    Due { ahead: usize },
    /// This process does not serve it: it was offered to workers elsewhere.
    Offered,
    /// Somebody has it: since when, of a turn.
    Out { since: Option<Timestamp> },
}

/// What an entity is about.
#[derive(Clone, Debug, PartialEq)]
pub struct EntityStanding {
    pub status: EntityStatus,
    pub batch: TurnStanding,
}

/// The external events that the code of an execution waits for.
pub(super) struct Awaited {
    execution: ExecutionId,
    names: Vec<String>,
}

impl<T: Ticket> Pipeline<T> {
    /// What a turn told of the events its code waits for.
    pub(super) fn remember_awaited(&mut self, id: &InstanceId, execution: ExecutionId, names: Vec<String>) {
        if !names.is_empty() {
            let fitting = names.into_iter().filter(|name| name.len() <= NAME_BYTES_MAX);
            let names = fitting.take(AWAITED_MAX).collect();
            self.awaited.insert(id.clone(), Awaited { execution, names });
        } else if !self.awaited.is_empty() {
            self.awaited.remove(id);
        }
    }

    pub(super) fn standing(&self, id: &InstanceId) -> Option<Box<Standing>> {
        let instance = self.partition.instance(id.as_str())?;
        let turn = match self.turns_out.get(id) {
            Some(out) => TurnStanding::Out { since: Some(out.time()) },
            None if !instance.is_ready() => TurnStanding::NotDue,
            None if self.is_offered(instance) => TurnStanding::Offered,
            None => TurnStanding::Due { ahead: self.ready.iter().position(|other| other == id).unwrap_or(0) },
        };
        let sections = instance.sections.values();
        let locks = sections.filter_map(|s| Some((s.task_id, InstanceId::trusted(s.waits_for()?))));
        let awaited = self.awaited.get(id).filter(|awaited| awaited.execution == instance.execution);
        Some(Box::new(Standing {
            status: instance.snapshot(),
            suspended: instance.suspended,
            starts: instance.start().scheduled_start.filter(|_| instance.before_start),
            turn,
            open: instance.open.iter().take(LISTED_MAX).map(|(id, task)| (*id, task.clone())).collect(),
            open_total: instance.open.len(),
            locks: locks.collect(),
            inbox: instance.inbox.iter().take(LISTED_MAX).cloned().collect(),
            actions: instance.actions,
            awaited: awaited.map(|awaited| awaited.names.clone()),
        }))
    }

    pub(super) fn entity_standing(&self, id: &InstanceId) -> Option<Box<EntityStanding>> {
        let entity = self.partition.entity(id.as_str())?;
        let batch = match () {
            () if self.batches_out.contains(id) => TurnStanding::Out { since: None },
            () if !entity.is_ready() => TurnStanding::NotDue,
            () if self.unserved_entities.values().any(|ids| ids.contains(id)) => TurnStanding::Offered,
            () => TurnStanding::Due { ahead: 0 },
        };
        Some(Box::new(EntityStanding { status: entity.snapshot(), batch }))
    }
}
