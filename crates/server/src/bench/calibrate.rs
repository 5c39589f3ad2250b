//! What a sync costs on this disk, to read the results by.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use serde::Serialize;

/// Medians in microseconds.
#[derive(Serialize)]
pub(super) struct Calibration {
    /// Overwriting 4 KiB and syncing: what one commit costs.
    pub(super) sync_us: f64,
    /// Appending 4 KiB and syncing.
    pub(super) append_us: f64,
}

const BLOCK: [u8; 4096] = [0x5a; 4096];
const ROUNDS: usize = 200;

pub(super) fn calibrate(dir: &Path) -> std::io::Result<Calibration> {
    let file = tempfile::tempfile_in(dir)?;
    let append_us = median(|round| write(&file, round))?;
    let sync_us = median(|_| write(&file, 0))?;
    Ok(Calibration { sync_us, append_us })
}

fn write(file: &File, block: usize) -> std::io::Result<()> {
    file.write_all_at(&BLOCK, (block * BLOCK.len()) as u64)?;
    file.sync_data()
}

fn median(mut step: impl FnMut(usize) -> std::io::Result<()>) -> std::io::Result<f64> {
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let begin = Instant::now();
        step(round)?;
        times.push(begin.elapsed());
    }
    times.sort();
    Ok(times[ROUNDS / 2].as_secs_f64() * 1e6)
}
