//! Counting in entities: one with a count for each field, and for a hot key the same in shards.
//!
//! Operations of one entity run one after the other. That makes counting safe, and it is the limit of
//! what one key takes. Spread over shards, counts of one key run in parallel; reading adds them up.
//!
//! `cargo run --example document_counter -- 1000`: so many documents are counted, each way; with
//! `--dir PATH` to keep the hub, and with it the counts.

use std::collections::BTreeMap;
use std::path::Path;

use strandline::prelude::*;

/// How many entities share the load of one hot key. It can grow; the sum is over all there are.
const SHARDS: u64 = 8;

/// Counts by field.
pub(crate) type Counts = BTreeMap<String, u64>;

#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
struct DocumentCounter {
    counts: Counts,
}

#[entity]
impl DocumentCounter {
    pub fn increment(&mut self, field: String) {
        *self.counts.entry(field).or_default() += 1;
    }

    pub fn get(&self) -> Counts {
        self.counts.clone()
    }

    pub fn reset(&mut self) {
        self.counts.clear();
    }
}

/// Where a document is counted: any shard will do, if they get equally many.
fn shard(key: &str, document: u64) -> EntityId<DocumentCounter> {
    DocumentCounter::id(format!("{key}/{}", document % SHARDS))
}

fn shards(key: &str) -> impl Iterator<Item = EntityId<DocumentCounter>> {
    (0..SHARDS).map(move |number| shard(key, number))
}

/// The counts of one key, whole.
#[orchestrator(name = "ReadCounts")]
async fn read_counts(ctx: OrchestrationContext, key: String) -> Result<Counts> {
    ctx.entity::<DocumentCounter>(key).get().await
}

/// The counts of a sharded key, added up.
#[orchestrator(name = "SumShards")]
async fn sum_shards(ctx: OrchestrationContext, key: String) -> Result<Counts> {
    let counts = try_join_all(shards(&key).map(|shard| ctx.entity(shard).get())).await?;
    let mut sum = Counts::new();
    for (field, count) in counts.into_iter().flatten() {
        *sum.entry(field).or_default() += count;
    }
    Ok(sum)
}

#[orchestrator(name = "ResetCounts")]
async fn reset_counts(ctx: OrchestrationContext, key: String) -> Result<()> {
    let counters = shards(&key).chain([DocumentCounter::id(key.as_str())]);
    try_join_all(counters.map(|counter| ctx.entity(counter).reset())).await?;
    Ok(())
}

/// What was counted.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) in_one: Counts,
    pub(crate) in_shards: Counts,
    /// What one shard holds of it.
    pub(crate) in_first_shard: Counts,
    pub(crate) after_reset: Counts,
}

pub(crate) async fn run(dir: &Path, documents: u64) -> Result<Report> {
    let hub = TaskHub::open(dir).await?;
    hub.worker().register((DocumentCounter, read_counts, sum_shards, reset_counts)).start()?;
    let client = hub.client();
    let key = "documents";
    let one = client.entity::<DocumentCounter>(key);
    let count = async |document: u64| {
        let field = if document % 10 == 9 { "failed" } else { "processed" };
        one.signal().increment(field.to_owned()).await?;
        client.entity(shard(key, document)).signal().increment(field.to_owned()).await
    };
    try_join_all((0..documents).map(count)).await?;

    let in_one = client.start(read_counts, key.to_owned()).await?.output().await?;
    let in_shards = client.start(sum_shards, key.to_owned()).await?.output().await?;
    let first_shard = client.entity(shard(key, 0)).state().await?.unwrap_or_default();
    client.start(reset_counts, key.to_owned()).await?.output().await?;
    let after_reset = client.start(sum_shards, key.to_owned()).await?.output().await?;
    hub.close().await?;
    Ok(Report { in_one, in_shards, in_first_shard: first_shard.counts, after_reset })
}

#[tokio::main]
async fn main() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let (mut dir, mut documents) = (temporary.path().join("hub"), 1000);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--dir" => dir = arguments.next().context("--dir needs a path")?.into(),
            number => documents = number.parse().with_context(|| format!("'{number}' is not a number"))?,
        }
    }
    let report = run(&dir, documents).await?;
    println!("in one entity:      {:?}", report.in_one);
    println!("in {SHARDS} shards, summed: {:?}", report.in_shards);
    println!("in the first shard: {:?}", report.in_first_shard);
    println!("after a reset:      {:?}", report.after_reset);
    Ok(())
}
