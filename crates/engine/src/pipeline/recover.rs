//! A partition as it was: tables, then the tail of the log, through the same `evolve` as live.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use strandline_hub::{Identity, Lookup, OpenTask, Partition, Record, evolve};
use strandline_model::{InstanceId, Timestamp};
use strandline_store::{PartitionRef, Recovered, Store, StoreError};

use super::{Counters, Pipeline, PipelineConfig, Release, Sabotage, Ticket, Watch, entities};

impl<T: Ticket> Pipeline<T> {
    /// Rebuilds a partition from what [`Store::acquire`] returned. Work that was out is handed out
    /// again: activities are released, instances with events become ready, messages are repeated.
    pub fn recover(
        at: PartitionRef,
        partitions: u16,
        config: PipelineConfig,
        recovered: Recovered,
        store: &dyn Store,
    ) -> Result<Self, StoreError> {
        let row = recovered.row.clone().unwrap_or_default();
        let identity = Identity { number: at.partition, partitions };
        let mut pipeline = Self {
            at,
            epoch: recovered.epoch,
            config,
            partition: Partition::new(identity, recovered.row, recovered.timers),
            now: row.time,
            mailbox: VecDeque::new(),
            batch: Vec::new(),
            records: 0,
            eager_records: 0,
            releases: Vec::new(),
            position: row.position,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            in_flight_records: 0,
            free: Vec::new(),
            ready: VecDeque::new(),
            queued: Lookup::default(),
            resting: Vec::new(),
            streaks: Lookup::default(),
            turns_out: Lookup::default(),
            next_token: 0,
            served: None,
            unserved: BTreeMap::new(),
            ready_entities: entities::Queue::default(),
            batches_out: Lookup::default(),
            unserved_entities: BTreeMap::new(),
            revived: Vec::new(),
            offers: Vec::new(),
            claims: VecDeque::new(),
            waiters: Lookup::default(),
            awaited: Lookup::default(),
            chunk_starts: Default::default(),
            routed: BTreeMap::new(),
            to_acknowledge: BTreeMap::new(),
            residents: VecDeque::new(),
            flushed_position: row.position,
            capturing: false,
            sabotage: Sabotage::None,
            counters: Counters::default(),
            watch: Watch::Nothing,
        };
        let mut active: BTreeSet<InstanceId> = recovered.active.into_iter().collect();
        for batch in recovered.tail {
            let records = Record::decode_all(&batch.records).map_err(|e| {
                let what = format!("batch {} of partition {at:?}: {e}", batch.position);
                StoreError::Format(what)
            })?;
            for record in records {
                if let Some(id) = record.key() {
                    pipeline.load(&id, store)?;
                    if record.needs_history() {
                        pipeline.load_history(&id, store)?;
                    }
                    active.insert(id);
                }
                evolve(&mut pipeline.partition, record);
            }
            pipeline.position = batch.position;
            pipeline.now = pipeline.now.max(batch.time);
        }
        for id in active {
            pipeline.resume_work(&id, store)?;
            pipeline.evict();
        }
        Ok(pipeline)
    }

    /// The latest time the partition has seen.
    pub fn time(&self) -> Timestamp {
        self.now
    }

    fn resume_work(&mut self, id: &InstanceId, store: &dyn Store) -> Result<(), StoreError> {
        self.load(id, store)?;
        if id.is_entity() {
            self.changed(id);
            return Ok(());
        }
        let Some(instance) = self.partition.instance(id.as_str()).filter(|i| !i.is_over()) else {
            return Ok(());
        };
        let execution = instance.execution;
        let open = instance.open.iter();
        let activities: Vec<_> =
            open.filter(|(_, task)| matches!(task, OpenTask::Activity { .. })).map(|(id, _)| *id).collect();
        for task_id in activities {
            if let Some(dispatch) = self.dispatch(id, execution, task_id, None, store)? {
                self.free.push(Release::Activity(dispatch));
            }
        }
        self.changed(id);
        Ok(())
    }
}
