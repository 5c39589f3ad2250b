//! A task as the code holds it: a number. Everything it is lives in the core.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use strandline_model::{FailureDetails, Timestamp};

use crate::context::Request;
use crate::core::Core;
use crate::events::Arrived;
use crate::follow::{Asked, FollowUp};

/// Ascends with creation and is never reused, so the smallest is the oldest.
pub(crate) type TaskKey = u64;

/// The key of a task made after its execution was closed: it is in no map.
pub(crate) const DEAD: TaskKey = u64::MAX;

/// What came of a task.
pub type TaskResult = Result<Option<String>, TaskError>;

/// A failed task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskError {
    pub failure: FailureDetails,
    /// The sequence id of the attempt that failed, when there was one.
    pub task_id: Option<i32>,
}

pub(crate) struct TaskState {
    pub(crate) kind: TaskKind,
    /// Present while the code waits for it.
    pub(crate) waker: Option<Waker>,
    pub(crate) finished: Option<Finished>,
    /// The handle is gone, but the call goes on by its rule.
    pub(crate) abandoned: bool,
}

pub(crate) enum TaskKind {
    Call(Box<Call>),
    Timer {
        id: i32,
    },
    /// An operation of an entity.
    EntityCall {
        id: i32,
    },
    /// A request for the locks of a critical section.
    Lock {
        id: i32,
    },
    /// Has no action: it was refused, or all that is left of it is a waker.
    Nothing,
    /// Waits for an external event of this folded name.
    Event {
        name: String,
    },
}

/// An activity or a sub-orchestration.
pub(crate) struct Call {
    /// The sequence id of the running attempt, or of the timer before the next one.
    pub(crate) current: i32,
    pub(crate) pausing: bool,
    pub(crate) cancelled: bool,
    pub(crate) followed: Option<Followed>,
}

/// A call that may go on after an attempt of it ended.
pub(crate) struct Followed {
    pub(crate) rule: Rc<dyn FollowUp>,
    pub(crate) request: Rc<Request>,
    /// When the first attempt of the request began.
    pub(crate) begun: Timestamp,
    /// Attempts made of the request.
    pub(crate) attempt: u32,
    pub(crate) last: Option<TaskError>,
}

impl Followed {
    pub(crate) fn asked(&self) -> Asked {
        let (rule, request) = (self.rule.clone(), self.request.clone());
        Asked { rule, request, begun: self.begun, attempt: self.attempt }
    }
}

pub(crate) enum Finished {
    Value(TaskResult),
    /// Kept whole, so that it can go back when nobody looks at it.
    Event(Arrived),
}

/// A future over a task. Dropped unfinished, a timer is cancelled, a wait ends, a call is abandoned;
/// a critical section nobody entered is given up.
#[must_use = "a task does nothing for the code unless it is awaited"]
pub struct TaskHandle {
    pub(crate) core: Rc<RefCell<Core>>,
    pub(crate) key: TaskKey,
}

impl TaskHandle {
    /// Asks for the work to stop: an activity's token fires, a sub-orchestration is terminated, a
    /// timer, a wait, a call of an entity, a request for locks or a pause between attempts ends with the
    /// error [`TASK_CANCELED`](crate::TASK_CANCELED).
    /// A running attempt still ends with whatever comes of it; nothing follows.
    pub fn cancel(&self) {
        let waker = self.core.borrow_mut().cancel(self.key);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Future for TaskHandle {
    type Output = TaskResult;

    /// Pending for ever once it has returned its result.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TaskResult> {
        // A replaced waker may own futures that hold tasks: it is dropped after the borrow.
        let (poll, _replaced) = self.core.borrow_mut().poll_task(self.key, cx.waker());
        poll
    }
}

impl Drop for TaskHandle {
    fn drop(&mut self) {
        let (wakers, _state) = self.core.borrow_mut().drop_task(self.key);
        wakers.into_iter().for_each(Waker::wake);
    }
}
