//! A lossy disk that remembers what only its files can tell: that log segments were trimmed or recycled.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use strandline_store::disk::{Disk, DiskFile, LossyDisk};

#[derive(Debug, Default)]
pub(crate) struct Sightings {
    pub(crate) recycled: AtomicU64,
    pub(crate) trimmed: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct WatchedDisk {
    pub(crate) disk: LossyDisk,
    pub(crate) sightings: Arc<Sightings>,
}

fn is_segment(name: &str) -> bool {
    name.strip_prefix("log-").is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
}

impl Disk for WatchedDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(name)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        if is_segment(from) {
            self.sightings.recycled.fetch_add(1, Ordering::Relaxed);
            self.sightings.trimmed.fetch_add(1, Ordering::Relaxed);
        }
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        if is_segment(name) {
            self.sightings.trimmed.fetch_add(1, Ordering::Relaxed);
        }
        self.disk.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }
}
