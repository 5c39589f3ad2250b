//! The hub as a test sees it.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use strandline_hub::{Command, Reply, ReusePolicy, Start};
use strandline_model::{ExecutionId, InstanceId, Timestamp};

use super::entity::TestEntity;
use super::run::TestRun;
use super::world::World;
use crate::backend::refused;
use crate::entity::{Entity, EntityId};
use crate::error::{Error, Result};
use crate::handle::{AnActivity, AnOrchestration, Callable, Named};
use crate::json;
use crate::register::Register;
use crate::registry::Registry;

/// A hub for tests: in memory, in virtual time, without a runtime, and the same in every run.
///
/// Every call runs all that can run before it returns, so that a test never waits. Time stands still
/// until [`TestHub::advance`]. After every event the orchestrator is run a second time from the
/// beginning of its history; one that decides differently then fails the test with both sides.
///
/// ```
/// use strandline::prelude::*;
///
/// # #[derive(Clone, Serialize, Deserialize)]
/// # struct Order { total: u32 }
/// const SCORE: Activity<Order, f64> = Activity::named("ScoreOrder");
/// const APPROVAL: Event<bool> = Event::named("Approval");
///
/// #[orchestrator]
/// async fn purchase(ctx: OrchestrationContext, order: Order) -> Result<u32> {
///     if ctx.call(SCORE, order.clone()).await? > 0.8 {
///         select! {
///             granted = ctx.wait_for(APPROVAL) => ensure!(granted?, "rejected"),
///             _ = ctx.timer(hours(72)) => bail!("nobody answered"),
///         }
///     }
///     Ok(order.total)
/// }
///
/// let hub = TestHub::new().register(purchase).fake(SCORE, |order| Ok(f64::from(order.total) / 100.0));
///
/// let cheap = hub.start(purchase, Order { total: 7 });
/// assert_eq!(cheap.output(), 7);
///
/// let granted = hub.start(purchase, Order { total: 90 });
/// let expired = hub.start(purchase, Order { total: 91 });
/// granted.raise(APPROVAL, true);
/// assert_eq!(granted.output(), 90);
///
/// hub.advance(hours(72));
/// assert_eq!(expired.error().message(), "nobody answered");
/// ```
#[must_use = "a test hub does nothing until something is started on it"]
pub struct TestHub {
    world: Rc<RefCell<World>>,
}

impl TestHub {
    /// Serves nothing yet. It is 2026-01-01T00:00:00Z.
    #[expect(clippy::new_without_default, reason = "a hub is set up by what follows")]
    pub fn new() -> Self {
        Self { world: Rc::new(RefCell::new(World::new())) }
    }

    /// Sets the time at which the test begins.
    pub fn at(self, time: Timestamp) -> Self {
        self.setting_up("at", |world| world.now = time)
    }

    /// Adds functions: one, or a tuple, as in [`Registry::register`].
    pub fn register(self, functions: impl Register) -> Self {
        self.with_registry("register", |registry| registry.register(functions))
    }

    /// Gives activities a value to ask for as [`State<T>`](crate::State).
    pub fn state<T: Send + Sync + 'static>(self, value: T) -> Self {
        self.with_registry("state", |registry| registry.state(value))
    }

    fn with_registry(self, what: &str, change: impl FnOnce(Registry) -> Registry) -> Self {
        self.setting_up(what, |world| world.registry = world.registry.take().map(change))
    }

    fn setting_up(self, what: &str, change: impl FnOnce(&mut World)) -> Self {
        let mut world = self.world.borrow_mut();
        assert!(world.registry.is_some(), "`.{what}(..)` comes before the first start on the test hub");
        change(&mut world);
        drop(world);
        self
    }

    /// Runs a closure instead of an activity's code. The activity need not be registered. The
    /// closure may count its calls and fail some of them; a panic in it fails the test.
    ///
    /// ```
    /// use strandline::prelude::*;
    ///
    /// # const CHARGE: Activity<u32, String> = Activity::named("Charge");
    /// # #[orchestrator]
    /// # async fn buy(ctx: OrchestrationContext, sum: u32) -> Result<String> {
    /// #     ctx.call(CHARGE.retry(RetryPolicy::exponential(secs(1)).max_attempts(3)), sum).await
    /// # }
    /// let mut calls = 0;
    /// let hub = TestHub::new().register(buy).fake(CHARGE, move |sum| {
    ///     calls += 1;
    ///     ensure!(calls > 1, "the line is busy");
    ///     Ok(format!("charged {sum}"))
    /// });
    /// let run = hub.start(buy, 5);
    /// hub.advance(secs(1));
    /// assert_eq!(run.output(), "charged 5");
    /// ```
    pub fn fake<A>(self, activity: A, mut code: impl FnMut(A::Input) -> Result<A::Output> + 'static) -> Self
    where
        A: Callable<Kind = AnActivity>,
        A::Input: DeserializeOwned,
        A::Output: Serialize,
    {
        let call = activity.into_call();
        let name = call.name().to_owned();
        let key = name.to_ascii_lowercase();
        let fake = move |input: Option<&str>| {
            let decoded = json::decode::<A::Input>(input).map_err(|error| {
                json::unreadable::<A::Input>(&format!("the input of activity '{name}'"), &error)
            });
            let output = decoded.and_then(&mut code);
            let encoded =
                output.and_then(|o| json::encode(&o, || format!("the result of activity '{name}'")));
            encoded.map_err(Error::into_failure)
        };
        let mut world = self.world.borrow_mut();
        world.activities.fakes.insert(key, Box::new(fake));
        world.activities.served_anew();
        world.settle();
        drop(world);
        self
    }

    /// The next `times` calls of an activity fail with this error; those after them are as usual.
    ///
    /// ```
    /// use strandline::prelude::*;
    ///
    /// # #[activity]
    /// # async fn charge(sum: u32) -> Result<u32> { Ok(sum) }
    /// # #[orchestrator]
    /// # async fn buy(ctx: OrchestrationContext, sum: u32) -> Result<u32> {
    /// #     ctx.call(charge.retry(RetryPolicy::exponential(secs(1)).max_attempts(3)), sum).await
    /// # }
    /// let hub = TestHub::new().register((buy, charge)).fail(charge, 2, Error::msg("the line is busy"));
    /// let run = hub.start(buy, 5);
    /// hub.advance(minutes(1));
    /// assert_eq!(run.output(), 5);
    /// ```
    pub fn fail(self, activity: impl Callable<Kind = AnActivity>, times: u32, error: Error) -> Self {
        let key = activity.name().to_ascii_lowercase();
        if times > 0 {
            let mut world = self.world.borrow_mut();
            let failures = world.activities.failures.entry(key).or_default();
            failures.push_back((times, error.into_failure()));
        }
        self
    }

    /// Calls of an activity take this long in virtual time; its code, or the fake, runs at the end of
    /// it. Without this they take no time.
    pub fn takes(self, activity: impl Callable<Kind = AnActivity>, duration: Duration) -> Self {
        let key = activity.name().to_ascii_lowercase();
        self.world.borrow_mut().activities.durations.insert(key, duration);
        self
    }

    /// Starts an instance. Its id is the one on the handle, `purchase.instance_id("order-17")`, or else
    /// `run-1`, `run-2` and so on; version and tags on the handle count, too.
    ///
    /// # Panics
    /// When the hub refuses, as it does for an id that is taken, and when the orchestrator is not
    /// registered.
    #[track_caller]
    pub fn start<C>(&self, orchestrator: C, input: C::Input) -> TestRun<C::Output>
    where
        C: Callable<Kind = AnOrchestration>,
        C::Input: Serialize,
    {
        match self.try_start(orchestrator, input) {
            Ok(run) => run,
            Err(error) => panic!("starting an instance on the test hub: {error:#}"),
        }
    }

    fn try_start<C>(&self, orchestrator: C, input: C::Input) -> Result<TestRun<C::Output>>
    where
        C: Callable<Kind = AnOrchestration>,
        C::Input: Serialize,
    {
        let call = orchestrator.into_call();
        let name = call.name().to_owned();
        if call.has_retry() {
            let text = "a start is not retried: leave the retry policy to calls in orchestrators";
            return Err(Error::new("InvalidRequest", format_args!("orchestrator '{name}': {text}")));
        }
        let version = call.requested_version().map(str::to_owned);
        let input = json::encode(&input, || format!("the input of orchestrator '{name}'"))?;
        let mut world = self.world.borrow_mut();
        world.build();
        let served =
            world.worker().is_some_and(|worker| worker.serves_orchestrator(&name, version.as_deref()));
        if !served {
            let of_version = version.map(|v| format!(" (version '{v}')")).unwrap_or_default();
            let text =
                format!("orchestrator '{name}'{of_version} is not registered: add it with `.register(..)`");
            return Err(Error::new("OrchestratorNotRegistered", text));
        }
        let id = match call.requested_instance_id() {
            Some(id) => InstanceId::new(id)?,
            None => InstanceId::trusted(world.next_id()),
        };
        let start = Start {
            id: id.clone(),
            name,
            version,
            input,
            tags: call.requested_tags().clone(),
            scheduled_start: None,
            reuse: ReusePolicy::refuse(),
            execution: ExecutionId(u128::from(world.next_random())),
            seed: world.next_random(),
            trace_parent: None,
            trace_state: None,
        };
        if let Reply::Refused(refusal) = world.command(Command::Start(Box::new(start))) {
            return Err(refused(refusal, id.as_str()));
        }
        world.settle();
        Ok(TestRun { world: self.world.clone(), id, output: PhantomData })
    }

    /// An instance by its id: a sub-orchestration, for example.
    ///
    /// # Panics
    /// When there is no such instance.
    #[track_caller]
    pub fn instance<O>(&self, id: &str) -> TestRun<O> {
        assert!(self.world.borrow().partition.instance(id).is_some(), "the test hub has no instance '{id}'");
        TestRun { world: self.world.clone(), id: InstanceId::trusted(id), output: PhantomData }
    }

    /// An entity, whether it exists or not. Its operations are methods that carry them out at once.
    ///
    /// ```
    /// use strandline::prelude::*;
    ///
    /// # #[derive(Default, Serialize, Deserialize)]
    /// # pub struct Stock { left: u32 }
    /// #[entity]
    /// impl Stock {
    ///     pub fn add(&mut self, n: u32) { self.left += n; }
    ///
    ///     pub fn take(&mut self, n: u32) -> Result<u32> {
    ///         self.left = self.left.checked_sub(n).context("sold out")?;
    ///         Ok(self.left)
    ///     }
    /// }
    ///
    /// let hub = TestHub::new().register(Stock);
    /// let stock = hub.entity::<Stock>("sku-1");
    /// stock.signal().add(3)?;
    /// assert_eq!(stock.take(2)?, 1);
    /// assert_eq!(stock.take(2).unwrap_err().message(), "sold out");
    /// assert_eq!(stock.state().unwrap().left, 1);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn entity<E: Entity>(&self, id: impl Into<EntityId<E>>) -> TestEntity<E> {
        TestEntity::new(self.world.clone(), id.into())
    }

    /// Lets virtual time pass. Timers fire in the order in which they are due, each at its time, and
    /// all that follows from one runs before the next.
    #[track_caller]
    pub fn advance(&self, duration: Duration) {
        self.world.borrow_mut().advance(duration);
    }

    /// The virtual time.
    pub fn now(&self) -> Timestamp {
        self.world.borrow().now
    }
}

impl fmt::Debug for TestHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestHub").field("now", &self.now()).finish_non_exhaustive()
    }
}
