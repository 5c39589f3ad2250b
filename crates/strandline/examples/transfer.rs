//! A critical section: money goes from one account to another, and nobody sees it on the way.
//!
//! Both accounts are locked, so what was read stays true until it is acted on. Insufficient funds
//! leave both as they were.
//!
//! `cargo run --example transfer -- alice bob 70`: both begin with 100; more triples are more
//! transfers, all at the same time. With `--dir PATH` to keep the hub, and with it the accounts.

use std::collections::BTreeMap;
use std::path::Path;

use strandline::prelude::*;

/// What an account holds when it is opened.
const OPENING: u64 = 100;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) amount: u64,
}

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[entity]
impl Account {
    pub fn deposit(&mut self, amount: u64) {
        self.balance += amount;
    }

    /// An operation that fails changes nothing.
    pub fn withdraw(&mut self, amount: u64) -> Result<()> {
        let left = self.balance.checked_sub(amount);
        self.balance = left.with_context(|| format!("insufficient funds: {} < {amount}", self.balance))?;
        Ok(())
    }

    pub fn balance(&self) -> u64 {
        self.balance
    }
}

/// Returns both balances after the transfer.
#[orchestrator(name = "Transfer")]
async fn transfer(ctx: OrchestrationContext, order: Order) -> Result<(u64, u64)> {
    ensure!(order.from != order.to, "a transfer needs two accounts, not {} twice", order.from);
    // Whoever locks the same accounts in another order waits; there is no deadlock.
    let (from, to) = ctx.lock((Account::id(order.from), Account::id(order.to))).await?;
    from.withdraw(order.amount).await?;
    to.deposit(order.amount).await?;
    try_join!(from.balance(), to.balance())
    // The locks are given back when `from` and `to` are dropped.
}

/// What each order came to, and all balances in the end.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) transfers: Vec<Result<(u64, u64)>>,
    pub(crate) balances: BTreeMap<String, u64>,
}

pub(crate) async fn run(dir: &Path, orders: &[Order]) -> Result<Report> {
    let hub = TaskHub::open(dir).await?;
    hub.worker().register((Account, transfer)).start()?;
    let client = hub.client();
    let mut balances: BTreeMap<String, u64> =
        orders.iter().flat_map(|order| [&order.from, &order.to]).map(|name| (name.clone(), 0)).collect();
    for name in balances.keys() {
        let account = client.entity::<Account>(name);
        if account.state().await?.is_none() {
            account.signal().deposit(OPENING).await?;
        }
    }
    let order = async |order: &Order| client.start(transfer, order.clone()).await?.output().await;
    let transfers = join_all(orders.iter().map(order)).await;
    for (name, balance) in &mut balances {
        *balance = client.entity::<Account>(name).state().await?.unwrap_or_default().balance;
    }
    hub.close().await?;
    Ok(Report { transfers, balances })
}

#[tokio::main]
async fn main() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let (mut dir, mut orders) = (temporary.path().join("hub"), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--dir" {
            dir = arguments.next().context("--dir needs a path")?.into();
            continue;
        }
        let to = arguments.next().with_context(|| format!("{argument} pays whom?"))?;
        let amount = arguments.next().with_context(|| format!("how much does {argument} pay to {to}?"))?;
        let amount = amount.parse().with_context(|| format!("'{amount}' is not an amount"))?;
        orders.push(Order { from: argument, to, amount });
    }
    ensure!(!orders.is_empty(), "who pays whom how much? For example: alice bob 70");
    let report = run(&dir, &orders).await?;
    for (Order { from, to, amount }, outcome) in orders.iter().zip(&report.transfers) {
        match outcome {
            Ok((a, b)) => println!("{amount} from {from} to {to}: they then had {a} and {b}"),
            Err(error) => println!("{amount} from {from} to {to}: {error}"),
        }
    }
    println!("in the end: {:?}", report.balances);
    Ok(())
}
