//! Log lines of orchestrators appear once: not again on replay, not while a turn is torn down.

use std::future::Future;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use strandline_replay::ContextHandle;
use tracing::dispatcher::with_default;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Metadata, Subscriber};

/// Turns `tracing` off around a future while its orchestration replays.
pub(crate) struct Quiet<F> {
    context: ContextHandle,
    future: Option<Pin<Box<F>>>,
}

impl<F> Quiet<F> {
    pub(crate) fn new(context: ContextHandle, future: F) -> Self {
        Self { context, future: Some(Box::pin(future)) }
    }
}

impl<F: Future> Future for Quiet<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let replaying = self.context.is_replaying();
        let Some(future) = &mut self.future else { return Poll::Pending };
        if replaying { with_default(&SILENCE, || future.as_mut().poll(cx)) } else { future.as_mut().poll(cx) }
    }
}

impl<F> Drop for Quiet<F> {
    fn drop(&mut self) {
        let future = self.future.take();
        with_default(&SILENCE, || drop(future));
    }
}

/// Runs `f` without its log lines.
pub(crate) fn silently<T>(f: impl FnOnce() -> T) -> T {
    with_default(&SILENCE, f)
}

/// Registered with `tracing` once, and for good. An unregistered dispatcher such as `Dispatch::none`
/// will not do: where the program has a single subscriber, a place in the code that is first reached
/// under it would be remembered as disabled for ever.
static SILENCE: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Silent));

struct Silent;

impl Subscriber for Silent {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::never()
    }

    /// Without this the program's own level would no longer count.
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::OFF)
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(u64::MAX)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
