//! Testing durable functions: a hub in virtual time, and histories to replay.
//!
//! [`TestHub`] runs orchestrators, activities and what stands in for them without a runtime, a disk or
//! waiting. [`History`] keeps what happened, so that a test can tell whether changed code still fits
//! instances that run now.

mod activities;
mod entity;
mod events;
mod golden;
mod history;
mod hub;
mod run;
mod turns;
mod world;

pub use entity::{TestCalls, TestEntity, TestSignals};
pub use history::History;
pub use hub::TestHub;
pub use run::TestRun;
