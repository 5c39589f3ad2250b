//! The replay core against a hub that only writes history.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the crate has no clock and no threads; its tests measure, and wake from outside"
)]

mod cancels;
mod chain;
mod determinism;
mod driver;
mod entities;
mod events;
mod facts;
mod faults;
mod follow;
mod generations;
mod joins;
mod random;
mod retries;
