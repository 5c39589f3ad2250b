use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile};

const PAGE: usize = 4096;
/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// A disk in memory that loses what was not synced, for tests and the simulator.
///
/// On a crash every unsynced 512-byte sector keeps its old or its new content, at random and each on
/// its own, so writes are lost, reordered and torn. Names created, renamed or removed without
/// [`Disk::sync_dir`] survive at random too. Everything random comes from the seed. Clones share
/// one disk; [`LossyDisk::reboot`] gives the disk that survives a crash.
///
/// An *operation* is a call that may change the disk: create, rename, remove, sync_dir, write_at,
/// set_len, sync. Reads are not counted.
#[derive(Clone, Debug)]
pub struct LossyDisk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    random: u64,
    operations: u64,
    writes: u64,
    syncs: u64,
    crashed: bool,
    crash_at: Option<u64>,
    fail_write_at: Option<u64>,
    fail_sync_at: Option<u64>,
    capacity: Option<u64>,
    files: BTreeMap<u64, FileData>,
    next_file: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    unsynced_names: Vec<NameChange>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Create(String, u64),
    Rename(String, String, u64),
    Remove(String, u64),
}

type Page = Arc<[u8; PAGE]>;

#[derive(Clone, Debug, Default)]
struct Content {
    len: u64,
    /// Absent pages are zero and take no room.
    pages: Vec<Option<Page>>,
}

#[derive(Clone, Debug, Default)]
struct FileData {
    live: Content,
    durable: Content,
    dirty: BTreeSet<usize>,
}

#[derive(Debug)]
struct LossyFile {
    inner: Arc<Mutex<Inner>>,
    id: u64,
}

impl LossyDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        Self::with(Inner { random: seed, ..Inner::default() })
    }

    fn with(inner: Inner) -> Self {
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Calls of [`DiskFile::sync`] so far.
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// Calls of [`DiskFile::write_at`] so far.
    pub fn writes(&self) -> u64 {
        self.lock().writes
    }

    /// Crashes in the `n`-th operation from now (1 is the next one): it may or may not take effect
    /// and fails, and so does every call after it.
    pub fn crash_at(&self, n: u64) {
        let mut inner = self.lock();
        inner.crash_at = Some(inner.operations + n);
    }

    /// Crashes now: every later call fails.
    pub fn crash(&self) {
        self.lock().crashed = true;
    }

    /// Whether the disk has crashed.
    pub fn is_crashed(&self) -> bool {
        self.lock().crashed
    }

    /// Fails the `n`-th write from now, once; nothing of it is written.
    pub fn fail_write_at(&self, n: u64) {
        let mut inner = self.lock();
        inner.fail_write_at = Some(inner.writes + n);
    }

    /// Fails the `n`-th sync of a file from now, once. As on Linux, what it should have written is
    /// still read back but no longer counts as unwritten: a second sync succeeds without writing it.
    pub fn fail_sync_at(&self, n: u64) {
        let mut inner = self.lock();
        inner.fail_sync_at = Some(inner.syncs + n);
    }

    /// The most bytes that all files together may hold; writes beyond fail with `StorageFull`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// Bytes that the files hold.
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    /// Crashes the disk and returns what is left of it after a power cut. Faults are not carried over.
    pub fn reboot(&self) -> Self {
        let mut inner = self.lock();
        inner.crashed = true;
        let names = inner.surviving_names();
        let mut files = BTreeMap::new();
        let ids: BTreeSet<u64> = names.values().copied().collect();
        for id in ids {
            let content = inner.surviving_content(id);
            files.insert(id, FileData { live: content.clone(), durable: content, dirty: BTreeSet::new() });
        }
        Self::with(Inner {
            random: inner.next(),
            next_file: inner.next_file,
            capacity: inner.capacity,
            files,
            durable_names: names.clone(),
            names,
            ..Inner::default()
        })
    }

    /// An independent disk with the same contents, what is unsynced included; cheap. Faults are not
    /// carried over and this disk goes on.
    pub fn fork(&self) -> Self {
        let inner = self.lock();
        Self::with(Inner {
            random: inner.random ^ 0x5851_f42d_4c95_7f2d,
            capacity: inner.capacity,
            files: inner.files.clone(),
            next_file: inner.next_file,
            names: inner.names.clone(),
            durable_names: inner.durable_names.clone(),
            unsynced_names: inner.unsynced_names.clone(),
            ..Inner::default()
        })
    }

    /// Stops the process but not the machine: every later call on this disk fails, and the disk
    /// returned holds everything that was written, synced or not, still losing it in a power cut.
    pub fn restart(&self) -> Self {
        let mut inner = self.lock();
        inner.crashed = true;
        let random = inner.next();
        let taken = std::mem::take(&mut *inner);
        inner.crashed = true;
        Self::with(Inner {
            random,
            crashed: false,
            crash_at: None,
            fail_write_at: None,
            fail_sync_at: None,
            operations: 0,
            writes: 0,
            syncs: 0,
            ..taken
        })
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes a name if it is that of file `id`.
fn unname(names: &mut BTreeMap<String, u64>, name: &str, id: u64) {
    if names.get(name) == Some(&id) {
        names.remove(name);
    }
}

fn down() -> io::Error {
    io::Error::other("the disk has crashed")
}

fn not_found(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no file {name:?}"))
}

impl Inner {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    fn alive(&self) -> io::Result<()> {
        if self.crashed { Err(down()) } else { Ok(()) }
    }

    /// Counts an operation. `Ok(true)`: do it, and then the disk is down.
    fn operation(&mut self) -> io::Result<bool> {
        self.alive()?;
        self.operations += 1;
        if self.crash_at == Some(self.operations) {
            self.crashed = true;
            return if self.coin() { Ok(true) } else { Err(down()) };
        }
        Ok(false)
    }

    fn used(&self) -> u64 {
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        let pages: usize = self
            .files
            .iter()
            .filter(|(id, _)| named.contains(id))
            .map(|(_, f)| f.live.pages.iter().flatten().count())
            .sum();
        (pages * PAGE) as u64
    }

    fn surviving_names(&mut self) -> BTreeMap<String, u64> {
        let mut names = self.durable_names.clone();
        for change in std::mem::take(&mut self.unsynced_names) {
            if self.coin() {
                continue;
            }
            match change {
                NameChange::Create(name, id) => {
                    names.insert(name, id);
                }
                NameChange::Rename(from, to, id) => {
                    unname(&mut names, &from, id);
                    names.insert(to, id);
                }
                NameChange::Remove(name, id) => unname(&mut names, &name, id),
            }
        }
        names
    }

    fn surviving_content(&mut self, id: u64) -> Content {
        let Some(file) = self.files.get_mut(&id) else { return Content::default() };
        let (mut content, live) = (std::mem::take(&mut file.durable), std::mem::take(&mut file.live));
        let dirty = std::mem::take(&mut file.dirty);
        if live.len != content.len && self.coin() {
            content.set_len(live.len);
        }
        for page in dirty {
            let keep = self.next();
            let mut sector = [0; SECTOR];
            for i in (0..PAGE / SECTOR).filter(|i| keep >> i & 1 == 1) {
                let at = (page * PAGE + i * SECTOR) as u64;
                if at < content.len {
                    live.read(&mut sector, at);
                    let end = (content.len - at).min(SECTOR as u64) as usize;
                    content.write(&sector[..end], at);
                }
            }
        }
        content
    }
}

impl Content {
    fn set_len(&mut self, len: u64) {
        let pages = (len as usize).div_ceil(PAGE);
        if len < self.len {
            self.pages.truncate(pages);
            let inside = len as usize % PAGE;
            if inside > 0
                && let Some(Some(page)) = self.pages.last_mut()
            {
                Arc::make_mut(page)[inside..].fill(0);
            }
        }
        self.pages.resize(pages, None);
        self.len = len;
    }

    /// Reads `buf.len()` bytes; zeros past the end.
    fn read(&self, buf: &mut [u8], offset: u64) {
        let mut at = offset as usize;
        let mut done = 0;
        while done < buf.len() {
            let (page, inside) = (at / PAGE, at % PAGE);
            let n = (PAGE - inside).min(buf.len() - done);
            match self.pages.get(page) {
                Some(Some(page)) => buf[done..done + n].copy_from_slice(&page[inside..inside + n]),
                _ => buf[done..done + n].fill(0),
            }
            done += n;
            at += n;
        }
    }

    fn write(&mut self, buf: &[u8], offset: u64) {
        let end = offset + buf.len() as u64;
        if end > self.len {
            self.set_len(end);
        }
        let mut at = offset as usize;
        let mut done = 0;
        while done < buf.len() {
            let (page, inside) = (at / PAGE, at % PAGE);
            let n = (PAGE - inside).min(buf.len() - done);
            let page = self.pages[page].get_or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(page)[inside..inside + n].copy_from_slice(&buf[done..done + n]);
            done += n;
            at += n;
        }
    }

    fn missing_pages(&self, offset: u64, len: usize) -> usize {
        let (from, to) = (offset as usize / PAGE, (offset as usize + len).div_ceil(PAGE));
        (from..to).filter(|p| !matches!(self.pages.get(*p), Some(Some(_)))).count()
    }
}

impl Disk for LossyDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inner = self.lock();
        inner.alive()?;
        let id = *inner.names.get(name).ok_or_else(|| not_found(name))?;
        Ok(Arc::new(LossyFile { inner: self.inner.clone(), id }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.lock();
        let crash = inner.operation()?;
        if inner.names.contains_key(name) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("file {name:?} exists")));
        }
        let id = inner.next_file;
        inner.next_file += 1;
        inner.files.insert(id, FileData::default());
        inner.names.insert(name.to_owned(), id);
        inner.unsynced_names.push(NameChange::Create(name.to_owned(), id));
        if crash { Err(down()) } else { Ok(Arc::new(LossyFile { inner: self.inner.clone(), id })) }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let inner = self.lock();
        inner.alive()?;
        Ok(inner.names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.lock();
        let crash = inner.operation()?;
        let id = inner.names.remove(from).ok_or_else(|| not_found(from))?;
        inner.names.insert(to.to_owned(), id);
        inner.unsynced_names.push(NameChange::Rename(from.to_owned(), to.to_owned(), id));
        if crash { Err(down()) } else { Ok(()) }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.lock();
        let crash = inner.operation()?;
        let id = inner.names.remove(name).ok_or_else(|| not_found(name))?;
        inner.unsynced_names.push(NameChange::Remove(name.to_owned(), id));
        if crash { Err(down()) } else { Ok(()) }
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut inner = self.lock();
        let crash = inner.operation()?;
        inner.durable_names = inner.names.clone();
        inner.unsynced_names.clear();
        let kept: BTreeSet<u64> = inner.names.values().copied().collect();
        inner.files.retain(|id, _| kept.contains(id));
        if crash { Err(down()) } else { Ok(()) }
    }
}

impl LossyFile {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

impl DiskFile for LossyFile {
    fn len(&self) -> io::Result<u64> {
        let inner = self.lock();
        inner.alive()?;
        Ok(inner.files.get(&self.id).map_or(0, |f| f.live.len))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let inner = self.lock();
        inner.alive()?;
        let file = inner.files.get(&self.id).ok_or_else(down)?;
        if offset + buf.len() as u64 > file.live.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.live.read(buf, offset);
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut inner = self.lock();
        let crash = inner.operation()?;
        inner.writes += 1;
        if inner.fail_write_at == Some(inner.writes) {
            return Err(io::Error::other("injected write failure"));
        }
        let free = inner.capacity.map(|c| c.saturating_sub(inner.used()));
        let file = inner.files.entry(self.id).or_default();
        let needed = file.live.missing_pages(offset, buf.len()) * PAGE;
        if free.is_some_and(|free| needed as u64 > free) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on the simulated disk"));
        }
        file.live.write(buf, offset);
        file.dirty.extend(offset as usize / PAGE..(offset as usize + buf.len()).div_ceil(PAGE));
        if crash { Err(down()) } else { Ok(()) }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inner = self.lock();
        let crash = inner.operation()?;
        let file = inner.files.entry(self.id).or_default();
        let (old, new) = (file.live.pages.len(), len as usize / PAGE);
        file.live.set_len(len);
        // What was cut off must not come back when the file grows again.
        file.dirty.extend(new..old);
        if crash { Err(down()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.lock();
        let crash = inner.operation()?;
        inner.syncs += 1;
        let fail = inner.fail_sync_at == Some(inner.syncs);
        let file = inner.files.entry(self.id).or_default();
        let dirty = std::mem::take(&mut file.dirty);
        if fail {
            return Err(io::Error::other("injected sync failure"));
        }
        file.durable.set_len(file.live.len);
        for page in dirty {
            if let Some(content) = file.live.pages.get(page) {
                file.durable.pages[page].clone_from(content);
            }
        }
        if crash { Err(down()) } else { Ok(()) }
    }
}
