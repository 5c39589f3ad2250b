//! Durable HTTP calls: their orchestrator's side in virtual time, and the rest over real sockets.

mod credentials;
mod orchestrating;
mod refusals;
mod restarts;
mod sending;
mod stub;
mod support;
