//! What a node holds must equal the reference.

use strandline_engine::pipeline::{Pipeline, Ticket};
use strandline_hub::row::TimerKey;
use strandline_hub::{Instance, OpenTask};
use strandline_model::{HistoryEvent, InstanceId};
use strandline_store::{PartitionRef, Store};

use super::messages::same_message;
use super::reference::{Books, Known, Task};
use super::{Auditor, Reference};
use crate::Violation;

impl Auditor {
    /// Compares a partition, of which everything decided is durable, with the reference. False when the
    /// disk did not let it read.
    pub(crate) fn compare<T: Ticket>(
        &mut self,
        pipeline: &Pipeline<T>,
        store: &dyn Store,
    ) -> Result<bool, Violation> {
        let at = pipeline.at();
        let partition = pipeline.partition();
        let Some(books) = self.reference.books(at) else { return Ok(true) };
        check_ledger(at, pipeline, books)?;
        let mut memory = 0;
        for (id, known) in &books.instances {
            let stored;
            let instance = if partition.is_missing(id) {
                let Ok(row) = store.instance(at, id.as_str()) else { return Ok(false) };
                stored = row.map(Instance::from_row);
                stored.as_ref()
            } else {
                let loaded = partition.instance(id.as_str());
                memory += loaded.map_or(0, Instance::memory_bytes);
                loaded
            };
            let Some(instance) = instance else { return Err(format!("{id} at {at:?} is lost")) };
            let Ok(history) = whole_history(at, instance, store) else { return Ok(false) };
            self.coverage.add("pipeline/history in chunks", u64::from(instance.history.base() > 0));
            same_instance(id, known, instance)
                .and_then(|()| same_history(&self.reference, known, &history))
                .map_err(|why| format!("{id} at {at:?}: {why}\nheld: {instance:?}\nreference: {known:?}"))?;
        }
        match compare_entities(&self.reference, pipeline, store)? {
            Some(entities) => memory += entities,
            None => return Ok(false),
        }
        if memory != partition.memory_bytes() {
            return Err(format!("{at:?} counts {} bytes of memory, not {memory}", partition.memory_bytes()));
        }
        self.coverage.hit("audit/compared");
        super::lists::check(pipeline, store, books).map_err(|why| format!("{at:?}: {why}"))
    }
}

/// The memory of the partition's entities, if all is as it should be; `None` when the disk did not let it
/// read.
fn compare_entities<T: Ticket>(
    reference: &Reference,
    pipeline: &Pipeline<T>,
    store: &dyn Store,
) -> Result<Option<usize>, Violation> {
    let (at, partition) = (pipeline.at(), pipeline.partition());
    let mut memory = 0;
    for id in reference.entity_ids(at) {
        let known = reference.books(at).and_then(|books| books.entities.get(id));
        let stored;
        let found = if partition.is_missing(id) {
            let Ok(row) = store.entity(at, id.as_str()) else { return Ok(None) };
            stored = row.map(strandline_hub::Entity::from_row);
            stored.as_ref()
        } else {
            let loaded = partition.entity(id.as_str());
            memory += loaded.map_or(0, strandline_hub::Entity::memory_bytes);
            loaded
        };
        let same = match (known, found) {
            (None, None) => true,
            (Some(known), Some(found)) => {
                let version = known.version();
                let status = found.snapshot();
                let next = known.may_run();
                version.state.as_deref() == status.state.as_deref()
                    && version.modified == status.modified
                    && version.backlog == status.backlog
                    && version.locked_by == status.locked_by
                    && found.is_ready() != next.is_empty()
                    && found.is_active() != known.queue.is_empty()
                    && found.runnable(usize::MAX).count() == next.len()
                    && found
                        .runnable(usize::MAX)
                        .zip(&next)
                        .all(|((number, a), (expected, b, _))| number == *expected && **a == **b)
            }
            _ => false,
        };
        if !same {
            return Err(format!("{id} at {at:?} is {found:?}, and should be {known:?}"));
        }
    }
    Ok(Some(memory))
}

fn whole_history(
    at: PartitionRef,
    instance: &Instance,
    store: &dyn Store,
) -> Result<Vec<HistoryEvent>, strandline_store::StoreError> {
    let base = instance.history.base();
    let mut history: Vec<HistoryEvent> = Vec::new();
    let mut number = 0;
    while history.len() < base {
        let Some(chunk) = store.chunk(at, instance.execution, number)? else { break };
        history.extend(chunk.events);
        number += 1;
    }
    history.extend(instance.history.in_memory().iter().map(|e| HistoryEvent::clone(e)));
    Ok(history)
}

fn same_history(reference: &Reference, known: &Known, history: &[HistoryEvent]) -> Result<(), Violation> {
    let expected = reference.history(known.execution);
    if expected == history {
        return Ok(());
    }
    let first = expected.iter().zip(history).position(|(a, b)| a != b);
    let first = first.unwrap_or(expected.len().min(history.len()));
    Err(format!(
        "its history of {} events is not the {} events it should be, from {first} on: {:?} instead of {:?}",
        history.len(),
        expected.len(),
        history.get(first),
        expected.get(first)
    ))
}

fn same_instance(id: &InstanceId, known: &Known, instance: &Instance) -> Result<(), Violation> {
    let differs = |what: &str| Err(format!("its {what} differs"));
    let same_open = known.open.len() == instance.open.len()
        && known.open.iter().all(|(task, kind)| match (kind, instance.open.get(task)) {
            (Task::Activity(index), Some(OpenTask::Activity { index: held })) => index == held,
            (Task::Timer(due), Some(OpenTask::Timer { fire_at })) => due == fire_at,
            (Task::Call(called), Some(OpenTask::EntityCall { entity })) => called == entity.as_str(),
            (Task::Child(child), Some(OpenTask::SubOrchestration { instance })) => child == instance.as_str(),
            _ => false,
        });
    if instance.id != *id || instance.execution != known.execution {
        return differs("identity");
    }
    if instance.status() != known.status() || instance.before_start != known.before_start && !known.is_over()
    {
        return differs("status");
    }
    if instance.created != known.created || instance.updated != known.updated {
        return differs("time");
    }
    if *instance.started != known.started || instance.ended.as_deref() != known.ended.as_ref() {
        return differs("start or end");
    }
    if instance.custom_status.as_deref() != known.custom_status.as_deref() {
        return differs("custom status");
    }
    if !instance.inbox.iter().map(|e| &**e).eq(&known.inbox) {
        return differs("inbox");
    }
    if !same_open {
        return differs("set of open tasks");
    }
    let same_sections = known.sections.len() == instance.sections.len()
        && known.sections.iter().zip(&instance.sections).all(|((id, section), (held_id, held))| {
            id == held_id
                && section.task_id == held.task_id
                && section.is_held() == held.is_held()
                && section.places.iter().map(|(entity, _)| entity).eq(&held.lock_set)
        });
    if !same_sections {
        return differs("set of critical sections");
    }
    Ok(())
}

fn check_ledger<T: Ticket>(at: PartitionRef, pipeline: &Pipeline<T>, books: &Books) -> Result<(), Violation> {
    let partition = pipeline.partition();
    let mut timers: Vec<TimerKey> = books.instances.iter().flat_map(|(id, known)| known.timers(id)).collect();
    timers.extend(books.entities.iter().flat_map(|(id, entity)| entity.timers(id)));
    timers.sort();
    if !partition.timers().eq(&timers) {
        let held: Vec<_> = partition.timers().collect();
        return Err(format!("{at:?} has the timers {held:?} instead of {timers:?}"));
    }
    for (to, sent) in &books.sent {
        let done = books.acknowledged.get(to).copied().unwrap_or(0);
        let waiting = &sent[done as usize..];
        let outbox: Vec<_> = partition.outbox(*to, 0).collect();
        let same = outbox.len() == waiting.len()
            && waiting.iter().zip(&outbox).all(|(expected, found)| same_message(expected, found));
        if !same {
            return Err(format!("{at:?} keeps {outbox:?} for {to} instead of {waiting:?}"));
        }
        if partition.sent().get(to) != Some(&(sent.len() as u64)) {
            return Err(format!("{at:?} counts {:?} messages to {to}, not {}", partition.sent(), sent.len()));
        }
    }
    for (from, last) in &books.received {
        if partition.received(*from) != *last {
            return Err(format!("{at:?} took {} of {from}, not {last}", partition.received(*from)));
        }
    }
    if pipeline.time() < books.time {
        return Err(format!("{at:?} believes it is {}, but recorded {}", pipeline.time(), books.time));
    }
    Ok(())
}
