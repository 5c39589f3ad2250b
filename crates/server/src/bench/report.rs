//! Results, for people or for programs.

use serde::Serialize;

use super::calibrate::Calibration;

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
}

/// One workload's figures.
#[derive(Serialize)]
pub(super) struct Outcome {
    pub(super) workload: String,
    pub(super) n: u64,
    pub(super) clients: u32,
    pub(super) seconds: f64,
    pub(super) per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) cpu_ms_per_item: f64,
    /// Bytes given to the disk, log and tables.
    pub(super) bytes_per_item: u64,
    /// Syncs of the log.
    pub(super) syncs: u64,
    pub(super) durability: &'static str,
    /// Peak memory of the process so far.
    pub(super) memory_mb: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first_200_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_200_ms: Option<f64>,
}

/// Every answer waited for a sync of the log.
pub(super) const DURABILITY: &str = "synced";

pub(super) struct Report {
    format: Format,
}

impl Report {
    pub(super) fn new(format: Format) -> Self {
        Self { format }
    }

    pub(super) fn calibration(&mut self, calibration: &Calibration) {
        match self.format {
            Format::Json => json(calibration),
            Format::Table => {
                println!(
                    "one synced 4 KiB write: {:.0} µs over old blocks, {:.0} µs appending\n",
                    calibration.sync_us, calibration.append_us
                );
                println!(
                    "{:<9} {:>8} {:>7} {:>8} {:>10} {:>9} {:>9} {:>8} {:>9} {:>8} {:>6}",
                    "workload",
                    "n",
                    "clients",
                    "seconds",
                    "per second",
                    "p50 ms",
                    "p99 ms",
                    "cpu ms",
                    "bytes",
                    "syncs",
                    "MB"
                );
            }
        }
    }

    pub(super) fn result(&mut self, r: &Outcome) {
        if self.format == Format::Json {
            return json(r);
        }
        println!(
            "{:<9} {:>8} {:>7} {:>8.3} {:>10.0} {:>9.3} {:>9.3} {:>8.3} {:>9} {:>8} {:>6}",
            r.workload,
            r.n,
            r.clients,
            r.seconds,
            r.per_second,
            r.p50_ms,
            r.p99_ms,
            r.cpu_ms_per_item,
            r.bytes_per_item,
            r.syncs,
            r.memory_mb
        );
        if let (Some(first), Some(last)) = (r.first_200_ms, r.last_200_ms) {
            println!("{:<9} first 200: {first:.1} ms, last 200: {last:.1} ms, ratio {:.2}", "", last / first);
        }
    }
}

fn json(value: &impl Serialize) {
    // Plain structs of numbers and texts always serialize.
    if let Ok(line) = serde_json::to_string(value) {
        println!("{line}");
    }
}
