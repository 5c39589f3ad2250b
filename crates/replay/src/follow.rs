//! What follows when an attempt of a call ended: nothing, a retry, or another call.

use std::rc::Rc;
use std::time::Duration;

use strandline_model::{FailureDetails, Timestamp};

use crate::context::Request;

/// Decides what follows an attempt of an activity or a sub-orchestration.
///
/// It is asked when the history tells of the end, whether the code waits for the task or not, and again on
/// every replay: so it must be deterministic, and do nothing else.
pub trait FollowUp {
    fn next(&self, ended: &Ended<'_>) -> Next;
}

/// An attempt that ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// Which attempt of its request it was; 1 is the first.
    pub attempt: u32,
    /// When the first attempt of its request began.
    pub begun: Timestamp,
    /// The time of the turn.
    pub now: Timestamp,
    /// What it was called with.
    pub input: Option<&'a str>,
    pub result: Result<Option<&'a str>, &'a FailureDetails>,
}

/// What follows an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Nothing: its result is that of the task.
    Return,
    /// Nothing: the task fails, though the attempt may not have.
    Fail(FailureDetails),
    /// The same request again, after a pause.
    Retry { after: Duration },
    /// Another request of the same function, after a pause. Its attempts are counted anew.
    Call { after: Duration, input: Option<String> },
}

/// A rule, and the attempt it is asked about.
pub(crate) struct Asked {
    pub(crate) rule: Rc<dyn FollowUp>,
    pub(crate) request: Rc<Request>,
    pub(crate) begun: Timestamp,
    pub(crate) attempt: u32,
}

impl Asked {
    pub(crate) fn next(&self, now: Timestamp, result: &Result<Option<String>, FailureDetails>) -> Next {
        self.rule.next(&Ended {
            attempt: self.attempt,
            begun: self.begun,
            now,
            input: self.request.input(),
            result: result.as_ref().map(|result| result.as_deref()),
        })
    }
}
