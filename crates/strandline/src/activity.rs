//! What an activity gets besides its input.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use strandline_engine::metrics::CustomMetrics;
use strandline_engine::worker::ActivityWork;
use strandline_model::{ExecutionId, InstanceId};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::json;

/// Who called this activity, and whether the result is still wanted.
///
/// ```
/// use strandline::prelude::*;
///
/// #[activity]
/// async fn copy(ctx: ActivityContext, files: Vec<String>) -> Result<usize> {
///     for (done, file) in files.iter().enumerate() {
///         if ctx.is_cancelled() {
///             bail!("cancelled before {file}");
///         }
///         ctx.heartbeat(done)?;
///     }
///     Ok(files.len())
/// }
/// ```
#[derive(Clone)]
pub struct ActivityContext {
    work: Arc<ActivityWork>,
}

impl ActivityContext {
    /// The instance that called it.
    pub fn instance_id(&self) -> &InstanceId {
        &self.work.instance
    }

    /// The execution of that instance.
    pub fn execution_id(&self) -> ExecutionId {
        self.work.execution
    }

    /// The sequence id of the call.
    pub fn task_id(&self) -> i32 {
        self.work.task_id
    }

    /// The name it was called by.
    pub fn name(&self) -> &str {
        &self.work.name
    }

    /// The version it was called with.
    pub fn version(&self) -> Option<&str> {
        self.work.version.as_deref()
    }

    /// The tags of the call.
    pub fn tags(&self) -> &BTreeMap<String, String> {
        &self.work.tags
    }

    /// A text that is the same each time this call is delivered again after a crash, and different
    /// for every other call, retries included. Activities run at least once; hand this to services
    /// that recognise repeated requests.
    pub fn idempotency_key(&self) -> String {
        format!("{}:{}:{}", self.work.instance, self.work.execution, self.work.task_id)
    }

    /// Fires when the result is no longer wanted: the orchestration ended or cancelled the call, or
    /// the call's timeout passed.
    pub fn cancellation(&self) -> CancellationToken {
        self.work.cancelled.clone()
    }

    /// Whether the result is no longer wanted.
    pub fn is_cancelled(&self) -> bool {
        self.work.cancelled.is_cancelled()
    }

    /// Counters, gauges and timings of the program's own. They show on `/metrics` of the server that runs
    /// the activity; for programs that embed a hub see [`DataDirectory::register_metrics`], for workers of a
    /// server `RemoteHub::metrics`.
    ///
    /// ```
    /// use strandline::prelude::*;
    ///
    /// #[activity]
    /// async fn take_order(ctx: ActivityContext, region: String) -> Result<()> {
    ///     ctx.metrics().counter("orders_total", &[("region", &region)]).add(1);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// [`DataDirectory::register_metrics`]: crate::DataDirectory::register_metrics
    pub fn metrics(&self) -> &CustomMetrics {
        &self.work.metrics
    }

    /// Reports progress: visible from outside, lost at a crash.
    pub fn heartbeat(&self, progress: impl Serialize) -> Result<()> {
        let progress = json::encode(&progress, || "the progress".to_owned())?;
        *self.work.progress.lock() = progress;
        Ok(())
    }
}

impl fmt::Debug for ActivityContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActivityContext")
            .field("instance_id", &self.work.instance)
            .field("task_id", &self.work.task_id)
            .field("name", &self.work.name)
            .finish_non_exhaustive()
    }
}

/// A value given to the worker with [`Registry::state`](crate::Registry::state), shared by all
/// activities and entities that ask for it. Cheap to clone; dereferences to the value.
pub struct State<T>(Arc<T>);

impl<T> State<T> {
    /// For calling an activity directly, as unit tests do.
    pub fn new(value: T) -> Self {
        Self(Arc::new(value))
    }

    pub(crate) fn find(states: &States) -> Result<Self>
    where
        T: Send + Sync + 'static,
    {
        match states.get(&TypeId::of::<T>()).cloned().map(Arc::downcast::<T>) {
            Some(Ok(value)) => Ok(Self(value)),
            _ => {
                let type_name = std::any::type_name::<T>();
                Err(Error::new("StateMissingError", format!("the worker has no state of type `{type_name}`"))
                    .non_retriable())
            }
        }
    }
}

impl<T> Clone for State<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for State<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("State").field(&*self.0).finish()
    }
}

/// States by type.
pub(crate) type States = BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// One execution of an activity, from which its arguments are taken.
#[derive(Clone)]
pub struct ActivityRequest {
    work: Arc<ActivityWork>,
    states: Arc<States>,
}

impl ActivityRequest {
    pub(crate) fn new(work: ActivityWork, states: Arc<States>) -> Self {
        Self { work: Arc::new(work), states }
    }

    /// The input.
    pub fn input<I: DeserializeOwned>(&self) -> Result<I> {
        json::decode(self.work.input.as_deref()).map_err(|error| {
            json::unreadable::<I>(&format!("the input of activity '{}'", self.work.name), &error)
        })
    }
}

impl fmt::Debug for ActivityRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActivityRequest").field("name", &self.work.name).finish_non_exhaustive()
    }
}

/// An argument of an activity that is not its input.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument before the input of an activity",
    label = "neither `State<..>` nor `ActivityContext`",
    note = "an activity takes any number of `State<..>` and `ActivityContext`, then at most one input by \
            value; put several inputs into a struct or a tuple"
)]
pub trait FromActivity: Sized {
    /// Takes it from the request.
    fn from_activity(request: &ActivityRequest) -> Result<Self>;

    /// The type of state it needs, checked when the worker is built.
    fn need() -> Option<Need> {
        None
    }
}

/// A type of state that an activity or an entity needs.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    pub(crate) id: TypeId,
    pub(crate) name: &'static str,
}

impl Need {
    pub(crate) fn of<T: 'static>() -> Self {
        Self { id: TypeId::of::<T>(), name: std::any::type_name::<T>() }
    }
}

impl FromActivity for ActivityContext {
    fn from_activity(request: &ActivityRequest) -> Result<Self> {
        Ok(Self { work: request.work.clone() })
    }
}

impl<T: Send + Sync + 'static> FromActivity for State<T> {
    fn from_activity(request: &ActivityRequest) -> Result<Self> {
        Self::find(&request.states)
    }

    fn need() -> Option<Need> {
        Some(Need::of::<T>())
    }
}
