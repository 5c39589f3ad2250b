//! What an operation of an entity gets besides its input, and what it may send.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use strandline_model::{EntityAction, EntityId as Id, EntityOperation, InstanceId, Timestamp};
use uuid::Uuid;

use super::proxy::check_name;
use super::{Channel, Entity, EntityId, OneWay};
use crate::activity::{Need, State};
use crate::error::{Error, Result};
use crate::handle::{AnOrchestration, Callable, Named};
use crate::json;
use crate::worker::Program;

/// One operation of an entity: who it is for, and what it sends.
///
/// Methods of an entity take it as `&EntityContext`. Entities made of one function take an
/// `EntityContext<S>`, by which they read and write their state of type `S`.
///
/// Signals and starts leave when the operation succeeded and its batch is durable. The state, signals and
/// starts belong to the operation: a context that is kept beyond it gives errors.
///
/// ```
/// use strandline::prelude::*;
///
/// # const REORDER: Orchestration<String, ()> = Orchestration::named("Reorder");
/// #[derive(Default, Serialize, Deserialize)]
/// pub struct Total { taken: u64 }
///
/// #[entity]
/// impl Total {
///     pub fn add(&mut self, n: u32) { self.taken += u64::from(n); }
/// }
///
/// #[derive(Default, Serialize, Deserialize)]
/// pub struct Stock { left: u32 }
///
/// #[entity]
/// impl Stock {
///     pub fn take(&mut self, ctx: &EntityContext, n: u32) -> Result<u32> {
///         self.left = self.left.checked_sub(n).context("sold out")?;
///         ctx.signal(Total::id("all")).add(n)?;
///         if self.left == 0 {
///             ctx.start(REORDER, ctx.key().to_owned())?;
///         }
///         Ok(self.left)
///     }
/// }
/// ```
pub struct EntityContext<S = OfSelf> {
    shared: Arc<Shared>,
    state: PhantomData<fn(S) -> S>,
}

/// Stands where the state is `self`: the context of a method has no other.
#[derive(Clone, Copy, Debug)]
pub enum OfSelf {}

struct Shared {
    program: Arc<Program>,
    entity: Id,
    operation: Arc<EntityOperation>,
    /// In lower case.
    name: String,
    position: usize,
    batch_size: usize,
    /// `None`: the operation is over.
    draft: Mutex<Option<Draft>>,
}

/// What an operation leaves behind if it succeeds.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) state: Option<Arc<str>>,
    pub(super) actions: Vec<EntityAction>,
    deleted: bool,
}

impl Draft {
    pub(super) fn of(state: Option<Arc<str>>) -> Self {
        Self { state, ..Self::default() }
    }
}

impl EntityContext {
    pub(super) fn new(
        program: Arc<Program>,
        entity: Id,
        operation: Arc<EntityOperation>,
        (position, batch_size): (usize, usize),
        draft: Draft,
    ) -> Self {
        let name = operation.name.to_ascii_lowercase();
        let draft = Mutex::new(Some(draft));
        let shared = Shared { program, entity, operation, name, position, batch_size, draft };
        Self { shared: Arc::new(shared), state: PhantomData }
    }

    /// Nothing said to the context counts from now on.
    pub(super) fn close(&self) -> Draft {
        self.shared.draft.lock().take().unwrap_or_default()
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.shared.draft.lock().as_ref().is_none_or(|draft| draft.deleted)
    }
}

impl<S> EntityContext<S> {
    pub(super) fn with_state<T>(self) -> EntityContext<T> {
        EntityContext { shared: self.shared, state: PhantomData }
    }

    /// The id of this entity.
    pub fn entity_id(&self) -> EntityId {
        EntityId::trusted(self.shared.entity.clone())
    }

    /// The key of this entity.
    pub fn key(&self) -> &str {
        self.shared.entity.key()
    }

    /// The name of the operation, in lower case.
    pub fn operation(&self) -> &str {
        &self.shared.name
    }

    /// The id of this request: the same if the operation is run again after a crash.
    pub fn request_id(&self) -> &str {
        &self.shared.operation.request_id
    }

    /// The input of the operation.
    pub fn input<I: DeserializeOwned>(&self) -> Result<I> {
        json::decode(self.shared.operation.input.as_deref())
            .map_err(|error| json::unreadable::<I>(&format!("the input of {}", self.what()), &error))
    }

    /// The result of the operation as JSON. What `#[entity]` expands to.
    pub fn output<T: Serialize>(&self, value: &T) -> Result<Option<String>> {
        json::encode(value, || format!("the result of {}", self.what()))
    }

    /// How many operations were handed out together with this one. A batch that takes long or gets large
    /// is cut: operations after the cut are run in a later one.
    pub fn batch_size(&self) -> usize {
        self.shared.batch_size
    }

    /// Which of them this is; the first is 0.
    pub fn batch_position(&self) -> usize {
        self.shared.position
    }

    /// Whether there is a state: at first the one before the operation. False once the operation is over.
    pub fn has_state(&self) -> bool {
        self.shared.draft.lock().as_ref().is_some_and(|draft| draft.state.is_some())
    }

    /// Deletes the state. If the operation succeeds, the next one begins without any.
    ///
    /// A context that outlives its operation deletes nothing. That is a mistake in the program, which is
    /// logged as a warning, since there is nobody left whom an error would reach.
    pub fn delete(&self) {
        if let Err(error) = self.shared.write(None, true) {
            tracing::warn!(entity = %self.shared.entity, operation = %self.shared.name, "delete: {error}");
        }
    }

    /// The operations of another entity, or of this one, as one-way signals.
    pub fn signal<E: Entity>(&self, entity: EntityId<E>) -> E::Proxy<Outbox> {
        Outbox { shared: self.shared.clone(), target: entity.untyped(), time: None }.into()
    }

    /// As [`EntityContext::signal`], not to be carried out before a time.
    pub fn signal_at<E: Entity>(&self, entity: EntityId<E>, time: Timestamp) -> E::Proxy<Outbox> {
        Outbox { shared: self.shared.clone(), target: entity.untyped(), time: Some(time) }.into()
    }

    /// Starts an orchestration and returns its instance id. The entity does not hear of its end.
    ///
    /// The start leaves when the batch is durable, so the entity does not hear either whether the id was
    /// free. An instance of this id that is over is replaced, history and all. If one is not over, the
    /// start is dropped: nothing tells but the hub's count of discarded messages (`IdTaken`). Without
    /// [`instance_id`](crate::Callable::instance_id) the id is a new one.
    ///
    /// # Errors
    /// For a retry policy or tags, which a start from an entity can't have, and for an id or a name that is
    /// not valid.
    pub fn start<C>(&self, orchestrator: C, input: C::Input) -> Result<InstanceId>
    where
        C: Callable<Kind = AnOrchestration>,
        C::Input: Serialize,
    {
        self.start_on(orchestrator, input, None)
    }

    /// As [`EntityContext::start`]; the instance stays pending until then.
    pub fn start_at<C>(&self, orchestrator: C, input: C::Input, time: Timestamp) -> Result<InstanceId>
    where
        C: Callable<Kind = AnOrchestration>,
        C::Input: Serialize,
    {
        self.start_on(orchestrator, input, Some(time))
    }

    fn start_on<C>(
        &self,
        orchestrator: C,
        input: C::Input,
        scheduled_start: Option<Timestamp>,
    ) -> Result<InstanceId>
    where
        C: Callable<Kind = AnOrchestration>,
        C::Input: Serialize,
    {
        let call = orchestrator.into_call();
        let name = call.name().to_owned();
        if call.has_retry() || !call.requested_tags().is_empty() {
            let text = "a start from an entity has no retry policy and no tags: leave them out";
            return Err(Error::new("InvalidRequest", format_args!("orchestrator '{name}': {text}")));
        }
        check_name(&name, || "the name of an orchestrator".to_owned())?;
        let input = json::encode(&input, || format!("the input of orchestrator '{name}'"))?;
        let id = match call.requested_instance_id() {
            Some(id) => InstanceId::new(id)?,
            None => InstanceId::trusted(Uuid::new_v4().simple().to_string()),
        };
        let default = self.shared.program.settings.versioning.version_of_children();
        let version = call.requested_version().or(default).map(str::to_owned);
        let instance_id = id.to_string();
        self.shared.push(EntityAction::Start {
            instance_id,
            name,
            version,
            input,
            scheduled_start,
            trace: None,
        })?;
        Ok(id)
    }

    /// What an entity does with operations it does not have: `delete` deletes the state, any other is
    /// refused with an error of the type `OperationNotFound`.
    pub fn otherwise<T: Default>(&self) -> Result<T> {
        self.fallback(std::iter::empty())
    }

    pub(super) fn fallback<'a, T: Default>(&self, known: impl Iterator<Item = &'a str>) -> Result<T> {
        if self.operation() == "delete" {
            self.shared.write(None, true)?;
            return Ok(T::default());
        }
        let wanted = &self.shared.operation.name;
        let nearest = strandline_engine::nearest(wanted, known);
        let hint = nearest.map(|n| format!(" (did you mean '{n}'?)")).unwrap_or_default();
        let text = format!("entity '{}' has no operation '{wanted}'{hint}", self.shared.entity.name());
        Err(Error::new("OperationNotFound", text).non_retriable())
    }

    pub(super) fn read_state<T: DeserializeOwned + Default>(&self) -> Result<T> {
        let Some(text) = self.shared.with_draft(|draft| draft.state.clone())? else {
            return Ok(T::default());
        };
        json::decode(Some(&text)).map_err(|error| json::unreadable::<T>(&self.what_state(), &error))
    }

    pub(super) fn write_state<T: Serialize>(&self, value: &T) -> Result<()> {
        let text = json::encode(value, || self.what_state())?;
        self.shared.write(text.filter(|text| text != "null").map(Arc::from), false)
    }

    fn what(&self) -> String {
        format!("operation '{}' of entity '{}'", self.shared.operation.name, self.shared.entity)
    }

    fn what_state(&self) -> String {
        format!("the state of entity '{}'", self.shared.entity)
    }
}

impl<S: Serialize + DeserializeOwned + Default> EntityContext<S> {
    /// The state; the default one if there is none.
    pub fn state(&self) -> Result<S> {
        self.read_state()
    }

    /// Replaces the state. One whose JSON is `null` deletes it.
    pub fn set_state(&self, state: S) -> Result<()> {
        self.write_state(&state)
    }
}

impl Shared {
    fn push(&self, action: EntityAction) -> Result<()> {
        self.with_draft(|draft| draft.actions.push(action))
    }

    fn write(&self, state: Option<Arc<str>>, deleted: bool) -> Result<()> {
        self.with_draft(|draft| {
            draft.state = state;
            draft.deleted = deleted;
        })
    }

    /// What is said after the operation is lost: nobody may take it for done.
    fn with_draft<T>(&self, f: impl FnOnce(&mut Draft) -> T) -> Result<T> {
        match &mut *self.draft.lock() {
            Some(draft) => Ok(f(draft)),
            None => {
                let text = "the operation is over: use its context before it returns";
                Err(Error::new("InvalidRequest", text))
            }
        }
    }
}

impl<S> Clone for EntityContext<S> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), state: PhantomData }
    }
}

impl<S> fmt::Debug for EntityContext<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntityContext")
            .field("entity_id", &format_args!("{}", self.shared.entity))
            .field("operation", &self.shared.name)
            .finish_non_exhaustive()
    }
}

/// Signals from an entity: what [`EntityContext::signal`] sends through.
pub struct Outbox {
    shared: Arc<Shared>,
    target: EntityId,
    time: Option<Timestamp>,
}

impl Channel for Outbox {
    /// The operation leaves with the batch; its result is not heard of.
    type Sent<O> = Result<()>;

    fn send<I: Serialize, O>(&self, operation: &str, input: Option<I>) -> Result<()> {
        let target = self.target.checked()?.to_string();
        let (operation, input) = super::proxy::encode(&self.target, operation, input)?;
        self.shared.push(EntityAction::Signal {
            target,
            operation,
            input,
            scheduled_time: self.time,
            trace: None,
        })
    }
}

impl OneWay for Outbox {}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Outbox").field(&self.target).finish()
    }
}

/// An argument of an operation that is not its input.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument before the input of an operation",
    label = "neither `State<..>` nor `EntityContext`",
    note = "an operation takes any number of `State<..>` and `EntityContext`, then at most one input by \
            value; put several inputs into a struct or a tuple"
)]
pub trait FromEntity: Sized {
    /// Takes it from the context.
    fn from_entity<S>(ctx: &EntityContext<S>) -> Result<Self>;

    /// The type of state it needs, checked when the worker is built.
    fn need() -> Option<Need> {
        None
    }
}

impl FromEntity for EntityContext {
    fn from_entity<S>(ctx: &EntityContext<S>) -> Result<Self> {
        Ok(ctx.clone().with_state())
    }
}

impl<T: Send + Sync + 'static> FromEntity for State<T> {
    fn from_entity<S>(ctx: &EntityContext<S>) -> Result<Self> {
        Self::find(&ctx.shared.program.states)
    }

    fn need() -> Option<Need> {
        Some(Need::of::<T>())
    }
}
