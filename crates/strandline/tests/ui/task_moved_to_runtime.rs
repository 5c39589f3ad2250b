use strandline::prelude::*;

#[activity]
async fn greet(city: String) -> Result<String> {
    Ok(city)
}

#[orchestrator]
async fn flow(ctx: OrchestrationContext) -> Result<()> {
    let task = ctx.call(greet, "Berlin".to_owned());
    tokio::spawn(async move {
        let _ = task.await;
    });
    Ok(())
}

fn main() {}
