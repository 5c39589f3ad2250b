//! An orchestration that never grows: each generation works on one chunk and continues as new.
//!
//! `cargo run --release --example eternal -- 10000`, with `--dir PATH` to keep the hub. Prints on the
//! way what the hub takes on disk. The tables stay as they are: the history of a generation goes when
//! the next one begins. The log is used again and again; only its segments grow, up to 64 MiB each.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};
use strandline::prelude::*;

/// What passes from generation to generation.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Chain {
    generation: u64,
    /// The checksum of all chunks so far.
    checksum: Vec<u8>,
}

/// When to stop, and when to look at the directory.
struct Plan {
    dir: PathBuf,
    milestones: Vec<u64>,
    sizes: Arc<Mutex<Vec<Size>>>,
}

/// What a hub takes on disk, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    pub(crate) tables: u64,
    pub(crate) log: u64,
}

/// Adds one chunk, 4 KiB made from its number, to the checksum.
#[activity(name = "ProcessChunk")]
async fn process_chunk(chain: Chain) -> Result<Chain> {
    let chunk = chain.generation.to_le_bytes().repeat(512);
    let checksum = Sha256::new().chain_update(&chain.checksum).chain_update(chunk).finalize().to_vec();
    Ok(Chain { generation: chain.generation + 1, checksum })
}

/// Whether there is more to do.
#[activity(name = "CheckContinuation")]
async fn check_continuation(plan: State<Plan>, generation: u64) -> Result<bool> {
    if plan.milestones.contains(&generation) {
        let size = directory_size(&plan.dir)?;
        println!(
            "after {generation:6} generations: {:9} bytes of tables, {:9} of log",
            size.tables, size.log
        );
        plan.sizes.lock().map_err(|_| Error::msg("a reader panicked"))?.push(size);
    }
    Ok(plan.milestones.last().is_some_and(|last| generation < *last))
}

#[orchestrator(name = "Eternal")]
async fn eternal(ctx: OrchestrationContext, chain: Chain) -> Result<Chain> {
    let chain = ctx.call(process_chunk, chain).await?;
    if ctx.call(check_continuation, chain.generation).await? {
        return ctx.continue_as_new(chain);
    }
    Ok(chain)
}

fn directory_size(dir: &Path) -> Result<Size> {
    let mut size = Size::default();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // A log segment may be taken out of use while we look.
        let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
        if entry.file_name().to_string_lossy().starts_with("log-") {
            size.log += bytes;
        } else {
            size.tables += bytes;
        }
    }
    Ok(size)
}

/// Runs as many generations as the last milestone says; returns the directory's size at each
/// milestone and the length of the last history.
pub(crate) async fn run(dir: &Path, milestones: Vec<u64>) -> Result<(Vec<Size>, usize)> {
    let hub = TaskHub::open(dir).await?;
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let plan = Plan { dir: dir.to_owned(), milestones, sizes: sizes.clone() };
    hub.worker().register((process_chunk, check_continuation, eternal)).state(plan).start()?;
    let begin = Chain { generation: 0, checksum: Vec::new() };
    let instance = hub.client().start(eternal, begin).await?;
    let chain = instance.output().await?;
    let history = instance.history().await?.len();
    println!(
        "{} generations under the id {}; the history has {history} events",
        chain.generation,
        instance.id()
    );
    hub.close().await?;
    let sizes = sizes.lock().map_err(|_| Error::msg("a writer panicked"))?.clone();
    Ok((sizes, history))
}

#[tokio::main]
async fn main() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let mut dir = temporary.path().join("hub");
    let mut generations: u64 = 10_000;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--dir" => dir = arguments.next().context("--dir needs a path")?.into(),
            number => generations = number.parse().with_context(|| format!("'{number}' is not a number"))?,
        }
    }
    let mut milestones = vec![generations / 100, generations / 10, generations];
    milestones.retain(|milestone| *milestone > 0);
    run(&dir, milestones).await?;
    Ok(())
}
