//! The commit pipeline as a synchronous state machine, and the runtime that drives it.

pub mod worker;
