use strandline::prelude::*;

#[activity]
async fn add(a: i32, b: i32) -> Result<i32> {
    Ok(a + b)
}

#[orchestrator]
async fn flow(ctx: OrchestrationContext, a: i32, b: i32) -> Result<i32> {
    Ok(a + b)
}

#[orchestrator]
async fn no_context(a: i32) -> Result<i32> {
    Ok(a)
}

#[activity(nam = "Borrow")]
async fn wrong_argument(a: i32) -> Result<i32> {
    Ok(a)
}

#[activity]
async fn borrow(text: &str) -> Result<usize> {
    Ok(text.len())
}

#[activity]
async fn no_result(text: String) -> usize {
    text.len()
}

fn main() {}
