//! The log: one thread appends, others prepare and drop segments.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use strandline_model::Timestamp;
use strandline_store::disk::Disk;
use strandline_store::{Batch, PartitionRef, StoreError};

use crate::error::{io_error, is_full};
use crate::frame::{Frame, HEADER, Kind, size_of};
use crate::hubs::HubChange;
use crate::ledger::{Checks, Ledger, Used};
use crate::options::{LocalOptions, Sabotage};
use crate::segment::Segment;
use crate::window::Window;

/// Locks are taken in the order `writer`, `preparer`, then `ready` or `ledger`; only the last two are
/// never held during I/O.
#[derive(Debug)]
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    options: LocalOptions,
    identity: u64,
    writer: Mutex<Writer>,
    preparer: Mutex<Preparer>,
    /// Prepared segments in the order of their use.
    ready: Mutex<VecDeque<Segment>>,
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) syncs: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// Bytes left in the segment being written.
    room: AtomicU64,
    /// The newest sequence number known durable.
    durable: AtomicU64,
}

#[derive(Debug)]
struct Writer {
    active: Segment,
    /// The address where `active` begins.
    start: u64,
    offset: u64,
    next_lsn: u64,
    /// The newest durable frame that is no trailer.
    newest: u64,
    /// The newest such frame that a trailer covers.
    covered: u64,
    /// `active` holds a trailer that was not synced yet.
    unsynced: bool,
    buffer: Vec<u8>,
    places: Vec<u64>,
}

#[derive(Debug)]
struct Preparer {
    next_number: u64,
    next_size: u64,
    free: Vec<Segment>,
}

/// What a log begins with.
pub(crate) struct Start {
    pub(crate) ledger: Ledger,
    pub(crate) offset: u64,
    pub(crate) next_lsn: u64,
    pub(crate) newest: u64,
    pub(crate) ready: VecDeque<Segment>,
    pub(crate) free: Vec<Segment>,
    pub(crate) next_number: u64,
}

impl Log {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        options: LocalOptions,
        identity: u64,
        start: Start,
    ) -> Option<Self> {
        let Used { segment: active, start: address, .. } = start.ledger.segments.back()?.clone();
        let largest = start.ready.iter().chain([&active]).map(|s| s.size).max().unwrap_or(0);
        let next_size = (largest * 4).clamp(options.segment_min, options.segment_max);
        Some(Self {
            room: AtomicU64::new(active.size.saturating_sub(start.offset)),
            durable: AtomicU64::new(start.next_lsn - 1),
            writer: Mutex::new(Writer {
                active,
                start: address,
                offset: start.offset,
                next_lsn: start.next_lsn,
                newest: start.newest,
                covered: 0,
                unsynced: false,
                buffer: Vec::new(),
                places: Vec::new(),
            }),
            preparer: Mutex::new(Preparer { next_number: start.next_number, next_size, free: start.free }),
            ready: Mutex::new(start.ready),
            ledger: Mutex::new(start.ledger),
            syncs: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            disk,
            options,
            identity,
        })
    }

    /// The newest frame known durable.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Keeps appends out while held.
    pub(crate) fn pause(&self) -> impl Sized + '_ {
        self.writer.lock()
    }

    pub(crate) fn append(&self, group: &[Batch]) -> Result<(), StoreError> {
        if group.is_empty() {
            return Ok(());
        }
        let mut writer = self.writer.lock();
        let writer = &mut *writer;
        let check = Checks {
            epoch: self.options.sabotage != Sabotage::SkipEpochCheck,
            position: self.options.sabotage != Sabotage::SkipPositionCheck,
        };
        self.ledger.lock().begin(group, check)?;
        if let Err(error) = self.make_room(writer, group) {
            self.ledger.lock().abandon(group);
            return Err(error);
        }
        let entered = self.append_frames(writer, Kind::Batch, group)?;
        let mut ledger = self.ledger.lock();
        ledger.segments.extend(entered);
        ledger.end = writer.start + writer.offset;
        for (batch, address) in group.iter().zip(&writer.places) {
            ledger.commit(batch.at, batch.position, *address);
        }
        Ok(())
    }

    /// Makes durable what became of a hub.
    pub(crate) fn append_hub(&self, change: HubChange) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        let writer = &mut *writer;
        let at = PartitionRef { hub: change.hub().number, partition: 0 };
        let frame = [Batch { at, epoch: 0, position: 0, time: Timestamp::EPOCH, records: change.encode() }];
        self.make_room(writer, &frame)?;
        let entered = self.append_frames(writer, Kind::Hub, &frame)?;
        let mut ledger = self.ledger.lock();
        ledger.segments.extend(entered);
        ledger.end = writer.start + writer.offset;
        ledger.hubs.push(change);
        Ok(())
    }

    /// Writes batches, for which there is room, and syncs them. Returns the segments it went on in.
    fn append_frames(
        &self,
        writer: &mut Writer,
        kind: Kind,
        group: &[Batch],
    ) -> Result<Vec<Used>, StoreError> {
        let mut written = Vec::new();
        let mut entered = Vec::new();
        writer.places.clear();
        writer.buffer.clear();
        let mut begin = writer.offset;
        for batch in group {
            let mut rest = &batch.records[..];
            let mut first = true;
            loop {
                let room = writer.active.size.saturating_sub(writer.offset);
                let Some(piece) = self.piece(rest.len(), room, writer.active.size) else {
                    self.write(&writer.active, &writer.buffer, begin)?;
                    // A trailer that got lost would cut off what follows it.
                    if !writer.buffer.is_empty() || writer.unsynced {
                        written.push(writer.active.clone());
                    }
                    writer.unsynced = false;
                    writer.buffer.clear();
                    entered.push(self.enter_next(writer)?);
                    begin = 0;
                    continue;
                };
                if first {
                    writer.places.push(writer.start + writer.offset);
                }
                let (body, after) = rest.split_at(piece);
                let frame = Frame {
                    salt: writer.active.salt,
                    lsn: writer.next_lsn,
                    durable: self.durable(),
                    position: batch.position,
                    epoch: batch.epoch,
                    time: batch.time,
                    at: batch.at,
                    kind,
                    first,
                    last: after.is_empty(),
                };
                frame.encode(body, &mut writer.buffer);
                writer.next_lsn += 1;
                writer.offset += size_of(piece) as u64;
                first = false;
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
        }
        self.write(&writer.active, &writer.buffer, begin)?;
        written.push(writer.active.clone());
        if self.options.sabotage != Sabotage::DropSync {
            for segment in &written {
                segment.file.sync().map_err(io_error(|| format!("syncing {}", segment.name())))?;
                self.syncs.fetch_add(1, Ordering::Relaxed);
            }
        }
        writer.unsynced = false;
        writer.newest = writer.next_lsn - 1;
        self.durable.store(writer.next_lsn - 1, Ordering::Release);
        self.room.store(writer.active.size - writer.offset, Ordering::Relaxed);
        // A huge group should not keep its buffer for ever.
        writer.buffer.shrink_to(4 << 20);
        Ok(entered)
    }

    /// How much of a body of `rest` bytes goes into the next frame; `None` when it must wait for the
    /// next segment.
    fn piece(&self, rest: usize, room: u64, segment: u64) -> Option<usize> {
        let wanted = rest.min(self.options.frame_bytes);
        if size_of(wanted) as u64 <= room {
            return Some(wanted);
        }
        // Not worth splitting for less than this.
        let least = HEADER as u64 + (segment / 8).min(4096);
        (room >= least && room > HEADER as u64).then(|| (room as usize - HEADER) & !7)
    }

    /// Makes sure that the whole group fits in segments that are there, before anything is written.
    fn make_room(&self, writer: &Writer, group: &[Batch]) -> Result<(), StoreError> {
        let simple: u64 = group.iter().map(|b| size_of(b.records.len()) as u64).sum();
        if simple <= writer.active.size.saturating_sub(writer.offset)
            && group.iter().all(|b| b.records.len() <= self.options.frame_bytes)
        {
            return Ok(());
        }
        let mut ahead = 0;
        let (mut offset, mut size) = (writer.offset, writer.active.size);
        for batch in group {
            let mut rest = batch.records.len();
            loop {
                if let Some(piece) = self.piece(rest, size.saturating_sub(offset), size) {
                    offset += size_of(piece) as u64;
                    rest -= piece;
                    if rest == 0 {
                        break;
                    }
                } else {
                    ahead += 1;
                    self.prepare_until(|ready| ready.len() >= ahead)?;
                    size = self.ready.lock().get(ahead - 1).map_or(0, |s| s.size);
                    offset = 0;
                }
            }
        }
        Ok(())
    }

    fn write(&self, segment: &Segment, bytes: &[u8], offset: u64) -> Result<(), StoreError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        segment.file.write_at(bytes, offset).map_err(io_error(|| format!("writing {}", segment.name())))
    }

    fn enter_next(&self, writer: &mut Writer) -> Result<Used, StoreError> {
        let next = self.ready.lock().pop_front();
        let next = next.ok_or_else(|| StoreError::Failed("no segment is prepared".into()))?;
        writer.start += writer.active.size;
        writer.offset = 0;
        writer.active = next.clone();
        Ok(Used { segment: next, start: writer.start, first_lsn: writer.next_lsn })
    }

    /// Writes a trailer when there is something that no trailer or later frame covers.
    pub(crate) fn mark_durable(&self, sync: bool) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        let writer = &mut *writer;
        let fits = |w: &Writer| w.active.size.saturating_sub(w.offset) >= HEADER as u64;
        if writer.newest > writer.covered {
            if !fits(writer) {
                if self.ready.lock().is_empty() {
                    // The tables say it as well at the next flush; not worth a new segment.
                    return Ok(());
                }
                let used = self.enter_next(writer)?;
                self.ledger.lock().segments.push_back(used);
            }
            let frame = Frame::trailer(writer.active.salt, writer.next_lsn, self.durable());
            writer.buffer.clear();
            frame.encode(&[], &mut writer.buffer);
            self.write(&writer.active, &writer.buffer, writer.offset)?;
            writer.offset += writer.buffer.len() as u64;
            writer.next_lsn += 1;
            writer.covered = writer.newest;
            writer.unsynced = true;
            self.room.store(writer.active.size - writer.offset, Ordering::Relaxed);
            self.ledger.lock().end = writer.start + writer.offset;
        }
        if sync {
            let name = writer.active.name();
            writer.active.file.sync().map_err(io_error(|| format!("syncing {name}")))?;
            writer.unsynced = false;
            self.durable.store(writer.next_lsn - 1, Ordering::Release);
        }
        Ok(())
    }

    /// Makes sure that `bytes` of records fit.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), StoreError> {
        // Headers and padding, and what splitting leaves unused at the end of segments.
        let margin = bytes / 4 + (self.options.segment_min / 4).min(64 << 10);
        let needed = bytes + margin;
        let room = self.room.load(Ordering::Relaxed);
        if room >= needed {
            return Ok(());
        }
        self.prepare_until(|ready| room + ready.iter().map(|s| s.size).sum::<u64>() >= needed)
    }

    /// Whether it is time to prepare a segment.
    pub(crate) fn wants_segment(&self) -> bool {
        let largest = self.options.segment_max;
        self.room.load(Ordering::Relaxed) < largest / 2 && self.ready.lock().is_empty() && self.half_used()
    }

    fn half_used(&self) -> bool {
        let ledger = self.ledger.lock();
        ledger.segments.back().is_some_and(|u| self.room.load(Ordering::Relaxed) < u.segment.size / 2)
    }

    pub(crate) fn prepare_one(&self) -> Result<(), StoreError> {
        self.prepare_until(|ready| !ready.is_empty())
    }

    fn prepare_until(&self, enough: impl Fn(&VecDeque<Segment>) -> bool) -> Result<(), StoreError> {
        if enough(&self.ready.lock()) {
            return Ok(());
        }
        let mut preparer = self.preparer.lock();
        while !enough(&self.ready.lock()) {
            let segment = self.prepare(&mut preparer).map_err(prepare_error)?;
            self.ready.lock().push_back(segment);
        }
        Ok(())
    }

    fn prepare(&self, preparer: &mut MutexGuard<'_, Preparer>) -> io::Result<Segment> {
        let (number, size) = (preparer.next_number, preparer.next_size);
        let segment = match preparer.free.iter().position(|s| s.size >= size) {
            Some(found) => {
                let free = preparer.free.swap_remove(found);
                free.recycle(&*self.disk, self.identity, number)?
            }
            None => Segment::create(&*self.disk, self.identity, number, size)?,
        };
        preparer.next_number += 1;
        preparer.next_size = (size * 4).clamp(self.options.segment_min, self.options.segment_max);
        Ok(segment)
    }

    /// Takes the oldest `count` segments out of use. The tables must call them unneeded already.
    pub(crate) fn drop_oldest(&self, count: usize) -> Result<(), StoreError> {
        if count == 0 {
            return Ok(());
        }
        let mut preparer = self.preparer.lock();
        let dropped: Vec<Used> = self.ledger.lock().segments.drain(..count).collect();
        for Used { segment, .. } in dropped {
            if preparer.free.is_empty() && segment.size >= preparer.next_size {
                preparer.free.push(segment);
            } else {
                let name = segment.name();
                self.disk.remove(&name).map_err(io_error(|| format!("removing {name}")))?;
            }
        }
        Ok(())
    }

    /// Batches of a partition after `position`, read from the segments. The caller keeps appends and
    /// flushes out.
    pub(crate) fn read_tail(&self, at: PartitionRef, position: u64) -> Result<Vec<Batch>, StoreError> {
        let (segments, end) = {
            let ledger = self.ledger.lock();
            let Some(address) = ledger.oldest_mark(at) else { return Ok(Vec::new()) };
            let skip = ledger.segments_before(address);
            (ledger.segments.iter().skip(skip).cloned().collect::<Vec<_>>(), ledger.end)
        };
        let mut batches: Vec<Batch> = Vec::new();
        for used in &segments {
            let mut window = Window::new(&used.segment);
            let mut offset = 0;
            while used.start + offset < end {
                let name = used.segment.name();
                let read = window.frame(offset).map_err(io_error(|| format!("reading {name}")))?;
                let Some((frame, body, after)) = read else { break };
                if frame.kind == Kind::Batch && frame.at == at && frame.position > position {
                    match batches.last_mut() {
                        Some(batch) if !frame.first => batch.records.extend_from_slice(body),
                        _ => batches.push(Batch {
                            at,
                            epoch: frame.epoch,
                            position: frame.position,
                            time: frame.time,
                            records: body.to_vec(),
                        }),
                    }
                }
                offset = after;
            }
        }
        Ok(batches)
    }
}

pub(crate) fn prepare_error(error: io::Error) -> StoreError {
    if is_full(&error) {
        StoreError::Full(format!("cannot prepare a log segment: {error}"))
    } else {
        StoreError::Io { what: "preparing a log segment".into(), source: error }
    }
}
