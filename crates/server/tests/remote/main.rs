//! The Rust SDK over gRPC, against the real program: what an embedded hub does, a server's hub does.

mod errors;
mod functions;
mod losses;
mod same;
mod server;
