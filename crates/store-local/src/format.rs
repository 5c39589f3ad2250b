//! The format file: says that a directory is a data directory, of which version and identity.

use strandline_store::StoreError;
use strandline_store::disk::Disk;

use crate::error::io_error;
use crate::segment::UNFINISHED;

pub(crate) const FILE: &str = "format";
const FIRST_LINE: &str = "strandline data directory";
/// What this version writes. 2: indexes over instances. 3: one more index; the log tells what becomes of
/// hubs.
pub(crate) const VERSION: u32 = 3;
/// The oldest version that can read what this version writes. 3: an older one would take the end of a hub
/// for the end of the log.
const MIN_READER: u32 = 3;

/// What the format file says of a store that this version can read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    pub(crate) version: u32,
    pub(crate) identity: u64,
}

/// Writes the format file, in place of the one before; it appears whole or not at all.
pub(crate) fn write(disk: &dyn Disk, identity: u64) -> Result<(), StoreError> {
    let text = format!("{FIRST_LINE}\nversion {VERSION}\nmin_reader {MIN_READER}\nid {identity:016x}\n");
    let unfinished = format!("{FILE}{UNFINISHED}");
    let write = || {
        if disk.list()?.contains(&unfinished) {
            disk.remove(&unfinished)?;
        }
        let file = disk.create(&unfinished)?;
        file.write_at(text.as_bytes(), 0)?;
        file.sync()?;
        disk.rename(&unfinished, FILE)?;
        disk.sync_dir()
    };
    write().map_err(io_error(|| "writing the format of the data directory".into()))
}

/// Reads the format file. `place` names the directory in errors.
pub(crate) fn check(disk: &dyn Disk, place: &str) -> Result<Format, StoreError> {
    let read = || {
        let file = disk.open(FILE)?;
        let mut bytes = vec![0; file.len()?.min(4096) as usize];
        file.read_at(&mut bytes, 0)?;
        Ok(bytes)
    };
    let bytes = read().map_err(io_error(|| format!("reading the format of {place}")))?;
    let text = String::from_utf8_lossy(&bytes);
    let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
    let number = |name: &str| field(name).and_then(|v| v.parse::<u32>().ok());
    let damaged = |what: &str| StoreError::Corrupt {
        file: FILE.into(),
        offset: 0,
        reason: format!("{what}; restore this file from a backup"),
    };
    if text.lines().next() != Some(FIRST_LINE) {
        return Err(damaged("this is not the format file of a data directory"));
    }
    let (Some(version), Some(min_reader)) = (number("version"), number("min_reader")) else {
        return Err(damaged("version or min_reader is missing"));
    };
    if min_reader > VERSION {
        return Err(StoreError::Format(format!(
            "{place} has data format {version}, which needs a program that reads format {min_reader}; this one \
             reads up to {VERSION}: use a newer version of Strandline. Nothing was changed."
        )));
    }
    let identity = field("id").and_then(|v| u64::from_str_radix(v, 16).ok());
    Ok(Format { version, identity: identity.ok_or_else(|| damaged("the id is missing"))? })
}
