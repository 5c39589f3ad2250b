//! Operations on their way to entities.

use serde::Serialize;
use serde::de::DeserializeOwned;
use strandline_model::limits::NAME_BYTES_MAX;

use super::{Entity, EntityId};
use crate::Json;
use crate::error::{Error, Result};
use crate::json;

/// Carries operations to one entity. What `#[entity]` makes of a type's methods is generic over it, so
/// the same methods call from an orchestrator and signal from a client.
pub trait Channel {
    /// What sending gives, for an operation that returns `O`.
    type Sent<O>;

    /// Sends an operation; `None` is the input of one that takes none.
    fn send<I: Serialize, O: DeserializeOwned + 'static>(
        &self,
        operation: &str,
        input: Option<I>,
    ) -> Self::Sent<O>;
}

/// A channel for signals: nothing comes back.
pub trait OneWay: Channel {}

/// Stands for entities whose kind is known by name only, such as those of workers in other languages.
///
/// ```
/// # use strandline::prelude::*;
/// # async fn f(ctx: OrchestrationContext) -> Result<()> {
/// let stock = ctx.entity(EntityId::named("Stock", "sku-1"));
/// let left: u32 = stock.call("take", 3).await?;
/// stock.signal().send("add", 3)?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug)]
pub enum AnyEntity {}

impl Entity for AnyEntity {
    type State = Json;
    type Proxy<C: Channel> = AnyProxy<C>;
    const NAME: &'static str = "";

    /// The entity with this id, written `@name@key`.
    fn id(id: impl Into<String>) -> EntityId {
        EntityId::read(&id.into())
    }
}

/// Operations by name; see [`AnyEntity`].
#[derive(Clone, Debug)]
pub struct AnyProxy<C> {
    pub(super) channel: C,
}

impl<C: OneWay> AnyProxy<C> {
    /// Sends an operation nobody waits for.
    pub fn send<I: Serialize>(&self, operation: &str, input: I) -> C::Sent<()> {
        self.channel.send(operation, Some(input))
    }
}

impl<C> From<C> for AnyProxy<C> {
    fn from(channel: C) -> Self {
        Self { channel }
    }
}

/// An operation's name and input as they travel. A hub may have no way to say that a name is impossible,
/// as with signals of an entity, so it is refused here.
pub(crate) fn encode<I: Serialize>(
    target: &EntityId,
    operation: &str,
    input: Option<I>,
) -> Result<(String, Option<String>)> {
    check_name(operation, || format!("entity '{target}': the name of an operation"))?;
    let input = match input {
        Some(input) => {
            json::encode(&input, || format!("the input of operation '{operation}' of entity '{target}'"))?
        }
        None => None,
    };
    Ok((operation.to_owned(), input))
}

/// Refuses a name no hub takes; the error says what it is the name of.
pub(super) fn check_name(name: &str, what: impl FnOnce() -> String) -> Result<()> {
    let bytes = name.len();
    if (1..=NAME_BYTES_MAX).contains(&bytes) {
        return Ok(());
    }
    let text = format!("{} has 1 to {NAME_BYTES_MAX} bytes, not {bytes}", what());
    Err(Error::new("InvalidRequest", text).non_retriable())
}
