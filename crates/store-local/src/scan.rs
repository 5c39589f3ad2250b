//! The one pass over the log when a store is opened.

use std::io;

use strandline_store::{Batch, PartitionRef, StoreError};

use crate::error::io_error;
use crate::frame::{Frame, HEADER, Kind};
use crate::hubs::HubChange;
use crate::segment::{self, Segment};
use crate::window::Window;

/// What the log holds.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Whole batches in order, each with the segment (by index) and offset where it begins.
    pub(crate) batches: Vec<(usize, u64, Batch)>,
    /// What became of hubs, in order.
    pub(crate) hubs: Vec<HubChange>,
    /// The end of a batch whose beginning is no longer there: where, whose and which.
    pub(crate) headless: Option<(u64, PartitionRef, u64)>,
    /// The first sequence number of each segment that holds any.
    pub(crate) first_lsns: Vec<u64>,
    /// Bytes used of each of those.
    pub(crate) used: Vec<u64>,
    /// The sequence number after the last frame kept.
    pub(crate) next_lsn: u64,
    /// The last frame that is no trailer; 0 when there is none.
    pub(crate) newest: u64,
    /// What is kept but not known durable: segment, from, to.
    pub(crate) uncertain: Vec<(usize, u64, u64)>,
    /// What must not be read again: segment, from, to.
    pub(crate) leftovers: Vec<(usize, u64, u64)>,
}

/// Where the log is known to be sound up to.
#[derive(Clone, Copy)]
struct End {
    segment: usize,
    offset: u64,
    lsn: u64,
}

/// Reads `segments`, the first of which begins with frame `first_lsn`. `known_durable` is what the
/// tables call durable. Changes nothing.
///
/// A torn tail is cut. A bad frame that something else calls durable is corruption.
pub(crate) fn scan(segments: &[Segment], first_lsn: u64, known_durable: u64) -> Result<Scan, StoreError> {
    let mut scan = Scan { first_lsns: vec![first_lsn], used: vec![0], ..Scan::default() };
    let mut durable = known_durable;
    let mut frames = Vec::new();
    let mut open: Option<(usize, u64, Batch)> = None;
    let mut here = End { segment: 0, offset: 0, lsn: first_lsn };
    let mut good = here;
    let mut window = segments.first().map(Window::new);
    while let Some(view) = &mut window {
        let segment = &segments[here.segment];
        let read = view.frame(here.offset).map_err(io_error(|| format!("reading {}", segment.name())))?;
        let Some((frame, body, end)) = read.filter(|(f, _, _)| f.lsn == here.lsn) else {
            match follow(segments, here)? {
                Some(next) => {
                    window = Some(Window::new(&segments[next]));
                    here = End { segment: next, offset: 0, lsn: here.lsn };
                    scan.first_lsns.push(here.lsn);
                    scan.used.push(0);
                    continue;
                }
                None => break,
            }
        };
        durable = durable.max(frame.durable);
        let malformed = |reason: &str| corrupt(segment, here.offset, reason);
        frames.push((here.segment, here.offset, end, frame.lsn));
        match frame.kind {
            Kind::Trailer | Kind::Hub if open.is_some() => {
                return Err(malformed("something else inside a batch"));
            }
            Kind::Trailer => {}
            Kind::Hub => {
                let change = HubChange::decode(frame.at.hub, body);
                scan.hubs.push(change.ok_or_else(|| malformed("a hub that cannot be read"))?);
                scan.newest = frame.lsn;
            }
            // The segment before held its beginning; it is gone because the tables hold the batch.
            Kind::Batch if !frame.first && open.is_none() && scan.batches.is_empty() => {
                scan.headless = Some((here.offset, frame.at, frame.position));
                scan.newest = frame.lsn;
            }
            Kind::Batch => {
                let mut batch = match open.take() {
                    None if frame.first => (here.segment, here.offset, begin(&frame)),
                    Some(batch) if !frame.first && same(&batch.2, &frame) => batch,
                    _ => return Err(malformed("a batch that is not continued as it began")),
                };
                batch.2.records.extend_from_slice(body);
                if frame.last {
                    scan.batches.push(batch);
                    scan.newest = frame.lsn;
                } else {
                    open = Some(batch);
                }
            }
        }
        here = End { segment: here.segment, offset: end, lsn: here.lsn + 1 };
        scan.used[here.segment] = end;
        if open.is_none() {
            good = here;
        }
    }
    survey(segments, here, good, &mut durable, &mut scan)?;
    if durable >= good.lsn {
        let what = format!("frame {} cannot be read although frame {durable} is known durable", here.lsn);
        return Err(match segments.get(here.segment) {
            Some(segment) => corrupt(segment, here.offset, &what),
            None => StoreError::Corrupt { file: "log".into(), offset: 0, reason: what },
        });
    }
    scan.next_lsn = good.lsn;
    scan.first_lsns.truncate(good.segment + 1);
    scan.used.truncate(good.segment + 1);
    scan.used[good.segment] = good.offset;
    let uncertain = frames.iter().filter(|(_, _, _, lsn)| *lsn > durable && *lsn < good.lsn);
    scan.uncertain = uncertain.map(|(segment, from, to, _)| (*segment, *from, *to)).collect();
    Ok(scan)
}

/// The segment after `here` when the log goes on at its start.
fn follow(segments: &[Segment], here: End) -> Result<Option<usize>, StoreError> {
    let next = here.segment + 1;
    let Some(segment) = segments.get(next) else { return Ok(None) };
    if segment.number != segments[here.segment].number + 1 {
        return Ok(None);
    }
    let first = Window::new(segment)
        .frame(0)
        .map_err(io_error(|| format!("reading {}", segment.name())))?
        .map(|f| f.0);
    Ok(first.is_some_and(|f| f.lsn == here.lsn).then_some(next))
}

/// Looks at everything after the end for frames that tell what was durable, and notes what is there.
fn survey(
    segments: &[Segment],
    bad: End,
    good: End,
    durable: &mut u64,
    scan: &mut Scan,
) -> Result<(), StoreError> {
    for (index, segment) in segments.iter().enumerate().skip(good.segment) {
        let start = if index == good.segment { good.offset } else { 0 };
        let mut last = None;
        let mut look = || -> io::Result<()> {
            let mut window = Window::new(segment);
            let mut at = start;
            while let Some(found) = window.next_salted(at)? {
                let later = index > bad.segment || (index == bad.segment && found >= bad.offset);
                if let Some((frame, _, _)) = window.frame(found)?
                    && later
                {
                    *durable = (*durable).max(frame.durable);
                }
                last = Some(found);
                at = found + 8;
            }
            Ok(())
        };
        look().map_err(io_error(|| format!("reading {}", segment.name())))?;
        if let Some(last) = last {
            scan.leftovers.push((index, start, (last + HEADER as u64).min(segment.size)));
        }
    }
    Ok(())
}

fn begin(frame: &Frame) -> Batch {
    Batch {
        at: frame.at,
        epoch: frame.epoch,
        position: frame.position,
        time: frame.time,
        records: Vec::new(),
    }
}

fn same(batch: &Batch, frame: &Frame) -> bool {
    batch.at == frame.at && batch.position == frame.position && batch.epoch == frame.epoch
}

fn corrupt(segment: &Segment, offset: u64, reason: &str) -> StoreError {
    StoreError::Corrupt { file: segment::name(segment.number), offset, reason: reason.into() }
}
