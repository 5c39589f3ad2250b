//! Entities as orchestrators reach them.

use std::fmt;
use std::ops::Deref;

use serde::Serialize;
use serde::de::DeserializeOwned;
use strandline_model::Timestamp;
use strandline_replay::ContextHandle;

use super::proxy::encode;
use super::{AnyProxy, Channel, Entity, EntityId, OneWay};
use crate::error::{Error, Result};
use crate::task::{Task, What};

/// An entity as an orchestrator reaches it: what [`OrchestrationContext::entity`] returns. Its
/// operations are methods that call and return a [`Task`]; [`signal`](Self::signal) has the same
/// methods for signals.
///
/// [`OrchestrationContext::entity`]: crate::OrchestrationContext::entity
pub struct EntityHandle<E: Entity> {
    id: EntityId<E>,
    context: ContextHandle,
    calls: E::Proxy<Calls>,
}

impl<E: Entity> EntityHandle<E> {
    pub(crate) fn new(id: EntityId<E>, context: ContextHandle) -> Self {
        let calls = Calls { target: id.untyped(), context: context.clone() }.into();
        Self { id, context, calls }
    }

    /// Its id.
    pub fn id(&self) -> &EntityId<E> {
        &self.id
    }

    /// Its operations as one-way signals: nobody waits, and nobody hears of a failure.
    pub fn signal(&self) -> E::Proxy<Signals> {
        self.signals(None)
    }

    /// As [`EntityHandle::signal`], not to be carried out before a time.
    pub fn signal_at(&self, time: Timestamp) -> E::Proxy<Signals> {
        self.signals(Some(time))
    }

    fn signals(&self, time: Option<Timestamp>) -> E::Proxy<Signals> {
        Signals { target: self.id.untyped(), context: self.context.clone(), time }.into()
    }
}

/// Its operations as calls.
impl<E: Entity> Deref for EntityHandle<E> {
    type Target = E::Proxy<Calls>;

    fn deref(&self) -> &E::Proxy<Calls> {
        &self.calls
    }
}

impl<E: Entity> fmt::Debug for EntityHandle<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EntityHandle").field(&self.id).finish()
    }
}

/// Calls from an orchestrator.
#[derive(Clone)]
pub struct Calls {
    target: EntityId,
    context: ContextHandle,
}

impl Channel for Calls {
    /// The result of the operation, or the error it failed with.
    type Sent<O> = Task<O>;

    fn send<I: Serialize, O: DeserializeOwned + 'static>(
        &self,
        operation: &str,
        input: Option<I>,
    ) -> Task<O> {
        let called = || {
            let target = self.target.checked()?.to_string();
            let (operation, input) = encode(&self.target, operation, input)?;
            self.context.call_entity(target, operation, input).map_err(Error::from_failure)
        };
        match called() {
            Ok(handle) => Task::durable(handle, What::operation(operation, &self.target)),
            Err(error) => Task::refused(error),
        }
    }
}

impl AnyProxy<Calls> {
    /// Calls an operation.
    pub fn call<I: Serialize, O: DeserializeOwned + 'static>(&self, operation: &str, input: I) -> Task<O> {
        self.channel.send(operation, Some(input))
    }
}

/// Signals from an orchestrator.
#[derive(Clone)]
pub struct Signals {
    target: EntityId,
    context: ContextHandle,
    time: Option<Timestamp>,
}

impl Channel for Signals {
    /// The operation leaves with the turn; its result is not heard of.
    type Sent<O> = Result<()>;

    fn send<I: Serialize, O>(&self, operation: &str, input: Option<I>) -> Result<()> {
        let target = self.target.checked()?.to_string();
        let (operation, input) = encode(&self.target, operation, input)?;
        self.context.signal_entity(target, operation, input, self.time).map_err(Error::from_failure)
    }
}

impl OneWay for Signals {}

macro_rules! shows_target {
    ($($channel:ident)*) => {
        $(
            impl fmt::Debug for $channel {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.debug_tuple(stringify!($channel)).field(&self.target).finish()
                }
            }
        )*
    };
}

shows_target!(Calls Signals);
