//! What a durable operation returns.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures::future::FusedFuture;
use serde::de::DeserializeOwned;
use strandline_replay::{ContextHandle, TaskHandle};

use crate::entity::EntityId;
use crate::error::{Error, Result, TaskCanceledError};
use crate::json;

/// The result-to-be of an activity, sub-orchestration, operation of an entity, timer or external event.
///
/// The work is scheduled when the task is created; awaiting only waits for it. A task is an ordinary
/// future: `join_all`, `select!`, `FuturesUnordered` take it as it is.
///
/// Dropped before it is done, a timer is cancelled, a wait for an event ends, and an activity, a
/// sub-orchestration or an operation is abandoned: it runs on and its result is ignored. [`Task::cancel`] asks for more.
///
/// A task belongs to its orchestration's thread: it cannot be moved into `tokio::spawn`.
#[must_use = "the work is scheduled, but its result and its errors are lost unless the task is awaited"]
pub struct Task<T> {
    state: State<T>,
    done: bool,
}

enum State<T> {
    Durable {
        handle: TaskHandle,
        what: What,
        decode: fn(Option<&str>) -> serde_json::Result<T>,
    },
    /// Refused before anything was scheduled.
    Refused(Option<Error>),
    /// Retried by a handler of the user's.
    Handled {
        future: Option<Pin<Box<dyn Future<Output = Result<T>>>>>,
        context: ContextHandle,
    },
}

/// Names the work in messages.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Result { kind: &'static str, name: Rc<str> },
    Event { name: &'static str },
    Operation { name: Rc<str>, entity: EntityId },
    Timer,
}

impl What {
    pub(crate) fn operation(name: &str, entity: &EntityId) -> Self {
        Self::Operation { name: name.into(), entity: entity.clone() }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Result { kind, name } => write!(f, "the result of {kind} '{name}'"),
            Self::Event { name } => write!(f, "the payload of event '{name}'"),
            Self::Operation { name, entity } => {
                write!(f, "the result of operation '{name}' of entity '{entity}'")
            }
            Self::Timer => f.write_str("the result of a timer"),
        }
    }
}

impl<T> Task<T> {
    pub(crate) fn durable(handle: TaskHandle, what: What) -> Self
    where
        T: DeserializeOwned,
    {
        Self { state: State::Durable { handle, what, decode: json::decode }, done: false }
    }

    pub(crate) fn refused(error: Error) -> Self {
        Self { state: State::Refused(Some(error)), done: false }
    }

    pub(crate) fn handled(context: ContextHandle, future: impl Future<Output = Result<T>> + 'static) -> Self {
        Self { state: State::Handled { future: Some(Box::pin(future)), context }, done: false }
    }

    /// Says that the result is not wanted any more: the activity's cancellation token fires, the
    /// sub-orchestration is terminated, and nothing is tried again. What comes of it can still be
    /// awaited. A timer, a wait for an event, a call of an entity (which is carried out nevertheless) or a
    /// pause between attempts ends at once with a
    /// [`TaskCanceledError`]. Cancelling twice, or what is already done, has no effect.
    pub fn cancel(&mut self) {
        match &mut self.state {
            State::Durable { handle, .. } => handle.cancel(),
            State::Refused(_) => {}
            State::Handled { future, context } => {
                let future = future.take();
                if future.is_some() {
                    context.cancelling(|| drop(future));
                    self.state = State::Refused(Some(Error::from(TaskCanceledError).non_retriable()));
                }
            }
        }
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let poll = match &mut self.state {
            State::Durable { handle, what, decode } => match Pin::new(handle).poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(payload)) => Poll::Ready(
                    decode(payload.as_deref())
                        .map_err(|error| json::unreadable::<T>(&what.to_string(), &error)),
                ),
                Poll::Ready(Err(error)) => Poll::Ready(Err(Error::from_task(error))),
            },
            State::Refused(error) => match error.take() {
                Some(error) => Poll::Ready(Err(error)),
                None => Poll::Pending,
            },
            State::Handled { future, .. } => match future {
                Some(inner) => {
                    let poll = inner.as_mut().poll(cx);
                    if poll.is_ready() {
                        *future = None;
                    }
                    poll
                }
                None => Poll::Pending,
            },
        };
        self.done |= poll.is_ready();
        poll
    }
}

impl<T> FusedFuture for Task<T> {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Task");
        if let State::Durable { what, .. } = &self.state {
            f.field("what", what);
        }
        f.field("done", &self.done).finish()
    }
}

/// Waits for a future at most until a timer fires: what [`OrchestrationContext::timeout`] returns.
///
/// [`OrchestrationContext::timeout`]: crate::OrchestrationContext::timeout
#[must_use = "the timer runs, but nothing is waited for unless this is awaited"]
pub struct Timeout<F> {
    future: Option<Pin<Box<F>>>,
    timer: Option<Task<()>>,
    context: ContextHandle,
    after: std::time::Duration,
}

impl<F> Timeout<F> {
    pub(crate) fn new(
        future: F,
        timer: Task<()>,
        context: ContextHandle,
        after: std::time::Duration,
    ) -> Self {
        Self { future: Some(Box::pin(future)), timer: Some(timer), context, after }
    }
}

impl<T, F: Future<Output = Result<T>>> Future for Timeout<F> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let Some(future) = &mut self.future else { return Poll::Pending };
        if let Poll::Ready(result) = future.as_mut().poll(cx) {
            self.future = None;
            self.timer = None;
            return Poll::Ready(result);
        }
        let Some(timer) = &mut self.timer else { return Poll::Pending };
        match Pin::new(timer).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(fired) => {
                self.timer = None;
                let late = self.future.take();
                self.context.cancelling(|| drop(late));
                let timeout = crate::error::TimeoutError { after: self.after };
                Poll::Ready(fired.and_then(|()| Err(timeout.into())))
            }
        }
    }
}

impl<T, F: Future<Output = Result<T>>> FusedFuture for Timeout<F> {
    fn is_terminated(&self) -> bool {
        self.future.is_none()
    }
}

impl<F> fmt::Debug for Timeout<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout").field("after", &self.after).finish_non_exhaustive()
    }
}
