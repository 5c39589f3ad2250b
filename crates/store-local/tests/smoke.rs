//! The store from outside, on a disk in memory and in a directory.

use std::sync::Arc;

use strandline_model::Timestamp;
use strandline_store::disk::{Disk, LossyDisk, MemoryDisk};
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
fn opening_takes_few_operations() {
    let disk = LossyDisk::new(1);
    drop(LocalStore::open_on(Arc::new(disk.clone()), LocalOptions::simulated(1)).unwrap());
    assert!(disk.operations() <= 80, "{}", disk.operations());
    let disk = disk.reboot();
    drop(LocalStore::open_on(Arc::new(disk.clone()), LocalOptions::simulated(1)).unwrap());
    assert!(disk.operations() <= 40, "{}", disk.operations());
}

#[test]
fn the_same_calls_do_the_same_to_the_disk() {
    let run = || {
        let disk = LossyDisk::new(1);
        let store = LocalStore::open_on(Arc::new(disk.clone()), LocalOptions::simulated(1)).unwrap();
        let hub = store.create_hub("default", 2).unwrap().number;
        let at = PartitionRef { hub, partition: 1 };
        let epoch = store.acquire(at).unwrap().epoch;
        for n in 1..=100 {
            store.append(&[batch(at, epoch, n, &[7; 300])]).unwrap();
            store.idle().unwrap();
        }
        drop(store);
        let mut all = Vec::new();
        for name in disk.list().unwrap() {
            let file = disk.open(&name).unwrap();
            let mut bytes = vec![0; file.len().unwrap() as usize];
            file.read_at(&mut bytes, 0).unwrap();
            all.push((name, bytes));
        }
        (disk.operations(), all)
    };
    assert!(run() == run());
}
