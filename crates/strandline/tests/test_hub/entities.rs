//! Entities, signals and critical sections in virtual time.

use strandline::RuntimeStatus;
use strandline::prelude::*;

use crate::support::{mentions, names, panic_of};

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Account {
    balance: i64,
}

const AUDIT: Orchestration<i64, i64> = Orchestration::named("audit");

#[entity]
impl Account {
    pub fn add(&mut self, sum: i64) -> Result<i64> {
        ensure!(self.balance + sum >= 0, "not enough money");
        self.balance += sum;
        Ok(self.balance)
    }

    pub async fn slowly_add(&mut self, sum: i64) -> Result<i64> {
        tokio::time::sleep(millis(1)).await;
        self.add(sum)
    }

    pub fn inspect(&self, ctx: &EntityContext) -> Result<()> {
        ctx.start(AUDIT.instance_id(format!("audit-{}", ctx.key())), self.balance)?;
        ctx.signal(Account::id("log")).add(1)
    }
}

#[orchestrator]
async fn audit(_ctx: OrchestrationContext, balance: i64) -> Result<i64> {
    Ok(balance)
}

#[orchestrator]
async fn transfer(ctx: OrchestrationContext, sum: i64) -> Result<i64> {
    let (from, to) = ctx.lock((Account::id("from"), Account::id("to"))).await?;
    from.add(-sum).await?;
    ctx.timer(hours(1)).await?;
    to.add(sum).await
}

#[test]
fn operations_from_the_test() {
    let hub = TestHub::new().register((Account, audit));
    let account = hub.entity::<Account>("a");
    assert!(account.state().is_none());
    account.signal().add(5).unwrap();
    assert_eq!(account.slowly_add(2).unwrap(), 7);
    assert_eq!(account.add(-8).unwrap_err().message(), "not enough money");
    assert_eq!(account.state().unwrap().balance, 7);
    account.inspect().unwrap();
    assert_eq!(hub.instance::<i64>("audit-a").output(), 7);
    assert_eq!(hub.entity::<Account>("log").state().unwrap().balance, 1);
    account.signal_at(hub.now().saturating_add(hours(2))).add(1).unwrap();
    hub.advance(hours(1));
    assert_eq!(account.add(0).unwrap(), 7);
    hub.advance(hours(1));
    assert_eq!(account.add(0).unwrap(), 8);
}

#[test]
fn orchestrations_call_and_signal() {
    #[orchestrator]
    async fn pay_in(ctx: OrchestrationContext) -> Result<Vec<i64>> {
        let account = ctx.entity::<Account>("a");
        account.signal().add(1)?;
        let sums = try_join_all((0..3).map(|n| account.add(n))).await?;
        let refused = account.add(-100).await.unwrap_err();
        ensure!(refused.message() == "not enough money", "{refused}");
        Ok(sums)
    }
    let hub = TestHub::new().register((pay_in, Account));
    let run = hub.start(pay_in, ());
    assert_eq!(run.output(), [1, 2, 4]);
    assert_eq!(names(&run).iter().filter(|name| **name == "EntityOperationCalled").count(), 4);
    let text = run.history().to_string();
    mentions(
        &text,
        &["EntityOperationSignaled #0 {\"target\": \"@account@a\", \"operation\": \"add\", \"input\": 1,"],
    );
    run.history().replay(&Registry::new().register(pay_in).build().unwrap()).unwrap();
}

#[test]
fn a_critical_section_keeps_the_others_out() {
    let hub = TestHub::new().register((transfer, Account));
    let (from, to) = (hub.entity::<Account>("from"), hub.entity::<Account>("to"));
    from.add(10).unwrap();
    let (first, second) = (hub.start(transfer, 7), hub.start(transfer, 7));
    assert_eq!(from.state().unwrap().balance, 3);
    mentions(
        &panic_of(|| second.output()),
        &["the lock of entity '@account@from'", "instance 'run-1' has locked"],
    );
    mentions(&panic_of(|| from.add(1)), &["operation 'add' waits for", "'run-1' has locked"]);
    hub.advance(hours(1));
    assert_eq!(first.output(), 7);
    // What waited took its turn before the second section.
    assert_eq!(second.error().message(), "not enough money");
    assert_eq!((from.add(0).unwrap(), to.add(0).unwrap()), (4, 7));
}

#[test]
fn a_section_ends_with_its_orchestration() {
    let hub = TestHub::new().register((transfer, Account));
    hub.entity::<Account>("from").add(10).unwrap();
    let run = hub.start(transfer, 7);
    run.terminate("enough");
    assert_eq!(hub.entity::<Account>("from").add(0).unwrap(), 3);
}

#[test]
fn a_section_that_is_not_waited_for_is_given_up() {
    #[orchestrator]
    async fn impatient(ctx: OrchestrationContext) -> Result<bool> {
        select! {
            locked = ctx.lock(Account::id("from")) => locked.map(|_| true),
            _ = ctx.timer(minutes(5)) => Ok(false),
        }
    }
    let hub = TestHub::new().register((transfer, impatient, Account));
    hub.entity::<Account>("from").add(10).unwrap();
    let (holder, waiter) = (hub.start(transfer, 7), hub.start(impatient, ()));
    assert_eq!(waiter.status(), RuntimeStatus::Running);
    hub.advance(minutes(5));
    assert!(!waiter.output());
    hub.advance(hours(1));
    assert_eq!(holder.output(), 7);
    assert_eq!(hub.entity::<Account>("from").add(1).unwrap(), 4);
    assert!(hub.start(impatient, ()).output());
}

#[test]
fn a_failure_inside_a_section_is_rewound_under_its_locks() {
    let hub = TestHub::new().register((transfer, Account));
    let (from, to) = (hub.entity::<Account>("from"), hub.entity::<Account>("to"));
    let run = hub.start(transfer, 5);
    assert_eq!(run.error().message(), "not enough money");
    from.add(8).unwrap();
    run.rewind("there is money now");
    assert_eq!(from.state().unwrap().balance, 3);
    mentions(&panic_of(|| from.add(1)), &["instance 'run-1' has locked"]);
    hub.advance(hours(1));
    assert_eq!(run.output(), 5);
    assert_eq!((from.add(0).unwrap(), to.add(0).unwrap()), (4, 5));
    run.history().replay(&Registry::new().register(transfer).build().unwrap()).unwrap();
}

#[test]
fn an_entity_nobody_serves() {
    let hub = TestHub::new().register(transfer);
    let run = hub.start(transfer, 5);
    mentions(&panic_of(|| run.output()), &["entity '@account@from'", "nobody serves", ".register(..)"]);
    mentions(&panic_of(|| hub.entity::<Account>("x").add(1)), &["'@account@x'", "nobody serves"]);
}
