//! The Rust worker of a hub that Python and Node serve, too; see README.md.
//!
//! It has an activity that Python's orchestration calls, and an orchestration that calls Python's activity.

use strandline::RemoteHub;
use strandline::prelude::*;

/// In worker.py.
const COUNT_WORDS: Activity<String, u64> = Activity::named("count_words");

#[activity]
async fn checksum(text: String) -> Result<u32> {
    Ok(text.bytes().fold(5381, |sum: u32, byte| sum.wrapping_mul(33) ^ u32::from(byte)))
}

#[orchestrator]
async fn measure(ctx: OrchestrationContext, text: String) -> Result<String> {
    let words = ctx.call(COUNT_WORDS, text.clone()).await?;
    let sum = ctx.call(checksum, text).await?;
    Ok(format!("{words} words, checksum {sum:08x}"))
}

#[tokio::main]
async fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7071".to_owned());
    let hub = RemoteHub::connect(format!("http://{address}")).await?;
    hub.worker().register((checksum, measure)).start().await?;
    // It waits, on disk, until there is a worker in Python.
    let run = hub.client().start(measure, "the quick brown fox".to_owned()).await?;
    println!("Rust started measure, which needs Python: {}", run.output().await?);
    tokio::signal::ctrl_c().await?;
    hub.close().await
}
