//! Entities whose state is a type with methods.

use std::future::Future;
use std::pin::Pin;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::batch::EntityRun;
use super::{Entity, EntityContext};
use crate::activity::Need;
use crate::error::Result;

/// An operation while it runs; it gives its result as JSON.
pub type OperationFuture<'a> = Pin<Box<dyn Future<Output = Result<Option<String>>> + Send + 'a>>;

/// What `#[entity]` tells of a method.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Matched ignoring ASCII case.
    pub name: &'static str,
    /// It takes `&self`: the state is not written after it.
    pub read_only: bool,
}

/// An entity whose operations are methods: what `#[entity]` on an `impl` block implements.
pub trait EntityMethods: Entity<State = Self> + Default + Serialize + DeserializeOwned + Send {
    /// All of them.
    const OPERATIONS: &'static [Operation];

    /// The states of the worker that they ask for.
    fn needs() -> Vec<Option<Need>>;

    /// Runs the operation with this index.
    fn run<'a>(&'a mut self, operation: usize, ctx: &'a EntityContext) -> OperationFuture<'a>;
}

/// The value lives from one operation of a batch to the next, as long as they succeed.
pub(crate) struct Methods<E> {
    value: Option<E>,
}

impl<E> Default for Methods<E> {
    fn default() -> Self {
        Self { value: None }
    }
}

impl<E: EntityMethods> EntityRun for Methods<E> {
    fn run(&mut self, ctx: EntityContext) -> OperationFuture<'_> {
        Box::pin(async move {
            let wanted = ctx.operation();
            let index = E::OPERATIONS.iter().position(|known| known.name.eq_ignore_ascii_case(wanted));
            let value = self.value.take();
            let Some(index) = index else {
                ctx.fallback::<()>(E::OPERATIONS.iter().map(|known| known.name))?;
                return ctx.output(&());
            };
            let mut value = match value {
                Some(value) => value,
                None => ctx.read_state::<E>()?,
            };
            let result = value.run(index, &ctx).await?;
            if !ctx.is_deleted() {
                if !E::OPERATIONS[index].read_only {
                    ctx.write_state(&value)?;
                }
                self.value = Some(value);
            }
            Ok(result)
        })
    }
}
