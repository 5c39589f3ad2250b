//! Critical sections: several entities locked by one orchestration.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures::future::FusedFuture;
use strandline_replay::{ContextHandle, TaskHandle};

use super::{Calls, Entity, EntityHandle, EntityId};
use crate::error::{Error, Result};

/// What [`OrchestrationContext::lock`] takes: an id, a tuple of up to eight, a `Vec` or an array.
///
/// [`OrchestrationContext::lock`]: crate::OrchestrationContext::lock
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be locked",
    label = "not an id of an entity",
    note = "give an id such as `Stock::id(\"sku-1\")`, a tuple of up to 8 of them, a `Vec` or an array"
)]
pub trait LockSet {
    /// A [`Locked`] for each id, in the same shape.
    type Guards;

    #[doc(hidden)]
    fn ids(&self) -> Vec<EntityId>;

    #[doc(hidden)]
    fn guards(self, section: &Section) -> Self::Guards;
}

impl<E: Entity> LockSet for EntityId<E> {
    type Guards = Locked<E>;

    fn ids(&self) -> Vec<EntityId> {
        vec![self.untyped()]
    }

    fn guards(self, section: &Section) -> Locked<E> {
        Locked { entity: EntityHandle::new(self, section.0.context.clone()), _section: section.clone() }
    }
}

impl<L: LockSet> LockSet for Vec<L> {
    type Guards = Vec<L::Guards>;

    fn ids(&self) -> Vec<EntityId> {
        self.iter().flat_map(L::ids).collect()
    }

    fn guards(self, section: &Section) -> Vec<L::Guards> {
        self.into_iter().map(|set| set.guards(section)).collect()
    }
}

impl<L: LockSet, const N: usize> LockSet for [L; N] {
    type Guards = [L::Guards; N];

    fn ids(&self) -> Vec<EntityId> {
        self.iter().flat_map(L::ids).collect()
    }

    fn guards(self, section: &Section) -> [L::Guards; N] {
        self.map(|set| set.guards(section))
    }
}

macro_rules! tuples {
    ($($first:ident $($rest:ident)*)?) => {
        $(
            tuples!($($rest)*);

            #[allow(non_snake_case, reason = "each type's name also names its value")]
            impl<$first: LockSet, $($rest: LockSet),*> LockSet for ($first, $($rest,)*) {
                type Guards = ($first::Guards, $($rest::Guards,)*);

                fn ids(&self) -> Vec<EntityId> {
                    let ($first, $($rest,)*) = self;
                    [$first.ids(), $($rest.ids(),)*].concat()
                }

                fn guards(self, section: &Section) -> Self::Guards {
                    let ($first, $($rest,)*) = self;
                    ($first.guards(section), $($rest.guards(section),)*)
                }
            }
        )?
    };
}

tuples!(A B C D E F G H);

/// A critical section; left when its last clone is dropped.
#[doc(hidden)]
#[derive(Clone)]
pub struct Section(Rc<Held>);

struct Held {
    context: ContextHandle,
    id: String,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.context.unlock_entities(&self.id);
    }
}

/// A locked entity: nobody else's operations reach it. Its operations are methods that call.
///
/// Dropping it unlocks it. Of entities that were locked together, all are unlocked when the last of
/// them is dropped. When the orchestration ends, its locks are given back.
#[must_use = "dropping it unlocks the entity"]
pub struct Locked<E: Entity> {
    entity: EntityHandle<E>,
    _section: Section,
}

impl<E: Entity> Locked<E> {
    /// The id of the entity.
    pub fn id(&self) -> &EntityId<E> {
        self.entity.id()
    }
}

/// Its operations as calls.
impl<E: Entity> Deref for Locked<E> {
    type Target = E::Proxy<Calls>;

    fn deref(&self) -> &E::Proxy<Calls> {
        &self.entity
    }
}

impl<E: Entity> fmt::Debug for Locked<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Locked").field(self.id()).finish()
    }
}

/// A request for locks: what [`OrchestrationContext::lock`] returns. It is made when this is created;
/// dropped before it is done, it is taken back.
///
/// [`OrchestrationContext::lock`]: crate::OrchestrationContext::lock
#[must_use = "the locks are given back at once unless this is awaited"]
pub struct Lock<L> {
    state: State<L>,
}

enum State<L> {
    Waiting { set: L, section: Section, granted: TaskHandle },
    Refused(Error),
    Done,
}

impl<L: LockSet> Lock<L> {
    pub(crate) fn new(context: ContextHandle, set: L) -> Self {
        let ids: Result<Vec<String>> = set.ids().iter().map(|id| Ok(id.checked()?.to_string())).collect();
        let requested = ids.and_then(|ids| context.lock_entities(ids).map_err(Error::from_failure));
        let state = match requested {
            Ok((id, granted)) => {
                State::Waiting { set, section: Section(Rc::new(Held { context, id })), granted }
            }
            Err(error) => State::Refused(error),
        };
        Self { state }
    }
}

/// Nothing in here is pinned in place.
impl<L> Unpin for Lock<L> {}

impl<L: LockSet> Future for Lock<L> {
    type Output = Result<L::Guards>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<L::Guards>> {
        let State::Waiting { granted, .. } = &mut self.state else {
            return match std::mem::replace(&mut self.state, State::Done) {
                State::Refused(error) => Poll::Ready(Err(error)),
                _ => Poll::Pending,
            };
        };
        let result = std::task::ready!(Pin::new(granted).poll(cx));
        match std::mem::replace(&mut self.state, State::Done) {
            State::Waiting { set, section, .. } => {
                Poll::Ready(result.map(|_| set.guards(&section)).map_err(Error::from_task))
            }
            _ => Poll::Pending,
        }
    }
}

impl<L: LockSet> FusedFuture for Lock<L> {
    fn is_terminated(&self) -> bool {
        matches!(self.state, State::Done)
    }
}

impl<L> fmt::Debug for Lock<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").field("done", &matches!(self.state, State::Done)).finish()
    }
}
