//! The SDK over gRPC: a server's hub for clients and workers.

mod backoff;
mod calls;
mod connection;
mod convert;
mod error;
mod hub;
mod lists;
mod purge;
mod running;
mod worker;

pub use hub::{Connect, RemoteHub};
pub use worker::RemoteWork;
