//! What the server's worker runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use strandline::Register;
use strandline::prelude::*;

use crate::samples;

/// Whether `Failing` works by now.
#[derive(Clone, Default)]
pub(crate) struct Mended(Arc<AtomicBool>);

impl Mended {
    pub(crate) fn mend(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[orchestrator(name = "Hello")]
async fn hello(_: OrchestrationContext, name: Option<String>) -> Result<String> {
    Ok(format!("Hello {}!", name.as_deref().unwrap_or("nobody")))
}

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

#[activity(name = "Risk")]
async fn risk(mended: State<Mended>) -> Result<String> {
    ensure!(mended.0.load(Ordering::SeqCst), "no luck today");
    Ok("lucky".to_owned())
}

#[orchestrator(name = "Failing")]
async fn failing(ctx: OrchestrationContext, _: serde_json::Value) -> Result<String> {
    ctx.call(risk, ()).await
}

pub(crate) fn all() -> impl Register {
    (hello, echo, waiting, failing, risk, samples::functions())
}
