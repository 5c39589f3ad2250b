//! The process, as Linux tells of it, under the names that all exporters use.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

#[derive(Debug)]
pub(super) struct Process;

/// In the units of the metrics.
struct Stat {
    threads: Option<f64>,
    virtual_bytes: Option<f64>,
    resident_bytes: Option<f64>,
}

impl Stat {
    fn read() -> Self {
        let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        let bytes = |name| field(name).map(|kibibytes| kibibytes * 1024.0);
        Self { threads: field("Threads"), virtual_bytes: bytes("VmSize"), resident_bytes: bytes("VmRSS") }
    }
}

fn cpu_seconds() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

/// Linux counts in these when it tells of processes, on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// When the process was started, in seconds since the epoch.
fn start_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name before may hold anything, even brackets and blanks. Field 22, counted from 3 on.
    let ticks: f64 = text.rsplit_once(')')?.1.split_whitespace().nth(22 - 3)?.parse().ok()?;
    Some(boot_seconds()? + ticks / TICKS_PER_SECOND)
}

/// When the machine was started, in seconds since the epoch.
fn boot_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stat = Stat::read();
        let counter = encoder.encode_descriptor(
            "process_cpu_seconds",
            "Processor time, of the program and of the system for it.",
            None,
            MetricType::Counter,
        )?;
        ConstCounter::new(cpu_seconds()).encode(counter)?;
        let mut gauge = |name: &str, help: &str, value: Option<f64>| -> fmt::Result {
            let Some(value) = value else { return Ok(()) };
            let written = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(written)
        };
        gauge("process_resident_memory_bytes", "Memory in use.", stat.resident_bytes)?;
        gauge("process_virtual_memory_bytes", "Address space in use.", stat.virtual_bytes)?;
        gauge("process_threads", "Threads.", stat.threads)?;
        gauge("process_start_time_seconds", "When it was started, since the epoch.", start_seconds())?;
        let open = std::fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
        gauge("process_open_fds", "Files and sockets that are open.", open)?;
        let most = getrlimit(Resource::Nofile).current;
        gauge("process_max_fds", "How many may be.", most.map(|most| most as f64))
    }
}
