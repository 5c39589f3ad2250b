//! A partition of a task hub as a pure state machine: `decide`, then `evolve`.

pub mod message;
pub mod row;
