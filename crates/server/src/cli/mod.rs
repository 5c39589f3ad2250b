//! The commands that talk to a running server: what people and scripts do with instances, entities, hubs
//! and workers, over gRPC.

mod confirm;
mod connection;
mod entity;
mod error;
mod event;
mod filter;
mod get;
mod history;
mod hub;
mod instance;
mod list;
mod options;
mod output;
mod payload;
mod purge;
mod raise;
mod restart;
mod resume;
mod rewind;
mod start;
mod suspend;
mod targets;
mod terminate;
mod time;
mod wait;
mod watch;
mod why;
mod worker;

use std::process::ExitCode;

use clap::Subcommand;

use error::{Error, Exit};
use options::Options;

/// What scripts need to know.
pub(crate) const EXIT_CODES: &str = "Exit codes of commands for a running server:
  0  done; what was waited for completed
  1  something went wrong
  2  wrong usage
  3  the orchestration failed
  4  the orchestration was terminated
  5  it took longer than one would wait
  6  there is no such thing
  7  it conflicts with what there is
  8  the server can't be reached
  130  interrupted

Examples:
  strandline dev --demo
  strandline serve --dir ./hubs
  strandline start HelloCities --wait
  strandline list --status failed --since 1h
  strandline why order-1";

// The commands' descriptions stand with their arguments. Among the hidden names are those that the Azure
// Functions Core Tools have under `func durable`.
#[derive(Subcommand)]
pub(crate) enum Command {
    #[command(alias = "start-new")]
    Start(With<start::Args>),
    #[command(visible_alias = "status", visible_alias = "describe", alias = "get-runtime-status")]
    Get(With<get::Args>),
    #[command(visible_alias = "ls", alias = "get-instances")]
    List(With<list::Args>),
    #[command(alias = "get-history")]
    History(With<history::Args>),
    Watch(With<watch::Args>),
    Why(With<why::Args>),
    #[command(visible_alias = "raise-event")]
    Raise(With<raise::Args>),
    Suspend(With<suspend::Args>),
    Resume(With<resume::Args>),
    Terminate(With<terminate::Args>),
    Rewind(With<rewind::Args>),
    Restart(With<restart::Args>),
    #[command(alias = "purge-history")]
    Purge(With<purge::Args>),
    /// Looks at entities, and sends them signals.
    #[command(subcommand)]
    Entity(entity::Command),
    /// Lists, makes and deletes task hubs.
    #[command(subcommand)]
    Hub(hub::Command),
    /// Looks at the workers that are connected.
    #[command(subcommand)]
    Worker(worker::Command),
    #[command(hide = true)]
    DeleteTaskHub(With<hub::Delete>),
}

// No doc comment: clap would take it for that of the command.
#[derive(clap::Args)]
pub(crate) struct With<A: clap::Args> {
    #[command(flatten)]
    args: A,
    #[command(flatten)]
    options: Options,
}

/// Runs a command to its end, or until somebody interrupts it.
pub(crate) async fn run(command: Command) -> ExitCode {
    let format = command.options().output;
    let ended = tokio::select! {
        ended = command.run() => ended,
        _ = tokio::signal::ctrl_c() => Err(Error::Interrupted),
    };
    let exit = ended.unwrap_or_else(|error| {
        error.report(format);
        error.exit()
    });
    if exit == Exit::Interrupted {
        // A thread may still wait for somebody to answer.
        std::process::exit(exit as i32);
    }
    exit.into()
}

impl Command {
    async fn run(self) -> Result<Exit, Error> {
        match self {
            Self::Start(With { args, options }) => start::run(args, &options).await,
            Self::Get(With { args, options }) => get::run(args, &options).await,
            Self::List(With { args, options }) => list::run(args, &options).await,
            Self::History(With { args, options }) => history::run(args, &options).await,
            Self::Watch(With { args, options }) => watch::run(args, &options).await,
            Self::Why(With { args, options }) => why::run(args, &options).await,
            Self::Raise(With { args, options }) => raise::run(args, &options).await,
            Self::Suspend(With { args, options }) => suspend::run(args, &options).await,
            Self::Resume(With { args, options }) => resume::run(args, &options).await,
            Self::Terminate(With { args, options }) => terminate::run(args, &options).await,
            Self::Rewind(With { args, options }) => rewind::run(args, &options).await,
            Self::Restart(With { args, options }) => restart::run(args, &options).await,
            Self::Purge(With { args, options }) => purge::run(args, &options).await,
            Self::Entity(command) => entity::run(command).await,
            Self::Hub(command) => hub::run(command).await,
            Self::Worker(command) => worker::run(command).await,
            Self::DeleteTaskHub(With { args, options }) => hub::delete(args, &options).await,
        }
    }

    fn options(&self) -> &Options {
        match self {
            Self::Start(With { options, .. })
            | Self::Get(With { options, .. })
            | Self::List(With { options, .. })
            | Self::History(With { options, .. })
            | Self::Watch(With { options, .. })
            | Self::Why(With { options, .. })
            | Self::Raise(With { options, .. })
            | Self::Suspend(With { options, .. })
            | Self::Resume(With { options, .. })
            | Self::Terminate(With { options, .. })
            | Self::Rewind(With { options, .. })
            | Self::Restart(With { options, .. })
            | Self::Purge(With { options, .. })
            | Self::DeleteTaskHub(With { options, .. }) => options,
            Self::Entity(command) => command.options(),
            Self::Hub(command) => command.options(),
            Self::Worker(worker::Command::List(With { options, .. })) => options,
        }
    }
}
