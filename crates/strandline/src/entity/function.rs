//! Entities made of one function for all operations.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;

use super::batch::EntityRun;
use super::{EntityContext, OperationFuture};
use crate::register::{Outcome, Register};
use crate::registry::Registry;

/// An entity made of a closure: what [`entity_fn`] returns.
pub struct EntityFn<F, S> {
    name: Cow<'static, str>,
    code: F,
    state: PhantomData<fn(S) -> S>,
}

/// Makes an entity of a closure that is run for each operation.
///
/// ```
/// use strandline::prelude::*;
///
/// let counter = entity_fn("Counter", |ctx: EntityContext<i64>| async move {
///     match ctx.operation() {
///         "add" => ctx.set_state(ctx.state()? + ctx.input::<i64>()?)?,
///         "get" => {}
///         _ => return ctx.otherwise(),
///     }
///     Ok(Json::from(ctx.state()?))
/// });
/// let worker = Registry::new().register(counter).build()?;
/// # Ok::<(), strandline::Error>(())
/// ```
///
/// `#[entity]` on a function does the same, and the function's name is then the entity's:
///
/// ```
/// # use strandline::prelude::*;
/// #[entity(name = "Counter")]
/// fn counter(ctx: EntityContext<i64>) -> Result<i64> {
///     if ctx.operation() == "add" {
///         ctx.set_state(ctx.state()? + ctx.input::<i64>()?)?;
///     }
///     ctx.state()
/// }
/// # async fn f(ctx: OrchestrationContext) -> Result<()> {
/// let sum: i64 = ctx.entity(counter::id("c")).call("add", 1).await?;
/// # Ok(()) }
/// ```
pub fn entity_fn<F, S, Fut>(name: impl Into<Cow<'static, str>>, code: F) -> EntityFn<F, S>
where
    F: Fn(EntityContext<S>) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Outcome,
{
    EntityFn { name: name.into(), code, state: PhantomData }
}

impl<F, S, Fut> Register for EntityFn<F, S>
where
    F: Fn(EntityContext<S>) -> Fut + Send + Sync + 'static,
    S: 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Outcome,
    <Fut::Output as Outcome>::Value: Serialize,
{
    fn register(self, registry: &mut Registry) {
        registry.add_entity_fn(&self.name, &[], self.code);
    }
}

impl<F, S> fmt::Debug for EntityFn<F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EntityFn").field(&self.name).finish()
    }
}

/// A batch of one entity; everything it keeps is in the context.
pub(crate) struct Function<F, S> {
    code: Arc<F>,
    state: PhantomData<fn(S) -> S>,
}

impl<F, S> Function<F, S> {
    pub(crate) fn new(code: Arc<F>) -> Self {
        Self { code, state: PhantomData }
    }
}

impl<F, S, Fut> EntityRun for Function<F, S>
where
    F: Fn(EntityContext<S>) -> Fut + Send + Sync,
    Fut: Future + Send,
    Fut::Output: Outcome,
    <Fut::Output as Outcome>::Value: Serialize,
{
    fn run(&mut self, ctx: EntityContext) -> OperationFuture<'_> {
        Box::pin(async move {
            let output = (self.code)(ctx.clone().with_state()).await.into_result()?;
            ctx.output(&output)
        })
    }
}
