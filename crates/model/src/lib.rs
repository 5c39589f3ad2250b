//! The vocabulary every other crate speaks: ids, time, history events, actions, failures.
//!
//! Pure data. Types that are stored derive [`prost::Message`]; their field numbers are our own and
//! are never reused. Payloads (inputs, results, custom status) are opaque text: kept and returned
//! byte for byte, never parsed. Absent, empty and `null` are three different payloads, which is
//! why payload fields are `Option<String>`.

mod action;
mod entity;
mod failure;
mod history;
mod ids;
pub mod limits;
mod status;
mod time;
mod trace;

pub use action::{Action, ActionKind, Completion, Origin};
pub use entity::{
    EntityAction, EntityCaller, EntityId, EntityOperation, EntityOutcome, InvalidEntityId, NewState,
};
pub use failure::FailureDetails;
pub use history::{
    ContinueAsNew, Empty, EntityLockGranted, EntityLockRequested, EntityOperationCalled,
    EntityOperationCompleted, EntityOperationFailed, EntityOperationSignaled, EntityUnlockSent, EventKind,
    EventRaised, EventSent, ExecutionCompleted, ExecutionResumed, ExecutionRewound, ExecutionStarted,
    ExecutionSuspended, ExecutionTerminated, Generic, HistoryEvent, ParentInstance,
    SubOrchestrationCompleted, SubOrchestrationCreated, SubOrchestrationFailed, TaskCompleted, TaskFailed,
    TaskScheduled, TimerCreated, TimerFired,
};
use ids::is_refused;
pub use ids::{ExecutionId, InstanceId, InvalidId, partition_of};
pub use status::RuntimeStatus;
pub use time::{InvalidTimestamp, Timestamp};
pub use trace::{OrchestrationSpan, TraceContext};
