//! `strandline terminate`

use strandline_proto::wire;

use super::connection::Connection;
use super::error::{Error, Exit};
use super::instance::RuntimeStatus;
use super::options::Options;
use super::targets::{self, Done, Targets, Verb};

/// Terminates instances: they end at once, and nothing of their code runs any more.
///
/// Activities that are under way are not stopped; what they return is dropped. With filters, those that are
/// pending, running or suspended are meant.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  strandline terminate order-42 --reason 'ordered twice'
  strandline terminate order-42 order-43 -y
  strandline terminate --name Order --since 1h --dry-run
  strandline terminate --name Order --since 1h --recursive -y")]
pub(crate) struct Args {
    /// Why; it becomes the output.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Their sub-orchestrations, too.
    #[arg(long)]
    recursive: bool,
    #[command(flatten)]
    targets: Targets,
}

const VERB: Verb = Verb { name: "terminate", done: "terminated", statuses: RuntimeStatus::LIVE };

pub(super) async fn run(args: Args, options: &Options) -> Result<Exit, Error> {
    // An output is JSON.
    let output = args.reason.map(|reason| serde_json::Value::from(reason).to_string());
    let act = async |connection: Connection, id: String| {
        targets::live(&connection, &id).await?;
        let request = wire::TerminateRequest {
            instance_id: id.clone(),
            output: output.clone(),
            recursive: args.recursive,
        };
        connection.call(connection.tasks().terminate_instance(request)).await?;
        Ok(Done::to(id))
    };
    args.targets.each(options, VERB, act).await
}
