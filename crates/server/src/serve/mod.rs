//! `strandline serve`: task hubs for workers and clients in any language.

mod begun;
pub(crate) mod listen;
mod server;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;

use strandline::DataDirectory;

pub use listen::bind;
pub(crate) use server::is_grpc;
pub use server::{Reflection, Server, ServerOptions};

use crate::access::{Access, Bind, Purpose, check_bind};
use crate::hubs::UnknownHub;
use crate::keys::{KeyFile, SecretFile};
use crate::settings::Settings;
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
    /// The file with the access keys; DIR/keys.json unless said otherwise. `strandline keys create` makes one.
    #[arg(long, value_name = "FILE", env = "STRANDLINE_KEYS")]
    keys: Option<PathBuf>,
    /// Listens where other machines reach it though there are no access keys, or though keys cross the
    /// network in the clear.
    #[arg(long)]
    insecure: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let Args { dir, listen, create_hubs, keys, insecure } = args;
    let stop = signals::asked_to_stop()?;
    let directory = match DataDirectory::open(&dir).await {
        Ok(directory) => directory,
        Err(error) => anyhow::bail!("{error:#} (--dir PATH names another directory)"),
    };
    let file = keys.map_or_else(|| KeyFile::in_directory(&dir), KeyFile::at);
    let access = Access::open_until_keyed(file)?.with_url_secrets(SecretFile::in_directory(&dir))?;
    let unknown = if create_hubs { UnknownHub::Create } else { UnknownHub::Refuse };
    let mut listeners = Vec::new();
    for at in listen {
        let keys = access.needs_keys();
        let bind_to = Bind { address: at, purpose: Purpose::Production, keys, tls: false, insecure };
        for warning in check_bind(bind_to)? {
            tracing::warn!("{warning}");
        }
        listeners.push(bind(at).await?);
    }
    let options =
        ServerOptions { unknown, reflection: Reflection::Off, access, settings: Settings::default() };
    let server = Server::start(directory.clone(), listeners, options).await?;
    for address in server.addresses() {
        println!("listening on {address}");
    }
    stop.await;
    signals::exit_at_the_second();
    server.stop().await;
    directory.close().await.map_err(|error| anyhow::anyhow!("{error:#}"))
}
