//! What there is to signal, and to look at.

use std::sync::atomic::{AtomicUsize, Ordering};

use strandline::prelude::*;
use strandline::{Json, Register};

#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Counter {
    value: i64,
}

#[entity]
impl Counter {
    pub fn add(&mut self, amount: i64) -> i64 {
        self.value += amount;
        self.value
    }
}

/// Keeps what it was sent: operations and their inputs.
#[entity(name = "Recorder")]
fn recorder(ctx: EntityContext<Vec<(String, Json)>>) -> Result<()> {
    let mut sent = ctx.state()?;
    sent.push((ctx.operation().to_owned(), ctx.input()?));
    ctx.set_state(sent)
}

#[activity(name = "SayHello")]
async fn say_hello(city: String) -> Result<String> {
    Ok(format!("Hello {city}!"))
}

#[activity(name = "Fail")]
async fn fail(what: String) -> Result<()> {
    bail!("no {what} today")
}

/// How often [`flaky`] was called.
#[derive(Default)]
pub(crate) struct Attempts(AtomicUsize);

#[activity(name = "Flaky")]
async fn flaky(attempts: State<Attempts>, _: ()) -> Result<u32> {
    ensure!(attempts.0.fetch_add(1, Ordering::SeqCst) > 0, "the first attempt fails");
    Ok(7)
}

#[orchestrator(name = "Child")]
async fn child(_ctx: OrchestrationContext, works: bool) -> Result<String> {
    ensure!(works, "the child has its own mind");
    Ok("grown up".to_owned())
}

const GO: Event<Json> = Event::named("Go");

/// Does one of each.
#[orchestrator(name = "Everything")]
async fn everything(ctx: OrchestrationContext, city: String) -> Result<String> {
    let greeting = ctx.call(say_hello, city).await?;
    let _ = ctx.call(fail, "milk".to_owned()).await;
    ctx.call(flaky.retry(RetryPolicy::new(millis(1), 2)), ()).await?;
    ctx.timer(millis(1)).await?;
    ctx.call(child.instance_id("good-child"), true).await?;
    let _ = ctx.call(child.instance_id("bad-child"), false).await;
    ctx.send_event("nobody", GO, Json::from(1))?;
    ctx.wait_for(GO).await?;
    Ok(greeting)
}

/// Calls that are all open at once, with inputs and results of this many bytes.
#[orchestrator(name = "Wide")]
async fn wide(ctx: OrchestrationContext, (calls, bytes): (usize, usize)) -> Result<usize> {
    let calls = (0..calls).map(|_| ctx.call(say_hello, "x".repeat(bytes)));
    Ok(try_join_all(calls).await?.len())
}

pub(crate) fn functions() -> impl Register {
    let entities = (Counter, recorder);
    let activities = (say_hello, fail, flaky);
    (entities, activities, child, everything, wide)
}
