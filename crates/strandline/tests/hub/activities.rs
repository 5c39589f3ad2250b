//! Activities: retries, timeouts, cancellation, heartbeat, limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use strandline::prelude::*;
use strandline::{DataDirectory, EventKind};

use super::support::{Gate, count, until_custom_status};

#[derive(Clone, Default)]
struct Tries(Arc<AtomicUsize>);

#[activity]
async fn third_time_lucky(tries: State<Tries>) -> Result<usize> {
    let n = tries.0.fetch_add(1, Ordering::SeqCst) + 1;
    ensure!(n >= 3, "try {n} failed");
    Ok(n)
}

#[orchestrator]
async fn persists(ctx: OrchestrationContext, _: ()) -> Result<usize> {
    let policy = RetryPolicy::new(millis(1), 5).backoff_coefficient(2.0);
    ctx.call(third_time_lucky.retry(policy), ()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_are_in_the_history() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((third_time_lucky, persists)).state(Tries::default()).start()?;
    let run = hub.client().start(persists, ()).await?;
    assert_eq!(run.output().await?, 3);
    let history = run.history().await?;
    assert_eq!(count(&history, |k| matches!(k, EventKind::TaskScheduled(_))), 3);
    assert_eq!(count(&history, |k| matches!(k, EventKind::TaskFailed(_))), 2);
    assert_eq!(count(&history, |k| matches!(k, EventKind::TimerFired(_))), 2);
    Ok(())
}

#[activity]
async fn hangs(ctx: ActivityContext) -> Result<()> {
    ctx.heartbeat("hanging")?;
    ctx.cancellation().cancelled().await;
    Ok(())
}

#[orchestrator]
async fn impatient(ctx: OrchestrationContext, _: ()) -> Result<String> {
    let error = ctx.call(hangs.timeout(millis(20)), ()).await.unwrap_err();
    Ok(error.error_type().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_too_long_fails() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((hangs, impatient)).start()?;
    assert_eq!(hub.client().start(impatient, ()).await?.output().await?, "TimeoutError");
    // The token fires: nothing hangs any more.
    while !hub.client().running_activities().is_empty() {
        tokio::task::yield_now().await;
    }
    hub.close().await
}

const STOP: Event<()> = Event::named("Stop");

#[orchestrator]
async fn cancels(ctx: OrchestrationContext, _: ()) -> Result<()> {
    let mut task = ctx.call(hangs, ());
    ctx.wait_for(STOP).await?;
    task.cancel();
    ctx.wait_for(STOP).await
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_visible_and_cancelling_reaches_the_activity() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((hangs, cancels)).start()?;
    let client = hub.client();
    let run = client.start(cancels, ()).await?;
    while client.running_activities().iter().all(|a| a.progress.as_deref() != Some("\"hanging\"")) {
        tokio::task::yield_now().await;
    }
    run.raise(STOP, ()).await?;
    while !client.running_activities().is_empty() {
        tokio::task::yield_now().await;
    }
    run.raise(STOP, ()).await?;
    run.output().await
}

#[orchestrator]
async fn gives_it_three_chances(ctx: OrchestrationContext, _: ()) -> Result<String> {
    let patient = hangs.timeout(millis(5)).retry(RetryPolicy::new(millis(1), 3));
    let error = ctx.call(patient, ()).await.unwrap_err();
    Ok(error.error_type().to_owned())
}

#[orchestrator]
async fn calls_a_lot(ctx: OrchestrationContext, n: usize) -> Result<usize> {
    Ok(try_join_all((0..n).map(|_| ctx.call(third_time_lucky, ()))).await?.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn timeouts_are_retried_and_actions_are_limited() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    let tries = Tries(Arc::new(AtomicUsize::new(10)));
    hub.worker()
        .register((hangs, gives_it_three_chances, third_time_lucky, calls_a_lot))
        .state(tries)
        .max_actions(10)
        .start()?;
    let run = hub.client().start(gives_it_three_chances, ()).await?;
    assert_eq!(run.output().await?, "TimeoutError");
    assert_eq!(count(&run.history().await?, |k| matches!(k, EventKind::TaskFailed(_))), 3);
    assert_eq!(hub.client().start(calls_a_lot, 9).await?.output().await?, 9);
    let error = hub.client().start(calls_a_lot, 11).await?.output().await.unwrap_err();
    assert_eq!(error.error_type(), "TooManyActionsError");
    assert!(error.message().contains("10"), "{error:?}");
    let policy = RetryPolicy::new(millis(1), 2);
    let error = hub.client().start(calls_a_lot.retry(policy), 1).await.unwrap_err();
    assert!(error.is::<strandline::InvalidRequest>(), "{error:?}");
    Ok(())
}

#[derive(Clone, Default)]
struct Busy {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

#[activity]
async fn counts_itself(busy: State<Busy>) -> Result<()> {
    let now = busy.now.fetch_add(1, Ordering::SeqCst) + 1;
    busy.most.fetch_max(now, Ordering::SeqCst);
    tokio::task::yield_now().await;
    busy.now.fetch_sub(1, Ordering::SeqCst);
    Ok(())
}

#[orchestrator]
async fn spreads(ctx: OrchestrationContext, n: usize) -> Result<usize> {
    Ok(try_join_all((0..n).map(|_| ctx.call(counts_itself, ()))).await?.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_activities_run_than_allowed() -> Result<()> {
    let busy = Busy::default();
    let hub = DataDirectory::in_memory().max_concurrent_activities(2).open_hub().await?;
    hub.worker().register((counts_itself, spreads)).state(busy.clone()).start()?;
    assert_eq!(hub.client().start(spreads, 500).await?.output().await?, 500);
    assert!(busy.most.load(Ordering::SeqCst) <= 2);
    Ok(())
}

#[activity]
async fn tells_its_key(ctx: ActivityContext) -> Result<String> {
    Ok(ctx.idempotency_key())
}

#[orchestrator]
async fn asks_twice(ctx: OrchestrationContext, _: ()) -> Result<(String, String)> {
    try_join!(ctx.call(tells_its_key, ()), ctx.call(tells_its_key, ()))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_has_its_own_idempotency_key() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((tells_its_key, asks_twice)).start()?;
    let run = hub.client().start(asks_twice, ()).instance_id("keys").await?;
    let (first, second) = run.output().await?;
    assert_ne!(first, second);
    let execution = run.status().await?.unwrap().execution.to_string();
    for key in [first, second] {
        assert!(key.contains("keys") && key.contains(&execution), "{key}");
    }
    Ok(())
}

const ELSEWHERE: Activity<(), ()> = Activity::named("Elsewhere");

#[orchestrator]
async fn calls_elsewhere(ctx: OrchestrationContext, _: ()) -> Result<()> {
    ctx.set_custom_status("calling");
    ctx.call(ELSEWHERE, ()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn unserved_names_wait_and_block_nobody() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((calls_elsewhere, counts_itself, spreads)).state(Busy::default()).start()?;
    let waiting = hub.client().start(calls_elsewhere, ()).await?;
    until_custom_status(&waiting, "calling").await;
    assert_eq!(hub.client().start(spreads, 100).await?.output().await?, 100);
    assert!(!waiting.status().await?.unwrap().status.is_terminal());
    // A worker that serves it lets it go on.
    let elsewhere = activity_fn("Elsewhere", |_ctx, (): ()| async { Ok::<(), Error>(()) });
    hub.worker().register((calls_elsewhere, elsewhere)).start()?;
    waiting.output().await
}

#[activity]
async fn takes_much(gate: State<Gate>, _much: String) -> Result<()> {
    gate.pass().await;
    Ok(())
}

#[orchestrator]
async fn hands_out_much(ctx: OrchestrationContext, _: ()) -> Result<()> {
    ctx.call(takes_much, "x".repeat(100_000)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn new_work_is_refused_while_too_much_waits() -> Result<()> {
    let gate = Gate::closed();
    let hub =
        DataDirectory::in_memory().max_concurrent_activities(1).cache_bytes(32 << 20).open_hub().await?;
    hub.worker().register((takes_much, hands_out_much)).state(gate.clone()).start()?;
    let client = hub.client();
    let mut runs = Vec::new();
    let refused = loop {
        match client.start(hands_out_much, ()).await {
            Ok(run) => runs.push(run),
            Err(error) => break error,
        }
    };
    assert!(refused.is::<strandline::HubOverloaded>(), "{refused:?}");
    assert!(refused.message().contains("wait to be run"), "{refused:?}");
    assert!(runs.len() >= 160);
    gate.open(runs.len());
    for run in runs {
        run.output().await?;
    }
    // Room again.
    gate.open(1);
    client.start(hands_out_much, ()).await?.output().await
}

#[activity]
async fn passes(gate: State<Gate>) -> Result<()> {
    gate.pass().await;
    Ok(())
}

#[orchestrator]
async fn passes_once(ctx: OrchestrationContext, _: ()) -> Result<()> {
    ctx.set_custom_status("at the gate");
    ctx.call(passes, ()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_lets_running_activities_finish() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let gate = Gate::closed();
    let hub = super::support::hub(dir.path()).await;
    hub.worker().register((passes, passes_once)).state(gate.clone()).start()?;
    let run = hub.client().start(passes_once, ()).instance_id("draining").await?;
    while hub.client().running_activities().is_empty() {
        tokio::task::yield_now().await;
    }
    let closing = tokio::spawn({
        let hub = hub.clone();
        async move { hub.close().await }
    });
    gate.open(1);
    closing.await??;
    drop((hub, run));
    let hub = super::support::hub(dir.path()).await;
    hub.worker().register((passes, passes_once)).state(Gate::closed()).start()?;
    // The gate is closed: only the result from before can end it.
    hub.client().instance::<()>("draining")?.output().await
}

#[orchestrator]
async fn leaves_at_once(ctx: OrchestrationContext, _: ()) -> Result<u32> {
    let _unwanted = ctx.call(hangs, ());
    ctx.set_custom_status("leaving");
    ctx.wait_for(STOP).await?;
    Ok(7)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orchestration_completes_at_once_and_its_activities_hear_of_it() -> Result<()> {
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((hangs, leaves_at_once)).start()?;
    let client = hub.client();
    let run = client.start(leaves_at_once, ()).await?;
    while client.running_activities().is_empty() {
        tokio::task::yield_now().await;
    }
    run.raise(STOP, ()).await?;
    assert_eq!(run.output().await?, 7);
    let history = run.history().await?;
    while !client.running_activities().is_empty() {
        tokio::task::yield_now().await;
    }
    // Its result came late: nothing follows the end.
    assert_eq!(run.history().await?, history);
    assert_eq!(count(&history, |k| matches!(k, EventKind::TaskCompleted(_))), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_calls_are_a_thousand_runs() -> Result<()> {
    let tries = Tries(Arc::new(AtomicUsize::new(100)));
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((third_time_lucky, calls_a_lot)).state(tries.clone()).start()?;
    assert_eq!(hub.client().start(calls_a_lot, 1000).await?.output().await?, 1000);
    assert_eq!(tries.0.load(Ordering::SeqCst), 1100);
    Ok(())
}

#[derive(Clone)]
struct Heard(tokio::sync::mpsc::UnboundedSender<u32>);

#[activity]
async fn tells(heard: State<Heard>, generation: u32) -> Result<()> {
    heard.0.send(generation).context("somebody listens")
}

#[orchestrator]
async fn tells_and_goes_on(ctx: OrchestrationContext, generation: u32) -> Result<()> {
    drop(ctx.call(tells, generation));
    if generation == 2 { Ok(()) } else { ctx.continue_as_new(generation + 1) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_is_done_all_the_same() -> Result<()> {
    let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((tells, tells_and_goes_on)).state(Heard(sender)).start()?;
    hub.client().start(tells_and_goes_on, 0).await?.output().await?;
    let mut generations = Vec::new();
    while generations.len() < 3 {
        generations.push(heard.recv().await.context("every generation's activity runs")?);
    }
    generations.sort_unstable();
    assert_eq!(generations, [0, 1, 2]);
    Ok(())
}
