//! The HTTP API of Durable Functions over a socket: a server with a worker in this process, and a client
//! that writes and reads HTTP by hand.

mod client;
mod control;
mod functions;
mod instances;
mod purges;
mod races;
mod starts;
mod support;
mod urls;
