//! `strandline dev`: a task hub on this machine, with sample orchestrations to watch and to kill.

mod board;
mod demo;
mod documents;
mod entities;
mod files;
mod offers;
mod people;
mod quickstart;
mod scene;
mod show;

use std::net::{Ipv4Addr, SocketAddr};

use strandline::TaskHub;

use board::Board;
use offers::Offers;

use crate::access::{Access, Bind, Purpose, check_bind};
use crate::config::{ConfigArgs, ConfigError, Scope, ServerFlags};
use crate::exit::Failure;
use crate::hubs::UnknownHub;
use crate::logging;
use crate::serve::{Reflection, Server, ServerOptions, bind};
use crate::settings::{Auth, Settings, Source, Tls};
use crate::signals;
use crate::traces::Traces;

/// Runs a task hub on this machine, for development.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Runs sample orchestrations; those a run before did not finish go on where they were.
    #[arg(long)]
    demo: bool,
    /// The directory the hub lives in; created when absent.
    /// [default: ./.strandline] [env: STRANDLINE_DIR]
    #[arg(long, value_name = "PATH")]
    dir: Option<String>,
    /// Exits once everything that can finish has finished.
    #[arg(long)]
    once: bool,
    /// Address and port to listen on for workers and clients of the Durable Task SDKs; repeat it for several.
    /// Without it: 7071, and the ports 4001 and 8080 that SDKs try first, as far as they are free.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "once")]
    listen: Vec<SocketAddr>,
    /// Exports the spans of what runs here to this OpenTelemetry collector, such as http://127.0.0.1:4317.
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp: Option<String>,
    /// Runs the samples anew, whatever became of them before.
    #[arg(long, requires = "demo")]
    fresh: bool,
    /// What is said of keys, tokens, TLS, `metrics_listen` and `insecure` counts for `strandline serve` only.
    #[command(flatten)]
    config: ConfigArgs,
}

/// Where SDKs look for a server on this machine: Functions, the durable task scheduler's emulator, and
/// the emulator's second port.
const PORTS: [u16; 3] = [7071, 4001, 8080];

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let Args { demo, dir, once, listen, otlp, fresh, config } = args;
    let flags = ServerFlags { dir, listen, ..ServerFlags::default() };
    let mut settings = config.load(flags, Scope::Development).map_err(ConfigError::into_failure)?;
    (settings.tls, settings.auth, settings.server.metrics_listen) = (Tls::default(), Auth::default(), None);
    Ok(open(Plan { demo, once, otlp, fresh }, settings).await?)
}

/// What is to be run.
struct Plan {
    demo: bool,
    once: bool,
    otlp: Option<String>,
    fresh: bool,
}

async fn open(plan: Plan, settings: Settings) -> anyhow::Result<()> {
    let Plan { demo, once, otlp, fresh } = plan;
    let dir = settings.server.dir.clone();
    let mut stop = std::pin::pin!(signals::asked_to_stop()?);
    logging::configure(&settings.log)?;
    let grace = settings.shutdown.grace;
    let board = Board::new();
    let traces = otlp.as_deref().map(Traces::export_to).transpose()?;
    let hub = match signals::unless_stopped(&mut stop, open_hub(&settings)).await {
        Ok(hub) => hub,
        Err(error) => anyhow::bail!("{error:#} (--dir PATH names another directory)"),
    };
    board.say(format_args!(
        "task hub '{}' in {}: delete the directory to forget everything",
        settings.hub.name,
        dir.display()
    ));
    let server = if once {
        None
    } else {
        Some(signals::unless_stopped(&mut stop, serve(&hub, &board, settings)).await?)
    };
    let offers = server.as_ref().and_then(|server| Offers::at(server.addresses()));
    if let Some(offers) = &offers {
        offers.tell(&board);
    }
    let done = if demo {
        tokio::select! {
            done = show::run(&hub, &board, &dir, offers.as_ref(), once, fresh) => done,
            () = stop => Ok(()),
        }
    } else {
        if !once {
            board.say(
                "workers and clients of the Durable Task SDKs need just the address; Ctrl-C closes the hub",
            );
            stop.await;
        }
        Ok(())
    };
    signals::exit_at_the_second();
    board.say("closing the hub: what runs is finished, the rest goes on at the next start");
    if let Some(server) = server {
        server.stop().await;
    }
    let closed = hub.directory().close_within(grace).await;
    if let Some(traces) = traces {
        traces.close().await;
    }
    done.and(closed).map_err(|error| anyhow::anyhow!("{error:#}"))
}

async fn open_hub(settings: &Settings) -> strandline::Result<TaskHub> {
    let directory =
        settings.hub.directory(&settings.server.dir).log_payloads(settings.log.payloads).open().await?;
    directory.hub(&settings.hub.name).await
}

/// Takes workers and clients on loopback, without keys.
async fn serve(hub: &TaskHub, board: &Board, settings: Settings) -> anyhow::Result<Server> {
    let mut listeners = Vec::new();
    let said = *settings.sources.of("server.listen") != Source::Default;
    let listen = if said { settings.server.listen.as_slice() } else { &[] };
    for at in listen {
        let bind_to =
            Bind { address: *at, purpose: Purpose::Development, keys: false, tls: false, insecure: false };
        check_bind(bind_to)?;
        listeners.push(bind(*at).await?);
    }
    for port in PORTS.iter().filter(|_| listen.is_empty()) {
        match bind(SocketAddr::from((Ipv4Addr::LOCALHOST, *port))).await {
            Ok(listener) => listeners.push(listener),
            Err(_) => {
                board.say(format_args!("port {port} is in use: not listening there (--listen ADDRESS)"))
            }
        }
    }
    let options = ServerOptions {
        unknown: UnknownHub::Create,
        reflection: Reflection::On,
        access: Access::open(),
        settings,
    };
    Server::start(hub.directory().clone(), listeners, options).await
}
