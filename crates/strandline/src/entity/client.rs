//! Entities as clients reach them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use serde::Serialize;
use strandline_hub::EntityStatus as HubStatus;
use strandline_model::{EntityId as Id, EntityOperation, InstanceId, Timestamp};
use uuid::Uuid;

use super::proxy::encode;
use super::{Channel, Entity, EntityId, OneWay};
use crate::client::Client;
use crate::error::Result;
use crate::json;

/// An entity as a client reaches it: it can be read and signalled, not called. What
/// [`Client::entity`] returns.
pub struct EntityClient<E: Entity> {
    id: EntityId<E>,
    client: Client,
}

/// What is known of an entity.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EntityStatus {
    /// Its id.
    pub id: EntityId,
    /// Its state as JSON; `None` when it is known only because operations or a lock are there.
    pub state: Option<Arc<str>>,
    /// When its last operations were committed.
    pub modified: Timestamp,
    /// Operations and requests for its lock that wait.
    pub backlog: usize,
    /// The orchestration whose critical section it is in.
    pub locked_by: Option<InstanceId>,
}

impl EntityStatus {
    pub(crate) fn of(status: HubStatus) -> Self {
        let HubStatus { id, state, modified, backlog, locked_by } = status;
        let locked_by = locked_by.map(|owner| InstanceId::trusted(owner.instance_id));
        Self { id: EntityId::read(id.as_str()), state, modified, backlog, locked_by }
    }
}

impl<E: Entity> EntityClient<E> {
    pub(crate) fn new(client: Client, id: EntityId<E>) -> Self {
        Self { id, client }
    }

    /// Its id.
    pub fn id(&self) -> &EntityId<E> {
        &self.id
    }

    /// Its state now; `None` when it has none.
    pub async fn state(&self) -> Result<Option<E::State>> {
        let Some(state) = self.status().await?.and_then(|status| status.state) else { return Ok(None) };
        let state = json::decode(Some(&state));
        state.map(Some).map_err(|error| {
            json::unreadable::<E::State>(&format!("the state of entity '{}'", self.id), &error)
        })
    }

    /// What is known of it; `None` when there is nothing of it.
    pub async fn status(&self) -> Result<Option<EntityStatus>> {
        self.client.backend.entity(self.id.checked()?).await
    }

    /// Its operations as one-way signals; each is sent when it is awaited.
    pub fn signal(&self) -> E::Proxy<ClientSignals> {
        self.signals(None)
    }

    /// As [`EntityClient::signal`], not to be carried out before a time.
    pub fn signal_at(&self, time: Timestamp) -> E::Proxy<ClientSignals> {
        self.signals(Some(time))
    }

    fn signals(&self, time: Option<Timestamp>) -> E::Proxy<ClientSignals> {
        ClientSignals { target: self.id.untyped(), client: self.client.clone(), time }.into()
    }
}

impl<E: Entity> Clone for EntityClient<E> {
    fn clone(&self) -> Self {
        Self { id: self.id.clone(), client: self.client.clone() }
    }
}

impl<E: Entity> fmt::Debug for EntityClient<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EntityClient").field(&self.id).finish()
    }
}

/// Signals from a client.
#[derive(Clone)]
pub struct ClientSignals {
    target: EntityId,
    client: Client,
    time: Option<Timestamp>,
}

impl Channel for ClientSignals {
    /// Awaiting it sends the signal. Once that is done the hub has it on disk; what comes of the
    /// operation is not heard of.
    type Sent<O> = SendSignal;

    fn send<I: Serialize, O>(&self, operation: &str, input: Option<I>) -> SendSignal {
        let signal = self.operation(operation, input);
        let client = self.client.clone();
        SendSignal {
            sending: Box::pin(async move {
                let (target, operation) = signal?;
                client.backend.signal(&target, operation).await
            }),
        }
    }
}

impl ClientSignals {
    fn operation<I: Serialize>(&self, operation: &str, input: Option<I>) -> Result<(Id, EntityOperation)> {
        let target = self.target.checked()?.clone();
        let (name, input) = encode(&self.target, operation, input)?;
        let request_id = Uuid::new_v4().to_string();
        Ok((
            target,
            EntityOperation { request_id, name, input, caller: None, scheduled_time: self.time, trace: None },
        ))
    }
}

impl OneWay for ClientSignals {}

impl fmt::Debug for ClientSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientSignals").field(&self.target).finish()
    }
}

/// A signal of a client before it happens; awaiting it sends it.
#[must_use = "nothing is sent until it is awaited"]
pub struct SendSignal {
    sending: Pin<Box<dyn Future<Output = Result<()>> + Send>>,
}

impl Future for SendSignal {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.sending.as_mut().poll(cx)
    }
}

impl fmt::Debug for SendSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendSignal").finish_non_exhaustive()
    }
}
