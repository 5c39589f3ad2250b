//! kill -9 at random moments: nothing acknowledged is lost, no result is recorded twice.
//!
//! The test runs itself again as a program that puts load on a hub and prints what was
//! acknowledged; kills it; opens the hub and compares. `STRANDLINE_KILLS` sets how often.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use strandline::prelude::*;
use strandline::{EventKind, RuntimeStatus};

const DIR: &str = "STRANDLINE_KILL_DIR";
const ROUND: &str = "STRANDLINE_KILL_ROUND";
const NEWS: Event<u32> = Event::named("News");
/// Instances that wait for events until the last round tells them to end.
const STOP: u32 = u32::MAX;

#[activity]
async fn add(n: u32) -> Result<u32> {
    Ok(n + 1)
}

#[orchestrator]
async fn steps(ctx: OrchestrationContext, n: u32) -> Result<u32> {
    let mut sum = 0;
    for _ in 0..n {
        sum = ctx.call(add, sum).await?;
    }
    let wide = try_join_all((0..n).map(|i| ctx.call(add, i))).await?;
    Ok(sum + wide.len() as u32)
}

#[orchestrator]
async fn collects(ctx: OrchestrationContext, _: ()) -> Result<Vec<u32>> {
    let mut seen = Vec::new();
    loop {
        let news = ctx.wait_for(NEWS).await?;
        if news == STOP {
            return Ok(seen);
        }
        seen.push(news);
    }
}

async fn open(dir: &Path) -> Result<TaskHub> {
    // Small caches and frequent flushes: more happens in the short life of a round.
    let hub = strandline::DataDirectory::at(dir)
        .partitions(4)
        .flush_interval(millis(5))
        .cache_bytes(1 << 20)
        .open_hub()
        .await?;
    hub.worker().register((add, steps, collects)).start()?;
    Ok(hub)
}

/// The program that is killed. Each line it prints tells one acknowledged call.
async fn load(dir: &Path, round: u32) -> Result<()> {
    let hub = open(dir).await?;
    let tasks = (0..8u32).map(|lane| {
        let client = hub.client();
        tokio::spawn(async move {
            for n in 0.. {
                let id = format!("steps-{round}-{lane}-{n}");
                let run = client.start(steps, n % 5).instance_id(&id).await?;
                say(&format!("started {id} {}", n % 5));
                if n % 3 == 0 {
                    let done = run.output().await?;
                    say(&format!("done {id} {done}"));
                }
                let collector = client.instance::<Vec<u32>>(&format!("collector-{lane}"))?;
                if collector.status().await?.is_none() {
                    client.start(collects, ()).instance_id(collector.id()).await?;
                }
                let number = round * 100_000 + n;
                collector.raise(NEWS, number).await?;
                say(&format!("raised {lane} {number}"));
            }
            Ok::<_, Error>(())
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    Ok(())
}

/// One whole line in one write.
fn say(line: &str) {
    let _ = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
}

#[derive(Default)]
struct Acknowledged {
    started: BTreeMap<String, u32>,
    done: BTreeMap<String, u32>,
    raised: BTreeMap<u32, Vec<u32>>,
}

impl Acknowledged {
    fn read(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words.as_slice() {
            ["started", id, n] => drop(self.started.insert((*id).to_owned(), n.parse().unwrap())),
            ["done", id, result] => drop(self.done.insert((*id).to_owned(), result.parse().unwrap())),
            ["raised", lane, number] => {
                self.raised.entry(lane.parse().unwrap()).or_default().push(number.parse().unwrap());
            }
            // The test harness of the child prints lines of its own, and the last one may be cut.
            _ => {}
        }
    }
}

/// Runs the load program until it has acknowledged `lines` calls, then kills it.
fn round(dir: &Path, round: u32, lines: usize, acknowledged: &mut Acknowledged) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "load_program", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    for n in 0.. {
        line.clear();
        if output.read_line(&mut line).unwrap() == 0 {
            break;
        }
        if line.ends_with('\n') {
            acknowledged.read(line.trim_end());
        }
        if n == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn load_program() -> Result<()> {
    let Some(dir) = std::env::var_os(DIR) else { return Ok(()) };
    let round = std::env::var(ROUND).ok().and_then(|r| r.parse().ok()).unwrap_or(0);
    load(Path::new(&dir), round).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost() -> Result<()> {
    if std::env::var_os(DIR).is_some() {
        return Ok(());
    }
    let kills: u32 = std::env::var("STRANDLINE_KILLS").ok().and_then(|k| k.parse().ok()).unwrap_or(10);
    let dir = tempfile::tempdir()?;
    let mut acknowledged = Acknowledged::default();
    for n in 0..kills {
        // Spread over the life of the program: from the first lines to some hundreds.
        let lines = (n as usize * 37) % 400;
        round(dir.path(), n, lines, &mut acknowledged);
    }
    let hub = open(dir.path()).await?;
    let client = hub.client();
    for (id, n) in &acknowledged.started {
        let run = client.instance::<u32>(id)?;
        assert_eq!(run.output().await?, 2 * n, "{id}");
        let results = run.history().await?;
        let mut seen = BTreeMap::new();
        for event in &results {
            if let EventKind::TaskCompleted(done) = event.kind() {
                *seen.entry(done.task_id).or_insert(0) += 1;
            }
        }
        assert_eq!(seen.len(), 2 * *n as usize, "{id}");
        assert!(seen.values().all(|count| *count == 1), "{id}: a result was recorded twice");
    }
    for (id, result) in &acknowledged.done {
        assert_eq!(client.instance::<u32>(id)?.output().await?, *result, "{id}");
    }
    for (lane, numbers) in &acknowledged.raised {
        let collector = client.instance::<Vec<u32>>(&format!("collector-{lane}"))?;
        collector.raise(NEWS, STOP).await?;
        let seen = collector.output().await?;
        let mut acknowledged = seen.iter().filter(|n| numbers.contains(n));
        assert!(numbers.iter().all(|n| acknowledged.next() == Some(n)), "lane {lane}: lost or out of order");
        let mut once = seen.clone();
        once.dedup();
        assert_eq!(once, seen, "lane {lane}: an event was taken twice");
    }
    let total = acknowledged.started.len();
    println!("{kills} kills, {total} starts, {} results checked", acknowledged.done.len());
    assert!(total > 0);
    let status = client.instance::<Json>("collector-0")?.status().await?;
    assert!(status.is_none_or(|s| s.status == RuntimeStatus::Completed));
    tokio::time::timeout(Duration::from_secs(60), hub.close()).await?
}
