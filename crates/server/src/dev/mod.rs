//! `strandline dev`: a task hub on this machine, with sample orchestrations to watch and to kill.

mod board;
mod demo;
mod documents;
mod entities;
mod files;
mod people;
mod scene;
mod show;

use std::path::PathBuf;

use strandline::TaskHub;

use board::Board;

use crate::signals;

/// Runs a task hub on this machine, for development.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Runs sample orchestrations; those a run before did not finish go on where they were.
    #[arg(long)]
    demo: bool,
    /// The directory the hub lives in; created when absent.
    #[arg(long, value_name = "PATH", default_value = "./.strandline")]
    dir: PathBuf,
    /// Exits once everything that can finish has finished.
    #[arg(long)]
    once: bool,
    /// Runs the samples anew, whatever became of them before.
    #[arg(long, requires = "demo")]
    fresh: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let Args { demo, dir, once, fresh } = args;
    let stop = signals::asked_to_stop()?;
    let board = Board::new();
    let hub = match TaskHub::open(&dir).await {
        Ok(hub) => hub,
        Err(error) => anyhow::bail!("{error:#} (--dir PATH names another directory)"),
    };
    board.say(format_args!(
        "task hub 'default' in {}: delete the directory to forget everything",
        dir.display()
    ));
    let done = if demo {
        tokio::select! {
            done = show::run(&hub, &board, &dir, once, fresh) => done,
            () = stop => Ok(()),
        }
    } else {
        if !once {
            board.say("nothing runs here without --demo yet: a program runs its hub with `TaskHub::open`");
            board.say("Ctrl-C closes the hub");
            stop.await;
        }
        Ok(())
    };
    signals::exit_at_the_second();
    board.say("closing the hub: what runs is finished, the rest goes on at the next start");
    let closed = hub.close().await;
    done.and(closed).map_err(|error| anyhow::anyhow!("{error:#}"))
}
