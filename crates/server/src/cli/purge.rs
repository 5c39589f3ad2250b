//! `strandline purge`

use std::time::Duration;

use strandline_proto::wire;
use strandline_proto::wire::purge_instances_request::Target;

use super::connection::Connection;
use super::error::{Error, Exit};
use super::instance::RuntimeStatus;
use super::options::Options;
use super::targets::{self, Chosen, Done, Targets, Verb};
use super::time;

/// Deletes instances that are over, with their histories. They can't be brought back.
///
/// With filters, those that are over are meant.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  strandline purge order-42
  strandline purge --older-than 30d --dry-run
  strandline purge --older-than 30d --status completed -y
  strandline purge --name Order --tag test=true -y")]
pub(crate) struct Args {
    /// Their sub-orchestrations, too.
    #[arg(long)]
    recursive: bool,
    #[command(flatten)]
    targets: Targets,
    /// Only those that ended longer ago than this.
    #[arg(long, value_name = "TIME", value_parser = time::duration, conflicts_with = "ids")]
    older_than: Option<Duration>,
}

const VERB: Verb = Verb { name: "purge", done: "purged", statuses: RuntimeStatus::OVER };

/// The most that one call takes.
const BATCH: usize = 500;

pub(super) async fn run(args: Args, options: &Options) -> Result<Exit, Error> {
    let mut targets = args.targets;
    targets.filter.completed_before = args.older_than.map(time::before);
    targets.check(VERB)?;
    let connection = options.connect().await?;
    let printer = options.printer();
    let ids = match targets.choose(&connection, options, VERB).await? {
        Chosen::Shown => return Ok(Exit::Ok),
        Chosen::One(id) => {
            if purge(&connection, Target::InstanceId(id.clone()), args.recursive).await? == 0 {
                // Not there, or not over: the answer does not tell.
                let status = RuntimeStatus::of(&connection.instance(&id).await?);
                return Err(Error::NotOver { id, status });
            }
            let done = Done::to(id);
            printer.one(&done, done.line(VERB))?;
            return Ok(Exit::Ok);
        }
        Chosen::Many(ids) => ids,
    };
    let of = ids.len();
    let mut left = 0;
    let mut list = printer.list();
    for batch in ids.chunks(BATCH) {
        let instance_ids = batch.to_vec();
        let target = Target::InstanceBatch(wire::InstanceBatch { instance_ids });
        let deleted = purge(&connection, target, args.recursive).await?;
        // With sub-orchestrations they are more than were named.
        left += batch.len().saturating_sub(deleted);
        for id in batch {
            targets::report_one(&printer, &mut list, Done::to(id.clone()))?;
        }
    }
    targets::summary(&printer, list, VERB, of, left)
}

/// How many were deleted.
async fn purge(connection: &Connection, target: Target, recursive: bool) -> Result<usize, Error> {
    let request = wire::PurgeInstancesRequest { target: Some(target), recursive, is_orchestration: true };
    let answer = connection.call(connection.tasks().purge_instances(request)).await?;
    Ok(usize::try_from(answer.deleted_instance_count).unwrap_or(0))
}
