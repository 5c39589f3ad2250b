//! Time, processor time, bytes and syncs of a stretch of work.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use strandline::TaskHub;

/// Counters at the beginning of a measurement.
pub(super) struct Stopwatch {
    begin: Instant,
    cpu: Duration,
    written: u64,
    syncs: u64,
}

/// What happened since.
pub(super) struct Spent {
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
    /// Bytes handed to the disk: log and tables.
    pub(super) written: u64,
    /// Syncs of the log.
    pub(super) syncs: u64,
}

impl Stopwatch {
    pub(super) fn start(hub: &TaskHub) -> Self {
        let syncs = hub.engine().store_stats().log_syncs;
        Self { begin: Instant::now(), cpu: cpu_time(), written: written_bytes(hub), syncs }
    }

    /// Flushes the tables and stops.
    pub(super) async fn stop(self, hub: &TaskHub) -> Spent {
        let engine = hub.engine().clone();
        // The flush counts: without it part of the work would be left for later.
        let _ = tokio::task::spawn_blocking(move || engine.flush()).await;
        Spent {
            wall: self.begin.elapsed(),
            cpu: cpu_time().saturating_sub(self.cpu),
            written: written_bytes(hub).saturating_sub(self.written),
            syncs: hub.engine().store_stats().log_syncs - self.syncs,
        }
    }
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Processor time of this thread.
pub(super) fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Bytes the store has written: frames of the log and pages of the tables.
fn written_bytes(hub: &TaskHub) -> u64 {
    let stats = hub.engine().store_stats();
    stats.log_bytes + stats.table_bytes
}

/// The most memory this process has used so far, in bytes; 0 where the system does not say.
pub(super) fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Latencies of many items.
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn new() -> Self {
        // One hour in microseconds at three digits: these bounds are always accepted.
        let histogram = Histogram::new_with_bounds(1, 3_600_000_000, 3);
        Self(histogram.expect("the bounds are constants that the histogram accepts"))
    }

    pub(super) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn merge(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.0.add(&other.0);
    }

    /// In milliseconds.
    pub(super) fn quantile_ms(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1000.0
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }
}
