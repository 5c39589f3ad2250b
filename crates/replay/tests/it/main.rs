//! The replay core against a hub that only writes history.

mod chain;
mod driver;
