//! What the server's worker runs.

use strandline::Register;
use strandline::prelude::*;

/// Returns what it is given, and shows it as its custom status.
#[orchestrator(name = "Echo")]
async fn echo(ctx: OrchestrationContext, value: serde_json::Value) -> Result<serde_json::Value> {
    ctx.set_custom_status(&value);
    Ok(value)
}

const GO: Event<serde_json::Value> = Event::named("Go");

/// Returns what it is told.
#[orchestrator(name = "Waiting")]
async fn waiting(ctx: OrchestrationContext, _: serde_json::Value) -> Result<serde_json::Value> {
    ctx.wait_for(GO).await
}

/// Waits for a child of the same id with `/child` behind it.
#[orchestrator(name = "Parent")]
async fn parent(ctx: OrchestrationContext, _: serde_json::Value) -> Result<serde_json::Value> {
    let child = format!("{}/child", ctx.instance_id());
    ctx.call(waiting.instance_id(child), serde_json::Value::Null).await
}

#[activity(name = "Risk")]
async fn risk() -> Result<String> {
    bail!("no luck today")
}

#[orchestrator(name = "Failing")]
async fn failing(ctx: OrchestrationContext, _: serde_json::Value) -> Result<String> {
    ctx.call(risk, ()).await
}

#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Counter {
    value: i64,
}

#[entity]
impl Counter {
    pub fn add(&mut self, amount: i64) -> i64 {
        self.value += amount;
        self.value
    }
}

pub(crate) fn all() -> impl Register {
    (echo, waiting, parent, failing, risk, Counter)
}
