//! Entities on a real hub: signals, calls, critical sections, what a restart keeps.

use strandline::prelude::*;
use strandline::{EntityClient, EntityStatus};

use crate::support::*;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Account {
    balance: i64,
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

    /// Counts down by signals to itself, then tells an orchestration.
    pub fn count_down(&mut self, ctx: &EntityContext) -> Result<()> {
        self.balance -= 1;
        if self.balance > 0 {
            return ctx.signal(Account::id(ctx.key())).count_down();
        }
        ctx.start(done.instance_id("counted"), ctx.key().to_owned())?;
        Ok(())
    }
}

#[orchestrator]
async fn done(_ctx: OrchestrationContext, key: String) -> Result<String> {
    Ok(key)
}

#[orchestrator]
async fn deposit(ctx: OrchestrationContext, (key, n): (String, i64)) -> Result<i64> {
    ctx.entity(Account::id(key)).add(n).await
}

const GO: Event<()> = Event::named("Go");

#[orchestrator]
async fn transfer(ctx: OrchestrationContext, (from, to, n): (String, String, i64)) -> Result<bool> {
    let (source, target) = ctx.lock((Account::id(from), Account::id(to))).await?;
    if source.balance().await? < n {
        return Ok(false);
    }
    source.take(n).await?;
    target.add(n).await?;
    Ok(true)
}

/// Holds an account until told.
#[orchestrator]
async fn hold(ctx: OrchestrationContext, key: String) -> Result<i64> {
    let account = ctx.lock(Account::id(key)).await?;
    ctx.set_custom_status("locked");
    ctx.wait_for(GO).await?;
    account.balance().await
}

async fn serving() -> TaskHub {
    let hub = TaskHub::in_memory().await.unwrap();
    serve(&hub);
    hub
}

fn serve(hub: &TaskHub) {
    hub.worker().register((Account, done, deposit, transfer, hold)).start().unwrap();
}

/// Waits until what is known of an entity is as wanted.
async fn until(account: &EntityClient<Account>, wanted: impl Fn(&EntityStatus) -> bool) -> EntityStatus {
    loop {
        if let Some(status) = account.status().await.unwrap().filter(&wanted) {
            return status;
        }
        tokio::task::yield_now().await;
    }
}

async fn until_balance(account: &EntityClient<Account>, balance: i64) {
    let state = serde_json::to_string(&Account { balance }).unwrap();
    until(account, |status| status.state.as_deref() == Some(state.as_str())).await;
}

#[tokio::test]
async fn signals_are_carried_out_one_after_the_other() {
    let hub = serving().await;
    let account = hub.client().entity::<Account>("a");
    assert_eq!(account.state().await.unwrap(), None);
    let signals = (0..1_000).map(|_| account.signal().add(1));
    for sent in futures::future::join_all(signals).await {
        sent.unwrap();
    }
    until_balance(&account, 1_000).await;
    assert_eq!(account.state().await.unwrap(), Some(Account { balance: 1_000 }));
    let status = account.status().await.unwrap().unwrap();
    assert_eq!((status.id.to_string().as_str(), status.backlog, status.locked_by), ("@account@a", 0, None));
    hub.close().await.unwrap();
}

#[tokio::test]
async fn calls_return_what_the_operation_returns() {
    #[orchestrator]
    async fn flow(ctx: OrchestrationContext) -> Result<Vec<String>> {
        let account = ctx.entity::<Account>("a");
        account.signal().add(5)?;
        assert_eq!(account.add(2).await?, 7, "after the signal sent before it");
        let untyped = ctx.entity(EntityId::named("ACCOUNT", "a"));
        assert_eq!(untyped.call::<_, i64>("Take", 3).await?, 4);
        let errors = [
            account.take(9).await.unwrap_err(),
            untyped.call::<_, ()>("tak", 1).await.unwrap_err(),
            untyped.call::<_, ()>("add", "much").await.unwrap_err(),
        ];
        assert_eq!(account.balance().await?, 4);
        untyped.call::<_, ()>("delete", ()).await?;
        assert_eq!(account.balance().await?, 0);
        Ok(errors.map(|error| error.error_type().to_owned()).into())
    }
    let hub = TaskHub::in_memory().await.unwrap();
    hub.worker().register((Account, flow)).start().unwrap();
    let run = hub.client().start(flow, ()).await.unwrap();
    assert_eq!(run.output().await.unwrap(), ["Error", "OperationNotFound", "DeserializationError"]);
    assert_eq!(hub.client().entity::<Account>("a").status().await.unwrap(), None, "nothing is left of it");
    hub.close().await.unwrap();
}

#[tokio::test]
async fn entities_signal_and_start() {
    let hub = serving().await;
    let client = hub.client();
    let account = client.entity(Account::id("down"));
    account.signal().add(1_000).await.unwrap();
    account.signal().count_down().await.unwrap();
    client.entity::<Account>("other").signal().add(1).await.unwrap();
    let counted = client.instance::<String>("counted").unwrap();
    assert_eq!(counted.output().await.unwrap(), "down");
    until_balance(&client.entity("other"), 1).await;
    until_balance(&account, 0).await;
    hub.close().await.unwrap();
}

#[tokio::test]
async fn a_signal_waits_for_its_time() {
    let hub = serving().await;
    let client = hub.client();
    let account = client.entity::<Account>("a");
    let time = client.now().await.unwrap().saturating_add(millis(200));
    account.signal_at(time).take(5).await.unwrap();
    account.signal().add(5).await.unwrap();
    until_balance(&account, 0).await;
    let status = until(&account, |status| status.backlog == 0).await;
    assert!(status.modified >= time, "{status:?}");
    hub.close().await.unwrap();
}

#[tokio::test]
async fn money_is_neither_lost_nor_made() {
    let hub = serving().await;
    let client = hub.client();
    const ACCOUNTS: usize = 5;
    let account = |n: usize| (n % ACCOUNTS).to_string();
    for n in 0..ACCOUNTS {
        client.entity::<Account>(account(n)).signal().add(100).await.unwrap();
    }
    let mut runs = Vec::new();
    for n in 0..100 {
        // Also from an account to itself.
        let (from, to) = (account(n), account(n * n + n / 7));
        runs.push(client.start(transfer, (from, to, 30)).await.unwrap());
    }
    for run in runs {
        run.output().await.unwrap();
    }
    let mut sum = 0;
    for n in 0..ACCOUNTS {
        let one = client.entity::<Account>(account(n));
        until(&one, |status| status.backlog == 0 && status.locked_by.is_none()).await;
        let balance = one.state().await.unwrap().unwrap().balance;
        assert!(balance >= 0);
        sum += balance;
    }
    assert_eq!(sum, 100 * ACCOUNTS as i64);
    hub.close().await.unwrap();
}

#[tokio::test]
async fn a_locked_entity_serves_its_holder_only() {
    let hub = serving().await;
    let client = hub.client();
    let account = client.entity::<Account>("a");
    let holder = client.start(hold, "a".into()).instance_id("holder").await.unwrap();
    until_custom_status(&holder, "locked").await;
    account.signal().add(1).await.unwrap();
    let other = client.start(deposit, ("a".into(), 2)).await.unwrap();
    let status = until(&account, |status| status.backlog == 2).await;
    assert_eq!(status.locked_by.unwrap().as_str(), "holder");
    holder.raise(GO, ()).await.unwrap();
    assert_eq!(holder.output().await.unwrap(), 0);
    assert_eq!(other.output().await.unwrap(), 3);
    hub.close().await.unwrap();
}

#[tokio::test]
async fn locks_of_what_is_terminated_are_given_back() {
    let hub = serving().await;
    let client = hub.client();
    let holder = client.start(hold, "a".into()).await.unwrap();
    until_custom_status(&holder, "locked").await;
    let waiting = client.start(hold, "a".into()).await.unwrap();
    waiting.wait_started().await.unwrap();
    waiting.terminate("not wanted").await.unwrap();
    holder.terminate("enough").await.unwrap();
    let after = client.start(deposit, ("a".into(), 2)).await.unwrap();
    assert_eq!(after.output().await.unwrap(), 2);
    let account = client.entity::<Account>("a");
    until(&account, |status| status.locked_by.is_none() && status.backlog == 0).await;
    hub.close().await.unwrap();
}

#[tokio::test]
async fn everything_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = hub(dir.path()).await;
    serve(&first);
    let holder = first.client().start(hold, "a".into()).instance_id("holder").await.unwrap();
    until_custom_status(&holder, "locked").await;
    first.client().entity::<Account>("a").signal().add(7).await.unwrap();
    first.client().entity::<Account>("b").signal().add(8).await.unwrap();
    until_balance(&first.client().entity("b"), 8).await;
    drop((first, holder));

    let second = hub(dir.path()).await;
    let client = second.client();
    let (a, b) = (client.entity::<Account>("a"), client.entity::<Account>("b"));
    assert_eq!(b.state().await.unwrap(), Some(Account { balance: 8 }));
    let status = a.status().await.unwrap().unwrap();
    assert_eq!((status.backlog, status.locked_by.unwrap().as_str()), (1, "holder"));
    // Nobody serves it yet.
    b.signal().add(1).await.unwrap();
    assert_eq!(b.status().await.unwrap().unwrap().backlog, 1);
    serve(&second);
    until_balance(&b, 9).await;
    let holder = client.instance::<i64>("holder").unwrap();
    holder.raise(GO, ()).await.unwrap();
    assert_eq!(holder.output().await.unwrap(), 0);
    until_balance(&a, 7).await;
    second.close().await.unwrap();
}

#[tokio::test]
async fn impossible_signals_are_refused() {
    let hub = serving().await;
    let client = hub.client();
    let error = client.entity::<Account>("a\n").signal().add(1).await.unwrap_err();
    assert_eq!(error.error_type(), "InvalidEntityId");
    assert_eq!(
        client.entity(EntityId::named("", "k")).state().await.unwrap_err().error_type(),
        "InvalidEntityId"
    );
    let long = "x".repeat(16 * 1024 * 1024);
    let error = client.entity(EntityId::named("e", "k")).signal().send("op", long).await.unwrap_err();
    assert!(error.is::<strandline::InvalidRequest>(), "{error:?}");
    assert!(error.message().starts_with("entity '@e@k': "), "{error}");
    let unreadable = client.entity(EntityId::named("account", "a"));
    client.entity::<Account>("a").signal().add(1).await.unwrap();
    until_balance(&client.entity("a"), 1).await;
    assert_eq!(unreadable.state().await.unwrap(), Some(serde_json::json!({ "balance": 1 })));
    hub.close().await.unwrap();
}

/// Who sent what, in the order it arrived.
#[derive(Default, Serialize, Deserialize)]
struct Ledger {
    entries: Vec<(u32, u32)>,
}

#[entity]
impl Ledger {
    pub fn write(&mut self, entry: (u32, u32)) -> usize {
        self.entries.push(entry);
        self.entries.len()
    }

    /// Fails after it has changed the state.
    pub fn scribble(&mut self, entry: (u32, u32)) -> Result<()> {
        self.entries.push(entry);
        bail!("the pen broke")
    }
}

/// Ten entries: signals and calls that are not waited for in turn, with a failing one between any two.
#[orchestrator]
async fn write_ten(ctx: OrchestrationContext, who: u32) -> Result<usize> {
    let ledger = ctx.entity(Ledger::id("all"));
    let mut calls = Vec::new();
    for n in 0..10 {
        if n % 2 == 0 {
            ledger.signal().write((who, n))?;
        } else {
            calls.push(ledger.write((who, n)));
        }
        ledger.signal().scribble((who, 100 + n))?;
    }
    Ok(try_join_all(calls).await?.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_operations_of_a_hundred_senders_all_count_in_order() {
    let hub = TaskHub::in_memory().await.unwrap();
    hub.worker().register((Ledger, write_ten)).start().unwrap();
    let client = hub.client();
    let senders = (0..100).map(|who| {
        let client = client.clone();
        tokio::spawn(async move { client.start(write_ten, who).await?.output().await })
    });
    for sender in senders.collect::<Vec<_>>() {
        assert_eq!(sender.await.unwrap().unwrap(), 5);
    }
    let ledger = client.entity(Ledger::id("all"));
    while ledger.status().await.unwrap().unwrap().backlog > 0 {
        tokio::task::yield_now().await;
    }
    let entries = ledger.state().await.unwrap().unwrap().entries;
    assert_eq!(entries.len(), 1_000, "what failed changed nothing");
    for who in 0..100 {
        let of_one: Vec<u32> = entries.iter().filter(|e| e.0 == who).map(|e| e.1).collect();
        assert_eq!(of_one, (0..10).collect::<Vec<_>>(), "sender {who}");
    }
    hub.close().await.unwrap();
}

/// Sizes of the batches it was run in.
#[derive(Default, Serialize, Deserialize)]
struct Batches {
    sizes: Vec<usize>,
}

#[entity]
impl Batches {
    pub async fn hold(&mut self, gate: State<Gate>) {
        gate.pass().await;
    }

    pub fn note(&mut self, ctx: &EntityContext) {
        if ctx.batch_position() == 0 {
            self.sizes.push(ctx.batch_size());
        }
    }
}

#[tokio::test]
async fn what_waits_is_run_in_batches_up_to_a_limit() {
    let directory = strandline::DataDirectory::in_memory().max_entity_batch(50).open().await.unwrap();
    let hub = directory.hub("batches").await.unwrap();
    let gate = Gate::closed();
    hub.worker().register(Batches).state(gate.clone()).start().unwrap();
    let batches = hub.client().entity::<Batches>("b");
    batches.signal().hold().await.unwrap();
    for sent in futures::future::join_all((0..500).map(|_| batches.signal().note())).await {
        sent.unwrap();
    }
    gate.open(1);
    while batches.status().await.unwrap().unwrap().backlog > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(batches.state().await.unwrap().unwrap().sizes, [50; 10]);
    hub.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_nobody_serves_blocks_nobody() {
    let directory = strandline::DataDirectory::in_memory().partitions(1).cache_bytes(256 << 10);
    let hub = directory.open_hub().await.unwrap();
    serve(&hub);
    let client = hub.client();
    let unknown = client.entity(EntityId::named("Unknown", "x"));
    let large = "x".repeat(16 << 10);
    let mut sent = 0;
    while sent < 200 {
        // Many times what may be in memory: until a flush takes some out, a signal may be refused.
        match unknown.signal().send("keep", large.clone()).await {
            Ok(()) => sent += 1,
            Err(error) if error.is::<strandline::HubOverloaded>() => {
                tokio::task::block_in_place(|| hub.engine().flush());
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(unknown.status().await.unwrap().unwrap().backlog, 200);
    tokio::task::block_in_place(|| hub.engine().flush());
    assert_eq!(client.start(deposit, ("a".to_owned(), 5)).await.unwrap().output().await.unwrap(), 5);

    // Somebody comes who knows it.
    let known = entity_fn("Unknown", |ctx: EntityContext<u32>| async move {
        ctx.set_state(ctx.state()? + 1)?;
        Ok::<_, Error>(())
    });
    hub.worker().register((Account, done, deposit, transfer, hold, known)).start().unwrap();
    while unknown.status().await.unwrap().unwrap().backlog > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(unknown.state().await.unwrap(), Some(serde_json::json!(200)));
    hub.close().await.unwrap();
}
