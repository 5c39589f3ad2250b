//! The files of a store, so that the simulator can put a lossy disk under the real code.

mod lossy;
mod memory;

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

pub use lossy::LossyDisk;
pub use memory::MemoryDisk;

/// A flat directory of files.
pub trait Disk: Send + Sync + Debug + 'static {
    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates a file; fails if it exists. It survives a crash only after [`Disk::sync_dir`].
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Names of all files, sorted.
    fn list(&self) -> io::Result<Vec<String>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes created, renamed and removed names durable.
    fn sync_dir(&self) -> io::Result<()>;
}

/// One file. Writes survive a crash only after [`DiskFile::sync`].
pub trait DiskFile: Send + Sync + Debug {
    fn len(&self) -> io::Result<u64>;
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Fills `buf`; fails with `UnexpectedEof` past the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// `fdatasync`: data and what is needed to read it back, the length included.
    fn sync(&self) -> io::Result<()>;
}
