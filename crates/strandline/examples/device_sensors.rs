//! An aggregator: a stream of readings goes into one entity for each metric, made when the first
//! reading of its metric comes.
//!
//! `cargo run --example device_sensors -- readings.jsonl`: a file with lines such as
//! `{"metric": "temperature", "value": 21.5}`; without a file, a thousand readings of three sensors.
//! With `--dir PATH` to keep the hub, and with it the sums.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use strandline::prelude::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) metric: String,
    pub(crate) value: f64,
}

/// All readings of one metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counter {
    pub(crate) readings: u64,
    pub(crate) sum: f64,
}

#[entity]
impl Counter {
    pub fn add(&mut self, value: f64) {
        self.readings += 1;
        self.sum += value;
    }

    pub fn get(&self) -> Counter {
        *self
    }
}

/// Asks the counters of these metrics, all at the same time.
#[orchestrator(name = "Summarize")]
async fn summarize(ctx: OrchestrationContext, metrics: Vec<String>) -> Result<Vec<(String, Counter)>> {
    let ask = async |metric: String| Ok((metric.clone(), ctx.entity::<Counter>(metric).get().await?));
    try_join_all(metrics.into_iter().map(ask)).await
}

/// Takes readings from a stream until it ends.
pub(crate) async fn run(
    dir: &Path,
    readings: impl IntoIterator<Item = Result<Reading>>,
) -> Result<BTreeMap<String, Counter>> {
    let hub = TaskHub::open(dir).await?;
    hub.worker().register((Counter, summarize)).start()?;
    let client = hub.client();
    let mut metrics = std::collections::BTreeSet::new();
    for reading in readings {
        let Reading { metric, value } = reading?;
        client.entity::<Counter>(&metric).signal().add(value).await?;
        metrics.insert(metric);
    }
    // Its calls come after all signals, so it sees every reading.
    let counters = client.start(summarize, metrics.into_iter().collect()).await?.output().await?;
    hub.close().await?;
    Ok(counters.into_iter().collect())
}

/// Readings from a file, one line after the other.
pub(crate) fn lines_of(file: &Path) -> Result<impl Iterator<Item = Result<Reading>> + use<>> {
    let name = file.display().to_string();
    let lines = BufReader::new(File::open(file).with_context(|| format!("opening {name}"))?).lines();
    let numbered = (1..).zip(lines).filter(|(_, line)| !line.as_ref().is_ok_and(|l| l.trim().is_empty()));
    Ok(numbered.map(move |(number, line)| {
        let what = || format!("line {number} of {name} is not a reading");
        serde_json::from_str(&line.with_context(what)?).with_context(what)
    }))
}

/// A thousand readings of three sensors.
pub(crate) fn sample() -> impl Iterator<Item = Result<Reading>> {
    let sensors = [("temperature", 20.0), ("humidity", 55.0), ("pressure", 1013.0)];
    (0..1000).zip(sensors.into_iter().cycle()).map(|(n, (metric, usual))| {
        Ok(Reading { metric: metric.to_owned(), value: usual + f64::from(n % 7) / 2.0 })
    })
}

#[tokio::main]
async fn main() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let (mut dir, mut file) = (temporary.path().join("hub"), None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--dir" => dir = arguments.next().context("--dir needs a path")?.into(),
            path => file = Some(PathBuf::from(path)),
        }
    }
    let counters = match file {
        Some(file) => run(&dir, lines_of(&file)?).await?,
        None => run(&dir, sample()).await?,
    };
    for (metric, Counter { readings, sum }) in counters {
        println!("Counter/{metric}: {readings} readings, {:.2} on average", sum / readings as f64);
    }
    Ok(())
}
