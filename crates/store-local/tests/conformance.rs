//! The embedded store does what every store must do: in memory, on a disk that loses things, in a directory.

use std::sync::Arc;

use strandline_store::conformance;
use strandline_store::disk::{LossyDisk, MemoryDisk};
use strandline_store_local::{LocalOptions, LocalStore};

#[test]
fn in_memory() {
    conformance::all(|| {
        let disk = MemoryDisk::new();
        move || LocalStore::open_on(Arc::new(disk.clone()), LocalOptions::simulated(1)).unwrap()
    });
}

#[test]
fn after_power_cuts() {
    conformance::all(|| {
        let disk = std::cell::RefCell::new(LossyDisk::new(1));
        move || {
            let survivor = disk.borrow().reboot();
            *disk.borrow_mut() = survivor.clone();
            LocalStore::open_on(Arc::new(survivor), LocalOptions::simulated(1)).unwrap()
        }
    });
}

#[test]
fn in_a_directory() {
    conformance::all(|| {
        let dir = tempfile::tempdir().unwrap();
        let options = LocalOptions { segment_min: 64 << 10, segment_max: 1 << 20, ..LocalOptions::default() };
        move || LocalStore::open(dir.path().join("hub"), options.clone()).unwrap()
    });
}
