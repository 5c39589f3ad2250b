//! A flush in the very moment in which a list reads the tables.

mod support;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use strandline_engine::runtime::{Hub, HubOptions, Node, NodeOptions};
use strandline_hub::query::{EntityQuery, InstanceQuery};
use strandline_hub::row::{EntityRow, HistoryChunk, InstanceRow, PartitionRows};
use strandline_hub::{EntityStatus, Reply};
use strandline_model::ExecutionId;
use strandline_store::disk::MemoryDisk;
use strandline_store::{
    Batch, Count, HubInfo, LogUsage, Page, PartitionRef, Recovered, Scan, Store, StoreError, StoreStats,
};
use strandline_store_local::{LocalOptions, LocalStore};
use support::start;

/// When the flush comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    BeforeTheRead,
    AfterTheRead,
}

type Hook = Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>;

/// A store in which something happens around each read of a list.
struct Meddled {
    store: LocalStore,
    moment: Moment,
    hook: Hook,
}

impl Meddled {
    fn around<T>(&self, read: impl FnOnce() -> T) -> T {
        let hook = || self.hook.get().map_or((), |hook| hook());
        if self.moment == Moment::BeforeTheRead {
            hook();
        }
        let read = read();
        if self.moment == Moment::AfterTheRead {
            hook();
        }
        read
    }
}

impl Store for Meddled {
    fn list(&self, scan: &Scan<'_>, limit: usize) -> Result<Page, StoreError> {
        self.around(|| self.store.list(scan, limit))
    }
    fn count(&self, scan: &Scan<'_>) -> Result<Count, StoreError> {
        self.around(|| self.store.count(scan))
    }
    fn list_entities(
        &self,
        scan: &Scan<'_, EntityQuery>,
        limit: usize,
    ) -> Result<Page<EntityStatus>, StoreError> {
        self.around(|| self.store.list_entities(scan, limit))
    }
    fn hubs(&self) -> Result<Vec<HubInfo>, StoreError> {
        self.store.hubs()
    }
    fn create_hub(&self, name: &str, partitions: u16) -> Result<HubInfo, StoreError> {
        self.store.create_hub(name, partitions)
    }
    fn delete_hub(&self, name: &str) -> Result<(), StoreError> {
        self.store.delete_hub(name)
    }
    fn acquire(&self, at: PartitionRef) -> Result<Recovered, StoreError> {
        self.store.acquire(at)
    }
    fn reserve(&self, bytes: u64) -> Result<(), StoreError> {
        self.store.reserve(bytes)
    }
    fn append(&self, group: &[Batch]) -> Result<(), StoreError> {
        self.store.append(group)
    }
    fn flush(&self, rows: &[(PartitionRef, PartitionRows)]) -> Result<(), StoreError> {
        self.store.flush(rows)
    }
    fn instance(&self, at: PartitionRef, id: &str) -> Result<Option<InstanceRow>, StoreError> {
        self.store.instance(at, id)
    }
    fn entity(&self, at: PartitionRef, id: &str) -> Result<Option<EntityRow>, StoreError> {
        self.store.entity(at, id)
    }
    fn chunk(
        &self,
        at: PartitionRef,
        execution: ExecutionId,
        number: u32,
    ) -> Result<Option<HistoryChunk>, StoreError> {
        self.store.chunk(at, execution, number)
    }
    fn secret(&self) -> Result<[u8; 32], StoreError> {
        self.store.secret()
    }
    fn log_usage(&self) -> LogUsage {
        self.store.log_usage()
    }
    fn stats(&self) -> StoreStats {
        self.store.stats()
    }
    fn idle(&self) -> Result<(), StoreError> {
        self.store.idle()
    }
    fn close(&self) -> Result<(), StoreError> {
        self.store.close()
    }
}

async fn listed(hub: &Hub, query: &Arc<InstanceQuery>) -> Vec<String> {
    let page = hub.list(query, None, 1000).await.unwrap();
    page.instances.iter().map(|i| i.id.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_flushed_meanwhile_is_found_once() {
    for moment in [Moment::BeforeTheRead, Moment::AfterTheRead] {
        let hook = Hook::default();
        let opener = {
            let hook = hook.clone();
            move || {
                let options = LocalOptions::in_memory();
                let store = LocalStore::open_on(Arc::new(MemoryDisk::default()), options)?;
                Ok(Arc::new(Meddled { store, moment, hook: hook.clone() }) as Arc<dyn Store>)
            }
        };
        let options = NodeOptions { flush_interval: Duration::from_secs(3600), ..NodeOptions::default() };
        let node = Node::open(Box::new(opener), options).unwrap();
        let hub = node.hub("default", HubOptions { partitions: 4, ..HubOptions::default() }).unwrap();
        let flushing = hub.clone();
        assert!(hook.set(Box::new(move || flushing.flush())).is_ok());
        let all = Arc::new(InstanceQuery::default());
        let by_id = Arc::new(InstanceQuery { id_prefix: Some("i".into()), ..InstanceQuery::default() });
        for n in 0..8 {
            // Nobody serves it: it stays as it is.
            assert!(matches!(hub.start(start(&format!("i-{n}"), 1)).await.unwrap(), Reply::Started { .. }));
            let ids: Vec<String> = (0..=n).map(|n| format!("i-{n}")).collect();
            let newest_first: Vec<String> = ids.iter().rev().cloned().collect();
            // One of these each time: it takes the newest instance into the tables.
            match n % 4 {
                0 => assert_eq!(listed(&hub, &all).await, newest_first, "{moment:?}"),
                1 => assert_eq!(listed(&hub, &by_id).await, ids, "{moment:?}"),
                2 => assert_eq!(hub.count(&all).await.unwrap(), n + 1, "{moment:?}"),
                _ => assert_eq!(hub.count(&by_id).await.unwrap(), n + 1, "{moment:?}"),
            }
        }
    }
}
