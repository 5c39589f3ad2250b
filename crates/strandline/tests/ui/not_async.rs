use strandline::prelude::*;

#[activity]
fn greet(city: String) -> Result<String> {
    Ok(city)
}

#[orchestrator]
fn flow(ctx: OrchestrationContext) -> Result<()> {
    Ok(())
}

fn main() {}
