//! Entities as a test reaches them.

use std::cell::RefCell;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use strandline_hub::{Command, Reply};
use strandline_model::{EntityOperation, InstanceId, Timestamp};

use super::world::World;
use crate::backend::refused;
use crate::entity::{Channel, Entity, EntityId, OneWay, encode};
use crate::error::{Error, Result};
use crate::json;

/// An entity of a [`TestHub`](crate::TestHub). Its operations are methods that carry it out and give
/// what came of it.
pub struct TestEntity<E: Entity> {
    world: Rc<RefCell<World>>,
    id: EntityId<E>,
    calls: E::Proxy<TestCalls>,
}

impl<E: Entity> TestEntity<E> {
    pub(super) fn new(world: Rc<RefCell<World>>, id: EntityId<E>) -> Self {
        let calls = TestCalls { world: world.clone(), target: id.untyped() }.into();
        Self { world, id, calls }
    }

    /// Its id.
    pub fn id(&self) -> &EntityId<E> {
        &self.id
    }

    /// Its state; `None` when it has none.
    ///
    /// # Panics
    /// When the state is not what the type says.
    #[track_caller]
    pub fn state(&self) -> Option<E::State> {
        let id = checked(&self.id.untyped());
        let state = self.world.borrow().partition.entity(id.as_str())?.state.clone()?;
        Some(json::decode(Some(&state)).unwrap_or_else(|error| {
            panic!("{}", json::unreadable::<E::State>(&format!("the state of entity '{}'", self.id), &error))
        }))
    }

    /// Its operations as one-way signals.
    pub fn signal(&self) -> E::Proxy<TestSignals> {
        self.signals(None)
    }

    /// As [`TestEntity::signal`], not to be carried out before a time.
    pub fn signal_at(&self, time: Timestamp) -> E::Proxy<TestSignals> {
        self.signals(Some(time))
    }

    fn signals(&self, time: Option<Timestamp>) -> E::Proxy<TestSignals> {
        TestSignals { world: self.world.clone(), target: self.id.untyped(), time }.into()
    }
}

/// Its operations as calls.
impl<E: Entity> Deref for TestEntity<E> {
    type Target = E::Proxy<TestCalls>;

    fn deref(&self) -> &E::Proxy<TestCalls> {
        &self.calls
    }
}

impl<E: Entity> fmt::Debug for TestEntity<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestEntity").field(&self.id).finish()
    }
}

/// Operations from a test, each with its result.
#[derive(Clone)]
pub struct TestCalls {
    world: Rc<RefCell<World>>,
    target: EntityId,
}

impl Channel for TestCalls {
    /// What came of the operation. Sending panics when it can't be carried out now.
    type Sent<O> = Result<O>;

    #[track_caller]
    fn send<I: Serialize, O: DeserializeOwned>(&self, operation: &str, input: Option<I>) -> Result<O> {
        let id = checked(&self.target);
        let request = send(&self.world, &self.target, operation, input, None)?;
        let mut world = self.world.borrow_mut();
        world.asked = Some((request, None));
        world.settle();
        let Some((_, Some(result))) = world.asked.take() else {
            panic!("operation '{operation}' waits for {}", world.entity_state(&id));
        };
        let output = result.map_err(Error::from_failure)?;
        json::decode(output.as_deref()).map_err(|error| {
            json::unreadable::<O>(&format!("the result of operation '{operation}' of entity '{id}'"), &error)
        })
    }
}

impl fmt::Debug for TestCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestCalls").field(&self.target).finish()
    }
}

/// One-way operations from a test.
#[derive(Clone)]
pub struct TestSignals {
    world: Rc<RefCell<World>>,
    target: EntityId,
    time: Option<Timestamp>,
}

impl Channel for TestSignals {
    /// Nothing comes back but whether it could be sent.
    type Sent<O> = Result<()>;

    #[track_caller]
    fn send<I: Serialize, O>(&self, operation: &str, input: Option<I>) -> Result<()> {
        send(&self.world, &self.target, operation, input, self.time)?;
        self.world.borrow_mut().settle();
        Ok(())
    }
}

impl OneWay for TestSignals {}

impl fmt::Debug for TestSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestSignals").field(&self.target).finish()
    }
}

#[track_caller]
fn checked(id: &EntityId) -> InstanceId {
    match id.checked() {
        Ok(id) => id.instance_id(),
        Err(error) => panic!("{error}"),
    }
}

/// Puts an operation into the queue of its entity; returns the id of the request.
fn send<I: Serialize>(
    world: &RefCell<World>,
    target: &EntityId,
    operation: &str,
    input: Option<I>,
    scheduled_time: Option<Timestamp>,
) -> Result<String> {
    let id = target.checked()?.instance_id();
    let (name, input) = encode(target, operation, input)?;
    let mut world = world.borrow_mut();
    world.build();
    let request_id = format!("test-{}", world.next_random());
    let operation = EntityOperation {
        request_id: request_id.clone(),
        name,
        input,
        caller: None,
        scheduled_time,
        trace: None,
    };
    match world.command(Command::SignalEntity { id: id.clone(), operation }) {
        Reply::Refused(refusal) => Err(refused(refusal, id.as_str())),
        _ => Ok(request_id),
    }
}
