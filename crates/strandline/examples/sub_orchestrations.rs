//! Orchestrations that call orchestrations: a parent splits a count of primes among its children.
//!
//! `cargo run --example sub_orchestrations -- 1000`: so many children, each with a range of 1,000
//! numbers; with `--dir PATH` to keep the hub.

use std::path::Path;

use strandline::prelude::*;

const NUMBERS_OF_A_CHILD: u64 = 1000;

#[activity(name = "CountPrimes")]
async fn count_primes((from, to): (u64, u64)) -> Result<u64> {
    let is_prime = |n: &u64| *n > 1 && (2..).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    Ok((from..to).filter(is_prime).count() as u64)
}

/// What a child tells its parent.
#[derive(Serialize, Deserialize)]
struct Found {
    primes: u64,
    /// Name and instance id of the parent, as the child sees it.
    parent: (String, String),
}

#[orchestrator(name = "CountRange")]
async fn count_range(ctx: OrchestrationContext, from: u64) -> Result<Found> {
    let parent = ctx.parent().context("a child has a parent")?;
    let primes = ctx.call(count_primes, (from, from + NUMBERS_OF_A_CHILD)).await?;
    Ok(Found { primes, parent: (parent.name, parent.instance_id.to_string()) })
}

#[orchestrator(name = "CountAll")]
async fn count_all(ctx: OrchestrationContext, children: u64) -> Result<u64> {
    ensure!(ctx.parent().is_none(), "started by a client, so without a parent");
    let me = ctx.instance_id().to_string();
    let child = |number: u64| {
        // Without an id of its own a child gets one made from its parent's execution id.
        let id = format!("{me}/range-{number}");
        ctx.call(count_range.instance_id(id), number * NUMBERS_OF_A_CHILD)
    };
    let found = try_join_all((0..children).map(child)).await?;
    for child in &found {
        ensure!(child.parent == (ctx.name(), me.clone()), "a child names {:?} its parent", child.parent);
    }
    Ok(found.iter().map(|child| child.primes).sum())
}

pub(crate) async fn run(dir: &Path, children: u64) -> Result<u64> {
    let hub = TaskHub::open(dir).await?;
    hub.worker().register((count_primes, count_range, count_all)).start()?;
    let client = hub.client();
    let instance = client.start(count_all, children).await?;
    println!("CountAll {} calls {children} children", instance.id());
    let primes = instance.output().await?;
    println!("{primes} primes below {}", children * NUMBERS_OF_A_CHILD);
    if children > 0 {
        // A child is an instance like any other.
        let first = client.instance::<Json>(&format!("{}/range-0", instance.id()))?;
        let status = first.wait().await?;
        println!("{} is {}: {}", first.id(), status.status, status.output().unwrap_or_default());
    }
    hub.close().await?;
    Ok(primes)
}

#[tokio::main]
async fn main() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let mut dir = temporary.path().join("hub");
    let mut children = 1000;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--dir" => dir = arguments.next().context("--dir needs a path")?.into(),
            number => children = number.parse().with_context(|| format!("'{number}' is not a number"))?,
        }
    }
    run(&dir, children).await?;
    Ok(())
}
