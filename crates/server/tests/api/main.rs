//! The server's own HTTP API over a socket: a server in this process, and requests as they go over the wire.

mod client;
mod control;
mod document;
mod entities;
mod functions;
mod hubs;
mod instances;
mod lists;
mod refusals;
mod server;
mod support;
mod why;
