//! `strandline restart`

use strandline_proto::wire;

use super::connection::Connection;
use super::error::{Error, Exit};
use super::instance::RuntimeStatus;
use super::options::Options;
use super::targets::{Done, Targets, Verb};

/// Starts orchestrations again, with the name, version, input and tags of instances that there are.
///
/// The new instances get new ids, which are printed, unless --same-id replaces the old ones. With filters,
/// instances that are over are meant.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  strandline restart order-42
  strandline restart order-42 --same-id
  strandline restart --status failed --name Order --since 1d --dry-run
  strandline restart --status failed --name Order --since 1d -y -o id")]
pub(crate) struct Args {
    /// The new instance takes the place of the old one, which must be over.
    #[arg(long)]
    same_id: bool,
    #[command(flatten)]
    targets: Targets,
}

const VERB: Verb = Verb { name: "restart", done: "restarted", statuses: RuntimeStatus::OVER };

pub(super) async fn run(args: Args, options: &Options) -> Result<Exit, Error> {
    let act = async |connection: Connection, id: String| {
        let request = wire::RestartInstanceRequest {
            instance_id: id.clone(),
            restart_with_new_instance_id: !args.same_id,
        };
        let new = connection.call(connection.tasks().restart_instance(request)).await?.instance_id;
        Ok(if new == id { Done::to(id) } else { Done::began(id, new) })
    };
    args.targets.each(options, VERB, act).await
}
