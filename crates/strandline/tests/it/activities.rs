//! What activities get.

use strandline::prelude::*;

use crate::engine::*;

#[activity]
async fn inspect(first: State<String>, ctx: ActivityContext, second: State<u64>, n: u8) -> Result<String> {
    ctx.heartbeat(n)?;
    let tag = &ctx.tags()["gpu"];
    let key = ctx.idempotency_key();
    Ok(format!("{} {} {n} {} {tag} {key} {}", *first, *second, ctx.name(), ctx.is_cancelled()))
}

/// No input at all.
#[activity]
async fn only_context(ctx: ActivityContext) -> Result<i32> {
    ctx.cancellation().cancelled().await;
    Ok(ctx.task_id())
}

#[test]
fn extractors_and_input() {
    let registry = Registry::new().register((inspect, only_context)).state("one".to_owned()).state(2u64);
    let worker = registry.build().unwrap();
    let work1 = work("Inspect", Some("3"));
    let progress = work1.progress.clone();
    let expected = "\"one 2 3 Inspect 1 i:000000000000000000000000000000ab:7 false\"";
    assert_eq!(run_activity(&worker, work1), Ok(Some(expected.into())));
    assert_eq!(progress.lock().as_deref(), Some("3"));

    let work2 = work("only_context", None);
    work2.cancelled.cancel();
    assert_eq!(run_activity(&worker, work2), Ok(Some("7".into())));
}

#[test]
fn closures_are_activities_too() {
    let add = activity_fn("Add", |_ctx, (a, b): (i32, i32)| async move { Ok::<_, Error>(a + b) });
    let worker = Registry::new().register(add).build().unwrap();
    assert_eq!(run_activity(&worker, work("add", Some("[1,2]"))), Ok(Some("3".into())));
}
