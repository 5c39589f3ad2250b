//! One instance, as its client sees it.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use strandline_engine::pipeline::HistoryPage;
use strandline_hub::InstanceStatus;
use strandline_model::{ExecutionId, FailureDetails, HistoryEvent, InstanceId, RuntimeStatus};

use crate::backend::{Order, When, refused};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::handle::Event;
use crate::json;

/// An instance by its id, with the type of its output. Cheap to clone; it may or may not exist.
pub struct Instance<O> {
    client: Client,
    id: InstanceId,
    output: PhantomData<fn() -> O>,
}

/// Events read from the hub at a time.
const HISTORY_PAGE: usize = 10_000;
/// The same for [`Instance::history_pages`].
const PAGE_OF_STREAM: usize = 2_000;

impl<O> Instance<O> {
    pub(crate) fn new(client: Client, id: InstanceId) -> Self {
        Self { client, id, output: PhantomData }
    }

    /// The id of the instance.
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn instance_id(&self) -> &InstanceId {
        &self.id
    }

    /// What is known of the instance; `None` when there is none.
    pub async fn status(&self) -> Result<Option<InstanceStatus>> {
        self.status_when(When::Now).await
    }

    /// Waits until the instance is no longer pending. If it does not exist yet, waits for that too.
    pub async fn wait_started(&self) -> Result<InstanceStatus> {
        self.status_when(When::Started).await?.ok_or_else(|| self.not_found())
    }

    /// Waits until the instance is over, across continue-as-new. If it does not exist yet, waits for
    /// that too. Put a deadline on it with `tokio::time::timeout`.
    pub async fn wait(&self) -> Result<InstanceStatus> {
        self.status_when(When::Ended).await?.ok_or_else(|| self.not_found())
    }

    /// Waits until the instance is over and returns its output.
    ///
    /// # Errors
    /// The error the orchestrator failed with; one of type `Terminated` if it was terminated.
    pub async fn output(&self) -> Result<O>
    where
        O: DeserializeOwned,
    {
        let status = self.wait().await?;
        if let Some(failure) = status.failure() {
            return Err(Error::from_failure(failure.clone()));
        }
        if status.status != RuntimeStatus::Completed {
            let reason = status.output().unwrap_or("no reason given");
            let text = format!("instance '{}' is {}: {reason}", self.id, status.status);
            return Err(Error::from_failure(FailureDetails::new(status.status.name(), text)));
        }
        let what = || format!("the output of instance '{}'", self.id);
        json::decode(status.output()).map_err(|error| json::unreadable::<O>(&what(), &error))
    }

    /// Raises an external event. It is kept until the instance waits for it.
    ///
    /// # Errors
    /// `InstanceNotFound`, `InstanceOver`, or `HubOverloaded` when 10,000 events wait already.
    pub async fn raise<T: Serialize>(&self, event: Event<T>, payload: T) -> Result<()> {
        let name = event.name();
        let input = json::encode(&payload, || format!("the payload of event '{name}'"))?;
        let name = name.to_owned();
        crate::trace::raise(&name, self.id());
        self.order(Order::Raise { name, input }).await
    }

    /// Ends the instance now, whatever it does; awaiting the result does it. Running activities are
    /// told to stop by their cancellation tokens, and their results are dropped.
    ///
    /// ```
    /// # use strandline::prelude::*;
    /// # async fn f(run: Instance<()>) -> Result<()> {
    /// run.terminate("no longer needed").recursive().await?;
    /// # Ok(()) }
    /// ```
    pub fn terminate(&self, reason: impl Into<String>) -> Terminate<'_, O> {
        Terminate { instance: self, reason: reason.into(), recursive: false }
    }

    /// Holds the instance: what reaches it waits, activities under way finish.
    pub async fn suspend(&self, reason: impl Into<String>) -> Result<()> {
        self.order(Order::Suspend { reason: reason.into() }).await
    }

    /// Lets a suspended instance go on with what reached it, in order.
    pub async fn resume(&self, reason: impl Into<String>) -> Result<()> {
        self.order(Order::Resume { reason: reason.into() }).await
    }

    /// As [`Instance::wait`], but no longer than this; `None` when it is not over by then.
    pub async fn wait_at_most(&self, time: Duration) -> Result<Option<InstanceStatus>> {
        match tokio::time::timeout(time, self.wait()).await {
            Ok(status) => status.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// The whole history of the current execution; read long ones with
    /// [`Instance::history_pages`].
    pub async fn history(&self) -> Result<Vec<Arc<HistoryEvent>>> {
        let mut events = Vec::new();
        let mut execution = None;
        loop {
            let page = self.page(events.len(), HISTORY_PAGE).await?;
            if *execution.get_or_insert(page.execution) != page.execution {
                // It continued as new meanwhile: the history so far is no longer its history.
                execution = None;
                events.clear();
                continue;
            }
            events.extend(page.events);
            if events.len() >= page.total {
                return Ok(events);
            }
        }
    }

    /// At most `max` events of the history, from the one numbered `from`, which counts from 0.
    pub async fn history_page(&self, from: usize, max: usize) -> Result<Vec<Arc<HistoryEvent>>> {
        Ok(self.page(from, max).await?.events)
    }

    /// The whole history of the current execution, some thousand events at a time, so that a long one
    /// takes little memory.
    ///
    /// ```
    /// # use strandline::prelude::*;
    /// # async fn f(run: Instance<()>) -> Result<()> {
    /// let mut pages = run.history_pages();
    /// while let Some(events) = pages.try_next().await? {
    ///     println!("{} events more", events.len());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `InstanceNotFound`; `HistoryChanged` when the instance continues as new or is rewound meanwhile:
    /// what was read is then not the beginning of what it has.
    pub fn history_pages(&self) -> BoxStream<'static, Result<Vec<Arc<HistoryEvent>>>>
    where
        O: 'static,
    {
        struct Place {
            from: usize,
            execution: Option<ExecutionId>,
        }
        let next = |state: Option<(Self, Place)>| async move {
            let Some((instance, mut place)) = state else { return Ok(None) };
            let page = instance.page(place.from, PAGE_OF_STREAM).await?;
            if *place.execution.get_or_insert(page.execution) != page.execution {
                let text = format!("instance '{}' has another history now: read it again", instance.id);
                return Err(Error::new("HistoryChanged", text));
            }
            place.from += page.events.len();
            let more = place.from < page.total && !page.events.is_empty();
            Ok(Some((page.events, more.then_some((instance, place)))))
        };
        stream::try_unfold(Some((self.clone(), Place { from: 0, execution: None })), next).boxed()
    }

    async fn page(&self, from: usize, max: usize) -> Result<HistoryPage> {
        self.client.backend.history(&self.id, from, max).await?.ok_or_else(|| self.not_found())
    }

    async fn status_when(&self, when: When) -> Result<Option<InstanceStatus>> {
        self.client.backend.status(&self.id, when).await
    }

    async fn order(&self, order: Order) -> Result<()> {
        self.client.backend.order(&self.id, order).await
    }

    fn not_found(&self) -> Error {
        refused(strandline_hub::Refusal::NotFound, self.id.as_str())
    }
}

impl<O> Clone for Instance<O> {
    fn clone(&self) -> Self {
        Self::new(self.client.clone(), self.id.clone())
    }
}

impl<O> fmt::Debug for Instance<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instance").field(&self.id).finish()
    }
}

/// A termination before it happens; awaiting it terminates the instance.
#[must_use = "nothing is terminated until it is awaited"]
pub struct Terminate<'a, O> {
    instance: &'a Instance<O>,
    reason: String,
    recursive: bool,
}

impl<O> Terminate<'_, O> {
    /// Also terminates its running sub-orchestrations, and theirs.
    pub fn recursive(mut self) -> Self {
        self.recursive = true;
        self
    }
}

impl<'a, O: 'a> IntoFuture for Terminate<'a, O> {
    type Output = Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { instance, reason, recursive } = self;
        Box::pin(instance.order(Order::Terminate { reason, recursive }))
    }
}

impl<O> fmt::Debug for Terminate<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminate").field("instance", &self.instance.id).finish_non_exhaustive()
    }
}
