//! Opening a store: read everything, judge, and only then change anything.

use std::collections::VecDeque;
use std::sync::Arc;

use strandline_store::disk::Disk;
use strandline_store::{PartitionRef, StoreError};

use crate::error::io_error;
use crate::format::{self, Format};
use crate::ledger::{Ledger, Used};
use crate::log::{Log, Start};
use crate::options::LocalOptions;
use crate::scan::{Scan, scan};
use crate::segment::{self, Segment, UNFINISHED, zero};
use crate::tables::{self, Meta, Tables};

/// Segments shorter than this, in bytes, are not worth using.
const SIZE_MIN: u64 = 4096;

/// A store that was found sound and made ready.
pub(crate) struct Opened {
    pub(crate) tables: Tables,
    pub(crate) log: Log,
    /// What the tables held, with this incarnation's number.
    pub(crate) meta: Meta,
}

/// Opens or creates the store on `disk`, which `place` names in errors.
pub(crate) fn open(disk: Arc<dyn Disk>, place: &str, options: LocalOptions) -> Result<Opened, StoreError> {
    let listed = || disk.list().map_err(io_error(|| format!("listing {place}")));
    let names = listed()?;
    if !names.iter().any(|n| n == format::FILE) {
        if let Some(name) = names.iter().find(|n| *n == tables::FILE || segment::number(n).is_some()) {
            return Err(StoreError::Corrupt {
                file: format::FILE.into(),
                offset: 0,
                reason: format!("it is missing although {name} is there; restore it from a backup"),
            });
        }
        format::write(&*disk, new_identity(&options)?)?;
    }
    let Format { version, identity } = format::check(&*disk, place)?;
    let names = listed()?;
    let numbers: Vec<u64> = names.iter().filter_map(|n| segment::number(n)).collect();
    if !names.iter().any(|n| n == tables::FILE) {
        if !numbers.is_empty() {
            return Err(missing(tables::FILE, "there is a log but no tables"));
        }
        Tables::create(&*disk, identity, &new_secret(&options)?, options.cache_bytes)?;
    }
    let mut tables = Tables::open(&*disk, options.cache_bytes)?;
    tables.sabotage(options.sabotage);
    let mut meta = tables.meta()?;
    if meta.identity != identity {
        return Err(StoreError::Corrupt {
            file: format::FILE.into(),
            offset: 0,
            reason: format!("its id {identity:016x} is not the tables' {:016x}", meta.identity),
        });
    }

    let mut numbers = numbers;
    numbers.sort_unstable();
    let mut segments = Vec::new();
    let mut free = Vec::new();
    for number in &numbers {
        let opened = Segment::open(&*disk, identity, *number)
            .map_err(io_error(|| format!("opening {}", segment::name(*number))))?;
        if *number < meta.first_segment { free.push(opened) } else { segments.push(opened) }
    }
    let new_log = segments.is_empty() && meta.incarnation == 0;
    if !new_log && segments.first().is_none_or(|s| s.number != meta.first_segment) {
        return Err(missing(&segment::name(meta.first_segment), "the tables call it needed"));
    }
    let mut found = scan(&segments, meta.first_lsn, meta.durable)?;
    let mut ledger = Ledger::new((options.segment_min / 16).clamp(256, 64 << 10));
    // What the tables show already stays out of them: its rows may have been dropped since.
    found.hubs.retain(|change| meta.hubs.apply(change));
    for (at, position) in &meta.positions {
        if meta.hubs.partitions(at.hub).is_some() {
            ledger.restore(*at, *position);
        }
    }
    restore_tail(&mut ledger, &segments, &mut found, &meta)?;

    // The store is sound: from here on it may change.
    tables.release()?;
    let ours = |n: &str| [tables::FILE, format::FILE].contains(&n) || segment::number(n).is_some();
    for name in listed()?.iter().filter(|n| n.strip_suffix(UNFINISHED).is_some_and(ours)) {
        disk.remove(name).map_err(io_error(|| format!("removing {name}")))?;
    }
    // A process that was killed between renaming a file and syncing the directory left a name that is
    // there now and gone after a power cut, with everything appended to the file meanwhile.
    disk.sync_dir().map_err(io_error(|| format!("syncing {place}")))?;
    make_certain(&segments, &found)?;
    if new_log {
        let made = Segment::create(&*disk, identity, meta.first_segment, options.segment_min)
            .map_err(crate::log::prepare_error)?;
        segments.push(made);
    }
    if version < format::VERSION {
        // First: a program that knows no indexes must not change rows between two attempts to build them.
        format::write(&*disk, identity)?;
    }
    if !meta.indexed {
        tables.build_indexes(&new_secret(&options)?)?;
    }
    meta.incarnation += 1;
    meta.durable = found.next_lsn - 1;
    tables.begin(meta.incarnation, meta.durable, &found.hubs)?;

    let mut ready: VecDeque<Segment> = segments.split_off(found.used.len()).into();
    let mut next_number = segments.last().map_or(meta.first_segment, |s| s.number + 1);
    let usable = ready.iter().take_while(|s| {
        let usable = s.number == next_number && s.size >= SIZE_MIN;
        next_number += u64::from(usable);
        usable
    });
    let usable = usable.count();
    // A segment after a gap in the numbers could never be read, and its number will be needed.
    for useless in ready.drain(usable..) {
        disk.remove(&useless.name()).map_err(io_error(|| format!("removing {}", useless.name())))?;
    }
    let mut starts = 0;
    for (segment, first_lsn) in segments.iter().zip(&found.first_lsns) {
        ledger.segments.push_back(Used { segment: segment.clone(), start: starts, first_lsn: *first_lsn });
        starts += segment.size;
    }
    let offset = found.used.last().copied().unwrap_or(0);
    ledger.end = ledger.segments.back().map_or(0, |u| u.start) + offset;
    let start =
        Start { ledger, offset, next_lsn: found.next_lsn, newest: found.newest, ready, free, next_number };
    let log =
        Log::new(disk, options, identity, start).ok_or_else(|| missing("log", "there is no segment"))?;
    Ok(Opened { tables, log, meta })
}

/// Gives every batch that the tables don't reflect to its partition.
fn restore_tail(
    ledger: &mut Ledger,
    segments: &[Segment],
    found: &mut Scan,
    meta: &Meta,
) -> Result<(), StoreError> {
    let mut starts = Vec::new();
    let mut sum = 0;
    for segment in segments {
        starts.push(sum);
        sum += segment.size;
    }
    if let Some((offset, at, position)) = found.headless
        && meta.hubs.partitions(at.hub).is_some()
        && ledger.get(at).is_none_or(|e| e.flushed < position)
    {
        let reason = format!("the beginning of batch {position} of {at:?} is missing");
        return Err(StoreError::Corrupt { file: segments[0].name(), offset, reason });
    }
    for (index, offset, batch) in found.batches.drain(..) {
        let PartitionRef { hub, partition } = batch.at;
        let wrong = |reason: String| StoreError::Corrupt { file: segments[index].name(), offset, reason };
        if hub == 0 || hub >= meta.hubs.next {
            return Err(wrong(format!("a batch of hub {hub}, which was never created")));
        }
        // The hub was deleted.
        let Some(partitions) = meta.hubs.partitions(hub) else { continue };
        if partition >= partitions {
            return Err(wrong(format!("a batch of partition {partition} of {partitions}")));
        }
        let entry = ledger.entry(batch.at);
        if batch.position <= entry.flushed {
            continue;
        }
        if batch.position != entry.last + 1 {
            let expected = entry.last + 1;
            return Err(wrong(format!("batch {} of {:?} instead of {expected}", batch.position, batch.at)));
        }
        let (at, position) = (batch.at, batch.position);
        entry.recovered.push(batch);
        ledger.commit(at, position, starts[index] + offset);
    }
    Ok(())
}

/// Writes again what was read but may not be on the disk itself, and wipes what was cut off.
fn make_certain(segments: &[Segment], found: &Scan) -> Result<(), StoreError> {
    let mut touched = std::collections::BTreeSet::new();
    let run = |index: usize, from: u64, to: u64, wipe: bool| {
        let file = &segments[index].file;
        if wipe {
            return zero(&**file, from, to);
        }
        // After a failed sync the page cache may hold what the disk does not: a mere sync would not
        // write it.
        let mut bytes = vec![0; (to - from) as usize];
        file.read_at(&mut bytes, from)?;
        file.write_at(&bytes, from)
    };
    for (wipe, ranges) in [(false, &found.uncertain), (true, &found.leftovers)] {
        for (index, from, to) in ranges {
            let name = || format!("repairing {}", segments[*index].name());
            if wipe {
                let file = segments[*index].name();
                tracing::warn!(file, offset = from, bytes = to - from, "cut an unfinished end off the log");
            }
            run(*index, *from, *to, wipe).map_err(io_error(name))?;
            touched.insert(*index);
        }
    }
    for index in touched {
        segments[index].file.sync().map_err(io_error(|| format!("syncing {}", segments[index].name())))?;
    }
    Ok(())
}

fn new_identity(options: &LocalOptions) -> Result<u64, StoreError> {
    options.identity.map_or_else(|| getrandom::u64().map_err(no_randomness), Ok)
}

/// The secret of a new store; of one with a given identity it is no secret, but repeatable.
fn new_secret(options: &LocalOptions) -> Result<[u8; 32], StoreError> {
    let mut secret = [0; 32];
    match options.identity {
        Some(identity) => secret[..8].copy_from_slice(&identity.to_be_bytes()),
        None => getrandom::fill(&mut secret).map_err(no_randomness)?,
    }
    Ok(secret)
}

fn no_randomness(error: getrandom::Error) -> StoreError {
    let what = "getting random numbers for a data directory".into();
    StoreError::Io { what, source: std::io::Error::other(error.to_string()) }
}

fn missing(file: &str, why: &str) -> StoreError {
    StoreError::Corrupt { file: file.into(), offset: 0, reason: format!("it is missing: {why}") }
}
