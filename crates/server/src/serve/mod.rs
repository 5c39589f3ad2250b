//! `strandline serve`: task hubs for workers and clients in any language.

pub(crate) mod listen;
mod server;

use std::net::SocketAddr;
use std::path::PathBuf;

use strandline::DataDirectory;

pub use listen::bind;
pub use server::{Reflection, Server};

use crate::hubs::UnknownHub;
use crate::signals;

/// Runs a server for workers and clients of the Durable Task SDKs.
///
/// It keeps its task hubs in a directory and listens on one port, for gRPC. SDKs need just its address;
/// they reach the hub 'default' unless they name another one.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The directory the hubs live in; created when absent.
    #[arg(long, value_name = "PATH", default_value = "./.strandline", env = "STRANDLINE_DIR")]
    dir: PathBuf,
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7071", env = "STRANDLINE_LISTEN")]
    listen: Vec<SocketAddr>,
    /// Creates task hubs when somebody first names them.
    #[arg(long)]
    create_hubs: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let Args { dir, listen, create_hubs } = args;
    let stop = signals::asked_to_stop()?;
    let directory = match DataDirectory::open(&dir).await {
        Ok(directory) => directory,
        Err(error) => anyhow::bail!("{error:#} (--dir PATH names another directory)"),
    };
    let unknown = if create_hubs { UnknownHub::Create } else { UnknownHub::Refuse };
    let mut listeners = Vec::new();
    for at in listen {
        listeners.push(bind(at).await?);
    }
    let server = Server::start(directory.clone(), listeners, unknown, Reflection::Off).await?;
    for address in server.addresses() {
        println!("listening on {address}");
    }
    stop.await;
    signals::exit_at_the_second();
    server.stop().await;
    directory.close().await.map_err(|error| anyhow::anyhow!("{error:#}"))
}
