//! What the first pages about Durable Functions start over HTTP, under the names they use, and whatever they send
//! along.

use strandline::Register;
use strandline::prelude::*;

use super::board::Board;

/// How much work there is, and how long each part of it takes: about two seconds, long enough to be seen
/// running.
const PARTS: u32 = 4;
const PART: Duration = millis(500);

#[activity(name = "DoPart")]
async fn do_part(board: State<Board>, part: u32) -> Result<u32> {
    tokio::time::sleep(PART).await;
    board.say(format_args!("DoWork: part {part} of {PARTS} is done"));
    Ok(part)
}

#[orchestrator(name = "DoWork")]
async fn do_work(ctx: OrchestrationContext, _: Json) -> Result<String> {
    let mut done = 0;
    while done < PARTS {
        done = ctx.call(do_part, done + 1).await?;
    }
    Ok(format!("all {done} parts are done"))
}

#[activity(name = "DurableFunctionsOrchestratorSample_Hello")]
async fn sample_hello(board: State<Board>, city: String) -> Result<String> {
    let greeting = format!("Hello {city}!");
    board.say(format_args!("DurableFunctionsOrchestratorSample: {greeting}"));
    Ok(greeting)
}

#[orchestrator(name = "DurableFunctionsOrchestratorSample")]
async fn sample(ctx: OrchestrationContext, _: Json) -> Result<Vec<String>> {
    let mut greetings = Vec::new();
    for city in ["Tokyo", "Seattle", "London"] {
        greetings.push(ctx.call(sample_hello, city.to_owned()).await?);
    }
    Ok(greetings)
}

/// Everything above.
pub(super) fn functions() -> impl Register {
    (do_work, do_part, sample, sample_hello)
}
