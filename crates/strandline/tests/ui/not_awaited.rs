#![deny(unused_must_use)]

use strandline::prelude::*;

#[activity]
async fn greet(city: String) -> Result<String> {
    Ok(city)
}

#[orchestrator]
async fn flow(ctx: OrchestrationContext) -> Result<()> {
    ctx.call(greet, "Berlin".to_owned());
    Ok(())
}

fn main() {}
