//! Entities as orchestrators reach them: calls, signals and locks become actions.

use strandline::FailureDetails;
use strandline::prelude::*;
use strandline_model::ActionKind;

use crate::engine::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: i64,
}

#[entity]
impl Account {
    pub fn add(&mut self, n: i64) -> Result<i64> {
        self.balance += n;
        Ok(self.balance)
    }

    pub fn balance(&self) -> i64 {
        self.balance
    }
}

/// What was decided, in words.
fn decided(engine: &Engine) -> Vec<String> {
    let input = |input: &Option<String>| input.clone().unwrap_or_else(|| "-".to_owned());
    let words = |kind: &ActionKind| match kind {
        ActionKind::CallEntity { target, operation, input: i, .. } => {
            format!("call {target} {operation} {}", input(i))
        }
        ActionKind::SignalEntity { target, operation, input: i, scheduled_time, .. } => {
            let at = scheduled_time.map(|time| format!(" at {}", time.seconds)).unwrap_or_default();
            format!("signal {target} {operation} {}{at}", input(i))
        }
        ActionKind::LockEntities { lock_set, .. } => format!("lock {}", lock_set.join(" ")),
        ActionKind::UnlockEntity { target, .. } => format!("unlock {target}"),
        ActionKind::Complete(_) => "complete".to_owned(),
        other => format!("{other:?}"),
    };
    engine.actions.iter().map(|action| words(&action.kind)).collect()
}

#[test]
fn one_proxy_calls_and_signals() {
    #[orchestrator]
    async fn flow(ctx: OrchestrationContext) -> Result<(i64, i64, i64)> {
        let account = ctx.entity::<Account>("a");
        account.signal().add(1)?;
        account.signal_at(Timestamp { seconds: 99, nanos: 0 }).add(2)?;
        let other = ctx.entity(EntityId::named("Other", "b@c"));
        other.signal().send("Poke", Some(true))?;
        let (first, second) = (account.add(3), other.call::<_, i64>("Count", ()));
        let balance = ctx.entity(Account::id("a".to_owned())).balance();
        try_join!(first, second, balance)
    }
    for rebuild in [true, false] {
        let mut engine = Engine::new(Registry::new().register(flow), flow, ());
        engine.rebuild = rebuild;
        engine.run().operation_done(4, Ok("20")).operation_done(3, Ok("10")).operation_done(5, Ok("30"));
        assert_eq!(engine.output(), "[10,20,30]");
        let expected = [
            "signal @account@a add 1",
            "signal @account@a add 2 at 99",
            "signal @other@b@c Poke true",
            "call @account@a add 3",
            "call @other@b@c Count null",
            "call @account@a balance -",
            "complete",
        ];
        assert_eq!(decided(&engine), expected);
    }
}

#[test]
fn an_operation_that_failed_fails_its_call() {
    #[orchestrator]
    async fn flow(ctx: OrchestrationContext) -> Result<()> {
        let account = ctx.entity::<Account>("a");
        let error = account.add(1).await.unwrap_err();
        assert!(error.is::<std::num::ParseIntError>() && error.task_id() == Some(0));
        account.balance().await?;
        Ok(())
    }
    let mut engine = Engine::new(Registry::new().register(flow), flow, ());
    engine.run().operation_done(0, Err(FailureDetails::new("ParseIntError", "not a number")));
    engine.operation_done(1, Ok("\"much\""));
    let text = "the result of operation 'balance' of entity '@account@a' is not a `i64`";
    assert!(engine.failure().message.starts_with(text), "{}", engine.failure().message);
}

#[test]
fn ids_that_cannot_be_are_refused_where_they_are_used() {
    #[orchestrator]
    async fn flow(ctx: OrchestrationContext) -> Result<Vec<String>> {
        let account = ctx.entity::<Account>("a\n");
        let errors = [
            account.add(1).await.unwrap_err(),
            account.signal().add(1).unwrap_err(),
            ctx.lock((Account::id("b"), Account::id("\n"))).await.unwrap_err(),
            ctx.entity(EntityId::named("", "k")).call::<_, ()>("x", 1).await.unwrap_err(),
            ctx.entity::<strandline::AnyEntity>("stock").signal().send("x", 1).unwrap_err(),
        ];
        Ok(errors.map(|error| format!("{}: {error}", error.error_type())).into())
    }
    let mut engine = Engine::new(Registry::new().register(flow), flow, ());
    let errors: Vec<String> = serde_json::from_str(engine.run().output()).unwrap();
    assert_eq!(decided(&engine), ["complete"]);
    assert!(errors.iter().all(|error| error.starts_with("InvalidEntityId: ")), "{errors:?}");
    assert!(errors[4].contains("it has the form '@name@key'"), "{errors:?}");
}

#[test]
fn guards_lock_call_and_unlock() {
    #[orchestrator]
    async fn transfer(ctx: OrchestrationContext, amount: i64) -> Result<bool> {
        assert_eq!(ctx.locked(), None);
        let (from, to) = ctx.lock((Account::id("z"), Account::id("b"))).await?;
        assert_eq!(ctx.locked(), Some(vec![Account::id("b").untyped(), Account::id("z").untyped()]));
        if from.balance().await? < amount {
            return Ok(false);
        }
        try_join!(from.add(-amount), to.add(amount))?;
        drop(from);
        assert!(ctx.locked().is_some(), "the other guard holds them");
        drop(to);
        assert_eq!(ctx.locked(), None);
        ctx.entity(Account::id("b")).signal().add(0)?;
        Ok(true)
    }
    for rebuild in [true, false] {
        let mut engine = Engine::new(Registry::new().register(transfer), transfer, 5);
        engine.rebuild = rebuild;
        engine.run().granted(0).operation_done(1, Ok("7"));
        engine.operation_done(3, Ok("5")).operation_done(2, Ok("2"));
        assert_eq!(engine.output(), "true");
        let expected = [
            "lock @account@b @account@z",
            "call @account@z balance -",
            "call @account@z add -5",
            "call @account@b add 5",
            "unlock @account@b",
            "unlock @account@z",
            "signal @account@b add 0",
            "complete",
        ];
        assert_eq!(decided(&engine), expected);
    }
    let mut engine = Engine::new(Registry::new().register(transfer), transfer, 5);
    engine.run().granted(0).operation_done(1, Ok("3"));
    assert_eq!(engine.output(), "false");
    assert_eq!(
        decided(&engine)[2..],
        ["unlock @account@b", "unlock @account@z", "complete"],
        "left by an early return"
    );
}

#[test]
fn shapes_of_lock_sets() {
    #[orchestrator]
    async fn shapes(ctx: OrchestrationContext) -> Result<()> {
        let all = ctx.lock(vec![Account::id("b"), Account::id("a"), Account::id("b")]).await?;
        assert_eq!(all.iter().map(|one| one.id().key()).collect::<Vec<_>>(), ["b", "a", "b"]);
        drop(all);
        let (account, [_, other]) =
            ctx.lock((Account::id("a"), [EntityId::named("x", "1"), EntityId::named("x", "2")])).await?;
        other.call::<_, ()>("poke", ()).await?;
        drop((account, other));
        let none = ctx.lock(Vec::<EntityId>::new()).await.unwrap_err();
        assert_eq!(none.error_type(), "CriticalSectionError");
        // Nobody waits for it, so it is taken back.
        drop(ctx.lock(Account::id("c")));
        ctx.timer(secs(1)).await
    }
    let mut engine = Engine::new(Registry::new().register(shapes), shapes, ());
    engine.run().granted(0).granted(3).operation_done(4, Ok("null"));
    let expected = [
        "lock @account@a @account@b",
        "unlock @account@a",
        "unlock @account@b",
        "lock @account@a @x@1 @x@2",
        "call @x@2 poke null",
        "unlock @account@a",
        "unlock @x@1",
        "unlock @x@2",
        "lock @account@c",
        "unlock @account@c",
    ];
    assert_eq!(decided(&engine)[..expected.len()], expected);
    assert_eq!(engine.advance(secs(1)).output(), "null");
}

#[test]
fn rules_of_critical_sections() {
    #[orchestrator]
    async fn breaker(ctx: OrchestrationContext) -> Result<Vec<String>> {
        const CHILD: Orchestration<(), ()> = Orchestration::named("Child");
        let early = ctx.lock(Account::id("a"));
        let before = ctx.entity::<Account>("a").balance().await.unwrap_err();
        let account = early.await?;
        let pending = account.add(1);
        let errors = [
            before,
            account.balance().await.unwrap_err(),
            ctx.entity::<Account>("b").balance().await.unwrap_err(),
            ctx.entity::<Account>("a").signal().add(1).unwrap_err(),
            ctx.lock(Account::id("b")).await.unwrap_err(),
            ctx.call(CHILD, ()).await.unwrap_err(),
            ctx.start(CHILD, ()).unwrap_err(),
        ];
        ctx.entity::<Account>("b").signal().add(1)?;
        pending.await?;
        Ok(errors.map(|error| format!("{}: {error}", error.error_type())).into())
    }
    let mut engine = Engine::new(Registry::new().register(breaker), breaker, ());
    engine.run().granted(0).operation_done(1, Ok("1"));
    let errors: Vec<String> = serde_json::from_str(engine.output()).unwrap();
    let expected = [
        "Must await the completion of the lock request prior to calling any entity.",
        "Must not call an entity from a critical section while a prior call to the same entity is still pending.",
        "Must not call an entity from a critical section if it is not one of the locked entities.",
        "Must not signal a locked entity from a critical section.",
        "Must not enter another critical section from within a critical section.",
        "While holding locks, cannot call suborchestrators.",
        "While holding locks, cannot call suborchestrators.",
    ];
    assert_eq!(errors, expected.map(|text| format!("CriticalSectionError: {text}")));
}
