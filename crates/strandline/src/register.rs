//! What can be registered: functions, closures with names, and tuples of both.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::activity::{ActivityContext, FromActivity};
use crate::context::OrchestrationContext;
use crate::error::{Error, Result};
use crate::handle::{AnActivity, AnOrchestration, Call, Callable, Named};
use crate::registry::Registry;

/// Something a worker can serve.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be registered with a worker",
    label = "not a durable function",
    note = "register what is marked `#[activity]`, `#[orchestrator]` or `#[entity]`, `activity_fn(..)`, \
            `orchestrator_fn(..)`, `entity_fn(..)`, or tuples of up to 16 of these"
)]
pub trait Register {
    /// Adds itself.
    fn register(self, registry: &mut Registry);
}

macro_rules! tuples {
    ($($first:ident $($rest:ident)*)?) => {
        $(
            tuples!($($rest)*);

            #[allow(non_snake_case, reason = "each type's name also names its value")]
            impl<$first: Register, $($rest: Register),*> Register for ($first, $($rest,)*) {
                fn register(self, registry: &mut Registry) {
                    let ($first, $($rest,)*) = self;
                    $first.register(registry);
                    $($rest.register(registry);)*
                }
            }
        )?
    };
}

tuples!(A B C D E F G H I J K L M N O P);

/// What an activity or an orchestrator function returns: a [`Result`], with any error that converts
/// into [`Error`].
#[diagnostic::on_unimplemented(
    message = "a durable function returns `Result<..>`, not `{Self}`",
    label = "not a `Result`",
    note = "the error can be `strandline::Error` or any type that implements `std::error::Error`"
)]
pub trait Outcome {
    /// The value on success.
    type Value;

    /// As the SDK's result.
    fn into_result(self) -> Result<Self::Value>;
}

impl<T, E: Into<Error>> Outcome for std::result::Result<T, E> {
    type Value = T;

    fn into_result(self) -> Result<T> {
        self.map_err(Into::into)
    }
}

/// An activity made of a closure, with a name chosen at run time: what [`activity_fn`] returns.
pub struct ActivityFn<F, I, O> {
    name: Cow<'static, str>,
    code: F,
    types: PhantomData<fn(I) -> O>,
}

/// Makes an activity of a closure.
///
/// ```
/// use strandline::prelude::*;
///
/// let double = activity_fn("Double", |_ctx, n: i64| async move { Ok::<_, Error>(n * 2) });
/// let worker = Registry::new().register(double).build()?;
/// # Ok::<(), strandline::Error>(())
/// ```
pub fn activity_fn<F, I, Fut>(
    name: impl Into<Cow<'static, str>>,
    code: F,
) -> ActivityFn<F, I, <Fut::Output as Outcome>::Value>
where
    F: Fn(ActivityContext, I) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Outcome,
{
    ActivityFn { name: name.into(), code, types: PhantomData }
}

impl<F, I, O, Fut> Register for ActivityFn<F, I, O>
where
    F: Fn(ActivityContext, I) -> Fut + Clone + Send + Sync + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Outcome<Value = O>,
{
    fn register(self, registry: &mut Registry) {
        let code = self.code;
        let call = Call::<AnActivity, I, O>::named(self.name);
        registry.add_activity(call, &[], move |request| {
            let code = code.clone();
            async move {
                let context = ActivityContext::from_activity(&request)?;
                let input = request.input::<I>()?;
                code(context, input).await.into_result()
            }
        });
    }
}

impl<F, I, O> fmt::Debug for ActivityFn<F, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ActivityFn").field(&self.name).finish()
    }
}

/// An orchestrator made of a closure, with a name chosen at run time: what [`orchestrator_fn`] returns.
pub struct OrchestratorFn<F, I, O> {
    name: Cow<'static, str>,
    version: Option<String>,
    code: F,
    types: PhantomData<fn(I) -> O>,
}

/// Makes an orchestrator of a closure.
///
/// ```
/// use strandline::prelude::*;
///
/// const DOUBLE: Activity<i64, i64> = Activity::named("Double");
///
/// let twice = orchestrator_fn("Twice", |ctx: OrchestrationContext, n: i64| async move {
///     let n = ctx.call(DOUBLE, n).await?;
///     ctx.call(DOUBLE, n).await
/// });
/// let worker = Registry::new().register(twice).build()?;
/// # Ok::<(), strandline::Error>(())
/// ```
pub fn orchestrator_fn<F, I, Fut>(
    name: impl Into<Cow<'static, str>>,
    code: F,
) -> OrchestratorFn<F, I, <Fut::Output as Outcome>::Value>
where
    F: Fn(OrchestrationContext, I) -> Fut + Send + Sync + 'static,
    Fut: Future + 'static,
    Fut::Output: Outcome,
{
    OrchestratorFn { name: name.into(), version: None, code, types: PhantomData }
}

impl<F, I, O> OrchestratorFn<F, I, O> {
    /// Serves only this version.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }
}

impl<F, I, O, Fut> Register for OrchestratorFn<F, I, O>
where
    F: Fn(OrchestrationContext, I) -> Fut + Send + Sync + 'static,
    I: DeserializeOwned + 'static,
    O: Serialize + 'static,
    Fut: Future + 'static,
    Fut::Output: Outcome<Value = O>,
{
    fn register(self, registry: &mut Registry) {
        let code = self.code;
        let mut call = Call::<AnOrchestration, I, O>::named(self.name);
        if let Some(version) = self.version {
            call = call.version(version);
        }
        registry.add_orchestrator(call, move |ctx, input| {
            let output = code(ctx, input);
            async move { output.await.into_result() }
        });
    }
}

impl<F, I, O> fmt::Debug for OrchestratorFn<F, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OrchestratorFn").field(&self.name).finish()
    }
}

macro_rules! named_closure {
    ($type:ident) => {
        impl<F, I, O> Named for $type<F, I, O> {
            type Input = I;
            type Output = O;

            fn name(&self) -> &str {
                &self.name
            }
        }
    };
}

named_closure!(ActivityFn);
named_closure!(OrchestratorFn);
