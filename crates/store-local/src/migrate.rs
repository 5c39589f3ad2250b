//! Bringing a store of an older format up to date when it is opened.

use std::ops::Bound;

use redb::{ReadableTable, WriteTransaction};
use strandline_hub::row::InstanceHead;
use strandline_store::StoreError;

use crate::index::{Changes, Indexed};
use crate::keys;
use crate::schema::{
    ALL_INDEXES, BY_COMPLETED, BY_NAME, BY_STATUS, ENTITIES, INDEXED, INSTANCES, MARKS, META, SECRETS,
    corrupt, decode,
};
use crate::tables::{Problem, Tables};

/// Rows indexed in one transaction: it bounds the memory their entries take.
const SLICE: usize = 50_000;

impl Tables {
    /// Makes the indexes that a store of an older format lacks, and its secret. What is there already, or
    /// was left behind by an attempt that was cut short, does no harm: it agrees with the rows.
    pub(crate) fn build_indexes(&self, secret: &[u8; 32]) -> Result<(), StoreError> {
        tracing::info!("building the indexes of instances, once for this data directory");
        let mut done = 0;
        let mut last = Vec::new();
        loop {
            let (rows, next) = self.write(|txn| index_slice(txn, &last))?;
            done += rows;
            match next {
                Some(next) => last = next,
                None => break,
            }
            tracing::info!(instances = done, "still building the indexes");
        }
        self.write(|txn| {
            txn.open_table(BY_STATUS)?;
            txn.open_table(BY_NAME)?;
            txn.open_table(ENTITIES)?;
            txn.open_table(BY_COMPLETED)?;
            let mut secrets = txn.open_table(SECRETS)?;
            // A store of format 2 has one.
            if secrets.get(MARKS)?.is_none() {
                secrets.insert(MARKS, &secret[..])?;
            }
            txn.open_table(META)?.insert(INDEXED, ALL_INDEXES)?;
            Ok(())
        })?;
        tracing::info!(instances = done, "the indexes are built");
        Ok(())
    }

    pub(crate) fn secret(&self) -> Result<[u8; 32], StoreError> {
        self.read(|txn| {
            let value = txn.open_table(SECRETS)?.get(MARKS)?;
            let secret = value.and_then(|v| v.value().try_into().ok());
            Ok(secret.ok_or_else(|| corrupt("the secret is missing".into()))?)
        })
    }
}

/// Indexes some rows after the key `last`. Returns how many, and the last of them unless no rows remain.
fn index_slice(txn: &WriteTransaction, last: &[u8]) -> Result<(usize, Option<Vec<u8>>), Problem> {
    let mut changes = Changes::default();
    let mut rows = 0;
    let mut next = None;
    let instances = txn.open_table(INSTANCES)?;
    for row in instances.range::<&[u8]>((Bound::Excluded(last), Bound::Unbounded))? {
        let (key, value) = row?;
        let damaged = || corrupt("a key of instances".into());
        let at = keys::partition_of(key.value()).ok_or_else(damaged)?;
        let id = keys::instance_of(key.value()).ok_or_else(damaged)?;
        let head: InstanceHead = decode("instances", value.value())?;
        changes.replaced(at, id.as_str(), None, Some(Indexed::head(&head)));
        rows += 1;
        if rows == SLICE {
            next = Some(key.value().to_vec());
            break;
        }
    }
    changes.apply(txn)?;
    Ok((rows, next))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use strandline_hub::query::InstanceQuery;
    use strandline_hub::row::{InstanceRow, InstanceRows, PartitionRow, PartitionRows};
    use strandline_model::{InstanceId, RuntimeStatus, Timestamp, partition_of};
    use strandline_store::disk::{Disk, LossyDisk};
    use strandline_store::{Batch, Budget, PartitionRef, Scan, Store};

    use super::*;
    use crate::{LocalOptions, LocalStore, format};

    const PARTITIONS: u16 = 3;

    fn open(disk: &LossyDisk) -> Result<LocalStore, StoreError> {
        LocalStore::open_on(Arc::new(disk.clone()), LocalOptions::simulated(9))
    }

    fn rows(ids: impl Iterator<Item = String>, status: RuntimeStatus) -> Vec<(u16, InstanceRows)> {
        let row = |id: &str| InstanceRow {
            id: id.to_owned(),
            execution_id: vec![0; 16],
            status: status.into(),
            created: Timestamp::from_millis(id.len() as i64),
            pending: status == RuntimeStatus::Pending,
            ..InstanceRow::default()
        };
        let rows = ids.map(|id| {
            let rows = InstanceRows {
                row: Some(row(&id)),
                id: InstanceId::trusted(&*id),
                chunks: Vec::new(),
                dropped: Vec::new(),
                active: false,
            };
            (partition_of(&id, PARTITIONS), rows)
        });
        rows.collect()
    }

    fn flush(store: &LocalStore, hub: u32, position: u64, rows: &[(u16, InstanceRows)]) {
        for partition in 0..PARTITIONS {
            let at = PartitionRef { hub, partition };
            let epoch = store.acquire(at).unwrap().epoch;
            let batch = Batch { at, epoch, position, time: Timestamp::EPOCH, records: vec![1] };
            store.append(&[batch]).unwrap();
            let instances = rows.iter().filter(|(p, _)| *p == partition).map(|(_, r)| r.clone()).collect();
            let rows = PartitionRows {
                partition: PartitionRow { position, ..PartitionRow::default() },
                instances,
                entities: Vec::new(),
                timers_added: Vec::new(),
                timers_removed: Vec::new(),
            };
            store.flush(&[(at, rows)]).unwrap();
        }
    }

    fn ids() -> impl Iterator<Item = String> {
        (0..120).map(|n| format!("{n:0w$}", w = 1 + n % 5))
    }

    /// A disk as a program of format 1 leaves it.
    fn old_disk() -> (LossyDisk, u32) {
        let disk = LossyDisk::new(3);
        let store = open(&disk).unwrap();
        let hub = store.create_hub("default", PARTITIONS).unwrap().number;
        flush(&store, hub, 1, &rows(ids(), RuntimeStatus::Running));
        store.close().unwrap();
        drop(store);
        make_old(&disk);
        (disk, hub)
    }

    fn make_old(disk: &LossyDisk) {
        let tables = Tables::open(disk, 1 << 20).unwrap();
        tables.release().unwrap();
        let stripped = tables.write(|txn| {
            txn.delete_table(BY_STATUS)?;
            txn.delete_table(BY_NAME)?;
            txn.delete_table(BY_COMPLETED)?;
            txn.delete_table(SECRETS)?;
            txn.open_table(META)?.remove(INDEXED)?;
            Ok(())
        });
        stripped.unwrap();
        tables.close();
        let format = disk.open(format::FILE).unwrap();
        let mut text = vec![0; format.len().unwrap() as usize];
        format.read_at(&mut text, 0).unwrap();
        let text = String::from_utf8(text).unwrap();
        let line = |line: &str| match line.split_once(' ') {
            Some((field @ ("version" | "min_reader"), _)) => format!("{field} 1\n"),
            _ => format!("{line}\n"),
        };
        let text: String = text.lines().map(line).collect();
        format.write_at(text.as_bytes(), 0).unwrap();
        format.sync().unwrap();
    }

    fn version(disk: &LossyDisk) -> u32 {
        format::check(disk, "here").unwrap().version
    }

    fn listed(store: &LocalStore, hub: u32, status: RuntimeStatus) -> BTreeSet<String> {
        let query = InstanceQuery { statuses: [status].into(), ..InstanceQuery::default() };
        let (hidden, budget) = (BTreeSet::new(), Budget { rows: 10_000, ..Budget::UNLIMITED });
        let scan = Scan { hub, query: &query, after: None, hidden: &hidden, budget };
        let page = store.list(&scan, 1000).unwrap();
        assert_eq!(store.count(&scan).unwrap().instances, page.items.len() as u64);
        page.items.iter().map(|i| i.id.to_string()).collect()
    }

    #[test]
    fn stores_of_format_1_get_their_indexes() {
        let (disk, hub) = old_disk();
        assert_eq!(version(&disk), 1);
        let store = open(&disk).unwrap();
        assert_eq!(version(&disk), format::VERSION);
        assert_eq!(listed(&store, hub, RuntimeStatus::Running), ids().collect());
        let secret = store.secret().unwrap();
        let some: Vec<String> = ids().step_by(3).collect();
        flush(&store, hub, 2, &rows(some.iter().cloned(), RuntimeStatus::Pending));
        drop(store);
        let store = open(&disk).unwrap();
        assert_eq!(listed(&store, hub, RuntimeStatus::Pending), some.iter().cloned().collect());
        assert_eq!(
            listed(&store, hub, RuntimeStatus::Running),
            ids().filter(|i| !some.contains(i)).collect()
        );
        assert_eq!(store.secret().unwrap(), secret);
    }

    #[test]
    fn building_indexes_survives_power_cuts() {
        let (disk, hub) = old_disk();
        let mut cuts = 0;
        for n in 1.. {
            let disk = disk.fork();
            disk.crash_at(n);
            let opened = open(&disk);
            let crashed = disk.is_crashed();
            drop(opened);
            let disk = disk.reboot();
            // A program that knows no indexes is kept out as soon as there may be some.
            let tables = Tables::open(&disk, 1 << 20).unwrap();
            let has_index = tables.read(|txn| Ok(txn.open_table(BY_STATUS).is_ok())).unwrap();
            assert!(version(&disk) == format::VERSION || !has_index);
            drop(tables);
            assert_eq!(listed(&open(&disk).unwrap(), hub, RuntimeStatus::Running), ids().collect());
            if !crashed {
                break;
            }
            cuts += 1;
        }
        assert!(cuts > 10, "{cuts} operations");
    }
}
