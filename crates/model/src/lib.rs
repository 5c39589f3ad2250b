//! The vocabulary every other crate speaks: ids, time, history events, actions, failures.
//!
//! Pure data. Types that are stored derive [`prost::Message`]; their field numbers are our own and
//! are never reused. Payloads (inputs, results, custom status) are opaque text: kept and returned
//! byte for byte, never parsed. Absent, empty and `null` are three different payloads, which is
//! why payload fields are `Option<String>`.

mod action;
mod failure;
mod history;
mod ids;
pub mod limits;
mod status;
mod time;

pub use action::{Action, ActionKind, Completion};
pub use failure::FailureDetails;
pub use history::{
    ContinueAsNew, Empty, EventKind, EventRaised, EventSent, ExecutionCompleted, ExecutionResumed,
    ExecutionStarted, ExecutionSuspended, ExecutionTerminated, Generic, HistoryEvent, ParentInstance,
    SubOrchestrationCompleted, SubOrchestrationCreated, SubOrchestrationFailed, TaskCompleted, TaskFailed,
    TaskScheduled, TimerCreated, TimerFired,
};
pub use ids::{ExecutionId, InstanceId, InvalidId, partition_of};
pub use status::RuntimeStatus;
pub use time::{InvalidTimestamp, Timestamp};
