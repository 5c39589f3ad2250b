//! A partition of a task hub as a pure state machine: [`decide`] what a command means, then
//! [`evolve`] the state by the records decided.
//!
//! No I/O, clock, threads, randomness or hash order. The caller loads the objects a command touches
//! (see [`Partition::missing`]), logs the records, and carries out the effects once the records are
//! durable.

mod capture;
mod command;
mod decide;
mod entity;
mod evolve;
mod family;
mod instance;
mod lookup;
pub mod message;
mod partition;
pub mod query;
pub mod record;
mod reply;
pub mod row;
mod section;

pub use capture::Capture;
pub use command::{Command, EntityFinished, ReusePolicy, Start, TurnFinished};
pub use decide::{Decision, Discard, Effect, decide};
pub use entity::{Entity, EntityStatus, Lock};
pub use evolve::evolve;
pub use instance::{History, Instance, OpenTask};
pub use lookup::Lookup;
pub use partition::{Identity, Partition, Sabotage};
pub use record::Record;
pub use reply::{InstanceStatus, Refusal, Reply};
pub use section::Section;
