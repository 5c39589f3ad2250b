//! Functions that are run embedded and remotely.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use strandline::prelude::*;
use strandline::{Register, Uuid};
use tokio::sync::Semaphore;

/// Something activities wait for, and what they met with.
#[derive(Clone)]
pub(crate) struct Gate {
    open: Arc<Semaphore>,
    entered: Arc<Semaphore>,
    times: Arc<AtomicUsize>,
    pub(crate) cancelled: Arc<AtomicUsize>,
}

impl Gate {
    pub(crate) fn closed() -> Self {
        Self {
            open: Arc::new(Semaphore::new(0)),
            entered: Arc::new(Semaphore::new(0)),
            times: Arc::default(),
            cancelled: Arc::default(),
        }
    }

    pub(crate) fn open() -> Self {
        let gate = Self::closed();
        gate.open.add_permits(100_000);
        gate
    }

    pub(crate) fn let_through(&self, n: usize) {
        self.open.add_permits(n);
    }

    pub(crate) fn times_entered(&self) -> usize {
        self.times.load(Ordering::SeqCst)
    }

    /// Waits until an activity is inside.
    pub(crate) async fn entered(&self) {
        self.entered.acquire().await.unwrap().forget();
    }
}

#[activity]
async fn greet(city: String) -> Result<String> {
    Ok(format!("Hello {city}!"))
}

#[activity]
async fn fails(what: String) -> Result<()> {
    bail!("no {what} today")
}

/// Passes a gate, or gives up when its result is not wanted any more.
#[activity]
async fn pass(gate: State<Gate>, ctx: ActivityContext, n: u32) -> Result<u32> {
    gate.times.fetch_add(1, Ordering::SeqCst);
    gate.entered.add_permits(1);
    let cancelled = ctx.cancellation();
    tokio::select! {
        permit = gate.open.acquire() => permit.unwrap().forget(),
        () = cancelled.cancelled() => {
            gate.cancelled.fetch_add(1, Ordering::SeqCst);
            bail!("given up");
        }
    }
    Ok(n)
}

#[activity]
async fn length(text: String) -> Result<usize> {
    Ok(text.len())
}

#[orchestrator]
pub(crate) async fn sequence(ctx: OrchestrationContext, cities: Vec<String>) -> Result<Vec<String>> {
    let mut greetings = Vec::new();
    for city in cities {
        ctx.set_custom_status(&city);
        greetings.push(ctx.call(greet, city).await?);
    }
    Ok(greetings)
}

#[orchestrator]
pub(crate) async fn retries(ctx: OrchestrationContext, what: String) -> Result<String> {
    let policy = RetryPolicy::new(millis(20), 3);
    match ctx.call(fails.retry(policy), what).await {
        Ok(()) => Ok("it worked".to_owned()),
        Err(error) => Ok(format!("{}: {}", error.error_type(), error.message())),
    }
}

pub(crate) const GO: Event<String> = Event::named("Go");

/// An event and two timers: the one that is not needed is cancelled, the other one fires.
#[orchestrator]
pub(crate) async fn waits(ctx: OrchestrationContext, _: ()) -> Result<String> {
    ctx.set_custom_status("waiting");
    let mut said = String::new();
    select! {
        go = ctx.wait_for(GO) => said.push_str(&go?),
        _ = ctx.timer(hours(1)) => bail!("nobody said a word"),
    }
    select! {
        go = ctx.wait_for(GO) => said.push_str(&go?),
        _ = ctx.timer(millis(30)) => said.push_str(", then silence"),
    }
    Ok(said)
}

#[orchestrator]
async fn doomed(ctx: OrchestrationContext, what: String) -> Result<()> {
    ctx.call(fails, what).await.context("as foreseen")
}

#[orchestrator]
pub(crate) async fn parent(ctx: OrchestrationContext, what: String) -> Result<()> {
    ctx.call(doomed, what).await
}

#[orchestrator]
pub(crate) async fn counts(ctx: OrchestrationContext, n: u32) -> Result<(u32, bool)> {
    let _: Uuid = ctx.new_guid();
    ctx.timer(millis(1)).await?;
    if n < 3 {
        return ctx.continue_as_new(n + 1);
    }
    Ok((n, ctx.is_replaying()))
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) balance: i64,
}

#[entity]
impl Account {
    pub fn add(&mut self, n: i64) -> i64 {
        self.balance += n;
        self.balance
    }

    pub fn take(&mut self, n: i64) -> Result<i64> {
        ensure!(n <= self.balance, "{} is all there is", self.balance);
        self.balance -= n;
        Ok(self.balance)
    }

    pub fn balance(&self) -> i64 {
        self.balance
    }
}

#[orchestrator]
pub(crate) async fn transfers(ctx: OrchestrationContext, _: ()) -> Result<(i64, String)> {
    ctx.entity(Account::id("a")).add(10).await?;
    let (from, to) = ctx.lock((Account::id("a"), Account::id("b"))).await?;
    from.take(7).await?;
    let there = to.add(7).await?;
    let refused = from.take(7).await.unwrap_err();
    Ok((there, refused.message().to_owned()))
}

/// Calls that pass the gate one after the other, so that it is long under way.
#[orchestrator]
pub(crate) async fn passes(ctx: OrchestrationContext, n: u32) -> Result<u32> {
    let mut sum = 0;
    for n in 0..n {
        sum += ctx.call(pass, n).await?;
    }
    Ok(sum)
}

/// Decides more in one turn than fits one message, and goes on with a history that does not, either.
#[orchestrator]
pub(crate) async fn measures(ctx: OrchestrationContext, texts: usize) -> Result<usize> {
    let calls = (0..texts).map(|_| ctx.call(length, "x".repeat(20_000)));
    let first: usize = try_join_all(calls).await?.iter().sum();
    ctx.timer(millis(1)).await?;
    Ok(first + ctx.call(length, "1234".to_owned()).await?)
}

pub(crate) fn all() -> impl Register {
    let activities = (greet, fails, pass, length);
    (activities, sequence, retries, waits, doomed, parent, counts, Account, transfers, passes, measures)
}
