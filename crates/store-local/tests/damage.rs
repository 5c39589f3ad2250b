//! Logs that were cut or changed by something other than the store: cut where that is all that can have
//! happened, refused where something durable is gone.

mod common;

use std::ops::Range;
use std::sync::Arc;

use common::{Random, batch, rows};
use strandline_store::disk::{Disk, LossyDisk};
use strandline_store::{PartitionRef, Store, StoreError};
use strandline_store_local::{LocalOptions, LocalStore};

const PARTITIONS: u16 = 3;

/// A frame as it lies in its file.
#[derive(Clone, Debug)]
struct Place {
    file: String,
    bytes: Range<u64>,
    lsn: u64,
    durable: u64,
    kind: Kind,
    last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Batch,
    Trailer,
    Hub,
}

struct Sample {
    disk: LossyDisk,
    frames: Vec<Place>,
    /// What the tables call durable.
    tables_durable: u64,
    batches: u64,
}

fn options() -> LocalOptions {
    LocalOptions { segment_min: 4096, segment_max: 8192, frame_bytes: 700, ..LocalOptions::simulated(7) }
}

/// A log of several segments with groups, batches over several frames and segments, and trailers.
fn sample(flush: bool, trailer: bool) -> Sample {
    let disk = LossyDisk::new(3);
    let store = LocalStore::open_on(Arc::new(disk.clone()), options()).unwrap();
    let hub = store.create_hub("h", PARTITIONS).unwrap().number;
    let at = |p: u16| PartitionRef { hub, partition: p };
    let epochs: Vec<u64> = (0..PARTITIONS).map(|p| store.acquire(at(p)).unwrap().epoch).collect();
    let mut random = Random(5);
    let mut positions = [0u64; PARTITIONS as usize];
    let mut batches = 0;
    let mut tables_durable = 0;
    for step in 0..60 {
        let mut group = Vec::new();
        for _ in 0..1 + random.below(3) {
            let p = random.below(u64::from(PARTITIONS)) as u16;
            positions[usize::from(p)] += 1;
            let len = if random.below(9) == 0 { 2500 } else { random.below(200) };
            let records = random.bytes(len as usize);
            group.push(batch(at(p), epochs[usize::from(p)], positions[usize::from(p)], records));
            batches += 1;
        }
        store.append(&group).unwrap();
        if step % 10 == 9 {
            store.idle().unwrap();
        }
        if flush && step == 40 {
            // Not enough to drop a segment, but the tables now know of these frames.
            store.flush(&[(at(0), rows(1))]).unwrap();
            tables_durable = frames(&disk).last().unwrap().lsn;
        }
    }
    if trailer {
        store.idle().unwrap();
    }
    drop(store);
    let frames = frames(&disk);
    Sample { disk: disk.restart(), frames, tables_durable, batches }
}

fn frames(disk: &LossyDisk) -> Vec<Place> {
    let mut found = Vec::new();
    for file in disk.list().unwrap().into_iter().filter(|n| n.starts_with("log-")) {
        let open = disk.open(&file).unwrap();
        let mut bytes = vec![0; open.len().unwrap() as usize];
        open.read_at(&mut bytes, 0).unwrap();
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let mut at = 0;
        while at + 72 <= bytes.len() && number(at + 8) != 0 {
            let len = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
            let end = at + 72 + len.next_multiple_of(8);
            found.push(Place {
                file: file.clone(),
                bytes: at as u64..end as u64,
                lsn: number(at + 16),
                durable: number(at + 24),
                kind: [Kind::Batch, Kind::Trailer, Kind::Hub][usize::from(bytes[at + 66]) - 1],
                last: bytes[at + 67] & 2 != 0,
            });
            at = end;
        }
    }
    found
}

impl Sample {
    /// What the rules demand: the number of batches, or `None` for a refusal.
    fn expected(&self, damaged: impl Fn(&Place) -> bool) -> Option<u64> {
        let durable = self.frames.iter().filter(|f| !damaged(f)).map(|f| f.durable).max().unwrap_or(0);
        let durable = durable.max(self.tables_durable);
        let mut kept = 0;
        // The sequence number after the last whole batch or trailer.
        let mut next = 1;
        for frame in self.frames.iter().take_while(|f| !damaged(f)) {
            if frame.kind == Kind::Trailer || frame.last {
                kept += u64::from(frame.kind == Kind::Batch);
                next = frame.lsn + 1;
            }
        }
        (durable < next).then_some(kept)
    }

    fn check(&self, disk: LossyDisk, expected: Option<u64>, what: &str) {
        let opened = LocalStore::open_on(Arc::new(disk.clone()), options());
        match (opened, expected) {
            (Err(StoreError::Corrupt { file, .. }), None) => {
                assert!(file.starts_with("log-"), "{what}: blames {file}");
                assert_eq!(disk.operations(), 0, "{what}: changed something before it refused");
            }
            (Err(error), _) => panic!("{what}: {error}, expected {expected:?}"),
            (Ok(_), None) => panic!("{what}: opened although something durable is gone"),
            (Ok(store), Some(expected)) => {
                let hub = store.hubs().unwrap()[0].number;
                let mut found = 0;
                let mut next = Vec::new();
                for partition in 0..PARTITIONS {
                    let at = PartitionRef { hub, partition };
                    let owned = store.acquire(at).unwrap();
                    let flushed = owned.row.map_or(0, |r| r.position);
                    let last = flushed + owned.tail.len() as u64;
                    found += last;
                    next.push(batch(at, owned.epoch, last + 1, vec![partition as u8; 100]));
                }
                assert_eq!(found, expected, "{what}");
                // The log goes on, and nothing that was cut off comes back.
                store.append(&next).unwrap();
                drop(store);
                let store = LocalStore::open_on(Arc::new(disk.reboot()), options()).unwrap();
                for batch in next {
                    assert_eq!(store.acquire(batch.at).unwrap().tail.last(), Some(&batch), "{what}");
                }
            }
        }
    }

    fn cut(&self, file: &str, len: u64) {
        let disk = self.disk.fork();
        let open = disk.open(file).unwrap();
        open.set_len(len).unwrap();
        open.sync().unwrap();
        let damaged = |f: &Place| f.file == *file && f.bytes.end > len;
        self.check(disk.fork(), self.expected(damaged), &format!("{file} cut to {len}"));
    }

    fn flip(&self, file: &str, byte: u64, bit: u8) {
        let disk = self.disk.fork();
        let open = disk.open(file).unwrap();
        let mut value = [0];
        open.read_at(&mut value, byte).unwrap();
        open.write_at(&[value[0] ^ 1 << bit], byte).unwrap();
        open.sync().unwrap();
        let damaged = |f: &Place| f.file == *file && f.bytes.contains(&byte);
        self.check(disk.fork(), self.expected(damaged), &format!("bit {bit} of byte {byte} of {file}"));
    }
}

/// All bytes are tried when the environment asks for it; else a sample.
fn step() -> usize {
    if std::env::var_os("STRANDLINE_EVERY_BYTE").is_some() { 1 } else { 61 }
}

#[test]
fn the_sample_has_what_it_should() {
    let sample = sample(false, true);
    let files: std::collections::BTreeSet<_> = sample.frames.iter().map(|f| &f.file).collect();
    assert!(files.len() >= 3, "{files:?}");
    assert_eq!(sample.batches, sample.expected(|_| false).unwrap());
    assert!(sample.frames.iter().filter(|f| f.kind == Kind::Trailer).count() >= 6);
    assert!(
        sample.frames.windows(2).any(|w| !w[0].last && w[0].kind == Kind::Batch && w[0].file != w[1].file)
    );
}

#[test]
fn cuts_leave_a_prefix_or_are_refused() {
    for (flush, trailer) in [(false, true), (false, false), (true, true)] {
        let sample = sample(flush, trailer);
        let mut files: Vec<_> = sample.frames.iter().map(|f| f.file.clone()).collect();
        files.dedup();
        for file in &files {
            let end = sample.frames.iter().filter(|f| f.file == *file).map(|f| f.bytes.end).max().unwrap();
            // Every byte around the ends of frames, a sample of the others.
            let ends = sample.frames.iter().filter(|f| f.file == *file).map(|f| f.bytes.end);
            let mut cuts: Vec<u64> = (0..=end).step_by(step()).collect();
            cuts.extend(ends.flat_map(|e| [e - 9, e - 8, e - 1, e, e + 1]));
            cuts.sort_unstable();
            cuts.dedup();
            for len in cuts {
                sample.cut(file, len);
            }
        }
    }
}

#[test]
fn flipped_bits_are_refused_where_a_later_frame_covers_them() {
    for (flush, trailer) in [(false, true), (true, false)] {
        let sample = sample(flush, trailer);
        for (i, frame) in sample.frames.iter().enumerate() {
            let body =
                (frame.bytes.start..frame.bytes.end).skip(i % 7).step_by(if step() == 1 { 1 } else { 91 });
            for byte in body {
                for bit in (0..8).filter(|b| step() == 1 || (byte + i as u64) % 8 == *b) {
                    sample.flip(&frame.file, byte, bit as u8);
                }
            }
        }
        // Nothing lies after the last frame: a change there is none of the store's business.
        let last = sample.frames.last().unwrap();
        sample.flip(&last.file, last.bytes.end + 20, 3);
    }
}

#[test]
fn missing_files_are_refused() {
    let sample = sample(true, true);
    let mut files: Vec<_> = sample.frames.iter().map(|f| f.file.clone()).collect();
    files.dedup();
    for file in files.iter().map(String::as_str).chain(["tables.redb", "format"]) {
        let disk = sample.disk.fork();
        disk.remove(file).unwrap();
        let disk = disk.fork();
        // Nothing that is left says that the last segment was ever durable.
        if let Some(kept) = sample.expected(|f| f.file == file).filter(|_| file.starts_with("log-")) {
            sample.check(disk, Some(kept), file);
            continue;
        }
        let error = LocalStore::open_on(Arc::new(disk.clone()), options()).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{file}: {error}");
        assert_eq!(disk.operations(), 0, "{file}");
    }
}

#[test]
fn damaged_tables_never_bring_the_process_down() {
    let sample = sample(true, true);
    let len = sample.disk.open("tables.redb").unwrap().len().unwrap();
    let mut random = Random(11);
    let (mut refused, mut opened) = (0, 0);
    for n in 0..200 {
        let disk = sample.disk.fork();
        let file = disk.open("tables.redb").unwrap();
        match n % 4 {
            // The headers are what is read first.
            0 => file.write_at(&random.bytes(1), random.below(400)).unwrap(),
            1 => file.set_len(random.below(len)).unwrap(),
            _ => file.write_at(&random.bytes(16), random.below(len / 8)).unwrap(),
        }
        let options = options();
        let result = std::panic::catch_unwind(|| LocalStore::open_on(Arc::new(disk), options).map(drop));
        match result {
            Ok(Ok(())) => opened += 1,
            Ok(Err(StoreError::Corrupt { .. } | StoreError::Io { .. } | StoreError::Format(_))) => {
                refused += 1
            }
            Ok(Err(error)) => panic!("{n}: {error}"),
            Err(_) => panic!("{n}: panicked"),
        }
    }
    assert!(refused > 0 && opened > 0, "{refused} refused, {opened} opened");
}
