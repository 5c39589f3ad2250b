//! The `strandline` command.

use std::process::ExitCode;

use clap::Parser as _;
use strandline_server::Cli;
use strandline_server::exit::Failure;

/// Payloads are allocated on one thread and freed on another; the system's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    strandline_server::logging::install();
    match strandline_server::run(Cli::parse()).await {
        Ok(exit) => exit,
        Err(Failure { exit, error }) => {
            eprintln!("error: {error:#}");
            exit.into()
        }
    }
}
