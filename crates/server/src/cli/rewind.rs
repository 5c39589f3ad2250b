//! `strandline rewind`

use strandline_proto::wire;

use super::connection::Connection;
use super::error::{Error, Exit};
use super::instance::RuntimeStatus;
use super::options::Options;
use super::targets::{Done, Targets, Verb};

/// Rewinds instances that failed: what failed is done again, the rest stays done.
///
/// With filters, those that failed are meant.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  strandline rewind order-42 --reason 'fixed the address book'
  strandline rewind --name Order --since 1d --dry-run
  strandline rewind --name Order --since 1d -y")]
pub(crate) struct Args {
    /// Why; it is kept in the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    targets: Targets,
}

const VERB: Verb = Verb { name: "rewind", done: "rewound", statuses: &[RuntimeStatus::Failed] };

pub(super) async fn run(args: Args, options: &Options) -> Result<Exit, Error> {
    let reason = args.reason;
    let act = async |connection: Connection, id: String| {
        let request = wire::RewindInstanceRequest { instance_id: id.clone(), reason: reason.clone() };
        connection.call(connection.tasks().rewind_instance(request)).await?;
        Ok(Done::to(id))
    };
    args.targets.each(options, VERB, act).await
}
