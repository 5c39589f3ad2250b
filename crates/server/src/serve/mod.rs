//! `strandline serve`: task hubs for workers and clients in any language.

mod begun;
mod lifecycle;
pub(crate) mod listen;
mod server;
mod tls;

pub use listen::bind;
pub(crate) use server::is_grpc;
pub use server::{Reflection, Server, ServerOptions};

use crate::access::{Access, Bind, Purpose, check_bind};
use crate::config::{ConfigArgs, ConfigError, Scope, ServerFlags};
use crate::exit::Failure;
use crate::hubs::UnknownHub;
use crate::keys::SecretFile;
use crate::logging;
use crate::settings::{ServerSettings, Settings};
use crate::signals;

/// Runs a server for workers and clients of the Durable Task SDKs.
///
/// It keeps its task hubs in a directory and listens on one port, for gRPC and HTTP. SDKs need just its
/// address; they reach the hub 'default' unless they name another one.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    flags: ServerFlags,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let settings = args.config.load(args.flags, Scope::Server).map_err(ConfigError::into_failure)?;
    Ok(serve(settings).await?)
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let mut stop = std::pin::pin!(signals::asked_to_stop()?);
    logging::configure(&settings.log)?;
    let grace = settings.shutdown.grace;
    let ServerSettings { dir, listen, create_hubs, keys: _, insecure, .. } = settings.server.clone();
    let directory = settings.hub.directory(&dir).log_payloads(settings.log.payloads);
    let directory = match signals::unless_stopped(&mut stop, directory.open()).await {
        Ok(directory) => directory,
        Err(error) => anyhow::bail!("{error:#} (--dir PATH names another directory)"),
    };
    let secrets = SecretFile::in_directory(&dir);
    let access = Access::open_until_keyed(settings.server.key_file())?.with_url_secrets(secrets)?;
    let unknown = if create_hubs { UnknownHub::Create } else { UnknownHub::Refuse };
    let mut listeners = Vec::new();
    let tls = settings.tls.certificate.is_some();
    // An issuer of tokens asks for them, as keys do.
    let keys = access.needs_keys() || settings.auth.jwt.issuer.is_some();
    for at in listen {
        let bind_to = Bind { address: at, purpose: Purpose::Production, keys, tls, insecure };
        for warning in check_bind(bind_to)? {
            tracing::warn!("{warning}");
        }
        listeners.push(bind(at).await?);
    }
    let options = ServerOptions { unknown, reflection: Reflection::Off, access, settings };
    let starting = Server::start(directory.clone(), listeners, options);
    let server = signals::unless_stopped(&mut stop, starting).await?;
    for address in server.addresses() {
        println!("listening on {address}");
    }
    lifecycle::until_stopped(server, directory, stop, grace).await
}
