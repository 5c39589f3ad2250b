//! One turn of an orchestrator: code and history in, actions out.
//!
//! An orchestrator is an ordinary future. [`Execution`] feeds it the history one event at a time:
//! an event wakes exactly the task it completes, the future is polled, then the next event follows.
//! Because the history is one total order, any combinator that honours wakers (`join_all`,
//! `select_biased`, `FuturesUnordered`) behaves the same on every replay.
//!
//! What the code asks for is an [`Action`](strandline_model::Action) with a sequence id from one
//! counter. While the recorded past is replayed, each recorded action must meet the one the code
//! produced; what is left once the new events are in is the outcome of the turn.
//!
//! What it asks of whoever writes the history: the events of a turn stand between its
//! `OrchestratorStarted` and `OrchestratorCompleted`, those delivered first, then one for each action in
//! order. Whoever takes the record of an action out again, as a rewind does, leaves a `GenericEvent`
//! with that action's sequence id in its place: if the code takes it, it is done anew instead of
//! counting as one the code should not have taken. Whoever takes a failure out does the same with the
//! actions that followed from it, since the code does not take them there any more.
//!
//! This crate is pure: time, identity and seeds come from the history. Payloads are opaque text.
//!
//! Reading order: `core` (the state code and driver share), `context` and `task` (what code holds),
//! `execution` (the driver), `follow` and `retry` (what comes after an attempt of a call), `events`, `section` (the rules around locked entities), `sequence`
//! (what a turn must match), `violation`.

mod context;
mod core;
mod events;
mod execution;
mod follow;
mod guid;
mod retry;
mod section;
mod sequence;
mod task;
mod violation;
mod waking;

pub use context::{ActivityCall, ContextHandle, SubOrchestrationCall};
pub use execution::{Ending, Execution, Identity, Orchestrator, Outcome};
pub use follow::{Ended, FollowUp, Next};
pub use retry::{Predicate, RetryPolicy};
pub use task::{TaskError, TaskHandle, TaskResult};
pub use violation::{
    CRITICAL_SECTION, CUSTOM_STATUS_TOO_LONG, NON_DETERMINISM, NON_DURABLE_AWAIT, PANIC, TASK_CANCELED,
    TOO_MANY_ACTIONS, describe, panic_text,
};
