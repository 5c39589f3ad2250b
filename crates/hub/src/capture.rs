//! Taking what changed since the last flush: cheap clones now, rows later on another thread.

use std::sync::Arc;

use strandline_model::{ExecutionId, HistoryEvent, InstanceId, Timestamp};

use crate::entity::Entity;
use crate::instance::{History, Instance, payload_bytes};
use crate::message::Message;
use crate::partition::Partition;
use crate::row::{Census, EntityRows, HistoryChunk, InstanceRows, PartitionRow, PartitionRows, TimerKey};

/// A partition's changes since the last flush, as of one batch.
#[derive(Debug)]
pub struct Capture {
    received: Vec<(u16, u64)>,
    sent: Vec<(u16, u64)>,
    outbox: Vec<Arc<Message>>,
    census: Option<Census>,
    instances: Vec<CapturedInstance>,
    entities: Vec<(InstanceId, Option<Entity>)>,
    timers_added: Vec<TimerKey>,
    timers_removed: Vec<TimerKey>,
}

#[derive(Debug)]
struct CapturedInstance {
    id: InstanceId,
    instance: Option<Instance>,
    chunks: Vec<(u32, Vec<Arc<HistoryEvent>>)>,
    dropped: Vec<ExecutionId>,
}

/// The tail of a history stays inside the row up to this many bytes, then becomes a chunk.
const INLINE_BYTES: usize = 16 * 1024;
/// Most events in one chunk, unless one alone is larger; and about how many bytes.
const CHUNK_EVENTS: usize = 1024;
const CHUNK_BYTES: usize = 1024 * 1024;
/// Events kept in memory although they are in chunks.
const RESIDENT_EVENTS: usize = 4096;

impl Partition {
    /// Takes what changed since the last capture. The instances stay in memory until
    /// [`Partition::flushed`].
    pub fn capture(&mut self) -> Capture {
        let dirty = std::mem::take(&mut self.dirty);
        let (entities, instances): (Vec<_>, Vec<_>) = dirty.iter().cloned().partition(InstanceId::is_entity);
        let entities = entities.into_iter().map(|id| {
            let entity = self.entity(id.as_str()).cloned();
            (id, entity)
        });
        let entities = entities.collect();
        let instances = instances.iter().map(|id| self.capture_instance(id)).collect();
        self.flushing = dirty;
        let changes = std::mem::take(&mut self.ledger.timer_changes);
        let (added, removed): (Vec<_>, Vec<_>) = changes.into_iter().partition(|(_, added)| *added);
        Capture {
            received: self.ledger.received.iter().map(|(p, s)| (*p, *s)).collect(),
            sent: self.ledger.sent.iter().map(|(p, s)| (*p, *s)).collect(),
            outbox: self.ledger.outbox.values().cloned().collect(),
            census: self.ledger.census.clone(),
            instances,
            entities,
            timers_added: added.into_iter().map(|(t, _)| t).collect(),
            timers_removed: removed.into_iter().map(|(t, _)| t).collect(),
        }
    }

    fn capture_instance(&mut self, id: &InstanceId) -> CapturedInstance {
        let captured = self.change(id.as_str(), |instance, _| {
            let chunks = instance.spill();
            let dropped = std::mem::take(&mut instance.flushed.dropped);
            CapturedInstance { id: id.clone(), instance: Some(instance.for_row()), chunks, dropped }
        });
        captured.unwrap_or_else(|| CapturedInstance {
            id: id.clone(),
            instance: None,
            chunks: Vec::new(),
            dropped: self.buried.remove(id).unwrap_or_default(),
        })
    }

    /// The rows of the last capture are in the tables.
    pub fn flushed(&mut self) {
        for id in std::mem::take(&mut self.flushing) {
            let stays = if id.is_entity() {
                self.entity(id.as_str()).is_some()
            } else {
                let stays = self.change(id.as_str(), |instance, _| {
                    instance.trim();
                    !instance.is_over()
                });
                stays == Some(true)
            };
            // What is over or gone is rarely asked for: it makes room at once.
            if !stays {
                self.evict(&id);
            }
        }
    }
}

impl Instance {
    /// Moves a long tail of the history into new chunks.
    fn spill(&mut self) -> Vec<(u32, Vec<Arc<HistoryEvent>>)> {
        let tail = self.history.since(self.flushed.in_chunks);
        if tail.iter().map(|e| payload_bytes(e)).sum::<usize>() <= INLINE_BYTES {
            return Vec::new();
        }
        let mut chunks = Vec::new();
        let mut chunk: Vec<Arc<HistoryEvent>> = Vec::new();
        let mut bytes = 0;
        let mut number = self.flushed.chunks;
        for event in tail {
            let size = payload_bytes(event);
            if !chunk.is_empty() && (chunk.len() >= CHUNK_EVENTS || bytes + size > CHUNK_BYTES) {
                chunks.push((number, std::mem::take(&mut chunk)));
                number += 1;
                bytes = 0;
            }
            bytes += size;
            chunk.push(event.clone());
        }
        chunks.push((number, chunk));
        self.flushed.chunks = number + 1;
        self.flushed.in_chunks = self.history.len();
        chunks
    }

    /// A clone with just the part of the history that goes into the row.
    fn for_row(&self) -> Self {
        let mut history = History::default();
        history.skip(self.flushed.in_chunks);
        for event in self.history.since(self.flushed.in_chunks) {
            history.push(event.clone());
        }
        Self {
            id: self.id.clone(),
            started: self.started.clone(),
            ended: self.ended.clone(),
            custom_status: self.custom_status.clone(),
            inbox: self.inbox.clone(),
            open: self.open.clone(),
            sections: self.sections.clone(),
            span: self.span.clone(),
            history,
            flushed: crate::instance::Flushed {
                in_chunks: self.flushed.in_chunks,
                chunks: self.flushed.chunks,
                dropped: Vec::new(),
            },
            ..*self
        }
    }

    /// Forgets old events that are in chunks, if there are many.
    fn trim(&mut self) {
        if self.flushed.in_chunks.saturating_sub(self.history.base()) > RESIDENT_EVENTS {
            self.history.trim(self.flushed.in_chunks);
        }
    }
}

impl Capture {
    /// How many instances and entities there are to write.
    pub fn instances(&self) -> usize {
        self.instances.len() + self.entities.len()
    }

    /// The rows to write with `position`, the batch at whose boundary the capture was made.
    pub fn into_rows(self, position: u64, time: Timestamp) -> PartitionRows {
        let widen = |list: Vec<(u16, u64)>| list.into_iter().map(|(p, s)| (u32::from(p), s)).collect();
        PartitionRows {
            partition: PartitionRow {
                position,
                time,
                received: widen(self.received),
                sent: widen(self.sent),
                outbox: self.outbox.iter().map(|m| Message::clone(m)).collect(),
                census: self.census,
            },
            instances: self.instances.into_iter().map(CapturedInstance::into_rows).collect(),
            entities: self.entities.into_iter().map(entity_rows).collect(),
            timers_added: self.timers_added,
            timers_removed: self.timers_removed,
        }
    }
}

fn entity_rows((id, entity): (InstanceId, Option<Entity>)) -> EntityRows {
    EntityRows {
        active: entity.as_ref().is_some_and(Entity::is_active),
        row: entity.as_ref().map(Entity::to_row),
        id,
    }
}

impl CapturedInstance {
    fn into_rows(self) -> InstanceRows {
        let chunks = self.chunks.into_iter().map(|(number, events)| {
            let events = events.iter().map(|e| HistoryEvent::clone(e)).collect();
            (number, HistoryChunk { events })
        });
        InstanceRows {
            active: self.instance.as_ref().is_some_and(Instance::is_active),
            row: self.instance.as_ref().map(Instance::to_row),
            chunks: chunks.collect(),
            dropped: self.dropped,
            id: self.id,
        }
    }
}
