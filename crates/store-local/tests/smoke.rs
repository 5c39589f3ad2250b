//! The store from outside, on a disk in memory and in a directory.

use std::sync::Arc;
use std::time::Instant;

use strandline_model::Timestamp;
use strandline_store::disk::{LossyDisk, MemoryDisk};
use strandline_store::{Batch, PartitionRef, Store, StoreError};
use strandline_store_local::{LocalOptions, LocalStore};

fn batch(at: PartitionRef, epoch: u64, position: u64, records: &[u8]) -> Batch {
    Batch { at, epoch, position, time: Timestamp::from_millis(position as i64), records: records.to_vec() }
}

#[test]
fn what_was_appended_is_there_after_opening_again() {
    let disk = Arc::new(MemoryDisk::new());
    let store = LocalStore::open_on(disk.clone(), LocalOptions::simulated(1)).unwrap();
    let hub = store.create_hub("default", 32).unwrap();
    let at = PartitionRef { hub: hub.number, partition: 3 };
    let owned = store.acquire(at).unwrap();
    for n in 1..=500 {
        store.append(&[batch(at, owned.epoch, n, &vec![n as u8; n as usize * 7])]).unwrap();
    }
    drop(store);
    let store = LocalStore::open_on(disk, LocalOptions::simulated(1)).unwrap();
    let again = store.acquire(at).unwrap();
    assert!(again.epoch > owned.epoch);
    assert_eq!(again.tail.len(), 500);
    assert_eq!(again.tail[499].records.len(), 3500);
    let stale = store.append(&[batch(at, owned.epoch, 501, b"x")]);
    assert!(matches!(stale, Err(StoreError::Stale { .. })));
}

#[test]
fn a_directory_has_one_user() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hub");
    let store = LocalStore::open(&path, LocalOptions::default()).unwrap();
    let second = LocalStore::open(&path, LocalOptions::default()).unwrap_err();
    assert!(second.to_string().contains(&std::process::id().to_string()), "{second}");
    drop(store);
    LocalStore::open(&path, LocalOptions::default()).unwrap();
}

#[test]
fn opening_is_quick() {
    for _ in 0..5 {
        let start = Instant::now();
        let disk = LossyDisk::new(1);
        let store = LocalStore::open_on(Arc::new(disk.clone()), LocalOptions::simulated(1)).unwrap();
        let created = start.elapsed();
        let operations = disk.operations();
        drop(store);
        let start = Instant::now();
        let disk = disk.reboot();
        let rebooted = start.elapsed();
        let start = Instant::now();
        LocalStore::open_on(Arc::new(disk), LocalOptions::simulated(1)).unwrap();
        println!(
            "create {created:?} ({operations} operations), reboot {rebooted:?}, open {:?}",
            start.elapsed()
        );
    }
}
