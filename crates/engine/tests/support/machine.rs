//! A machine on which a store may fail while the process lives on.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use strandline_engine::runtime::{Node, NodeOptions};
use strandline_store::Store;
use strandline_store::disk::LossyDisk;
use strandline_store_local::{LocalOptions, LocalStore};

/// A disk that outlives the stores on it, as after a power cut.
#[derive(Clone)]
pub(crate) struct Machine(Arc<Mutex<LossyDisk>>);

impl Machine {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(LossyDisk::new(7))))
    }

    pub(crate) fn disk(&self) -> LossyDisk {
        self.0.lock().clone()
    }

    pub(crate) fn node(&self, flush_interval: Duration) -> Node {
        let machine = self.clone();
        let first = Mutex::new(true);
        let opener = move || {
            // Opened again only after a failure: the process lives on, so does the page cache.
            if !std::mem::replace(&mut *first.lock(), false) {
                let mut disk = machine.0.lock();
                *disk = disk.restart();
            }
            let disk = machine.disk();
            LocalStore::open_on(Arc::new(disk), LocalOptions::in_memory())
                .map(|s| Arc::new(s) as Arc<dyn Store>)
        };
        let options = NodeOptions { flush_interval, ..NodeOptions::default() };
        Node::open(Box::new(opener), options).unwrap()
    }
}
