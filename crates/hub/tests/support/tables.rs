//! The tables of one partition, as a store would keep them, and what a restart makes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use strandline_hub::row::{EntityRow, HistoryChunk, InstanceRow, PartitionRow, PartitionRows, TimerKey};
use strandline_hub::{Partition, Record, evolve};
use strandline_model::{ExecutionId, InstanceId, Timestamp};

#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) row: Option<PartitionRow>,
    pub(crate) instances: BTreeMap<InstanceId, InstanceRow>,
    pub(crate) entities: BTreeMap<InstanceId, EntityRow>,
    pub(crate) active: BTreeSet<InstanceId>,
    pub(crate) timers: BTreeSet<TimerKey>,
    pub(crate) chunks: BTreeMap<(ExecutionId, u32), HistoryChunk>,
}

impl Tables {
    pub(crate) fn write(&mut self, rows: PartitionRows) {
        self.row = Some(rows.partition);
        for rows in rows.instances {
            for execution in rows.dropped {
                self.chunks.retain(|(e, _), _| *e != execution);
            }
            let execution = rows.row.as_ref().map(|row| execution_of(&row.execution_id));
            for (number, chunk) in rows.chunks {
                self.chunks.insert((execution.unwrap(), number), chunk);
            }
            put(&mut self.instances, &rows.id, rows.row);
            mark(&mut self.active, rows.id, rows.active);
        }
        for rows in rows.entities {
            put(&mut self.entities, &rows.id, rows.row);
            mark(&mut self.active, rows.id, rows.active);
        }
        rows.timers_added.into_iter().for_each(|t| assert!(self.timers.insert(t)));
        rows.timers_removed.iter().for_each(|t| assert!(self.timers.remove(t), "{t:?} was never written"));
    }

    /// Loads what a command or record touches, as the engine does.
    pub(crate) fn load(&self, partition: &mut Partition, id: &InstanceId) {
        if !partition.is_missing(id) {
        } else if id.is_entity() {
            partition.install_entity(id.clone(), self.entities.get(id).cloned());
        } else {
            partition.install(id.clone(), self.instances.get(id).cloned());
        }
    }

    pub(crate) fn load_history(&self, partition: &mut Partition, id: &InstanceId) {
        let Some(instance) = partition.instance(id.as_str()) else { return };
        let (base, execution) = (instance.history.base(), instance.execution);
        let chunks = self.chunks.range((execution, 0)..=(execution, u32::MAX));
        let events = chunks.flat_map(|(_, chunk)| chunk.events.iter().cloned().map(Arc::new));
        partition.restore_history(id.as_str(), events.take(base).collect());
        assert_eq!(partition.instance(id.as_str()).unwrap().history.base(), 0, "chunks of {id} are missing");
    }

    /// A partition as it is after a restart: the tables, then the records after them.
    pub(crate) fn rebuild(&self, identity: strandline_hub::Identity, tail: &[Record]) -> Partition {
        let mut partition = Partition::new(identity, self.row.clone(), self.timers.iter().cloned().collect());
        for record in tail {
            if let Some(id) = record.key() {
                self.load(&mut partition, &id);
                if record.needs_history() {
                    self.load_history(&mut partition, &id);
                }
            }
            evolve(&mut partition, record.clone());
        }
        partition
    }
}

fn put<R>(table: &mut BTreeMap<InstanceId, R>, id: &InstanceId, row: Option<R>) {
    match row {
        Some(row) => drop(table.insert(id.clone(), row)),
        None => drop(table.remove(id)),
    }
}

fn mark(active: &mut BTreeSet<InstanceId>, id: InstanceId, is: bool) {
    if is {
        active.insert(id)
    } else {
        active.remove(&id)
    };
}

fn execution_of(bytes: &[u8]) -> ExecutionId {
    ExecutionId(u128::from_be_bytes(bytes.try_into().unwrap()))
}

pub(crate) fn rows_of(partition: &mut Partition) -> PartitionRows {
    partition.capture().into_rows(1, Timestamp::EPOCH)
}
