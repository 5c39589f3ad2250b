//! The workloads: what is started, how many, and when it counts as done.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use strandline::{EventKind, Instance, TaskHub};

use super::functions::{
    Counter, READING, child, collect, count_all, fan_out, hello_sequence, nothing, parent, say_hello,
    sequence, sleep, square,
};
use super::measure::{Latencies, Spent, Stopwatch, peak_memory_bytes};
use super::report::{DURABILITY, Outcome};
use super::wire;

/// What can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Choice {
    W1,
    W2,
    W3,
    #[value(name = "w3-1000")]
    W3x1000,
    #[value(name = "w3-10000")]
    W3x10000,
    W4,
    W5,
    #[value(name = "w5-1")]
    W5x1,
    #[value(name = "w5-100")]
    W5x100,
    W6,
    W8,
    W9,
    W12,
    Open,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Workload {
    HelloMany,
    HelloOne,
    FanOut(u32),
    Sequence,
    Signals(u32),
    Sleep,
    Children,
    Events,
    Wire,
    Open,
}

impl Choice {
    pub(super) fn workloads(self) -> Vec<Workload> {
        match self {
            Self::W1 => vec![Workload::HelloMany],
            Self::W2 => vec![Workload::HelloOne],
            Self::W3 => vec![Workload::FanOut(1000), Workload::FanOut(10_000)],
            Self::W3x1000 => vec![Workload::FanOut(1000)],
            Self::W3x10000 => vec![Workload::FanOut(10_000)],
            Self::W4 => vec![Workload::Sequence],
            Self::W5 => vec![Workload::Signals(1), Workload::Signals(100)],
            Self::W5x1 => vec![Workload::Signals(1)],
            Self::W5x100 => vec![Workload::Signals(100)],
            Self::W6 => vec![Workload::Sleep],
            Self::W8 => vec![Workload::Children],
            Self::W9 => vec![Workload::Events],
            Self::W12 => vec![Workload::Wire],
            Self::Open => vec![Workload::Open],
        }
    }
}

/// Without `-n`, W1 runs at least this long.
const W1_TIME: Duration = Duration::from_secs(12);

/// Figures of one run before they are reported.
struct Run {
    name: String,
    items: u64,
    clients: u32,
    latencies: Latencies,
    spent: Spent,
    halves: Option<(f64, f64)>,
}

pub(super) async fn run(
    workload: Workload,
    clients: u32,
    n: Option<u32>,
    dir: &Path,
) -> strandline::Result<Outcome> {
    let hub = TaskHub::open(dir).await?;
    if workload == Workload::Open {
        return reopened(hub, clients, n.unwrap_or(1_000_000), dir).await;
    }
    if workload == Workload::Wire {
        return over_the_wire(hub, clients, n).await;
    }
    let functions = (
        (say_hello, hello_sequence),
        (square, fan_out, sequence),
        (sleep, collect),
        (parent, child),
        (Counter, count_all),
    );
    hub.worker().register(functions).start()?;
    // One instance beforehand: threads are there, caches warm.
    hub.client().start(hello_sequence, ()).await?.output().await?;
    let run = match workload {
        Workload::HelloMany => hello_many(&hub, clients, n).await?,
        Workload::HelloOne => hello_one(&hub, n.unwrap_or(2000)).await?,
        Workload::FanOut(wide) => fan(&hub, wide, n.unwrap_or(wide)).await?,
        Workload::Sequence => in_sequence(&hub, n.unwrap_or(2000)).await?,
        Workload::Signals(counters) => signals(&hub, counters, clients, n.unwrap_or(10_000)).await?,
        Workload::Children => families(&hub, clients, n.unwrap_or(1000)).await?,
        Workload::Events => events(&hub, n.unwrap_or(10_000)).await?,
        Workload::Sleep | Workload::Wire | Workload::Open => sleepers(&hub, n.unwrap_or(10_000)).await?,
    };
    hub.close().await?;
    Ok(outcome(run))
}

fn outcome(run: Run) -> Outcome {
    let Run { name, items, clients, latencies, spent, halves } = run;
    let per_item = |total: f64| total / items.max(1) as f64;
    Outcome {
        workload: name,
        n: items,
        clients,
        seconds: spent.wall.as_secs_f64(),
        per_second: items as f64 / spent.wall.as_secs_f64(),
        p50_ms: latencies.quantile_ms(0.5),
        p99_ms: latencies.quantile_ms(0.99),
        cpu_ms_per_item: per_item(spent.cpu.as_secs_f64() * 1000.0),
        bytes_per_item: per_item(spent.written as f64) as u64,
        syncs: spent.syncs,
        durability: DURABILITY,
        memory_mb: peak_memory_bytes() >> 20,
        first_200_ms: halves.map(|(first, _)| first),
        last_200_ms: halves.map(|(_, last)| last),
    }
}

/// W12: as W1, but clients and worker are on the other side of a socket.
async fn over_the_wire(hub: TaskHub, clients: u32, n: Option<u32>) -> strandline::Result<Outcome> {
    let failed = |error: anyhow::Error| strandline::Error::new("BenchError", error);
    let server = wire::serve(&hub).await.map_err(failed)?;
    let stopwatch = Stopwatch::start(&hub);
    let ran = match server.addresses() {
        [at, ..] => wire::run(*at, clients, n).await.map_err(failed)?,
        [] => return Err(strandline::Error::new("BenchError", "the server does not listen")),
    };
    let mut spent = stopwatch.stop(&hub).await;
    spent.cpu = spent.cpu.saturating_sub(ran.client_cpu);
    server.stop().await;
    hub.close().await?;
    let (items, latencies) = (ran.latencies.count(), ran.latencies);
    Ok(outcome(Run { name: "w12".to_owned(), items, clients, latencies, spent, halves: None }))
}

/// Fills a hub with `n` finished instances, closes it, and measures how long opening it takes.
async fn reopened(hub: TaskHub, clients: u32, n: u32, dir: &Path) -> strandline::Result<Outcome> {
    hub.worker().register(nothing).start()?;
    let left = Arc::new(AtomicU64::new(u64::from(n)));
    let fill = (0..clients.max(256)).map(|_| {
        let (client, left) = (hub.client(), left.clone());
        tokio::spawn(async move {
            while one_less(&left) {
                client.start(nothing, ()).await?.output().await?;
            }
            Ok::<_, strandline::Error>(())
        })
    });
    for task in fill.collect::<Vec<_>>() {
        task.await??;
    }
    hub.close().await?;
    drop(hub);
    let begin = Instant::now();
    let hub = TaskHub::open(dir).await?;
    let mut latencies = Latencies::new();
    latencies.record(begin.elapsed());
    let mut spent = Stopwatch::start(&hub).stop(&hub).await;
    spent.wall = begin.elapsed();
    hub.close().await?;
    Ok(outcome(Run { name: "open".to_owned(), items: u64::from(n), clients, latencies, spent, halves: None }))
}

/// Runs so many clients at the same time and puts their figures together.
async fn side_by_side<F>(clients: u32, client: impl Fn(u32) -> F) -> strandline::Result<Latencies>
where
    F: Future<Output = strandline::Result<Latencies>> + Send + 'static,
{
    let tasks: Vec<_> = (0..clients).map(|number| tokio::spawn(client(number))).collect();
    let mut latencies = Latencies::new();
    for task in tasks {
        latencies.merge(&task.await??);
    }
    Ok(latencies)
}

/// Takes one of what is left to do; false when nothing is.
fn one_less(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
}

/// W1: each client starts an instance, waits for its end, and starts the next.
async fn hello_many(hub: &TaskHub, clients: u32, n: Option<u32>) -> strandline::Result<Run> {
    let left = Arc::new(AtomicU64::new(n.map_or(u64::MAX, u64::from)));
    let stopwatch = Stopwatch::start(hub);
    let end = n.is_none().then(|| Instant::now() + W1_TIME);
    let latencies = side_by_side(clients, |_| {
        let (client, left) = (hub.client(), left.clone());
        async move {
            let mut latencies = Latencies::new();
            while end.is_none_or(|end| Instant::now() < end) && one_less(&left) {
                let begin = Instant::now();
                client.start(hello_sequence, ()).await?.output().await?;
                latencies.record(begin.elapsed());
            }
            Ok(latencies)
        }
    });
    let latencies = latencies.await?;
    let spent = stopwatch.stop(hub).await;
    Ok(Run { name: "w1".to_owned(), items: latencies.count(), clients, latencies, spent, halves: None })
}

/// W2: one at a time.
async fn hello_one(hub: &TaskHub, n: u32) -> strandline::Result<Run> {
    let client = hub.client();
    let stopwatch = Stopwatch::start(hub);
    let mut latencies = Latencies::new();
    for _ in 0..n {
        let begin = Instant::now();
        client.start(hello_sequence, ()).await?.output().await?;
        latencies.record(begin.elapsed());
    }
    let spent = stopwatch.stop(hub).await;
    Ok(Run { name: "w2".to_owned(), items: u64::from(n), clients: 1, latencies, spent, halves: None })
}

/// W3: one instance that calls `n` activities at once.
async fn fan(hub: &TaskHub, wide: u32, n: u32) -> strandline::Result<Run> {
    let stopwatch = Stopwatch::start(hub);
    let begin = Instant::now();
    hub.client().start(fan_out, n).await?.output().await?;
    let mut latencies = Latencies::new();
    latencies.record(begin.elapsed());
    let spent = stopwatch.stop(hub).await;
    Ok(Run { name: format!("w3-{wide}"), items: u64::from(n), clients: 1, latencies, spent, halves: None })
}

/// W4: one instance that calls `n` activities one after the other.
async fn in_sequence(hub: &TaskHub, n: u32) -> strandline::Result<Run> {
    let stopwatch = Stopwatch::start(hub);
    let begin = Instant::now();
    let run = hub.client().start(sequence, n).await?;
    run.output().await?;
    let mut latencies = Latencies::new();
    latencies.record(begin.elapsed());
    let spent = stopwatch.stop(hub).await;
    let halves = Some(first_and_last(&run).await?);
    Ok(Run { name: "w4".to_owned(), items: u64::from(n), clients: 1, latencies, spent, halves })
}

/// Milliseconds of the first and of the last 200 activities, by the times in the history.
async fn first_and_last(run: &Instance<u64>) -> strandline::Result<(f64, f64)> {
    let history = run.history().await?;
    let done =
        |kind: &EventKind| matches!(kind, EventKind::ExecutionStarted(_) | EventKind::TaskCompleted(_));
    let times: Vec<_> = history.iter().filter(|e| done(e.kind())).map(|e| e.timestamp).collect();
    let step = 200.min(times.len().saturating_sub(1));
    let last = times.len().saturating_sub(1);
    let millis = |from: usize, to: usize| times[to].saturating_since(times[from]).as_secs_f64() * 1000.0;
    Ok((millis(0, step), millis(last - step, last)))
}

/// W5: `n` acknowledged signals to some entities, until all of them are carried out.
async fn signals(hub: &TaskHub, counters: u32, clients: u32, n: u32) -> strandline::Result<Run> {
    let left = Arc::new(AtomicU64::new(u64::from(n)));
    let stopwatch = Stopwatch::start(hub);
    let latencies = side_by_side(clients, |client_number| {
        let (client, left) = (hub.client(), left.clone());
        async move {
            let mut latencies = Latencies::new();
            let mut counter = client_number % counters;
            while one_less(&left) {
                counter = (counter + 1) % counters;
                let begin = Instant::now();
                client.entity::<Counter>(counter.to_string()).signal().add(1).await?;
                latencies.record(begin.elapsed());
            }
            Ok(latencies)
        }
    });
    let latencies = latencies.await?;
    let sum = hub.client().start(count_all, counters).await?.output().await?;
    strandline::prelude::ensure!(sum == u64::from(n), "{n} signals were sent, the counters say {sum}");
    let spent = stopwatch.stop(hub).await;
    let name = format!("w5-{counters}");
    Ok(Run { name, items: u64::from(n), clients, latencies, spent, halves: None })
}

/// W6: `n` instances that each wait for a timer of one second.
async fn sleepers(hub: &TaskHub, n: u32) -> strandline::Result<Run> {
    let client = hub.client();
    let stopwatch = Stopwatch::start(hub);
    let tasks: Vec<_> = (0..n)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let begin = Instant::now();
                client.start(sleep, 1000).await?.output().await?;
                Ok::<_, strandline::Error>(begin.elapsed())
            })
        })
        .collect();
    let mut latencies = Latencies::new();
    for task in tasks {
        latencies.record(task.await??);
    }
    let spent = stopwatch.stop(hub).await;
    Ok(Run { name: "w6".to_owned(), items: u64::from(n), clients: n, latencies, spent, halves: None })
}

/// W8: `n` parents, each with ten children that call one activity.
async fn families(hub: &TaskHub, clients: u32, n: u32) -> strandline::Result<Run> {
    let left = Arc::new(AtomicU64::new(u64::from(n)));
    let stopwatch = Stopwatch::start(hub);
    let latencies = side_by_side(clients, |_| {
        let (client, left) = (hub.client(), left.clone());
        async move {
            let mut latencies = Latencies::new();
            while one_less(&left) {
                let begin = Instant::now();
                client.start(parent, 10).await?.output().await?;
                latencies.record(begin.elapsed());
            }
            Ok(latencies)
        }
    });
    let latencies = latencies.await?;
    let spent = stopwatch.stop(hub).await;
    Ok(Run { name: "w8".to_owned(), items: u64::from(n), clients, latencies, spent, halves: None })
}

/// Instances that wait for events in W9.
const COLLECTORS: u32 = 100;

/// W9: `n` events to 100 waiting instances, each from a client of its own that waits for each answer.
async fn events(hub: &TaskHub, n: u32) -> strandline::Result<Run> {
    let each = u64::from(n.div_ceil(COLLECTORS));
    let client = hub.client();
    let mut collectors = Vec::new();
    for _ in 0..COLLECTORS {
        let run = client.start(collect, each).await?;
        run.wait_started().await?;
        collectors.push(run);
    }
    let stopwatch = Stopwatch::start(hub);
    let latencies = side_by_side(COLLECTORS, |number| {
        let run = collectors[number as usize].clone();
        async move {
            let mut latencies = Latencies::new();
            for reading in 0..each {
                let begin = Instant::now();
                run.raise(READING, reading).await?;
                latencies.record(begin.elapsed());
            }
            run.output().await?;
            Ok(latencies)
        }
    });
    let latencies = latencies.await?;
    let spent = stopwatch.stop(hub).await;
    let items = each * u64::from(COLLECTORS);
    Ok(Run { name: "w9".to_owned(), items, clients: COLLECTORS, latencies, spent, halves: None })
}
