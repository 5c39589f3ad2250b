//! Entities: small pieces of state with operations, one operation at a time.

mod batch;
mod calls;
mod client;
mod context;
mod function;
mod id;
mod lock;
mod methods;
mod proxy;
mod query;

pub(crate) use batch::{EntityCode, run_batch};
pub use calls::{Calls, EntityHandle, Signals};
pub use client::{ClientSignals, EntityClient, EntityStatus, SendSignal};
pub use context::{EntityContext, FromEntity, OfSelf, Outbox};
pub(crate) use function::Function;
pub use function::{EntityFn, entity_fn};
pub use id::EntityId;
pub use lock::{Lock, LockSet, Locked};
pub(crate) use methods::Methods;
pub use methods::{EntityMethods, Operation, OperationFuture};
pub(crate) use proxy::encode;
pub use proxy::{AnyEntity, AnyProxy, Channel, OneWay};
pub use query::{CleanedEntities, EntityPage, QueryEntities};

use serde::de::DeserializeOwned;

/// A kind of entity: what `#[entity]` makes of the methods of a type, or of a function.
///
/// An *entity* is a piece of state under a name and a key, such as `Stock` and `"sku-1"`. It need not
/// be created: an operation on one that does not exist begins with the default state. Operations of
/// one entity run one after the other, so they need no locks; different entities run in parallel.
///
/// ```
/// use strandline::prelude::*;
///
/// #[derive(Default, Serialize, Deserialize)]
/// pub struct Stock { left: u32 }
///
/// #[entity]
/// impl Stock {
///     pub fn add(&mut self, n: u32) -> u32 { self.left += n; self.left }
///
///     pub fn take(&mut self, n: u32) -> Result<u32> {
///         self.left = self.left.checked_sub(n).context("sold out")?;
///         Ok(self.left)
///     }
///
///     pub fn left(&self) -> u32 { self.left }
/// }
///
/// let worker = Registry::new().register(Stock).build()?;
/// # Ok::<(), strandline::Error>(())
/// ```
///
/// **Operations** are the public methods: `&mut self` or `&self`, then any number of [`State<T>`] and
/// [`EntityContext`] (also as `&EntityContext`), then at most one input by value. They may be async and
/// may return a `Result` or a plain value. Their names are matched ignoring ASCII case. Other methods
/// are helpers.
///
/// **Failures.** An operation that fails or panics changes nothing: its change of state and what it
/// sent through the context are dropped, and its caller gets the error. What it did outside stays
/// done.
///
/// **Batches.** Operations that wait for one entity are run together, and what they did becomes durable
/// together. A batch ends when it has run for ten seconds or its results reach some MiB.
///
/// **Writing.** A `&self` method writes nothing, not even the default state of an entity that does not
/// exist. The operation `delete` deletes the state unless the type has a method of this name;
/// [`EntityContext::delete`] does so from inside. A state whose JSON is `null` is none.
///
/// **Waiting.** An entity can signal entities and start orchestrations; it cannot wait for them, so
/// entities cannot block each other. An operation may run again after a crash, as an activity may.
///
/// [`State<T>`]: crate::State
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an entity",
    label = "not an entity",
    note = "mark the `impl` block that holds its operations with `#[entity]`; entities of other workers are \
            reached with `EntityId::named(\"Name\", \"key\")`"
)]
pub trait Entity: Sized + 'static {
    /// What is kept between operations.
    type State: DeserializeOwned;
    /// The operations as methods, over something that carries them to the entity.
    type Proxy<C: Channel>: From<C>;
    /// The name of all entities of this kind; on the wire it is in lower case.
    const NAME: &'static str;

    /// The entity with this key.
    fn id(key: impl Into<String>) -> EntityId<Self> {
        EntityId::new(Self::NAME, &key.into())
    }
}
