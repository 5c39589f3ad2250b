//! Why instances wait: found out over a socket, of instances that real workers keep.

#[expect(dead_code, reason = "the tests of the protocol use more of it")]
#[path = "../grpc/actions.rs"]
mod actions;
mod ask;
mod cli;
mod others;
mod stuck;
#[expect(dead_code, reason = "the tests of the protocol use more of it")]
#[path = "../grpc/support.rs"]
mod support;
mod waits;
mod work;
