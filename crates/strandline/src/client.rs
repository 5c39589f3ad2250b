//! Starting instances and finding those that were started.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use strandline_engine::runtime::RunningActivity;
use strandline_hub::{ReusePolicy, Start};
use strandline_model::{ExecutionId, InstanceId, Timestamp};
use uuid::Uuid;

use crate::backend::Backend;
use crate::entity::{Entity, EntityClient, EntityId};
use crate::error::{Error, Result};
use crate::handle::{AnOrchestration, Callable, Named};
use crate::instance::Instance;
use crate::{json, trace};

/// Starts instances of a hub and finds them. Cheap to clone. Answers are linearizable: what one call
/// was told, every later call sees, also after a crash.
#[derive(Clone)]
pub struct Client {
    /// Keeps a hub of this process running.
    pub(crate) backend: Arc<dyn Backend>,
    default_version: Option<Arc<str>>,
}

impl Client {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend, default_version: None }
    }

    /// Instances that this client starts get this version unless the start names one.
    #[must_use]
    pub fn default_version(mut self, version: impl Into<Arc<str>>) -> Self {
        self.default_version = Some(version.into());
        self
    }

    /// Starts an instance. Say more with the methods of [`StartInstance`], then await it.
    ///
    /// ```
    /// # use strandline::prelude::*;
    /// # const ORDER: Orchestration<u32, String> = Orchestration::named("Order");
    /// # async fn f(client: Client) -> Result<()> {
    /// let run = client.start(ORDER, 17).instance_id("order-17").tag("tenant", "acme").await?;
    /// # Ok(()) }
    /// ```
    pub fn start<C>(&self, orchestrator: C, input: C::Input) -> StartInstance<C::Output>
    where
        C: Callable<Kind = AnOrchestration>,
        C::Input: Serialize,
    {
        let call = orchestrator.into_call();
        let name = call.name().to_owned();
        let input = if call.has_retry() {
            let text =
                "a start from a client is not retried: leave the retry policy to calls in orchestrators";
            Err(Error::new("InvalidRequest", format_args!("orchestrator '{name}': {text}")))
        } else {
            json::encode(&input, || format!("the input of orchestrator '{name}'"))
        };
        StartInstance {
            client: self.clone(),
            input,
            instance_id: call.requested_instance_id().map(str::to_owned),
            version: call.requested_version().or(self.default_version.as_deref()).map(str::to_owned),
            tags: call.requested_tags().clone(),
            name,
            scheduled_start: None,
            reuse: ReusePolicy::refuse(),
            output: PhantomData,
        }
    }

    /// The instance with this id, whether it exists or not. `O` is the type of its output; leave it
    /// open with [`Json`](crate::Json).
    ///
    /// # Errors
    /// When the text can't be an instance id.
    pub fn instance<O>(&self, id: &str) -> Result<Instance<O>> {
        let id = InstanceId::new(id).map_err(|e| Error::new("InvalidInstanceId", e))?;
        Ok(Instance::new(self.clone(), id))
    }

    /// An entity, by its id or its key, whether it exists or not.
    ///
    /// ```
    /// # use strandline::prelude::*;
    /// # #[derive(Default, Serialize, Deserialize)]
    /// # pub struct Stock { left: u32 }
    /// # #[entity] impl Stock {
    /// #     pub fn add(&mut self, n: u32) { self.left += n }
    /// # }
    /// # async fn f(client: Client) -> Result<()> {
    /// let stock = client.entity::<Stock>("sku-1");
    /// stock.signal().add(3).await?;
    /// let state: Option<Stock> = stock.state().await?;
    /// # Ok(()) }
    /// ```
    pub fn entity<E: Entity>(&self, id: impl Into<EntityId<E>>) -> EntityClient<E> {
        EntityClient::new(self.clone(), id.into())
    }

    /// Engine time: timers fire and starts are scheduled by it.
    pub async fn now(&self) -> Result<Timestamp> {
        self.backend.now().await
    }

    /// Activities of this process that run now, with the progress they reported last.
    pub fn running_activities(&self) -> Vec<RunningActivity> {
        self.backend.running_activities()
    }

    /// Orchestrators nobody serves would wait for ever unseen: typed handles are checked.
    pub(crate) fn check_served(&self, name: &str) -> Result<()> {
        let Some(orchestrators) = self.backend.served() else { return Ok(()) };
        if orchestrators.iter().any(|o| o.eq_ignore_ascii_case(name)) {
            return Ok(());
        }
        let nearest = strandline_engine::nearest(name, orchestrators.iter().map(String::as_str));
        let hint = nearest.map(|n| format!(" (did you mean '{n}'?)")).unwrap_or_default();
        let text = format!(
            "the hub's worker serves no orchestrator '{name}'{hint}: add it with `hub.worker().register(..)`"
        );
        Err(Error::new("OrchestratorNotRegistered", text))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.backend.name()).finish()
    }
}

/// A start before it happens; awaiting it starts the instance.
#[must_use = "nothing starts until it is awaited"]
pub struct StartInstance<O> {
    client: Client,
    name: String,
    input: Result<Option<String>>,
    instance_id: Option<String>,
    version: Option<String>,
    tags: BTreeMap<String, String>,
    scheduled_start: Option<Timestamp>,
    reuse: ReusePolicy,
    output: PhantomData<fn() -> O>,
}

impl<O> StartInstance<O> {
    /// The id of the instance: 1 to 256 bytes of UTF-8 without control characters, not starting with
    /// `@`. By default 32 random hex digits.
    pub fn instance_id(mut self, id: impl Into<String>) -> Self {
        self.instance_id = Some(id.into());
        self
    }

    /// What happens when the id is taken. By default the start is refused whatever the state.
    pub fn reuse(mut self, policy: ReusePolicy) -> Self {
        self.reuse = policy;
        self
    }

    /// Stays pending until then.
    pub fn at(mut self, time: Timestamp) -> Self {
        self.scheduled_start = Some(time);
        self
    }

    /// Starts this version of the orchestrator.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Adds a tag: at most 64, keys of 128 bytes, values of 1,024.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(key.into(), value.into());
        self
    }

    async fn start(self) -> Result<Instance<O>> {
        let Self { client, name, input, instance_id, version, tags, scheduled_start, reuse, .. } = self;
        let input = input?;
        client.check_served(&name)?;
        let id = instance_id.unwrap_or_else(|| Uuid::new_v4().simple().to_string());
        let instance = client.instance(&id)?;
        let trace = trace::start(&name, version.as_deref(), &id);
        let (trace_parent, trace_state) = trace.map(|trace| (trace.parent, trace.state)).unzip();
        let start = Start {
            id: instance.instance_id().clone(),
            name,
            version,
            input,
            tags,
            scheduled_start,
            reuse,
            execution: ExecutionId(0),
            seed: 0,
            trace_parent,
            trace_state: trace_state.flatten(),
        };
        match client.backend.start(start).await {
            Ok(()) => Ok(instance),
            // The caller may not know the id yet; with it the outcome can be asked for.
            Err(error) if error.is::<OutcomeUnknown>() || error.is::<HubClosed>() => {
                Err(error.context(format_args!("starting instance '{id}'")))
            }
            Err(error) => Err(error),
        }
    }
}

impl<O: 'static> IntoFuture for StartInstance<O> {
    type Output = Result<Instance<O>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

impl<O> fmt::Debug for StartInstance<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartInstance")
            .field("name", &self.name)
            .field("instance_id", &self.instance_id)
            .finish_non_exhaustive()
    }
}

macro_rules! error_types {
    ($($(#[$doc:meta])* $name:ident)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum $name {}
        )*
    };
}

error_types! {
    /// For [`Error::is`]: the id of a start is taken.
    InstanceExists
    /// For [`Error::is`]: there is no instance with this id.
    InstanceNotFound
    /// For [`Error::is`]: the instance is over, so it takes no events or orders any more.
    InstanceOver
    /// For [`Error::is`]: the instance did not fail, so there is nothing to do again.
    InstanceNotFailed
    /// For [`Error::is`]: the instance is not over, so it can't be removed.
    InstanceNotOver
    /// For [`Error::is`]: the instance continued as new or was rewound while its history was read.
    HistoryChanged
    /// For [`Error::is`]: the hub has too much unfinished work, or no space; try again later.
    HubOverloaded
    /// For [`Error::is`]: the hub failed before it could answer, so the call was carried out or not.
    OutcomeUnknown
    /// For [`Error::is`]: the hub, or the directory it lives in, was closed.
    HubClosed
    /// For [`Error::is`]: an entity has no such operation.
    OperationNotFound
    /// For [`Error::is`]: a rule of critical sections was broken; the text says which.
    CriticalSectionError
    /// For [`Error::is`]: the worker that took the instance is not for its version.
    VersionMismatch
    /// For [`Error::is`]: something given is too large or not allowed; the text names it and the limit.
    InvalidRequest
}
