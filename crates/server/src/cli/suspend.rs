//! `strandline suspend`

use strandline_proto::wire;

use super::connection::Connection;
use super::error::{Error, Exit};
use super::instance::RuntimeStatus;
use super::options::Options;
use super::targets::{self, Done, Targets, Verb};

/// Suspends instances: they take no further step until they are resumed.
///
/// Events and results that arrive meanwhile are kept. With filters, those that are pending or running are
/// meant.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  strandline suspend order-42 --reason 'payment provider is down'
  strandline suspend --name Order --since 1d --dry-run
  strandline suspend --name Order --since 1d -y")]
pub(crate) struct Args {
    /// Why; it is kept in the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    targets: Targets,
}

const VERB: Verb =
    Verb { name: "suspend", done: "suspended", statuses: &[RuntimeStatus::Pending, RuntimeStatus::Running] };

pub(super) async fn run(args: Args, options: &Options) -> Result<Exit, Error> {
    let reason = args.reason;
    let act = async |connection: Connection, id: String| {
        targets::live(&connection, &id).await?;
        let request = wire::SuspendRequest { instance_id: id.clone(), reason: reason.clone() };
        connection.call(connection.tasks().suspend_instance(request)).await?;
        Ok(Done::to(id))
    };
    args.targets.each(options, VERB, act).await
}
