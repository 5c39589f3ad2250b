//! What an orchestrator can do.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use strandline_model::{ExecutionId, InstanceId, Timestamp};
use strandline_replay::{ActivityCall, ContextHandle, SubOrchestrationCall, TaskHandle};
use uuid::Uuid;

use crate::entity::{Entity, EntityHandle, EntityId, Lock, LockSet};
use crate::error::{Error, Result};
use crate::handle::{AnActivity, AnOrchestration, Call, CallOptions, Callable, Event, Kind, Named, Retry};
use crate::http::{HTTP_ACTIVITY, HttpRequest, HttpResponse, Polling};
use crate::json;
use crate::retry::{RetryContext, RetryHandler};
use crate::task::{Task, Timeout, What};
use crate::worker::Program;

/// From this many events on, [`OrchestrationContext::suggested_continue_as_new`] says yes.
const LONG_HISTORY: usize = 10_000;

/// The durable side of an orchestrator: everything it may do besides computing.
///
/// Orchestrator code is run again from its beginning whenever it is rebuilt from its history, so it
/// must do the same things in the same order each time: take time, random numbers and GUIDs from
/// here, and leave everything that happens outside to activities.
///
/// Cheap to clone. It belongs to its orchestration's thread.
#[derive(Clone)]
pub struct OrchestrationContext {
    handle: ContextHandle,
    program: Arc<Program>,
}

/// The orchestration that called this one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parent {
    /// The name of its orchestrator.
    pub name: String,
    /// Its instance id.
    pub instance_id: InstanceId,
}

impl OrchestrationContext {
    pub(crate) fn new(handle: ContextHandle, program: Arc<Program>) -> Self {
        Self { handle, program }
    }

    /// Calls an activity or a sub-orchestration.
    ///
    /// ```
    /// # use strandline::prelude::*;
    /// # #[activity] async fn greet(city: String) -> Result<String> { Ok(city) }
    /// # #[orchestrator] async fn report(ctx: OrchestrationContext) -> Result<u32> { Ok(1) }
    /// # async fn f(ctx: OrchestrationContext) -> Result<()> {
    /// let hello: String = ctx.call(greet, "Berlin".to_owned()).await?;
    /// let patient = RetryPolicy::exponential(secs(1)).max_attempts(5);
    /// let hello = ctx.call(greet.retry(patient), hello).await?;
    /// let pages: u32 = ctx.call(report.instance_id("report-7"), ()).await?;
    /// # Ok(()) }
    /// ```
    pub fn call<C: Callable>(&self, callable: C, input: C::Input) -> Task<C::Output>
    where
        C::Input: Serialize,
        C::Output: DeserializeOwned + 'static,
    {
        let call = callable.into_call();
        let input = json::encode(&input, || format!("the input of {} '{}'", C::Kind::WORD, call.name));
        let checked = input.and_then(|input| self.check_child(&call.options).map(|()| input));
        match checked {
            Ok(input) => self.schedule::<C::Kind, _, _>(call, input),
            Err(error) => Task::refused(error),
        }
    }

    fn schedule<K: Kind, I, O>(&self, mut call: Call<K, I, O>, input: Option<String>) -> Task<O>
    where
        O: DeserializeOwned + 'static,
    {
        let name: Rc<str> = call.name.as_ref().into();
        let what = What::Result { kind: K::WORD, name: name.clone() };
        match call.options.retry.take() {
            None => Task::durable(self.attempt::<K>(&name, &call.options, input, None), what),
            Some(Retry::Policy(policy)) => {
                Task::durable(self.attempt::<K>(&name, &call.options, input, Some(policy.inner)), what)
            }
            Some(Retry::Handler(handler)) => {
                let first = self.attempt::<K>(&name, &call.options, input.clone(), None);
                let ctx = self.clone();
                let options = call.options;
                let again = move || ctx.attempt::<K>(&name, &options, input.clone(), None);
                let first = Task::durable(first, what.clone());
                let rounds = retry_rounds(self.clone(), self.now(), handler, what, first, again);
                Task::handled(self.handle.clone(), rounds)
            }
        }
    }

    fn attempt<K: Kind>(
        &self,
        name: &str,
        options: &CallOptions,
        input: Option<String>,
        retry: Option<strandline_replay::RetryPolicy>,
    ) -> TaskHandle {
        if K::IS_ACTIVITY {
            let call = ActivityCall {
                name: name.to_owned(),
                version: options.version.clone().or_else(|| self.version()),
                input,
                tags: options.tags.clone(),
                timeout: options.timeout,
            };
            self.handle.call_activity(call, retry)
        } else {
            self.handle.call_sub_orchestration(self.child(name, options, input), retry)
        }
    }

    /// Sends an HTTP request and waits for its response, however long that takes.
    ///
    /// An answer `202 Accepted` is followed: after a durable timer of `Retry-After` seconds (30 unless
    /// somebody says otherwise; between a second and an hour), a `GET` of `Location` with the same headers,
    /// and so on until another status comes. A location elsewhere must be allowed by
    /// [`HttpRequest::location_origin`]; an answer without one fails with `KeyNotFoundException`. As with
    /// every task, dropping it does not end that: cancelling it does, which a [`timeout`](Self::timeout)
    /// around it does, too.
    ///
    /// Any status is a response, not an error, unless the request has [retry
    /// options](crate::HttpRetryOptions). Errors are [`TimeoutError`](crate::TimeoutError) and those of
    /// [`http`](crate::http), which also says who sends the request.
    ///
    /// ```
    /// # use strandline::prelude::*;
    /// # #[derive(Serialize, Deserialize)] struct Build { id: u32 }
    /// # async fn f(ctx: OrchestrationContext) -> Result<()> {
    /// let request = HttpRequest::post("https://build.example/jobs").header("Accept", "application/json");
    /// let response = ctx.call_http(request).await?;
    /// ensure!(response.is_success(), "the build service says {}", response.status_code);
    /// let build: Build = response.json()?;
    /// # Ok(()) }
    /// ```
    pub fn call_http(&self, request: HttpRequest) -> Task<HttpResponse> {
        let input = request.check().and_then(|()| json::encode(&request, || "an HTTP request".to_owned()));
        match input {
            Ok(input) => {
                let name = HTTP_ACTIVITY.name();
                let call = ActivityCall { name: name.to_owned(), input, ..ActivityCall::default() };
                let what = What::Result { kind: AnActivity::WORD, name: name.into() };
                Task::durable(self.handle.call_activity_by(call, Rc::new(Polling)), what)
            }
            Err(error) => Task::refused(error),
        }
    }

    /// A child has the version of its call, else the worker's default: never that of its parent.
    fn child(&self, name: &str, options: &CallOptions, input: Option<String>) -> SubOrchestrationCall {
        let version = options.version.as_deref().or(self.program.settings.versioning.version_of_children());
        SubOrchestrationCall {
            instance_id: options.instance_id.clone(),
            name: name.to_owned(),
            version: version.map(str::to_owned),
            input,
            tags: options.tags.clone(),
        }
    }

    /// A child must not be its own parent or grandparent, and its id must be a valid one.
    fn check_child(&self, options: &CallOptions) -> Result<()> {
        let Some(id) = &options.instance_id else { return Ok(()) };
        InstanceId::new(id)?;
        let parent = self.parent().is_some_and(|parent| parent.instance_id.as_str() == id);
        if parent || self.handle.instance_id().as_str() == id {
            let text = format!("sub-orchestration id '{id}' is the id of this instance or of its parent");
            return Err(Error::new("InvalidId", text).non_retriable());
        }
        Ok(())
    }

    /// Starts a sub-orchestration nobody waits for and returns its instance id. It outlives this
    /// orchestration, which does not hear of its end.
    pub fn start<C>(&self, orchestrator: C, input: C::Input) -> Result<InstanceId>
    where
        C: Callable<Kind = AnOrchestration>,
        C::Input: Serialize,
    {
        let call = orchestrator.into_call();
        let input = json::encode(&input, || format!("the input of orchestrator '{}'", call.name))?;
        self.check_child(&call.options)?;
        let id = self.handle.start_sub_orchestration(self.child(call.name(), &call.options, input));
        Ok(InstanceId::trusted(id.map_err(Error::from_failure)?))
    }

    /// Waits for a length of time, from the time of the turn. Dropping the task cancels the timer.
    pub fn timer(&self, after: Duration) -> Task<()> {
        self.timer_at(self.now().saturating_add(after))
    }

    /// Waits until a point in time; one in the past fires at once.
    pub fn timer_at(&self, at: Timestamp) -> Task<()> {
        Task::durable(self.handle.timer(at), What::Timer)
    }

    /// Waits for an external event. One that arrived earlier and was not taken is taken at once, the
    /// oldest first; among several waiters the oldest gets the next event.
    pub fn wait_for<T: DeserializeOwned>(&self, event: Event<T>) -> Task<T> {
        Task::durable(self.handle.wait_for(event.name()), What::Event { name: event.name() })
    }

    /// Waits for a future, but no longer than `after`; then fails with a
    /// [`TimeoutError`](crate::TimeoutError) and cancels the tasks the future holds.
    ///
    /// ```
    /// # use strandline::prelude::*;
    /// # const APPROVED: Event<bool> = Event::named("Approved");
    /// # async fn f(ctx: OrchestrationContext) -> Result<()> {
    /// let approved = match ctx.timeout(hours(72), ctx.wait_for(APPROVED)).await {
    ///     Ok(answer) => answer,
    ///     Err(error) if error.is::<TimeoutError>() => false,
    ///     Err(error) => return Err(error),
    /// };
    /// # Ok(()) }
    /// ```
    pub fn timeout<T, F: Future<Output = Result<T>>>(&self, after: Duration, future: F) -> Timeout<F> {
        Timeout::new(future, self.timer(after), self.handle.clone(), after)
    }

    /// Sends an event to another instance, one-way: nothing tells whether the instance exists.
    pub fn send_event<T: Serialize>(
        &self,
        instance_id: impl AsRef<str>,
        event: Event<T>,
        payload: T,
    ) -> Result<()> {
        let target = InstanceId::new(instance_id.as_ref())?;
        let input = json::encode(&payload, || format!("the payload of event '{}'", event.name()))?;
        self.handle.send_event(target.to_string(), event.name().to_owned(), input);
        Ok(())
    }

    /// An entity, by its id or its key. Its operations are methods that call it and return a task.
    ///
    /// ```
    /// # use strandline::prelude::*;
    /// # #[derive(Default, Serialize, Deserialize)]
    /// # pub struct Stock { left: u32 }
    /// # #[entity] impl Stock {
    /// #     pub fn add(&mut self, n: u32) { self.left += n }
    /// #     pub fn take(&mut self, n: u32) -> Result<u32> { Ok(n) }
    /// # }
    /// # async fn f(ctx: OrchestrationContext) -> Result<()> {
    /// let stock = ctx.entity::<Stock>("sku-1");       // or ctx.entity(Stock::id("sku-1"))
    /// let left: u32 = stock.take(3).await?;           // call: waits, and fails as the operation fails
    /// stock.signal().add(1)?;                         // signal: one-way
    /// stock.signal_at(ctx.now().saturating_add(hours(1))).add(1)?;
    /// # Ok(()) }
    /// ```
    ///
    /// Entities of workers in other languages have no type here:
    /// `ctx.entity(EntityId::named("Stock", "sku-1")).call("take", 3)`.
    pub fn entity<E: Entity>(&self, id: impl Into<EntityId<E>>) -> EntityHandle<E> {
        EntityHandle::new(id.into(), self.handle.clone())
    }

    /// Enters a critical section: waits until all the entities are locked. Until the guards are
    /// dropped, nobody else's operations reach them.
    ///
    /// ```
    /// # use strandline::prelude::*;
    /// # #[derive(Default, Serialize, Deserialize)]
    /// # pub struct Account { balance: i64 }
    /// # #[entity] impl Account {
    /// #     pub fn balance(&self) -> i64 { self.balance }
    /// #     pub fn add(&mut self, n: i64) { self.balance += n }
    /// # }
    /// #[orchestrator]
    /// async fn transfer(ctx: OrchestrationContext, amount: i64) -> Result<bool> {
    ///     let (from, to) = ctx.lock((Account::id("a"), Account::id("b"))).await?;
    ///     if from.balance().await? < amount {
    ///         return Ok(false);
    ///     }
    ///     from.add(-amount).await?;
    ///     to.add(amount).await?;
    ///     Ok(true)
    /// }
    /// ```
    ///
    /// All orchestrations lock in the same order, so they cannot block each other for ever. Inside,
    /// only locked entities can be called, one call of each at a time; locked entities cannot be
    /// signalled; sub-orchestrations and another critical section are refused. Rules broken give
    /// errors of the type `CriticalSectionError`.
    pub fn lock<L: LockSet>(&self, entities: L) -> Lock<L> {
        Lock::new(self.handle.clone(), entities)
    }

    /// The locked entities, while the code is in a critical section.
    pub fn locked(&self) -> Option<Vec<EntityId>> {
        let ids = self.handle.critical_section()?;
        Some(ids.iter().filter_map(|id| EntityId::parse(id).ok()).collect())
    }

    /// The time of the turn: the same on every replay, and constant between two awaits.
    pub fn now(&self) -> Timestamp {
        self.handle.now()
    }

    /// A GUID that is new here and the same on every replay.
    pub fn new_guid(&self) -> Uuid {
        Uuid::from_u128(self.handle.new_guid())
    }

    /// Random numbers that are the same on every replay. Each call returns an independent stream.
    pub fn rng(&self) -> ChaCha8Rng {
        let (seed, stream) = self.handle.random_stream();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        rng
    }

    /// The id of this instance.
    pub fn instance_id(&self) -> InstanceId {
        self.handle.instance_id()
    }

    /// The id of this execution: new with every continue-as-new.
    pub fn execution_id(&self) -> ExecutionId {
        self.handle.execution_id()
    }

    /// The name this orchestrator was started under.
    pub fn name(&self) -> String {
        self.handle.started(|started| started.name.clone()).unwrap_or_default()
    }

    /// The version this instance was started with.
    pub fn version(&self) -> Option<String> {
        self.handle.started(|started| started.version.clone())?
    }

    /// The value of one of the tags this instance was started with.
    pub fn tag(&self, key: &str) -> Option<String> {
        self.handle.started(|started| started.tags.get(key).cloned())?
    }

    /// Who called this orchestration; `None` for one started by a client.
    pub fn parent(&self) -> Option<Parent> {
        self.handle.started(|started| {
            started.parent.as_ref().map(|parent| Parent {
                name: parent.name.clone(),
                instance_id: InstanceId::trusted(parent.instance_id.as_str()),
            })
        })?
    }

    /// Whether the code is repeating what it did in earlier turns. Logging through `tracing` is
    /// silent then by itself; deciding anything by this makes the code non-deterministic.
    pub fn is_replaying(&self) -> bool {
        self.handle.is_replaying()
    }

    /// Sets what status queries show beside the runtime status. At most 16 KiB of JSON: more, or a
    /// value that has no JSON, fails the instance.
    pub fn set_custom_status(&self, status: impl Serialize) {
        match json::encode(&status, || "the custom status".to_owned()) {
            Ok(status) => self.handle.set_custom_status(status),
            Err(error) => self.handle.abort(error.into_failure()),
        }
    }

    /// Takes the custom status away.
    pub fn clear_custom_status(&self) {
        self.handle.set_custom_status(None);
    }

    /// Ends this execution and begins the next one of the same instance with a new input and an
    /// empty history. Return the value it gives:
    ///
    /// ```
    /// # use strandline::prelude::*;
    /// #[orchestrator]
    /// async fn count(ctx: OrchestrationContext, n: u64) -> Result<u64> {
    ///     ctx.timer(hours(1)).await?;
    ///     if n < 1000 {
    ///         return ctx.continue_as_new(n + 1);
    ///     }
    ///     Ok(n)
    /// }
    /// ```
    ///
    /// Events that arrived and were not taken move on to the next execution; see
    /// [`ContinueAsNew`](crate::ContinueAsNew) for that and for the version.
    pub fn continue_as_new<T>(&self, input: impl Serialize) -> Result<T> {
        Err(Error::continue_as_new(json::encode(&input, || "the input of the next execution".to_owned())?))
    }

    /// How many history events the code has seen so far.
    pub fn history_len(&self) -> usize {
        self.handle.history_len()
    }

    /// Whether the history has grown so long that [`continue_as_new`](Self::continue_as_new) pays.
    pub fn suggested_continue_as_new(&self) -> bool {
        self.history_len() >= LONG_HISTORY
    }
}

async fn retry_rounds<O: DeserializeOwned>(
    ctx: OrchestrationContext,
    begun: Timestamp,
    handler: RetryHandler,
    what: What,
    first: Task<O>,
    again: impl Fn() -> TaskHandle,
) -> Result<O> {
    let mut task = first;
    let mut attempt = 1;
    loop {
        let error = match task.await {
            Ok(output) => return Ok(output),
            Err(error) => error,
        };
        if error.is_non_retriable() {
            return Err(error);
        }
        let failure = Error::from_failure(error.failure().clone());
        let elapsed = ctx.now().saturating_since(begun);
        if !handler.decide(RetryContext { ctx: ctx.clone(), attempt, failure, elapsed }).await {
            return Err(error);
        }
        task = Task::durable(again(), what.clone());
        attempt += 1;
    }
}

impl fmt::Debug for OrchestrationContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrchestrationContext")
            .field("instance_id", &self.instance_id())
            .finish_non_exhaustive()
    }
}

/// Options of the value that [`OrchestrationContext::continue_as_new`] gives. On any other result
/// they change nothing.
pub trait ContinueAsNew: Sized {
    /// The next execution runs this version.
    #[must_use]
    fn version(self, version: impl Into<String>) -> Self;

    /// Events that arrived and were not taken do not move on. Those not yet delivered always do.
    #[must_use]
    fn drop_events(self) -> Self;
}

impl<T> ContinueAsNew for Result<T> {
    fn version(mut self, version: impl Into<String>) -> Self {
        if let Err(error) = &mut self
            && let Some(next) = error.next_generation()
        {
            next.version = Some(version.into());
        }
        self
    }

    fn drop_events(mut self) -> Self {
        if let Err(error) = &mut self
            && let Some(next) = error.next_generation()
        {
            next.drop_events = true;
        }
        self
    }
}
