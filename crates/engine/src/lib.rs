//! The commit pipeline as a synchronous state machine, and the runtime that drives it.

pub mod dispatch;
pub mod list;
pub mod maintenance;
pub mod metrics;
mod nearest;
pub mod pipeline;
pub mod runtime;
pub mod why;
pub mod worker;

pub use nearest::nearest;
