//! One instance of a test hub.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use strandline_hub::{Command, Instance, Reply};
use strandline_model::{FailureDetails, InstanceId, RuntimeStatus};

use super::golden;
use super::history::History;
use super::world::World;
use crate::backend::refused;
use crate::error::Error;
use crate::handle::Event;
use crate::json;

/// An instance that runs, or ran, on a [`TestHub`](crate::TestHub).
///
/// Its methods panic where a test would otherwise go on with something that is not there; the text
/// says what the instance does instead.
pub struct TestRun<O> {
    pub(super) world: Rc<RefCell<World>>,
    pub(super) id: InstanceId,
    pub(super) output: PhantomData<fn() -> O>,
}

impl<O> TestRun<O> {
    /// The id of the instance.
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    #[track_caller]
    fn look<T>(&self, at: impl FnOnce(&World, &Instance) -> T) -> T {
        let world = self.world.borrow();
        match world.partition.instance(self.id.as_str()) {
            Some(instance) => at(&world, instance),
            None => panic!("the test hub has no instance '{}'", self.id),
        }
    }

    /// The runtime status.
    #[track_caller]
    pub fn status(&self) -> RuntimeStatus {
        self.look(|_, instance| instance.status())
    }

    /// What the orchestrator returned.
    ///
    /// # Panics
    /// When it did not complete: the text says why, or what it waits for.
    #[track_caller]
    pub fn output(&self) -> O
    where
        O: DeserializeOwned,
    {
        let text = self.look(|world, instance| match instance.status() {
            RuntimeStatus::Completed => Ok(instance.snapshot().output().map(str::to_owned)),
            _ => Err(state_of(world, instance)),
        });
        let text = text.unwrap_or_else(|state| panic!("instance '{}' has no output: {state}", self.id));
        json::decode(text.as_deref()).unwrap_or_else(|error| {
            let what = format!("the output of instance '{}'", self.id);
            panic!("{}", json::unreadable::<O>(&what, &error))
        })
    }

    /// The error the orchestrator failed with; one of type `Terminated` if it was terminated.
    ///
    /// # Panics
    /// When it did not fail: the text says what it returned, or what it waits for.
    #[track_caller]
    pub fn error(&self) -> Error {
        let failure = self.look(|world, instance| {
            let status = instance.snapshot();
            match (status.failure(), status.status) {
                (Some(failure), _) => Ok(failure.clone()),
                (None, RuntimeStatus::Terminated) => {
                    let reason = status.output().unwrap_or("no reason given");
                    Ok(FailureDetails::new(
                        "Terminated",
                        format!("instance '{}' is Terminated: {reason}", self.id),
                    ))
                }
                _ => Err(state_of(world, instance)),
            }
        });
        Error::from_failure(
            failure.unwrap_or_else(|state| panic!("instance '{}' did not fail: {state}", self.id)),
        )
    }

    /// What the orchestrator set as its custom status; `None` if it set none.
    ///
    /// # Panics
    /// When it is no `T`.
    #[track_caller]
    pub fn custom_status<T: DeserializeOwned>(&self) -> Option<T> {
        let text = self.look(|_, instance| instance.custom_status.clone())?;
        let status = json::decode(Some(&text));
        Some(status.unwrap_or_else(|error| {
            let what = format!("the custom status of instance '{}'", self.id);
            panic!("{}", json::unreadable::<T>(&what, &error))
        }))
    }

    /// Raises an external event.
    ///
    /// # Panics
    /// When the hub refuses it: when the instance is over.
    #[track_caller]
    pub fn raise<T: Serialize>(&self, event: Event<T>, payload: T) {
        let name = event.name().to_owned();
        let input = json::encode(&payload, || format!("the payload of event '{name}'"));
        let input = input.unwrap_or_else(|error| panic!("{error}"));
        self.order(Command::RaiseEvent { id: self.id.clone(), name, input });
    }

    /// Ends the instance now.
    ///
    /// # Panics
    /// When it is over already.
    #[track_caller]
    pub fn terminate(&self, reason: impl Into<String>) {
        let reason = Some(reason.into());
        self.order(Command::Terminate { id: self.id.clone(), reason, recursive: false });
    }

    /// Holds the instance: what reaches it waits.
    ///
    /// # Panics
    /// When it is over.
    #[track_caller]
    pub fn suspend(&self, reason: impl Into<String>) {
        self.order(Command::Suspend { id: self.id.clone(), reason: Some(reason.into()) });
    }

    /// Lets a suspended instance go on.
    ///
    /// # Panics
    /// When it is over.
    #[track_caller]
    pub fn resume(&self, reason: impl Into<String>) {
        self.order(Command::Resume { id: self.id.clone(), reason: Some(reason.into()) });
    }

    /// Does what failed again: the instance goes on where it failed, with the history before that.
    ///
    /// # Panics
    /// When it did not fail.
    #[track_caller]
    pub fn rewind(&self, reason: impl Into<String>) {
        let reason = Some(reason.into());
        let execution = self.world.borrow_mut().next_execution();
        self.order(Command::Rewind { id: self.id.clone(), reason, execution });
    }

    #[track_caller]
    fn order(&self, command: Command) {
        let mut world = self.world.borrow_mut();
        if let Reply::Refused(refusal) = world.command(command) {
            panic!("{}", refused(refusal, self.id.as_str()));
        }
        world.settle();
    }

    /// What happened so far to the current execution. Its text is the same in every run of the test.
    #[track_caller]
    pub fn history(&self) -> History {
        self.look(|_, instance| instance.history.in_memory().to_vec()).into()
    }

    /// Compares the history with the file at `path`, relative to the folder of the package. Set
    /// `STRANDLINE_GOLDEN=write` to write the file instead.
    ///
    /// A history kept this way guards running instances: where it differs, the text also says whether
    /// they could go on with the code as it is now.
    ///
    /// ```no_run
    /// # use strandline::prelude::*;
    /// # fn f(run: strandline::testing::TestRun<()>) {
    /// run.assert_golden("tests/histories/purchase_expires.history");
    /// # }
    /// ```
    ///
    /// # Panics
    /// When they differ, or when there is no such file.
    #[track_caller]
    pub fn assert_golden(&self, path: impl AsRef<Path>) {
        let world = self.world.borrow();
        let Some(worker) = world.worker() else { return };
        if let Err(text) = golden::check(path.as_ref(), &self.history(), worker) {
            panic!("{text}");
        }
    }
}

/// What an instance does, for whoever expected something else.
fn state_of(world: &World, instance: &Instance) -> String {
    let status = instance.snapshot();
    match (status.failure(), instance.is_over()) {
        (Some(failure), _) => format!("it failed with {failure}"),
        (None, true) => format!("it is {}: {}", status.status, status.output().unwrap_or("null")),
        (None, false) => format!("it is {}, and {}", status.status, world.waits_for(instance)),
    }
}

impl<O> Clone for TestRun<O> {
    fn clone(&self) -> Self {
        Self { world: self.world.clone(), id: self.id.clone(), output: PhantomData }
    }
}

impl<O> fmt::Debug for TestRun<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestRun").field(&self.id).finish()
    }
}
