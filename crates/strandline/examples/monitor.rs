//! Monitors: each polls a job with growing pauses until it is done or the monitor expires, then alerts.
//!
//! The job counts the primes below a number and leaves the count in a file. A second monitor watches
//! a job nobody began, so it expires; a third one is ended by the client.
//!
//! `cargo run --example monitor -- 3000000`, with `--dir PATH` to keep the hub.

use std::fs;
use std::path::{Path, PathBuf};

use strandline::prelude::*;

#[derive(Clone, Serialize, Deserialize)]
struct Job {
    /// Appears when the job is done.
    result: PathBuf,
    /// The monitor gives up after this time.
    patience: Duration,
}

/// What a finished job says.
#[activity(name = "GetJobStatus")]
async fn get_job_status(result: PathBuf) -> Result<Option<String>> {
    match fs::read_to_string(&result) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[activity(name = "SendAlert")]
async fn send_alert(ctx: ActivityContext, text: String) -> Result<String> {
    println!("alert from {}: {text}", ctx.instance_id());
    Ok(text)
}

#[orchestrator(name = "Monitor")]
async fn monitor(ctx: OrchestrationContext, job: Job) -> Result<String> {
    let expires = ctx.now().saturating_add(job.patience);
    let mut pause = millis(50);
    let mut looks = 0;
    while ctx.now() < expires {
        looks += 1;
        if let Some(result) = ctx.call(get_job_status, job.result.clone()).await? {
            return ctx.call(send_alert, format!("done: {result}")).await;
        }
        ctx.set_custom_status(format!("looked {looks} times, the next time after {pause:?}"));
        let next = ctx.now().saturating_add(pause);
        ctx.timer_at(next.min(expires)).await?;
        pause = (pause * 2).min(minutes(5));
    }
    ctx.call(send_alert, "expired".to_owned()).await
}

fn count_primes_below(limit: usize) -> usize {
    let mut composite = vec![false; limit.max(2)];
    let mut n = 2;
    while n * n < limit {
        if !composite[n] {
            (n * n..limit).step_by(n).for_each(|multiple| composite[multiple] = true);
        }
        n += 1;
    }
    composite.iter().skip(2).filter(|composite| !**composite).count()
}

/// What came of the three monitors.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) done: String,
    pub(crate) expired: String,
    pub(crate) ended: Error,
}

pub(crate) async fn run(dir: &Path, limit: usize) -> Result<Report> {
    let hub = TaskHub::open(dir).await?;
    hub.worker().register((get_job_status, send_alert, monitor)).start()?;
    let client = hub.client();
    let work = dir.with_extension("jobs");
    fs::create_dir_all(&work)?;
    let now = client.now().await?;
    let watch = |file: &str, patience| {
        let job = Job { result: work.join(file), patience };
        let id = format!("monitor-{file}-{}", now.as_nanos());
        async { client.start(monitor, job).instance_id(id).await }
    };
    let primes = watch("primes", hours(1)).await?;
    let never_begun = watch("never-begun", millis(700)).await?;
    let unwanted = watch("unwanted", hours(1)).await?;

    let result = work.join("primes");
    let job = tokio::task::spawn_blocking(move || {
        let count = count_primes_below(limit);
        // Renamed when complete: who finds the file finds all of it.
        let unfinished = result.with_extension("unfinished");
        fs::write(&unfinished, format!("{count} primes below {limit}"))?;
        fs::rename(unfinished, result)
    });
    unwanted.wait_started().await?;
    unwanted.terminate("nobody cares any more").await?;
    let ended = match unwanted.output().await {
        Err(error) => error,
        Ok(text) => bail!("a terminated monitor returned {text}"),
    };
    job.await??;
    let report = Report { done: primes.output().await?, expired: never_begun.output().await?, ended };
    hub.close().await?;
    Ok(report)
}

#[tokio::main]
async fn main() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let mut dir = temporary.path().join("hub");
    let mut limit = 3_000_000;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--dir" => dir = arguments.next().context("--dir needs a path")?.into(),
            number => limit = number.parse().with_context(|| format!("'{number}' is not a number"))?,
        }
    }
    let report = run(&dir, limit).await?;
    println!("the first: {}", report.done);
    println!("the second: {}", report.expired);
    println!("the third: {}", report.ended);
    Ok(())
}
