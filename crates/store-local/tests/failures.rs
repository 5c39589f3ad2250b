//! Disks that fail or fill up, and calls from several threads.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{COUNTER, batch, rows};
use strandline_hub::row::InstanceRows;
use strandline_model::InstanceId;
use strandline_store::disk::LossyDisk;
use strandline_store::{PartitionRef, Store, StoreError};
use strandline_store_local::{LocalOptions, LocalStore, Sabotage};

fn start(disk: &LossyDisk) -> (LocalStore, PartitionRef, u64) {
    start_with(disk, LocalOptions::simulated(1))
}

fn start_with(disk: &LossyDisk, options: LocalOptions) -> (LocalStore, PartitionRef, u64) {
    let store = LocalStore::open_on(Arc::new(disk.clone()), options).unwrap();
    let hub = store.create_hub("h", 4).unwrap().number;
    let at = PartitionRef { hub, partition: 0 };
    let epoch = store.acquire(at).unwrap().epoch;
    (store, at, epoch)
}

fn check_finished(store: &LocalStore, at: PartitionRef, epoch: u64) {
    let failed =
        |result: Result<(), StoreError>| assert!(matches!(result, Err(StoreError::Failed(_))), "{result:?}");
    failed(store.append(&[batch(at, epoch, 2, vec![])]));
    failed(store.append(&[batch(at, epoch, 3, vec![])]));
    failed(store.flush(&[(at, rows(1))]));
    failed(store.reserve(1));
    failed(store.idle());
    failed(store.create_hub("x", 1).map(drop));
    store.instance(at, COUNTER).unwrap();
    failed(store.close());
    failed(store.instance(at, COUNTER).map(drop));
}

#[test]
fn a_failed_sync_is_never_tried_again() {
    let disk = LossyDisk::new(1);
    let (store, at, epoch) = start(&disk);
    store.append(&[batch(at, epoch, 1, vec![1])]).unwrap();
    disk.fail_sync_at(1);
    assert!(matches!(store.append(&[batch(at, epoch, 2, vec![2])]), Err(StoreError::Io { .. })));
    let syncs = disk.syncs();
    check_finished(&store, at, epoch);
    assert_eq!(disk.syncs(), syncs);
    drop(store);
    // The process goes on: the batch is read from the page cache although it never reached the disk.
    let disk = disk.restart();
    let store = LocalStore::open_on(Arc::new(disk.clone()), LocalOptions::simulated(1)).unwrap();
    let found = store.acquire(at).unwrap().tail.len();
    drop(store);
    // Whatever was shown must then survive a power cut.
    let store = LocalStore::open_on(Arc::new(disk.reboot()), LocalOptions::simulated(1)).unwrap();
    assert_eq!((found, store.acquire(at).unwrap().tail.len()), (2, 2));
}

#[test]
fn a_failed_write_finishes_the_store() {
    let disk = LossyDisk::new(1);
    let (store, at, epoch) = start(&disk);
    store.append(&[batch(at, epoch, 1, vec![1])]).unwrap();
    disk.fail_write_at(1);
    assert!(matches!(store.append(&[batch(at, epoch, 2, vec![2])]), Err(StoreError::Io { .. })));
    check_finished(&store, at, epoch);
}

#[test]
fn a_full_disk_refuses_what_does_not_fit_and_recovers() {
    let disk = LossyDisk::new(1);
    let (store, at, epoch) = start(&disk);
    disk.set_capacity(Some(disk.used()));
    let mut position = 0;
    let full = loop {
        position += 1;
        // As much as the log has left is still taken.
        if let Err(error) = store.append(&[batch(at, epoch, position, vec![1; 1000])]) {
            break error;
        }
    };
    assert!(matches!(full, StoreError::Full(_)), "{full}");
    assert!(position > 10);
    assert!(matches!(store.reserve(10_000), Err(StoreError::Full(_))));
    assert_eq!(store.instance(at, COUNTER).unwrap(), None);
    let flushed = store.flush(&[(at, many_rows(position - 1))]);
    assert!(matches!(flushed, Err(StoreError::Full(_))), "{flushed:?}");
    assert_eq!(store.instance(at, COUNTER).unwrap(), None);
    assert_eq!(store.instance(at, "i7").unwrap(), None);
    disk.set_capacity(None);
    store.append(&[batch(at, epoch, position, vec![1; 1000])]).unwrap();
    store.flush(&[(at, many_rows(position))]).unwrap();
    assert!(store.instance(at, "i7").unwrap().is_some());
    drop(store);
    let store = LocalStore::open_on(Arc::new(disk.reboot()), LocalOptions::simulated(1)).unwrap();
    assert_eq!(store.acquire(at).unwrap().row.unwrap().position, position);
}

fn many_rows(position: u64) -> strandline_hub::row::PartitionRows {
    let mut all = rows(position);
    let one = all.instances[0].clone();
    for n in 0..3000 {
        all.instances.push(InstanceRows { id: InstanceId::trusted(format!("i{n}")), ..one.clone() });
    }
    all
}

#[test]
fn room_is_reserved() {
    let disk = LossyDisk::new(1);
    let (store, at, epoch) = start(&disk);
    store.reserve(200_000).unwrap();
    disk.set_capacity(Some(disk.used()));
    for position in 1..=200 {
        store.append(&[batch(at, epoch, position, vec![1; 1000])]).unwrap();
    }
}

#[test]
fn deleted_rows_go_away_in_slices() {
    let disk = LossyDisk::new(1);
    let (store, at, epoch) = start(&disk);
    store.append(&[batch(at, epoch, 1, vec![])]).unwrap();
    for _ in 0..3 {
        store.flush(&[(at, many_rows(1))]).unwrap();
    }
    store.delete_hub("h").unwrap();
    let mut slices = 0;
    while store.is_dropping() {
        store.idle().unwrap();
        slices += 1;
    }
    assert!(slices > 1);
    drop(store);
    let store = LocalStore::open_on(Arc::new(disk.reboot()), LocalOptions::simulated(1)).unwrap();
    assert!(!store.is_dropping());
}

#[test]
fn a_hub_can_be_made_again_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path(), LocalOptions::default()).unwrap();
    let hub = store.create_hub("h", 4).unwrap().number;
    let at = PartitionRef { hub, partition: 0 };
    let epoch = store.acquire(at).unwrap().epoch;
    store.append(&[batch(at, epoch, 1, vec![])]).unwrap();
    for _ in 0..5 {
        store.flush(&[(at, many_rows(1))]).unwrap();
    }
    let start = Instant::now();
    store.delete_hub("h").unwrap();
    store.create_hub("h", 4).unwrap();
    println!("deleted and made again in {:?}", start.elapsed());
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.is_dropping() {
        assert!(Instant::now() < deadline, "rows of a deleted hub stay");
        std::thread::yield_now();
    }
}

#[test]
fn planted_bugs_do_what_they_say() {
    let disk = LossyDisk::new(1);
    let options = LocalOptions { sabotage: Sabotage::SkipPositionCheck, ..LocalOptions::simulated(1) };
    let (store, at, epoch) = start_with(&disk, options);
    store.append(&[batch(at, epoch, 9, vec![])]).unwrap();
    let disk = LossyDisk::new(1);
    let options = LocalOptions { sabotage: Sabotage::SkipEpochCheck, ..LocalOptions::simulated(1) };
    let (store, at, epoch) = start_with(&disk, options);
    store.append(&[batch(at, epoch - 1, 1, vec![])]).unwrap();
    let disk = LossyDisk::new(1);
    let options = LocalOptions { sabotage: Sabotage::DropSync, ..LocalOptions::simulated(1) };
    let (store, at, epoch) = start_with(&disk, options);
    let syncs = disk.syncs();
    store.append(&[batch(at, epoch, 1, vec![])]).unwrap();
    assert_eq!((disk.syncs(), store.stats().log_syncs), (syncs, 0));
}

#[test]
fn appends_flushes_and_reads_go_on_together() {
    let dir = tempfile::tempdir().unwrap();
    let options = LocalOptions { segment_min: 64 << 10, segment_max: 256 << 10, ..LocalOptions::default() };
    let store = LocalStore::open(dir.path(), options.clone()).unwrap();
    let hub = store.create_hub("h", 4).unwrap().number;
    let at = |partition| PartitionRef { hub, partition };
    let epochs: Vec<u64> = (0..4).map(|p| store.acquire(at(p)).unwrap().epoch).collect();
    let done = AtomicBool::new(false);
    let newest = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for position in 1..=3000 {
                let group: Vec<_> = (0..4)
                    .map(|p| batch(at(p), epochs[usize::from(p)], position, vec![p as u8; 200]))
                    .collect();
                store.append(&group).unwrap();
                newest.store(position, Ordering::Release);
                if position % 50 == 0 {
                    store.idle().unwrap();
                    store.reserve(10_000).unwrap();
                }
            }
            done.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            let mut flushed = 0;
            while !done.load(Ordering::Acquire) {
                let position = newest.load(Ordering::Acquire);
                if position > flushed {
                    let all: Vec<_> = (0..4).map(|p| (at(p), rows(position))).collect();
                    store.flush(&all).unwrap();
                    flushed = position;
                }
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut seen = 0;
                while !done.load(Ordering::Acquire) {
                    let row = store.instance(at(1), COUNTER).unwrap();
                    let shown = row.and_then(|r| r.custom_status).map_or(0, |s| s.parse::<u64>().unwrap());
                    assert!(shown >= seen && shown <= newest.load(Ordering::Acquire));
                    seen = shown;
                    store.log_usage();
                }
            });
        }
    });
    drop(store);
    let store = LocalStore::open(dir.path(), options).unwrap();
    for partition in 0..4 {
        let found = store.acquire(at(partition)).unwrap();
        assert_eq!(found.row.map_or(0, |r| r.position) + found.tail.len() as u64, 3000);
    }
}
