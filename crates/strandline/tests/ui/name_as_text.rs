use strandline::prelude::*;

#[orchestrator]
async fn flow(ctx: OrchestrationContext) -> Result<String> {
    ctx.call("greet", "Berlin".to_owned()).await
}

fn main() {}
