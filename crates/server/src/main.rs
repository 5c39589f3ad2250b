//! The `strandline` command.

mod bench;
mod dev;
mod grpc;
mod hubs;
mod serve;
mod signals;
mod traces;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use strandline_server::exit::Failure;
use strandline_server::keys;

/// Payloads are allocated on one thread and freed on another; the system's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Durable functions: orchestrations written as ordinary code that survive any crash.
#[derive(Parser)]
#[command(name = "strandline", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Dev(dev::Args),
    Serve(serve::Args),
    Bench(bench::Args),
    Keys(keys::command::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("STRANDLINE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let done: Result<(), Failure> = match Cli::parse().command {
        Command::Dev(args) => dev::run(args).await.map_err(Failure::from),
        Command::Serve(args) => serve::run(args).await.map_err(Failure::from),
        Command::Bench(args) => bench::run(args).await.map_err(Failure::from),
        Command::Keys(args) => keys::command::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { exit, error }) => {
            eprintln!("error: {error:#}");
            exit.into()
        }
    }
}
