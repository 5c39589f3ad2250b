use strandline::prelude::*;

#[activity]
async fn greet(city: String) -> Result<String> {
    Ok(city)
}

#[orchestrator]
async fn flow(ctx: OrchestrationContext) -> Result<String> {
    ctx.call(greet, 5).await
}

fn main() {}
