//! `strandline resume`

use strandline_proto::wire;

use super::connection::Connection;
use super::error::{Error, Exit};
use super::instance::RuntimeStatus;
use super::options::Options;
use super::targets::{self, Done, Targets, Verb};

/// Resumes instances that were suspended.
///
/// With filters, those that are suspended are meant.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  strandline resume order-42
  strandline resume --name Order --dry-run
  strandline resume --all -y")]
pub(crate) struct Args {
    /// Why; it is kept in the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    targets: Targets,
}

const VERB: Verb = Verb { name: "resume", done: "resumed", statuses: &[RuntimeStatus::Suspended] };

pub(super) async fn run(args: Args, options: &Options) -> Result<Exit, Error> {
    let reason = args.reason;
    let act = async |connection: Connection, id: String| {
        targets::live(&connection, &id).await?;
        let request = wire::ResumeRequest { instance_id: id.clone(), reason: reason.clone() };
        connection.call(connection.tasks().resume_instance(request)).await?;
        Ok(Done::to(id))
    };
    args.targets.each(options, VERB, act).await
}
