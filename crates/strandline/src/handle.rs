//! What can be called: functions by their types, functions of other workers by typed constants.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

use crate::error::Result;
use crate::retry::{RetryContext, RetryHandler, RetryPolicy};

/// Something with a name, an input and an output.
///
/// Implemented by what `#[activity]` and `#[orchestrator]` make of a function, by [`Activity`] and
/// [`Orchestration`] constants, and by [`Call`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither an activity nor an orchestrator",
    label = "not a durable function",
    note = "use the name of a function marked `#[activity]` or `#[orchestrator]`, or a constant such as \
            `const SCORE: Activity<Order, f64> = Activity::named(\"ScoreOrder\");`",
    note = "names given as text are not accepted: they would lose the types of input and output"
)]
pub trait Named {
    /// What it is called with.
    type Input;
    /// What it returns.
    type Output;

    /// The name in histories and on the wire. Compared ignoring ASCII case.
    fn name(&self) -> &str;
}

/// Activities and orchestrators, and what can be said about a call of one before making it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither an activity nor an orchestrator",
    label = "cannot be called",
    note = "use the name of a function marked `#[activity]` or `#[orchestrator]`, or a constant such as \
            `const SCORE: Activity<Order, f64> = Activity::named(\"ScoreOrder\");`",
    note = "names given as text are not accepted: they would lose the types of input and output"
)]
pub trait Callable: Named + Sized {
    /// [`AnActivity`] or [`AnOrchestration`].
    type Kind: Kind;

    /// The call without any options, or with those of the handle.
    fn into_call(self) -> Call<Self::Kind, Self::Input, Self::Output>;

    /// Calls it again after a failure, as the policy says.
    fn retry(self, policy: RetryPolicy) -> Call<Self::Kind, Self::Input, Self::Output> {
        let mut call = self.into_call();
        call.options.retry = Some(Retry::Policy(policy));
        call
    }

    /// Calls it again after a failure as long as the handler returns `true`. There is no delay but
    /// what the handler itself awaits. Like the orchestrator it must be deterministic. An error from
    /// the handler means no; non-retriable failures do not reach it.
    ///
    /// Unlike [`retry`](Callable::retry), attempts after the first are made only while the task is
    /// awaited.
    fn retry_with<F, Fut>(self, handler: F) -> Call<Self::Kind, Self::Input, Self::Output>
    where
        F: Fn(RetryContext) -> Fut + 'static,
        Fut: Future<Output = Result<bool>> + 'static,
    {
        let mut call = self.into_call();
        call.options.retry = Some(Retry::Handler(RetryHandler::new(handler)));
        call
    }

    /// Calls this version of it.
    fn version(self, version: impl Into<String>) -> Call<Self::Kind, Self::Input, Self::Output> {
        let mut call = self.into_call();
        call.options.version = Some(version.into());
        call
    }

    /// Adds a tag, visible to whoever runs it.
    fn tag(
        self,
        key: impl Into<String>,
        value: impl Into<String>,
    ) -> Call<Self::Kind, Self::Input, Self::Output> {
        let mut call = self.into_call();
        call.options.tags.insert(key.into(), value.into());
        call
    }

    /// Fails the attempt with a [`TimeoutError`](crate::TimeoutError) when one dispatch of the
    /// activity takes longer, and fires its cancellation token.
    fn timeout(self, timeout: Duration) -> Call<Self::Kind, Self::Input, Self::Output>
    where
        Self: Callable<Kind = AnActivity>,
    {
        let mut call = self.into_call();
        call.options.timeout = Some(timeout);
        call
    }

    /// Gives the sub-orchestration this instance id instead of one made from its parent's.
    fn instance_id(self, id: impl Into<String>) -> Call<Self::Kind, Self::Input, Self::Output>
    where
        Self: Callable<Kind = AnOrchestration>,
    {
        let mut call = self.into_call();
        call.options.instance_id = Some(id.into());
        call
    }
}

/// What a [`Callable`] is.
pub trait Kind: sealed::Sealed + 'static {
    #[doc(hidden)]
    const IS_ACTIVITY: bool;
    #[doc(hidden)]
    const WORD: &'static str;
}

/// The kind of activities.
#[derive(Clone, Copy, Debug)]
pub enum AnActivity {}

/// The kind of orchestrators.
#[derive(Clone, Copy, Debug)]
pub enum AnOrchestration {}

impl Kind for AnActivity {
    const IS_ACTIVITY: bool = true;
    const WORD: &'static str = "activity";
}

impl Kind for AnOrchestration {
    const IS_ACTIVITY: bool = false;
    const WORD: &'static str = "orchestrator";
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::AnActivity {}
    impl Sealed for super::AnOrchestration {}
}

/// A callable with options: what `.retry(..)`, `.version(..)` and the like return.
pub struct Call<K, I, O> {
    pub(crate) name: Cow<'static, str>,
    pub(crate) options: CallOptions,
    types: PhantomData<fn(I) -> (O, K)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct CallOptions {
    pub(crate) version: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) retry: Option<Retry>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) instance_id: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum Retry {
    Policy(RetryPolicy),
    Handler(RetryHandler),
}

impl<K: Kind, I, O> Call<K, I, O> {
    /// A call of what has this name, without options.
    pub fn named(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), options: CallOptions::default(), types: PhantomData }
    }

    pub(crate) fn has_retry(&self) -> bool {
        self.options.retry.is_some()
    }

    /// The version asked for.
    pub fn requested_version(&self) -> Option<&str> {
        self.options.version.as_deref()
    }

    /// The instance id asked for.
    pub fn requested_instance_id(&self) -> Option<&str> {
        self.options.instance_id.as_deref()
    }

    /// The tags asked for.
    pub fn requested_tags(&self) -> &BTreeMap<String, String> {
        &self.options.tags
    }
}

impl<K, I, O> Clone for Call<K, I, O> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), options: self.options.clone(), types: PhantomData }
    }
}

impl<K: Kind, I, O> fmt::Debug for Call<K, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("kind", &K::WORD)
            .field("name", &self.name)
            .field("options", &self.options)
            .finish()
    }
}

impl<K: Kind, I, O> Named for Call<K, I, O> {
    type Input = I;
    type Output = O;

    fn name(&self) -> &str {
        &self.name
    }
}

impl<K: Kind, I, O> Callable for Call<K, I, O> {
    type Kind = K;

    fn into_call(self) -> Self {
        self
    }
}

macro_rules! constant {
    ($(#[$doc:meta])* $name:ident, $kind:ty) => {
        $(#[$doc])*
        pub struct $name<I, O> {
            name: &'static str,
            types: PhantomData<fn(I) -> O>,
        }

        impl<I, O> $name<I, O> {
            /// The function registered under this name, in whatever language.
            pub const fn named(name: &'static str) -> Self {
                Self { name, types: PhantomData }
            }
        }

        impl<I, O> Clone for $name<I, O> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<I, O> Copy for $name<I, O> {}

        impl<I, O> fmt::Debug for $name<I, O> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.name).finish()
            }
        }

        impl<I, O> Named for $name<I, O> {
            type Input = I;
            type Output = O;

            fn name(&self) -> &str {
                self.name
            }
        }

        impl<I, O> Callable for $name<I, O> {
            type Kind = $kind;

            fn into_call(self) -> Call<$kind, I, O> {
                Call::named(self.name)
            }
        }
    };
}

constant! {
    /// An activity that another worker runs, by name.
    ///
    /// ```
    /// use strandline::prelude::*;
    ///
    /// const SCORE: Activity<String, f64> = Activity::named("ScoreOrder");
    /// # async fn f(ctx: OrchestrationContext) -> Result<()> {
    /// let score: f64 = ctx.call(SCORE, "order 17".to_owned()).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// `Activity<Json, Json>` leaves both types open.
    Activity, AnActivity
}

constant! {
    /// An orchestrator that another worker runs, by name; used like [`Activity`].
    Orchestration, AnOrchestration
}

/// An external event by name, with the type of its payload. Names are compared ignoring ASCII case.
///
/// ```
/// use strandline::prelude::*;
///
/// const APPROVED: Event<bool> = Event::named("Approved");
/// # async fn f(ctx: OrchestrationContext) -> Result<()> {
/// let yes: bool = ctx.wait_for(APPROVED).await?;
/// # Ok(()) }
/// ```
pub struct Event<T> {
    name: &'static str,
    types: PhantomData<fn(T) -> T>,
}

impl<T> Event<T> {
    /// The event with this name.
    pub const fn named(name: &'static str) -> Self {
        Self { name, types: PhantomData }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<T> Clone for Event<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Event<T> {}

impl<T> fmt::Debug for Event<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Event").field(&self.name).finish()
    }
}
