//! The `strandline` program: task hubs for workers and clients in any language, and what goes with them.
//!
//! [`Server`] is a running server apart from the command line. [`keys`] are what callers are known by,
//! [`access`] decides by them who may do what; [`exit`] is how commands end.

pub mod access;
mod bench;
mod call_http;
mod cli;
mod config;
mod dev;
pub mod exit;
mod grpc;
mod hubs;
pub mod keys;
pub mod logging;
mod lookout;
mod metrics;
mod probe;
mod serve;
mod service;
pub mod settings;
mod shell;
mod signals;
mod traces;
mod web;
mod why;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use exit::Failure;

pub use hubs::UnknownHub;
pub use serve::{Reflection, Server, ServerOptions, bind};

/// Durable functions: orchestrations written as ordinary code that survive any crash.
#[derive(Parser)]
#[command(name = "strandline", version, arg_required_else_help = true, after_long_help = cli::EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Dev(dev::Args),
    Serve(serve::Args),
    Bench(bench::Args),
    Keys(keys::command::Args),
    Config(config::command::Args),
    Health(probe::Args),
    #[command(flatten)]
    Client(Box<cli::Command>),
}

/// Carries out a command line, to its end. Commands for a running server tell by themselves what went wrong.
pub async fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let done = match cli.command {
        Command::Dev(args) => dev::run(args).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Bench(args) => bench::run(args).await.map_err(Failure::from),
        Command::Keys(args) => keys::command::run(args),
        Command::Config(args) => config::command::run(args),
        Command::Health(args) => probe::run(args).await,
        Command::Client(command) => return Ok(cli::run(*command).await),
    };
    done.map(|()| ExitCode::SUCCESS)
}
