//! Two versions of one orchestrator side by side: what was begun with the first ends with it, what is
//! begun after the second came runs that.
//!
//! `cargo run --example versions`: opens a hub twice, as a program does that is replaced by its next
//! release while an order is under way. With `--dir PATH` to keep the hub.

use std::path::Path;

use strandline::EventKind;
use strandline::prelude::*;

const PAID: Event<u32> = Event::named("Paid");

#[activity(name = "Reserve")]
async fn reserve(order: String) -> Result<String> {
    Ok(format!("{order} reserved"))
}

#[activity(name = "Ship")]
async fn ship((order, euros): (String, u32)) -> Result<String> {
    Ok(format!("{order}: shipped for {euros} euros"))
}

/// New in version 2.
#[activity(name = "CheckAddress")]
async fn check_address(order: String) -> Result<String> {
    Ok(format!("{order} with its address checked"))
}

/// As it was first. It stays as long as an order of it is under way: an order is replayed with the code
/// it was begun with.
#[orchestrator(name = "Order", version = "1")]
async fn order_v1(ctx: OrchestrationContext, order: String) -> Result<String> {
    let order = ctx.call(reserve, order).await?;
    let euros = ctx.wait_for(PAID).await?;
    ctx.call(ship, (order, euros)).await
}

/// With another step before the first: an order of version 1 could not go on in this code.
#[orchestrator(name = "Order", version = "2")]
async fn order_v2(ctx: OrchestrationContext, order: String) -> Result<String> {
    let order = ctx.call(check_address, order).await?;
    let order = ctx.call(reserve, order).await?;
    let euros = ctx.wait_for(PAID).await?;
    ctx.call(ship, (order, euros)).await
}

/// What an order came to, and how.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) version: String,
    pub(crate) output: String,
    pub(crate) called: Vec<String>,
}

pub(crate) async fn run(dir: &Path) -> Result<[Order; 2]> {
    // The first release knows only version 1. It is closed while an order waits to be paid.
    let hub = TaskHub::open(dir).await?;
    hub.worker().register((reserve, ship, order_v1)).start()?;
    let early = hub.client().start(order_v1, "a lamp".to_owned()).await?;
    early.wait_started().await?;
    let early = early.id().to_owned();
    hub.close().await?;

    // The second release knows both.
    let hub = TaskHub::open(dir).await?;
    hub.worker().register((reserve, ship, check_address, order_v1, order_v2)).start()?;
    let client = hub.client();
    let late = client.start(order_v2, "a chair".to_owned()).await?;
    let early = client.instance(&early)?;
    early.raise(PAID, 30).await?;
    late.raise(PAID, 80).await?;
    let orders = [finish(&early).await?, finish(&late).await?];
    hub.close().await?;
    Ok(orders)
}

async fn finish(instance: &Instance<String>) -> Result<Order> {
    let output = instance.output().await?;
    let (mut version, mut called) = (String::new(), Vec::new());
    for event in instance.history().await? {
        match event.kind() {
            EventKind::ExecutionStarted(started) => version = started.version.clone().unwrap_or_default(),
            EventKind::TaskScheduled(task) => called.push(task.name.clone()),
            _ => {}
        }
    }
    Ok(Order { version, output, called })
}

#[tokio::main]
async fn main() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let mut dir = temporary.path().join("hub");
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--dir" => dir = arguments.next().context("--dir needs a path")?.into(),
            other => bail!("'{other}' is not --dir"),
        }
    }
    for Order { version, output, called } in run(&dir).await? {
        println!("version {version}: {output}, by way of {}", called.join(", "));
    }
    Ok(())
}
