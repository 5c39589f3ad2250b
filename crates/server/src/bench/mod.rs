//! `strandline bench`: what the engine does on this machine, with real syncs.

mod calibrate;
mod functions;
mod measure;
mod report;
mod wire;
mod workloads;

use std::path::PathBuf;

use anyhow::Context as _;

/// Measures throughput and latency of a hub on this machine, with real syncs.
///
/// Client, engine and worker run in this one process; every answer waits for a sync of the log, and
/// the time includes the last flush of the tables. A line of calibration tells what one sync costs
/// here; compare results only together with it.
#[derive(clap::Args)]
#[command(after_long_help = "Workloads:
  w1        hello sequence: 3 activities one after the other, many clients (at least 10 s unless -n is given)
  w2        the same, one at a time
  w3        fan-out and fan-in: w3-1000 and w3-10000 activities at once
  w4        2,000 activities in sequence in one instance
  w5        10,000 acknowledged signals to entities, until all are carried out: w5-1 and w5-100 entities
  w6        10,000 instances that sleep for one second
  w8        1,000 parents with 10 sub-orchestrations each, many clients
  w9        10,000 events to 100 waiting instances, each event acknowledged
  w12       the hello sequence over gRPC: server, clients and a worker that answers at once, in one process;
            'cpu ms' is the server's share
  open      opening a hub with 1,000,000 finished instances (filling it takes a while; not in the default)

Examples:
  strandline bench
  strandline bench --workload w1,w2 -c 256 -o json")]
pub(crate) struct Args {
    /// What to measure, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "w1,w2,w3,w4,w5,w6,w8,w9,w12")]
    workload: Vec<workloads::Choice>,
    /// Clients that work at the same time (w1, w8, w12).
    #[arg(short = 'c', long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: u32,
    /// How many items: instances (w1, w2, w6, w8, w12, open), activities (w3, w4), signals (w5) or events (w9). Each workload has its own default.
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    n: Option<u32>,
    /// Directory for the hubs, on the disk to measure; they are removed afterwards.
    #[arg(long, default_value = ".strandline-bench")]
    dir: PathBuf,
    /// A table for people, or one JSON object a line.
    #[arg(short, long, value_enum, default_value_t = report::Format::Table)]
    output: report::Format,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let created = !args.dir.exists();
    std::fs::create_dir_all(&args.dir).with_context(|| {
        format!("the directory {} can't be made: choose another with --dir", args.dir.display())
    })?;
    let outcome = measure_all(&args).await;
    if created {
        // It may hold something of somebody else's by now.
        let _ = std::fs::remove_dir(&args.dir);
    }
    outcome
}

async fn measure_all(args: &Args) -> anyhow::Result<()> {
    let mut report = report::Report::new(args.output);
    report.calibration(&calibrate::calibrate(&args.dir)?);
    for workload in args.workload.iter().flat_map(|choice| choice.workloads()) {
        let hub = tempfile::Builder::new().prefix("hub-").tempdir_in(&args.dir)?;
        let result = workloads::run(workload, args.clients, args.n, hub.path()).await;
        let result = result.map_err(|error| anyhow::anyhow!("{error:#}"))?;
        report.result(&result);
    }
    Ok(())
}
