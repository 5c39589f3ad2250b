//! redb's view of its file: a file of the store's disk.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use redb::StorageBackend;
use strandline_store::disk::DiskFile;

const PAGE: u64 = 4096;

/// The file under the tables. While held back, writes stay in memory, so that opening a database does
/// not change its file before the whole store is found to be sound.
#[derive(Debug)]
pub(crate) struct TablesFile {
    file: Arc<dyn DiskFile>,
    held_back: RwLock<Option<HeldBack>>,
    failure: Mutex<Option<Failure>>,
    /// Bytes written since it was opened.
    written: AtomicU64,
}

#[derive(Debug, Default)]
struct HeldBack {
    len: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

/// The first failure since the last look.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The disk was full; nothing else is wrong.
    pub(crate) full: bool,
    pub(crate) message: String,
}

impl TablesFile {
    /// How large the file is; 0 if that can't be told.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file.len().unwrap_or(0)
    }

    /// Bytes written to the file since it was opened.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(crate) fn new(file: Arc<dyn DiskFile>, hold_back: bool) -> io::Result<Self> {
        let held = if hold_back { Some(HeldBack { len: file.len()?, ..HeldBack::default() }) } else { None };
        Ok(Self { file, held_back: RwLock::new(held), failure: Mutex::new(None), written: AtomicU64::new(0) })
    }

    /// Writes what was held back; from now on writes go to the file.
    pub(crate) fn release(&self) -> io::Result<()> {
        let mut held_back = self.held_back.write();
        if let Some(held) = held_back.take() {
            if held.len != self.file.len()? {
                self.file.set_len(held.len)?;
            }
            for (page, bytes) in &held.pages {
                let at = page * PAGE;
                let n = held.len.saturating_sub(at).min(PAGE) as usize;
                if n > 0 {
                    self.file.write_at(&bytes[..n], at)?;
                }
            }
            if !held.pages.is_empty() {
                self.file.sync()?;
            }
        }
        Ok(())
    }

    /// From here on writes stay in memory: the file is left as it is.
    pub(crate) fn hold_back(&self) {
        let len = self.file.len().unwrap_or(0);
        *self.held_back.write() = Some(HeldBack { len, ..HeldBack::default() });
    }

    pub(crate) fn take_failure(&self) -> Option<Failure> {
        self.failure.lock().take()
    }

    fn note<T>(&self, serious: bool, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            let full = !serious && crate::error::is_full(error);
            self.failure.lock().get_or_insert(Failure { full, message: error.to_string() });
        }
        result
    }

    fn page(&self, held: &HeldBack, page: u64) -> io::Result<Vec<u8>> {
        if let Some(bytes) = held.pages.get(&page) {
            return Ok(bytes.clone());
        }
        let mut bytes = vec![0; PAGE as usize];
        let n = self.file.len()?.saturating_sub(page * PAGE).min(PAGE) as usize;
        self.file.read_at(&mut bytes[..n], page * PAGE)?;
        Ok(bytes)
    }

    fn read_held(&self, held: &HeldBack, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset + out.len() as u64 > held.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        while done < out.len() {
            let at = offset + done as u64;
            let inside = (at % PAGE) as usize;
            let n = (PAGE as usize - inside).min(out.len() - done);
            out[done..done + n].copy_from_slice(&self.page(held, at / PAGE)?[inside..inside + n]);
            done += n;
        }
        Ok(())
    }

    fn write_held(&self, held: &mut HeldBack, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let inside = (at % PAGE) as usize;
            let n = (PAGE as usize - inside).min(data.len() - done);
            let mut page = self.page(held, at / PAGE)?;
            page[inside..inside + n].copy_from_slice(&data[done..done + n]);
            held.pages.insert(at / PAGE, page);
            done += n;
        }
        held.len = held.len.max(offset + data.len() as u64);
        Ok(())
    }
}

/// What redb gets.
#[derive(Debug)]
pub(crate) struct Backend(pub(crate) Arc<TablesFile>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        match &*self.0.held_back.read() {
            Some(held) => Ok(held.len),
            None => self.0.file.len(),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match &*self.0.held_back.read() {
            Some(held) => self.0.read_held(held, offset, out),
            None => self.0.note(true, self.0.file.read_at(out, offset)),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        match &mut *self.0.held_back.write() {
            Some(held) => {
                held.len = len;
                Ok(())
            }
            None => self.0.note(false, self.0.file.set_len(len)),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        match &*self.0.held_back.read() {
            Some(_) => Ok(()),
            None => self.0.note(true, self.0.file.sync()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if let Some(held) = &mut *self.0.held_back.write() {
            return self.0.write_held(held, offset, data);
        }
        self.0.written.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.0.note(false, self.0.file.write_at(data, offset))
    }
}
