//! One error type for everything user code returns and receives.

use std::error::Error as StdError;
use std::fmt;

use strandline_model::FailureDetails;
use strandline_replay::{Ending, TaskError};

use crate::type_name::short_type_name;

/// `Result` with [`Error`] as its default error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something failed, in the form in which histories keep it.
///
/// Any [`std::error::Error`] converts into it with `?`: its type's short name becomes the
/// [`error_type`](Error::error_type), its text the [`message`](Error::message), and its sources the
/// chain of causes. An error that came from an activity or a sub-orchestration is the one that
/// failed there, whatever language it is written in.
///
/// ```
/// use strandline::prelude::*;
///
/// fn parse(text: &str) -> Result<u32> {
///     let n: u32 = text.parse().context("reading the quantity")?;
///     ensure!(n > 0, "a quantity is at least 1, not {n}");
///     Ok(n)
/// }
///
/// let error = parse("x").unwrap_err();
/// assert_eq!(error.message(), "reading the quantity");
/// assert!(error.is::<std::num::ParseIntError>());
/// assert_eq!(parse("0").unwrap_err().message(), "a quantity is at least 1, not 0");
/// ```
pub struct Error {
    // Boxed: results stay small.
    inner: Box<Inner>,
}

struct Inner {
    failure: FailureDetails,
    /// The sequence id of the task this came from; rewind starts there.
    origin: Option<i32>,
    /// Set when this is no failure but the order to continue as new.
    next: Option<NextGeneration>,
}

/// What the next execution begins with.
pub(crate) struct NextGeneration {
    pub(crate) input: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) drop_events: bool,
}

impl Error {
    /// An error of a type given by name.
    pub fn new(error_type: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::from_failure(FailureDetails::new(error_type, message.to_string()))
    }

    /// An error with a text and no type of its own: its type is `Error`.
    pub fn msg(message: impl fmt::Display) -> Self {
        Self::new("Error", message)
    }

    /// An error as a history holds it.
    pub fn from_failure(failure: FailureDetails) -> Self {
        Self { inner: Box::new(Inner { failure, origin: None, next: None }) }
    }

    /// Retry policies stop at once at this error.
    #[must_use]
    pub fn non_retriable(mut self) -> Self {
        self.inner.failure.is_non_retriable = true;
        self
    }

    /// Wraps the error in a text that says what was being done. The type stays the same.
    #[must_use]
    pub fn context(mut self, message: impl fmt::Display) -> Self {
        let inner = std::mem::take(&mut self.inner.failure);
        let outer = FailureDetails {
            is_non_retriable: inner.is_non_retriable,
            ..FailureDetails::new(inner.error_type.clone(), message.to_string())
        };
        self.inner.failure = outer.caused_by(inner);
        self
    }

    /// The type of the error as its language names it, without its path.
    pub fn error_type(&self) -> &str {
        &self.inner.failure.error_type
    }

    /// The text of the outermost error.
    pub fn message(&self) -> &str {
        &self.inner.failure.message
    }

    /// Whether this error, or one of its causes, was a `T` where it was made. Types are compared by
    /// their names without paths, so this holds across processes and languages.
    pub fn is<T: ?Sized>(&self) -> bool {
        let name = short_type_name::<T>();
        self.inner.failure.chain().any(|failure| failure.error_type == name)
    }

    /// Whether retry policies stop at this error.
    pub fn is_non_retriable(&self) -> bool {
        self.inner.failure.is_non_retriable
    }

    /// The error in full, with its causes.
    pub fn failure(&self) -> &FailureDetails {
        &self.inner.failure
    }

    /// The error in full, with its causes.
    pub fn into_failure(self) -> FailureDetails {
        self.inner.failure
    }

    /// The sequence id of the task that failed, when the error came from one.
    pub fn task_id(&self) -> Option<i32> {
        self.inner.origin
    }

    pub(crate) fn continue_as_new(input: Option<String>) -> Self {
        let failure = FailureDetails::new(
            "ContinueAsNew",
            "the value of `continue_as_new` must be returned from the orchestrator function",
        );
        let next = NextGeneration { input, version: None, drop_events: false };
        Self { inner: Box::new(Inner { failure, origin: None, next: Some(next) }) }
    }

    pub(crate) fn next_generation(&mut self) -> Option<&mut NextGeneration> {
        self.inner.next.as_mut()
    }

    pub(crate) fn from_task(error: TaskError) -> Self {
        Self { inner: Box::new(Inner { failure: error.failure, origin: error.task_id, next: None }) }
    }

    pub(crate) fn into_ending(self) -> Ending {
        let Inner { failure, origin, next } = *self.inner;
        match next {
            Some(next) => Ending::ContinuedAsNew {
                input: next.input,
                version: next.version,
                drop_events: next.drop_events,
            },
            None => Ending::Failed { failure, origin },
        }
    }
}

impl<E: StdError + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        let mut failure = FailureDetails::new(short_type_name::<E>(), error.to_string());
        failure.inner_failure = error.source().map(|source| Box::new(failure_of(source)));
        Self::from_failure(failure)
    }
}

/// The deepest chain of sources that is kept.
const SOURCES_MAX: usize = 32;

fn failure_of(error: &(dyn StdError + 'static)) -> FailureDetails {
    let sources: Vec<_> = std::iter::successors(Some(error), |e| (*e).source()).take(SOURCES_MAX).collect();
    let mut inner = None;
    for source in sources.into_iter().rev() {
        let mut failure = FailureDetails::new(source_type(source), source.to_string());
        failure.inner_failure = inner.map(Box::new);
        inner = Some(failure);
    }
    inner.unwrap_or_default()
}

/// A source has lost its type: only well-known ones can still be named.
fn source_type(error: &(dyn StdError + 'static)) -> String {
    macro_rules! name_of {
        ($($known:ty),* $(,)?) => {
            $(if error.is::<$known>() { return short_type_name::<$known>(); })*
        };
    }
    name_of!(
        std::io::Error,
        std::fmt::Error,
        std::num::ParseIntError,
        std::num::ParseFloatError,
        std::num::TryFromIntError,
        std::str::ParseBoolError,
        std::str::Utf8Error,
        std::string::FromUtf8Error,
        std::net::AddrParseError,
        serde_json::Error,
    );
    "Error".to_owned()
}

impl fmt::Display for Error {
    /// The message; with `{:#}` also those of the causes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())?;
        if f.alternate() {
            for cause in self.inner.failure.chain().skip(1) {
                write!(f, ": {}", cause.message)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    /// For people: a `main` that returns an error prints this.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error_type(), self.message())?;
        for cause in self.inner.failure.chain().skip(1) {
            write!(f, "\n  caused by {}: {}", cause.error_type, cause.message)?;
        }
        Ok(())
    }
}

/// A durable wait or an activity took longer than its timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutError {
    pub(crate) after: std::time::Duration,
}

impl fmt::Display for TimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timed out after {:?}", self.after)
    }
}

impl StdError for TimeoutError {}

/// The task was cancelled by the code that created it; for [`Error::is`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskCanceledError;

impl fmt::Display for TaskCanceledError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task was cancelled")
    }
}

impl StdError for TaskCanceledError {}

/// Says what was being done when something failed, on `Result` and `Option`.
pub trait Context<T> {
    /// Wraps the error in a text; `None` becomes an error with it.
    fn context(self, message: impl fmt::Display) -> Result<T>;

    /// Like [`Context::context`], making the text only when it is needed.
    fn with_context<M: fmt::Display>(self, message: impl FnOnce() -> M) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, message: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.into().context(message))
    }

    fn with_context<M: fmt::Display>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|error| error.into().context(message()))
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, message: impl fmt::Display) -> Result<T> {
        self.ok_or_else(|| Error::msg(message))
    }

    fn with_context<M: fmt::Display>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.ok_or_else(|| Error::msg(message()))
    }
}

/// Returns from the function with an [`Error`] made of a formatted text.
///
/// ```
/// # use strandline::prelude::*;
/// fn refuse(name: &str) -> Result<()> { bail!("nobody knows {name}") }
/// assert_eq!(refuse("Tom").unwrap_err().message(), "nobody knows Tom");
/// ```
#[macro_export]
macro_rules! bail {
    ($($text:tt)+) => {
        return ::core::result::Result::Err($crate::Error::msg(::core::format_args!($($text)+)))
    };
}

/// Returns with an error unless the condition holds; without a text the error shows the condition.
#[macro_export]
macro_rules! ensure {
    ($condition:expr $(,)?) => {
        if !$condition {
            $crate::bail!("condition failed: {}", ::core::stringify!($condition));
        }
    };
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            $crate::bail!($($text)+);
        }
    };
}
