//! Measures lists over many instances: `lists <new directory> [instances]` fills a store, then times
//! pages and counts, and opening.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use strandline_hub::query::{Cursor, InstanceQuery, Order};
use strandline_hub::row::{InstanceRow, InstanceRows, PartitionRow, PartitionRows};
use strandline_model::{
    EventKind, ExecutionCompleted, ExecutionId, ExecutionStarted, HistoryEvent, InstanceId, RuntimeStatus,
    TaskCompleted, Timestamp, partition_of,
};
use strandline_store::{Batch, Budget, PartitionRef, Scan, Store, StoreError};
use strandline_store_local::{LocalOptions, LocalStore};

const PARTITIONS: u16 = 32;
/// Instances in one flush, about as many as the engine writes in one transaction.
const SLICE: u64 = 2048;

fn main() -> Result<(), StoreError> {
    let mut arguments = std::env::args().skip(1);
    let place = std::env::temp_dir().join("strandline-lists");
    let dir = arguments.next().unwrap_or_else(|| place.display().to_string());
    let instances: u64 = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let store = LocalStore::open(&dir, LocalOptions::default())?;
    let hub = match store.hubs()?.first() {
        Some(hub) => hub.number,
        None => fill(&store, instances)?,
    };
    measure(&store, hub, instances)?;
    store.close()?;
    drop(store);
    let start = Instant::now();
    let store = LocalStore::open(&dir, LocalOptions::default())?;
    println!("open again: {:?}", start.elapsed());
    store.close()
}

fn fill(store: &LocalStore, instances: u64) -> Result<u32, StoreError> {
    let hub = store.create_hub("default", PARTITIONS)?.number;
    let at = |partition| PartitionRef { hub, partition };
    let epochs: Vec<u64> =
        (0..PARTITIONS).map(|p| Ok(store.acquire(at(p))?.epoch)).collect::<Result<_, StoreError>>()?;
    let start = Instant::now();
    for (position, from) in (1..).zip((0..instances).step_by(SLICE as usize)) {
        let mut by_partition: Vec<Vec<InstanceRows>> = vec![Vec::new(); PARTITIONS.into()];
        for n in from..(from + SLICE).min(instances) {
            // Ids as clients make them: in no order.
            let id = format!("{:016x}{:016x}", mix(n), mix(n + 1));
            by_partition[usize::from(partition_of(&id, PARTITIONS))].push(instance(&id, n));
        }
        let batch = |p: u16| Batch {
            at: at(p),
            epoch: epochs[usize::from(p)],
            position,
            time: Timestamp::EPOCH,
            records: vec![1],
        };
        store.append(&(0..PARTITIONS).map(batch).collect::<Vec<_>>())?;
        let rows = |(p, instances)| {
            let partition = PartitionRow { position, ..PartitionRow::default() };
            let (timers_added, timers_removed) = (Vec::new(), Vec::new());
            let entities = Vec::new();
            (at(p), PartitionRows { partition, instances, entities, timers_added, timers_removed })
        };
        store.flush(&(0..PARTITIONS).zip(by_partition).map(rows).collect::<Vec<_>>())?;
    }
    println!("flush: {:.1} µs per instance", start.elapsed().as_secs_f64() * 1e6 / instances as f64);
    println!("tables: {} MB written", store.stats().table_bytes >> 20);
    Ok(hub)
}

fn measure(store: &LocalStore, hub: u32, instances: u64) -> Result<(), StoreError> {
    use RuntimeStatus::{Completed, Failed, Running};
    let all = InstanceQuery::default;
    let by_completed = || InstanceQuery { order_by: Some(Order::Completed), ..all() };
    let middle = Timestamp::from_millis((instances / 2) as i64);
    let tags = |value: &str| [("tenant".to_owned(), value.to_owned())].into();
    let queries = [
        ("all", all()),
        ("status Completed", InstanceQuery { statuses: [Completed].into(), ..all() }),
        ("status Failed (1 in 1,000)", InstanceQuery { statuses: [Failed].into(), ..all() }),
        ("status Running (none)", InstanceQuery { statuses: [Running].into(), ..all() }),
        ("name (1 in 10)", InstanceQuery { name: Some("Order3".into()), ..all() }),
        (
            "name and Failed",
            InstanceQuery { name: Some("Order3".into()), statuses: [Failed].into(), ..all() },
        ),
        ("created before the middle", InstanceQuery { created_to: Some(middle), ..all() }),
        (
            "created in 100 ms of the middle",
            InstanceQuery {
                created_from: Some(middle),
                created_to: Some(middle.saturating_add(Duration::from_millis(100))),
                ..all()
            },
        ),
        ("prefix of 2 digits", InstanceQuery { id_prefix: Some("3f".into()), ..all() }),
        ("prefix of 6 digits", InstanceQuery { id_prefix: Some("3fa14c".into()), ..all() }),
        ("tag (1 in 100)", InstanceQuery { tags: tags("17"), ..all() }),
        ("ended, the earliest first", by_completed()),
        ("ended from the middle on", InstanceQuery { completed_from: Some(middle), ..by_completed() }),
        (
            "ended from the middle on, Failed",
            InstanceQuery { completed_from: Some(middle), statuses: [Failed].into(), ..by_completed() },
        ),
        ("tag (none), one budget", InstanceQuery { tags: tags("none"), ..all() }),
    ];
    let hidden = BTreeSet::new();
    for (what, query) in &queries {
        let scan = Scan { hub, query, after: None, hidden: &hidden, budget: Budget::default() };
        let start = Instant::now();
        store.list(&scan, 100)?;
        let first = start.elapsed();
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..50 {
            let start = Instant::now();
            found = store.list(&scan, 100)?.items.len();
            times.push(start.elapsed());
        }
        times.sort();
        let (median, worst) = (times[25], times[49]);
        println!("{what}: {found} found, first {first:.1?}, then median {median:.1?}, worst {worst:.1?}");
    }
    for (what, query) in &queries[..7] {
        let start = Instant::now();
        let (mut count, mut after): (u64, Option<Cursor>) = (0, None);
        loop {
            let budget = Budget::default();
            let scan = Scan { hub, query, after: after.as_ref(), hidden: &hidden, budget };
            let part = store.count(&scan)?;
            count += part.instances;
            after = part.next;
            if after.is_none() {
                break;
            }
        }
        println!("count, {what}: {count} in {:.1?}", start.elapsed());
    }
    Ok(())
}

fn mix(n: u64) -> u64 {
    let z = (n.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 31)
}

/// A finished hello sequence, created a millisecond after the one before.
fn instance(id: &str, n: u64) -> InstanceRows {
    let created = Timestamp::from_millis(n as i64);
    let status = if n % 1000 == 13 { RuntimeStatus::Failed } else { RuntimeStatus::Completed };
    let started = ExecutionStarted {
        instance_id: id.into(),
        name: format!("Order{}", n % 10),
        input: Some("[\"Tokyo\",\"London\",\"Seattle\"]".into()),
        tags: [("tenant".to_owned(), (n % 100).to_string())].into(),
        ..ExecutionStarted::default()
    };
    let ended = ExecutionCompleted {
        status: status.into(),
        result: Some("[\"Hello Tokyo!\",\"Hello London!\",\"Hello Seattle!\"]".into()),
        ..ExecutionCompleted::default()
    };
    let event = |kind| HistoryEvent::new(created, kind);
    // Within a tenth of a second, so not in the order of creation.
    let completed = Timestamp::from_millis((n + mix(n) % 100) as i64);
    let done = |task_id| TaskCompleted { task_id, result: Some("\"Hello Tokyo!\"".into()) };
    let row = InstanceRow {
        id: id.into(),
        execution_id: ExecutionId(n.into()).0.to_be_bytes().to_vec(),
        status: status.into(),
        created,
        updated: created,
        started: event(EventKind::ExecutionStarted(Box::new(started))),
        ended: Some(HistoryEvent::new(completed, EventKind::ExecutionCompleted(Box::new(ended)))),
        tail: (0..12).map(|i| event(EventKind::TaskCompleted(done(i)))).collect(),
        history_len: 12,
        ..InstanceRow::default()
    };
    InstanceRows {
        id: InstanceId::trusted(id),
        row: Some(row),
        chunks: Vec::new(),
        dropped: Vec::new(),
        active: false,
    }
}
