//! `strandline dev`: a hub on this machine for development.

/// Runs a task hub on this machine, for development.
#[derive(clap::Args)]
pub struct Args {}

pub async fn run(_args: Args) -> anyhow::Result<()> {
    Ok(())
}
