//! Log lines of orchestrators appear once: not again on replay, not while a turn is torn down.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use strandline_replay::ContextHandle;
use tracing::Dispatch;
use tracing::dispatcher::with_default;

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
        if replaying {
            with_default(&Dispatch::none(), || future.as_mut().poll(cx))
        } else {
            future.as_mut().poll(cx)
        }
    }
}

impl<F> Drop for Quiet<F> {
    fn drop(&mut self) {
        let future = self.future.take();
        with_default(&Dispatch::none(), || drop(future));
    }
}
