//! The orchestration `order` in Rust, embedded: `golden_history DIRECTORY`. Its twins are golden.py and golden.js.

use std::time::Duration;

use strandline::prelude::*;

const GO: Event<i64> = Event::named("go");

#[activity]
async fn double(number: i64) -> Result<i64> {
    Ok(number * 2)
}

#[orchestrator]
async fn negate(_ctx: OrchestrationContext, number: i64) -> Result<i64> {
    Ok(-number)
}

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Tally {
    total: i64,
}

#[entity(name = "tally")]
impl Tally {
    pub fn add(&mut self, amount: i64) -> i64 {
        self.total += amount;
        self.total
    }
}

#[orchestrator]
async fn order(ctx: OrchestrationContext, number: i64) -> Result<Vec<i64>> {
    let doubled = ctx.call(double, number).await?;
    ctx.timer(Duration::from_millis(50)).await?;
    let negated = ctx.call(negate, doubled).await?;
    ctx.set_custom_status("waiting");
    let told = ctx.wait_for(GO).await?;
    let total = ctx.entity::<Tally>("one").add(told).await?;
    Ok(vec![doubled, negated, told, total])
}

#[tokio::main]
async fn main() -> Result<()> {
    let directory = std::env::args().nth(1).context("name a directory")?;
    let hub = TaskHub::open(directory).await?;
    hub.worker().register((double, negate, order, Tally)).start()?;
    let run = hub.client().start(order.instance_id("golden"), 21).await?;
    while run.wait_started().await?.custom_status.as_deref() != Some("\"waiting\"") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    run.raise(GO, 7).await?;
    println!("{:?}", run.output().await?);
    hub.close().await
}
