//! The HTTP API of Durable Functions over a socket: a server with a worker in this process, and a client
//! that writes and reads HTTP by hand.

mod client;
mod control;
mod entities;
mod entity_lists;
mod functions;
mod histories;
mod instances;
mod purges;
mod races;
mod retention;
mod samples;
mod sessions;
mod starts;
mod support;
mod urls;
