//! Human interaction: an answer from outside, or escalation after three days without one.
//!
//! `cargo run --example approval -- approve` (or `reject`; or `silence`, with a patience of one
//! second in place of 72 hours), with `--dir PATH` to keep the hub.

use std::path::Path;

use strandline::prelude::*;

/// The answer of the one who approves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) by: String,
    pub(crate) granted: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Expense {
    item: String,
    euros: u32,
    patience: Duration,
}

const APPROVAL: Event<Answer> = Event::named("ApprovalEvent");

#[activity(name = "RequestApproval")]
async fn request_approval(ctx: ActivityContext, expense: Expense) -> Result<()> {
    println!("{}: may we buy {} for {} euros?", ctx.instance_id(), expense.item, expense.euros);
    Ok(())
}

#[activity(name = "ProcessApproval")]
async fn process_approval(answer: Answer) -> Result<String> {
    let decision = if answer.granted { "approved" } else { "rejected" };
    Ok(format!("{decision} by {}", answer.by))
}

#[activity(name = "Escalate")]
async fn escalate(expense: Expense) -> Result<String> {
    Ok(format!(
        "nobody answered within {:?}: the purchase of {} is escalated",
        expense.patience, expense.item
    ))
}

#[orchestrator(name = "Approval")]
async fn approval(ctx: OrchestrationContext, expense: Expense) -> Result<String> {
    ctx.call(request_approval, expense.clone()).await?;
    ctx.set_custom_status("waiting for ApprovalEvent");
    select! {
        // The one that loses is dropped: a dropped timer is cancelled, and leaves the hub.
        answer = ctx.wait_for(APPROVAL) => ctx.call(process_approval, answer?).await,
        _ = ctx.timer(expense.patience) => ctx.call(escalate, expense).await,
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) outcome: String,
    /// Names of the history's events, in order.
    pub(crate) history: Vec<&'static str>,
    /// Timers of the hub while the instance waited, and afterwards.
    pub(crate) timers: (usize, usize),
}

pub(crate) async fn run(dir: &Path, answer: Option<Answer>) -> Result<Report> {
    let hub = TaskHub::open(dir).await?;
    hub.worker().register((request_approval, process_approval, escalate, approval)).start()?;
    let patience = if answer.is_some() { hours(72) } else { secs(1) };
    let expense = Expense { item: "a coffee machine".to_owned(), euros: 800, patience };
    let instance = hub.client().start(approval, expense).await?;

    // The timer exists from the turn on that sets the custom status.
    loop {
        let status = instance.wait_started().await?;
        if status.custom_status.is_some() || status.status.is_terminal() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let waiting = hub.pending_timers();
    if let Some(answer) = answer {
        instance.raise(APPROVAL, answer).await?;
    }
    let outcome = instance.output().await?;
    let after = hub.pending_timers();
    let history = instance.history().await?.iter().map(|event| event.kind().name()).collect();
    hub.close().await?;
    Ok(Report { outcome, history, timers: (waiting, after) })
}

#[tokio::main]
async fn main() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let mut dir = temporary.path().join("hub");
    let mut granted = Some(true);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--dir" => dir = arguments.next().context("--dir needs a path")?.into(),
            "approve" => granted = Some(true),
            "reject" => granted = Some(false),
            "silence" => granted = None,
            other => bail!("'{other}' is none of approve, reject, silence"),
        }
    }
    let report = run(&dir, granted.map(|granted| Answer { by: "the boss".to_owned(), granted })).await?;
    let (waiting, after) = report.timers;
    println!("{waiting} timer in the hub while it waited");
    println!("{}", report.outcome);
    println!("{after} timers in the hub afterwards; the history: {}", report.history.join(", "));
    Ok(())
}
