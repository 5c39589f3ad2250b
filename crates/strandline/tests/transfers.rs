//! Money moves between accounts in critical sections while operations fail, orchestrations are
//! terminated inside their sections, and the process is killed: no money is lost or made, no lock is
//! left, and everybody else finishes.
//!
//! The test runs itself again as the program that is killed, as `kill.rs` does.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use strandline::prelude::*;
use strandline::{InstanceExists, InstanceOver, RuntimeStatus};

const DIR: &str = "STRANDLINE_TRANSFERS_DIR";
const ACCOUNTS: u32 = 10;
const OPENING: i64 = 1000;
const TRANSFERS: u32 = 200;
/// Every tenth transfer waits inside its section until it is terminated.
const STUCK_EVERY: u32 = 10;
const NEVER: Event<()> = Event::named("Never");

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: i64,
}

#[entity]
impl Account {
    pub fn deposit(&mut self, amount: i64) {
        self.balance += amount;
    }

    pub fn withdraw(&mut self, amount: i64) -> Result<()> {
        ensure!(amount <= self.balance, "insufficient funds");
        self.balance -= amount;
        Ok(())
    }

    pub fn balance(&self) -> i64 {
        self.balance
    }

    /// Fails after it has changed the state.
    pub fn withdraw_and_stumble(&mut self, amount: i64) -> Result<()> {
        self.balance -= amount;
        bail!("the teller stumbled")
    }
}

#[orchestrator]
async fn open_accounts(ctx: OrchestrationContext, _: ()) -> Result<()> {
    let deposits = (0..ACCOUNTS).map(|n| ctx.entity(Account::id(n.to_string())).deposit(OPENING));
    try_join_all(deposits).await?;
    Ok(())
}

/// Whether money moved.
#[orchestrator]
async fn transfer(ctx: OrchestrationContext, n: u32) -> Result<bool> {
    let (from, to) = (n % ACCOUNTS, (n * 7 + 1 + n / ACCOUNTS) % ACCOUNTS);
    let to = if to == from { (to + 1) % ACCOUNTS } else { to };
    let amount = i64::from(n % 50) + 1;
    let (from, to) = ctx.lock((Account::id(from.to_string()), Account::id(to.to_string()))).await?;
    if n.is_multiple_of(STUCK_EVERY) && n.is_multiple_of(4) {
        ctx.set_custom_status("inside");
        ctx.wait_for(NEVER).await?;
    }
    let withdrawn = match n % 10 {
        7 => from.withdraw_and_stumble(amount).await,
        _ => from.withdraw(amount).await,
    };
    if withdrawn.is_err() {
        return Ok(false);
    }
    to.deposit(amount).await?;
    if n.is_multiple_of(STUCK_EVERY) {
        // Terminated here, it has moved its money.
        ctx.set_custom_status("inside");
        ctx.wait_for(NEVER).await?;
    }
    Ok(true)
}

/// All the money there is, counted while nobody else can touch it.
#[orchestrator]
async fn count(ctx: OrchestrationContext, _: ()) -> Result<i64> {
    let all: Vec<_> = (0..ACCOUNTS).map(|n| Account::id(n.to_string())).collect();
    let accounts = ctx.lock(all).await?;
    let balances = try_join_all(accounts.iter().map(|account| account.balance())).await?;
    Ok(balances.iter().sum())
}

async fn open(dir: &Path) -> Result<TaskHub> {
    let hub = strandline::DataDirectory::at(dir)
        .partitions(4)
        .flush_interval(millis(5))
        .cache_bytes(1 << 20)
        .open_hub()
        .await?;
    hub.worker().register((Account, open_accounts, transfer, count)).start()?;
    Ok(hub)
}

/// Starts what is not there yet, and terminates those that are stuck as soon as they are inside.
async fn work(hub: &TaskHub) -> Result<()> {
    let client = hub.client();
    let opened = client.start(open_accounts, ()).instance_id("open").await;
    if let Err(error) = opened
        && !error.is::<InstanceExists>()
    {
        return Err(error);
    }
    client.instance::<()>("open")?.output().await?;
    let tasks = (0..TRANSFERS).map(|n| {
        let client = client.clone();
        tokio::spawn(async move { one(&client, n).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    Ok(())
}

async fn one(client: &Client, n: u32) -> Result<()> {
    let id = format!("transfer-{n}");
    match client.start(transfer, n).instance_id(&id).await {
        Err(error) if !error.is::<InstanceExists>() => return Err(error),
        _ => say(&format!("started {n}")),
    }
    let run = client.instance::<bool>(&id)?;
    if n.is_multiple_of(STUCK_EVERY) {
        loop {
            let Some(status) = run.status().await? else { bail!("{id} is lost") };
            if status.status.is_terminal() {
                return Ok(());
            }
            if status.custom_status.is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        match run.terminate("stuck").await {
            Err(error) if !error.is::<InstanceOver>() => return Err(error),
            _ => say(&format!("terminated {n}")),
        }
        return Ok(());
    }
    run.output().await?;
    say(&format!("done {n}"));
    Ok(())
}

/// Tells who kills this program how far it is: one whole line in one write.
fn say(line: &str) {
    if std::env::var_os(DIR).is_none() {
        return;
    }
    let _ = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
}

/// Runs the program until it has printed so many lines, then kills it.
fn killed_after(dir: &Path, lines: usize) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "transfer_program", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    for (n, line) in output.lines().enumerate() {
        line.unwrap();
        if n == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn transfer_program() -> Result<()> {
    let Some(dir) = std::env::var_os(DIR) else { return Ok(()) };
    let hub = open(Path::new(&dir)).await?;
    work(&hub).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_money_is_lost_and_no_lock_is_left() -> Result<()> {
    if std::env::var_os(DIR).is_some() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    for lines in [30, 210, 260] {
        killed_after(dir.path(), lines);
    }
    let hub = open(dir.path()).await?;
    work(&hub).await?;
    let client = hub.client();
    let mut terminated = 0;
    for n in 0..TRANSFERS {
        let Some(status) = client.instance::<bool>(&format!("transfer-{n}"))?.status().await? else {
            panic!("transfer-{n} is lost")
        };
        match status.status {
            RuntimeStatus::Terminated => terminated += 1,
            other => assert_eq!(other, RuntimeStatus::Completed, "transfer-{n}"),
        }
    }
    assert_eq!(terminated, TRANSFERS / STUCK_EVERY);
    // One more goes through every account: all locks are free, all that was sent before has arrived.
    let audit = client.start(count, ()).instance_id("audit").await?;
    assert_eq!(audit.output().await?, i64::from(ACCOUNTS) * OPENING);
    for n in 0..ACCOUNTS {
        let account = client.entity(Account::id(n.to_string()));
        // The audit's own locks are on their way back.
        while let Some(status) = account.status().await?
            && (status.locked_by.is_some() || status.backlog > 0)
        {
            tokio::task::yield_now().await;
        }
    }
    hub.close().await
}
