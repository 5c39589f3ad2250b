//! The demo's entities, and the sample that moves money between two of them.

use strandline::Register;
use strandline::prelude::*;

#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Counter {
    pub(super) value: i64,
}

#[entity]
impl Counter {
    pub fn add(&mut self, amount: i64) -> i64 {
        self.value = self.value.saturating_add(amount);
        self.value
    }

    pub fn reset(&mut self) {
        self.value = 0;
    }

    pub fn get(&self) -> i64 {
        self.value
    }
}

/// What each account holds before the transfer.
const OPENING: u64 = 100;

#[derive(Default, Serialize, Deserialize)]
pub(super) struct Account {
    balance: u64,
}

#[entity]
impl Account {
    /// Whatever it held before, it now holds this.
    pub fn open(&mut self, balance: u64) {
        self.balance = balance;
    }

    pub fn deposit(&mut self, amount: u64) -> u64 {
        self.balance = self.balance.saturating_add(amount);
        self.balance
    }

    pub fn withdraw(&mut self, amount: u64) -> Result<u64> {
        self.balance = self.balance.checked_sub(amount).context("insufficient funds")?;
        Ok(self.balance)
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) amount: u64,
}

/// Opens two accounts and moves money from one to the other. Both are locked for it: nobody sees the
/// money on its way.
#[orchestrator(name = "Transfer")]
pub(super) async fn transfer(ctx: OrchestrationContext, order: Order) -> Result<String> {
    let Order { from, to, amount } = order;
    // Not by the client: from here it comes after all that an instance did which this one replaced.
    let open = |name| ctx.entity::<Account>(name).open(OPENING);
    try_join!(open(&from), open(&to))?;
    let (payer, payee) = ctx.lock((Account::id(&from), Account::id(&to))).await?;
    let left = payer.withdraw(amount).await?;
    let now = payee.deposit(amount).await?;
    Ok(format!("{amount} from {from}, who has {left} left, to {to}, who has {now} now"))
}

/// Everything above.
pub(super) fn functions() -> impl Register {
    (Counter, Account, transfer)
}
