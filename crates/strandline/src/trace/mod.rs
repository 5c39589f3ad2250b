//! Spans of orchestrations, activities and entities, through OpenTelemetry.
//!
//! Names, kinds and attributes are those of the Durable Task SDKs' semantic conventions, so traces that
//! cross languages look alike. [`install`] is all there is to do; without it nothing is traced and nothing
//! costs.
//!
//! An orchestration has one span over all its turns, however often it is replayed and wherever: its id and
//! its beginning are kept with the instance. The span of a call has its id in the history. So what is
//! reported twice, because a turn ran again after a crash, is the same span.

mod context;
mod execution;
mod spans;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use opentelemetry::trace::{SpanId, TraceId, TracerProvider as _};
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, SdkTracer, SdkTracerProvider, TracerProviderBuilder,
};

pub(crate) use execution::Execution;
pub(crate) use spans::{Activity, Operation, activity, raise, start};

static TRACER: RwLock<Option<SdkTracer>> = RwLock::new(None);
/// There is a tracer: who traces nothing does not even look for it.
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Traces everything of this process from now on: clients and workers, embedded and remote. Give it a
/// builder with an exporter, and keep what is returned: shut it down at the end, so that the last spans
/// are exported. What was installed before is replaced.
///
/// The builder's generator of ids is replaced: spans of orchestrations need ids that are chosen long before
/// their end.
///
/// ```
/// # #[tokio::main] async fn main() {
/// use opentelemetry_sdk::trace::SdkTracerProvider;
///
/// // .with_batch_exporter(..) of the crate opentelemetry-otlp, for instance
/// let provider = strandline::trace::install(SdkTracerProvider::builder());
/// // clients and workers do their work
/// provider.shutdown().ok();
/// # }
/// ```
pub fn install(builder: TracerProviderBuilder) -> SdkTracerProvider {
    let provider = builder.with_id_generator(Ids).build();
    let tracer = provider.tracer("strandline");
    *TRACER.write().unwrap_or_else(PoisonError::into_inner) = Some(tracer);
    INSTALLED.store(true, Ordering::Release);
    provider
}

fn is_installed() -> bool {
    INSTALLED.load(Ordering::Acquire)
}

fn tracer() -> Option<SdkTracer> {
    if is_installed() { TRACER.read().unwrap_or_else(PoisonError::into_inner).clone() } else { None }
}

thread_local! {
    /// The id of the span that this thread makes next.
    static NEXT: std::cell::Cell<Option<SpanId>> = const { std::cell::Cell::new(None) };
}

/// Random ids, but for spans whose id was chosen before.
#[derive(Debug)]
struct Ids;

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        RandomIdGenerator::default().new_trace_id()
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.take().unwrap_or_else(|| RandomIdGenerator::default().new_span_id())
    }
}
