//! Identities of entities.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use strandline_model::{EntityId as Id, InvalidEntityId};

use super::{AnyEntity, Entity};
use crate::error::{Error, Result};

/// One entity, by the name of its kind and a key: `Stock::id("sku-1")`. Written `@stock@sku-1`.
///
/// Together they have at most 254 bytes without control characters. An id that breaks this is refused
/// where it is used.
///
/// ```
/// use strandline::EntityId;
///
/// let id = EntityId::named("Stock", "sku-1");
/// assert_eq!(id.to_string(), "@stock@sku-1");
/// assert_eq!(id, EntityId::parse("@STOCK@sku-1")?);
/// # Ok::<(), strandline::Error>(())
/// ```
pub struct EntityId<E = AnyEntity> {
    id: std::result::Result<Id, InvalidEntityId>,
    entity: PhantomData<fn() -> E>,
}

impl<E> EntityId<E> {
    pub(super) fn new(name: &str, key: &str) -> Self {
        Self { id: Id::new(name, key), entity: PhantomData }
    }

    pub(crate) fn checked(&self) -> Result<&Id> {
        self.id.as_ref().map_err(|error| Error::new("InvalidEntityId", error).non_retriable())
    }

    /// The name of its kind, in lower case; empty if the id is not valid.
    pub fn name(&self) -> &str {
        self.id.as_ref().map_or("", Id::name)
    }

    /// The key; empty if the id is not valid.
    pub fn key(&self) -> &str {
        self.id.as_ref().map_or("", Id::key)
    }

    /// The same id without the type.
    pub fn untyped(&self) -> EntityId {
        EntityId { id: self.id.clone(), entity: PhantomData }
    }
}

impl EntityId {
    /// An entity of any worker, by name.
    pub fn named(name: &str, key: impl AsRef<str>) -> Self {
        Self::new(name, key.as_ref())
    }

    /// Reads `@name@key`.
    pub fn parse(text: &str) -> Result<Self> {
        let id = Self::read(text);
        id.checked()?;
        Ok(id)
    }

    pub(crate) fn read(text: &str) -> Self {
        Self { id: Id::parse(text), entity: PhantomData }
    }

    pub(crate) fn trusted(id: Id) -> Self {
        Self { id: Ok(id), entity: PhantomData }
    }
}

impl<E: Entity> From<&str> for EntityId<E> {
    fn from(key: &str) -> Self {
        E::id(key)
    }
}

impl<E: Entity> From<String> for EntityId<E> {
    fn from(key: String) -> Self {
        E::id(key)
    }
}

impl<E: Entity> From<&String> for EntityId<E> {
    fn from(key: &String) -> Self {
        E::id(key)
    }
}

impl<E: Entity> From<&Self> for EntityId<E> {
    fn from(id: &Self) -> Self {
        id.clone()
    }
}

impl<E> Clone for EntityId<E> {
    fn clone(&self) -> Self {
        Self { id: self.id.clone(), entity: PhantomData }
    }
}

impl<E> PartialEq for EntityId<E> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<E> Eq for EntityId<E> {}

impl<E> Hash for EntityId<E> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.name(), self.key()).hash(state);
    }
}

impl<E> fmt::Display for EntityId<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Ok(id) => id.fmt(f),
            Err(error) => write!(f, "invalid entity id: {error}"),
        }
    }
}

impl<E> fmt::Debug for EntityId<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EntityId").field(&format_args!("{self}")).finish()
    }
}
