//! Versions: who runs what, side by side and one after the other.

use strandline::prelude::*;
use strandline::{Call, EventKind, RuntimeStatus, Versioning};

use crate::support::*;

const GO: Event<()> = Event::named("Go");
const ORDER: Orchestration<(), String> = Orchestration::named("Order");

#[activity(name = "Price", version = "1.0")]
async fn price1() -> Result<String> {
    Ok("price 1".into())
}

#[activity(name = "Price", version = "2.0")]
async fn price2() -> Result<String> {
    Ok("price 2".into())
}

#[orchestrator(name = "Order", version = "1.0")]
async fn order1(ctx: OrchestrationContext) -> Result<String> {
    ctx.set_custom_status("waiting");
    ctx.wait_for(GO).await?;
    const PRICE: Activity<(), String> = Activity::named("Price");
    Ok(format!("order 1, {}", ctx.call(PRICE, ()).await?))
}

#[orchestrator(name = "Order", version = "2.0")]
async fn order2(ctx: OrchestrationContext) -> Result<String> {
    Ok(format!("order 2, {}", ctx.call(price1, ()).await?))
}

/// The version it runs as.
#[orchestrator]
async fn which(ctx: OrchestrationContext) -> Result<String> {
    Ok(ctx.version().unwrap_or_default())
}

#[tokio::test]
async fn in_flight_instances_finish_on_their_version_during_a_deployment() {
    let hub = TaskHub::in_memory().await.unwrap();
    hub.worker().register((order1, price1)).start().unwrap();
    let client = hub.client();
    let old = client.start(ORDER.version("1.0"), ()).await.unwrap();
    until_custom_status(&old, "waiting").await;
    let early = client.start(ORDER.version("2.0"), ()).await.unwrap();
    hub.worker().register((order1, order2, price1, price2)).start().unwrap();
    let new = client.start(order2, ()).await.unwrap();
    assert_eq!(new.output().await.unwrap(), "order 2, price 1", "a call may name another version");
    assert_eq!(early.output().await.unwrap(), "order 2, price 1", "it waited for whoever serves it");
    old.raise(GO, ()).await.unwrap();
    assert_eq!(old.output().await.unwrap(), "order 1, price 1", "activities have the instance's version");
    hub.close().await.unwrap();
}

#[tokio::test]
async fn what_nobody_serves_in_its_version_waits_and_blocks_nobody() {
    let hub = TaskHub::in_memory().await.unwrap();
    hub.worker().register((order1, order2)).start().unwrap();
    let client = hub.client();
    let run = client.start(order1, ()).await.unwrap();
    until_custom_status(&run, "waiting").await;
    run.raise(GO, ()).await.unwrap();
    let stuck = client.start(ORDER.version("9.0"), ()).await.unwrap();
    let unversioned = client.start(ORDER, ()).await.unwrap();
    hub.worker().register((order1, order2, price2, which)).start().unwrap();
    assert_eq!(client.start(which, ()).await.unwrap().output().await.unwrap(), "");
    for waiting in [&stuck, &unversioned] {
        let status = waiting.status().await.unwrap().unwrap();
        assert_eq!(status.status, RuntimeStatus::Pending, "versioned names have no version for everyone");
    }
    let history = until_scheduled(&run).await;
    assert!(!history.contains(&"TaskCompleted"), "'Price' is served, but not its version 1.0: {history:?}");
    hub.worker().register((order1, order2, price2, price1)).start().unwrap();
    assert_eq!(run.output().await.unwrap(), "order 1, price 1");
    hub.close().await.unwrap();
}

async fn until_scheduled<O>(run: &Instance<O>) -> Vec<&'static str> {
    loop {
        let history = run.history().await.unwrap();
        if count(&history, |kind| matches!(kind, EventKind::TaskScheduled(_))) > 0 {
            return names(&history);
        }
        tokio::task::yield_now().await;
    }
}

/// V-01: where versions come from.
#[tokio::test]
async fn precedence() {
    #[activity]
    async fn seen(ctx: ActivityContext) -> Result<Option<String>> {
        Ok(ctx.version().map(str::to_owned))
    }

    #[orchestrator]
    async fn parent(ctx: OrchestrationContext) -> Result<Vec<String>> {
        let own = ctx.version();
        let activity = ctx.call(seen, ()).await?;
        let explicit = ctx.call(seen.version("a"), ()).await?;
        let child = ctx.call(which, ()).await?;
        let explicit_child = ctx.call(which.version("c"), ()).await?;
        Ok([own, activity, explicit, Some(child), Some(explicit_child)].map(Option::unwrap_or_default).into())
    }
    let hub = TaskHub::in_memory().await.unwrap();
    let plain = parent.into_call();
    let explicit = parent.version("e");
    type Parent = Call<strandline::AnOrchestration, (), Vec<String>>;
    type Case<'a> = (Option<&'a str>, &'a Parent, Option<&'a str>, [&'a str; 5]);
    let table: [Case<'_>; 6] = [
        // client's default, start, worker's default: own version, activity, explicit, child, explicit
        (None, &plain, None, ["", "", "a", "", "c"]),
        (None, &plain, Some("w"), ["", "", "a", "w", "c"]),
        (Some("d"), &plain, None, ["d", "d", "a", "", "c"]),
        (Some("d"), &plain, Some("w"), ["d", "d", "a", "w", "c"]),
        (None, &explicit, None, ["e", "e", "a", "", "c"]),
        (Some("d"), &explicit, Some("w"), ["e", "e", "a", "w", "c"]),
    ];
    for (client_default, start, worker_default, expected) in table {
        let versioning = worker_default.iter().fold(Versioning::any(), |v, w| v.default_version(*w));
        hub.worker().register((parent, which, seen)).versioning(versioning).start().unwrap();
        let client = client_default.iter().fold(hub.client(), |client, d| client.default_version(*d));
        let run = client.start(start.clone(), ()).await.unwrap();
        assert_eq!(run.output().await.unwrap(), expected, "{client_default:?} {worker_default:?}");
    }
    hub.close().await.unwrap();
}

#[tokio::test]
async fn a_worker_leaves_newer_instances_to_newer_workers() {
    let hub = TaskHub::in_memory().await.unwrap();
    let serve = |versioning| hub.worker().register(which).versioning(versioning).start().unwrap();
    serve(Versioning::current_or_older("2.0"));
    let client = hub.client();
    let newer = client.start(which.version("2.1"), ()).await.unwrap();
    for older in ["1.9", "2.0"] {
        assert_eq!(client.start(which.version(older), ()).await.unwrap().output().await.unwrap(), older);
    }
    assert_eq!(newer.status().await.unwrap().unwrap().status, RuntimeStatus::Pending);
    serve(Versioning::strict("2.2"));
    assert_eq!(newer.status().await.unwrap().unwrap().status, RuntimeStatus::Pending);
    serve(Versioning::current_or_older("2.10"));
    assert_eq!(newer.output().await.unwrap(), "2.1");
    hub.close().await.unwrap();
}

#[tokio::test]
async fn a_worker_fails_other_versions_if_told_to() {
    let hub = TaskHub::in_memory().await.unwrap();
    hub.worker().register(which).versioning(Versioning::strict("2.0").or_fail()).start().unwrap();
    let client = hub.client();
    let newer = client.start(which.version("2.1"), ()).await.unwrap();
    assert!(newer.output().await.unwrap_err().is::<strandline::VersionMismatch>());
    let status = newer.wait().await.unwrap();
    let failure = status.failure().unwrap();
    assert_eq!(failure.error_type, "VersionMismatch");
    assert_eq!(failure.message, "Orchestration version did not comply with Worker Versioning");
    assert!(failure.is_non_retriable);
    assert_eq!(client.start(which.version("2.0"), ()).await.unwrap().output().await.unwrap(), "2.0");
    hub.close().await.unwrap();
}
