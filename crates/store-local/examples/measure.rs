//! Measures the embedded store: `measure <new directory> [instances]` fills it and dies, then
//! `measure <directory> open` opens it.

use std::time::Instant;

use strandline_hub::row::{InstanceRow, InstanceRows, PartitionRow, PartitionRows};
use strandline_model::{
    EventKind, EventRaised, ExecutionId, HistoryEvent, InstanceId, RuntimeStatus, Timestamp, partition_of,
};
use strandline_store::{Batch, PartitionRef, Store, StoreError};
use strandline_store_local::{LocalOptions, LocalStore};

const PARTITIONS: u16 = 32;

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn main() -> Result<(), StoreError> {
    let mut arguments = std::env::args().skip(1);
    let place = std::env::temp_dir().join("strandline-measure");
    let dir = arguments.next().unwrap_or_else(|| place.display().to_string());
    let what = arguments.next().unwrap_or_default();
    if what == "open" {
        return open(&dir);
    }
    let instances: u64 = what.parse().unwrap_or(1_000_000);
    let start = Instant::now();
    let store = LocalStore::open(&dir, LocalOptions::default())?;
    println!("create: {:?}", start.elapsed());
    let start = Instant::now();
    let hub = store.create_hub("default", PARTITIONS)?.number;
    println!("create hub: {:?}", start.elapsed());
    let at = |partition| PartitionRef { hub, partition };
    let epochs: Vec<u64> =
        (0..PARTITIONS).map(|p| Ok(store.acquire(at(p))?.epoch)).collect::<Result<_, StoreError>>()?;
    let mut positions = [0u64; PARTITIONS as usize];

    for size in [1u64, 8, 64, 512] {
        let groups = 200_000 / size.max(20);
        let (start, cpu) = (Instant::now(), cpu_seconds());
        for n in 0..groups {
            let group: Vec<Batch> = (0..size)
                .map(|i| {
                    let p = ((n * size + i) % u64::from(PARTITIONS)) as usize;
                    positions[p] += 1;
                    Batch {
                        at: at(p as u16),
                        epoch: epochs[p],
                        position: positions[p],
                        time: Timestamp::EPOCH,
                        records: vec![7; 300],
                    }
                })
                .collect();
            store.append(&group)?;
        }
        let batches = (groups * size) as f64;
        println!(
            "append, groups of {size}: {:.0} batches/s, {:.2} µs of CPU per batch, {:.0} µs per group",
            batches / start.elapsed().as_secs_f64(),
            (cpu_seconds() - cpu) * 1e6 / batches,
            start.elapsed().as_secs_f64() * 1e6 / groups as f64
        );
        let rows: Vec<_> =
            (0..PARTITIONS).map(|p| (at(p), rows(positions[usize::from(p)], Vec::new()))).collect();
        store.flush(&rows)?;
    }

    let start = Instant::now();
    let mut done = 0;
    while done < instances {
        let mut by_partition: Vec<Vec<InstanceRows>> = vec![Vec::new(); PARTITIONS.into()];
        for n in done..(done + 20_000).min(instances) {
            let id = format!("order-{n:09}");
            by_partition[usize::from(partition_of(&id, PARTITIONS))].push(finished(&id, n));
        }
        done += 20_000;
        let rows: Vec<_> = by_partition
            .into_iter()
            .enumerate()
            .map(|(p, instances)| (at(p as u16), rows(positions[p], instances)))
            .collect();
        store.flush(&rows)?;
    }
    println!("flush: {:.1} µs per instance", start.elapsed().as_secs_f64() * 1e6 / instances as f64);
    // As after a kill: nothing is closed. The tail holds the last group of each partition.
    let tail: Vec<Batch> = (0..200_000u64)
        .map(|n| {
            let p = (n % u64::from(PARTITIONS)) as usize;
            positions[p] += 1;
            Batch {
                at: at(p as u16),
                epoch: epochs[p],
                position: positions[p],
                time: Timestamp::EPOCH,
                records: vec![7; 300],
            }
        })
        .collect();
    tail.chunks(64).try_for_each(|group| store.append(group))?;
    println!("log: {:?}", store.log_usage());
    // As if killed: nothing is dropped or closed.
    println!("now run with \"open\" to measure opening");
    std::process::abort();
}

fn open(dir: &str) -> Result<(), StoreError> {
    let start = Instant::now();
    let store = LocalStore::open(dir, LocalOptions::default())?;
    println!("open: {:?}", start.elapsed());
    let start = Instant::now();
    let hub = store.hubs()?[0].number;
    let mut tail = 0;
    for partition in 0..PARTITIONS {
        tail += store.acquire(PartitionRef { hub, partition })?.tail.len();
    }
    println!("acquire {PARTITIONS} partitions, {tail} batches: {:?}", start.elapsed());
    let start = Instant::now();
    for n in 0..1000 {
        let id = format!("order-{n:09}");
        store.instance(PartitionRef { hub, partition: partition_of(&id, PARTITIONS) }, &id)?;
    }
    println!("read: {:?} per instance", start.elapsed() / 1000);
    drop(store);
    let start = Instant::now();
    LocalStore::open(dir, LocalOptions::default())?;
    println!("open again: {:?}", start.elapsed());
    Ok(())
}

fn rows(position: u64, instances: Vec<InstanceRows>) -> PartitionRows {
    PartitionRows {
        partition: PartitionRow { position, ..PartitionRow::default() },
        instances,
        entities: Vec::new(),
        timers_added: Vec::new(),
        timers_removed: Vec::new(),
    }
}

fn finished(id: &str, n: u64) -> InstanceRows {
    let event = |name: &str| {
        let raised = EventRaised { name: name.into(), input: Some("\"hello\"".into()), undelivered: false };
        HistoryEvent::new(Timestamp::from_millis(n as i64), EventKind::EventRaised(raised))
    };
    let row = InstanceRow {
        id: id.into(),
        execution_id: ExecutionId(n.into()).0.to_be_bytes().to_vec(),
        status: RuntimeStatus::Completed.into(),
        started: event("start"),
        ended: Some(event("end")),
        tail: (0..8).map(|i| event(&format!("activity {i}"))).collect(),
        history_len: 10,
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
