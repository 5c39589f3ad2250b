//! What is traced, and under which ids.
#![cfg(feature = "otel")]

use std::collections::BTreeMap;

use opentelemetry::trace::{SpanId, SpanKind, Status};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use strandline::prelude::*;

#[activity(name = "greet")]
async fn say_hello(city: String) -> Result<String> {
    Ok(format!("Hello {city}!"))
}

#[activity(name = "fail")]
async fn break_down(_: ()) -> Result<()> {
    bail!("no")
}

#[orchestrator(name = "child")]
async fn greet_one(ctx: OrchestrationContext, city: String) -> Result<String> {
    ctx.call(say_hello, city).await
}

#[orchestrator(name = "family")]
async fn greet_family(ctx: OrchestrationContext, _: ()) -> Result<String> {
    ctx.timer(millis(1)).await?;
    let _ = ctx.call(break_down, ()).await;
    ctx.call(greet_one, "Tokyo".to_owned()).await
}

/// The spans of a run, by name and kind. All of them are in one test: the tracer is the process's.
#[tokio::test]
async fn an_orchestration_is_one_trace() -> Result<()> {
    let exporter = InMemorySpanExporter::default();
    let builder = SdkTracerProvider::builder().with_simple_exporter(exporter.clone());
    let provider = strandline::trace::install(builder);
    let hub = TaskHub::in_memory().await?;
    // Nothing is kept between turns: each replays, and still nothing is reported twice.
    hub.worker().register((say_hello, break_down, greet_one, greet_family)).cache(0, 0).start()?;
    let run = hub.client().start(greet_family, ()).instance_id("f").await?;
    assert_eq!(run.output().await?, "Hello Tokyo!");
    hub.close().await?;
    provider.force_flush().unwrap();
    let spans = exporter.get_finished_spans().unwrap();

    let mut by_name: BTreeMap<(String, String), Vec<&SpanData>> = BTreeMap::new();
    for span in &spans {
        by_name.entry((span.name.to_string(), format!("{:?}", span.span_kind))).or_default().push(span);
    }
    let one = |name: &str, kind: SpanKind| {
        let found = by_name.get(&(name.to_owned(), format!("{kind:?}")));
        let found = found.unwrap_or_else(|| panic!("no {kind:?} span {name:?} in {:?}", by_name.keys()));
        assert_eq!(found.len(), 1, "{kind:?} {name}");
        found[0]
    };
    let id = |span: &SpanData| span.span_context.span_id();
    let created = one("create_orchestration:family", SpanKind::Producer);
    let family = one("orchestration:family", SpanKind::Server);
    let timer = one("orchestration:family:timer", SpanKind::Internal);
    let calls_child = one("orchestration:child", SpanKind::Client);
    let child = one("orchestration:child", SpanKind::Server);
    let calls_greet = one("activity:greet", SpanKind::Client);
    let greet = one("activity:greet", SpanKind::Server);
    let calls_fail = one("activity:fail", SpanKind::Client);
    let fail = one("activity:fail", SpanKind::Server);
    assert_eq!(by_name.len(), 9, "{:?}", by_name.keys());

    assert_eq!(created.parent_span_id, SpanId::INVALID);
    assert_eq!(family.parent_span_id, id(created));
    for span in [timer, calls_child, calls_fail] {
        assert_eq!(span.parent_span_id, id(family), "{}", span.name);
    }
    assert_eq!(child.parent_span_id, id(calls_child));
    assert_eq!(calls_greet.parent_span_id, id(child));
    assert_eq!(greet.parent_span_id, id(calls_greet));
    assert_eq!(fail.parent_span_id, id(calls_fail));
    let trace = created.span_context.trace_id();
    assert!(spans.iter().all(|span| span.span_context.trace_id() == trace));
    assert!(matches!(fail.status, Status::Error { .. }) && matches!(calls_fail.status, Status::Error { .. }));
    assert_eq!(family.status, Status::Unset);
    assert!(family.start_time <= timer.start_time && timer.end_time <= family.end_time);
    let about = |span: &SpanData, key: &str| {
        let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == key);
        found.map(|attribute| attribute.value.to_string())
    };
    assert_eq!(about(family, "durabletask.type").as_deref(), Some("orchestration"));
    assert_eq!(about(family, "durabletask.task.status").as_deref(), Some("Completed"));
    assert_eq!(about(greet, "durabletask.task.task_id").as_deref(), Some("0"));
    assert_eq!(about(calls_child, "durabletask.task.name").as_deref(), Some("child"));
    Ok(())
}
