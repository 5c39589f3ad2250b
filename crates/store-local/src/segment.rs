//! Files of the log.
//!
//! A segment is a file of zeros, written and synced before its first use, named by a number that is
//! never used twice. The salt of its frames follows from that number and the store's identity,
//! so renaming a file makes everything in it meaningless: that is how segments are recycled.

use std::io;
use std::sync::Arc;

use strandline_store::disk::{Disk, DiskFile};

const PREFIX: &str = "log-";
/// End of the names of files that are not finished yet.
pub(crate) const UNFINISHED: &str = ".new";
const ZEROS: usize = 1 << 20;

#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) salt: u64,
    pub(crate) size: u64,
    pub(crate) file: Arc<dyn DiskFile>,
}

pub(crate) fn name(number: u64) -> String {
    format!("{PREFIX}{number:08}")
}

/// The number in a segment's name.
pub(crate) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?;
    (digits.len() >= 8).then(|| digits.parse().ok())?
}

/// Never zero, so that zeros are no frame.
pub(crate) fn salt(identity: u64, number: u64) -> u64 {
    let mut z = identity ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) | 1
}

impl Segment {
    /// Opens an existing segment.
    pub(crate) fn open(disk: &dyn Disk, identity: u64, number: u64) -> io::Result<Self> {
        let file = disk.open(&name(number))?;
        let size = file.len()? & !7;
        Ok(Self { number, salt: salt(identity, number), size, file })
    }

    /// Makes a segment of `size` bytes. On failure nothing is left behind.
    pub(crate) fn create(disk: &dyn Disk, identity: u64, number: u64, size: u64) -> io::Result<Self> {
        let unfinished = name(number) + UNFINISHED;
        let file = disk.create(&unfinished)?;
        let filled = zero(&*file, 0, size).and_then(|()| file.sync());
        if let Err(error) = filled {
            // Best effort: opening the store removes unfinished files.
            let _ = disk.remove(&unfinished);
            return Err(error);
        }
        disk.rename(&unfinished, &name(number))?;
        disk.sync_dir()?;
        Ok(Self { number, salt: salt(identity, number), size, file })
    }

    /// Gives the file of a segment nobody needs a new number.
    pub(crate) fn recycle(self, disk: &dyn Disk, identity: u64, number: u64) -> io::Result<Self> {
        disk.rename(&name(self.number), &name(number))?;
        disk.sync_dir()?;
        Ok(Self { number, salt: salt(identity, number), ..self })
    }

    pub(crate) fn name(&self) -> String {
        name(self.number)
    }
}

/// Writes zeros over `from..to`.
pub(crate) fn zero(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS.min((to - from) as usize)];
    let mut at = from;
    while at < to {
        let n = (to - at).min(zeros.len() as u64);
        file.write_at(&zeros[..n as usize], at)?;
        at += n;
    }
    Ok(())
}
