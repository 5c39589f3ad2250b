//! The replay core against a hub that only writes history.

mod cancels;
mod chain;
mod determinism;
mod driver;
mod events;
mod facts;
mod faults;
mod generations;
mod joins;
mod random;
mod retries;
