//! Fan-in that fails fast at any width.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use futures::future::FusedFuture;
use futures::stream::FuturesUnordered;

/// Waits until all futures succeeded, or until the first one in history order failed; the others are
/// then dropped. Results come in the order of the futures.
///
/// The function of this name in the `futures` crate sees a failure among more than thirty futures
/// only once all futures before it are done.
///
/// ```
/// # use strandline::prelude::*;
/// # #[activity] async fn greet(city: String) -> Result<String> { Ok(city) }
/// # async fn f(ctx: OrchestrationContext, cities: Vec<String>) -> Result<()> {
/// let all: Vec<String> = try_join_all(cities.into_iter().map(|city| ctx.call(greet, city))).await?;
/// # Ok(()) }
/// ```
pub fn try_join_all<I, T, E>(futures: I) -> TryJoinAll<I::Item, T>
where
    I: IntoIterator,
    I::Item: Future<Output = Result<T, E>>,
{
    let running: FuturesUnordered<_> = futures
        .into_iter()
        .enumerate()
        .map(|(index, future)| Indexed { index, future: Box::pin(future) })
        .collect();
    let results = std::iter::repeat_with(|| None).take(running.len()).collect();
    TryJoinAll { running, results, done: false }
}

/// The future of [`try_join_all`].
#[must_use = "nothing is waited for unless this is awaited"]
pub struct TryJoinAll<F, T> {
    running: FuturesUnordered<Indexed<F>>,
    results: Vec<Option<T>>,
    done: bool,
}

/// The results are moved out whole; nothing in here is ever pinned in place.
impl<F, T> Unpin for TryJoinAll<F, T> {}

struct Indexed<F> {
    index: usize,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Indexed<F> {
    type Output = (usize, F::Output);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let output = ready!(self.future.as_mut().poll(cx));
        Poll::Ready((self.index, output))
    }
}

impl<F: Future<Output = Result<T, E>>, T, E> Future for TryJoinAll<F, T> {
    type Output = Result<Vec<T>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        while !self.done {
            match ready!(Pin::new(&mut self.running).poll_next(cx)) {
                Some((index, Ok(value))) => self.results[index] = Some(value),
                Some((_, Err(error))) => {
                    self.done = true;
                    self.running = FuturesUnordered::new();
                    return Poll::Ready(Err(error));
                }
                None => {
                    self.done = true;
                    let results = std::mem::take(&mut self.results);
                    return Poll::Ready(Ok(results.into_iter().flatten().collect()));
                }
            }
        }
        Poll::Pending
    }
}

impl<F: Future<Output = Result<T, E>>, T, E> FusedFuture for TryJoinAll<F, T> {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

impl<F, T> fmt::Debug for TryJoinAll<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryJoinAll").field("running", &self.running.len()).finish_non_exhaustive()
    }
}
