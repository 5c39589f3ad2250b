//! The services over a socket: a server in this process, and clients and workers that speak the protocol
//! by hand.

mod actions;
mod bad_input;
mod connections;
mod entities;
mod instances;
mod maintenance;
mod management;
mod queries;
mod raw;
mod support;
mod traps;
