//! `strandline start`

use std::time::Duration;

use clap::ValueEnum;
use strandline_proto::wire;

use super::error::{Error, Exit};
use super::filter;
use super::history::{self, Reader};
use super::instance::{self, RuntimeStatus};
use super::options::Options;
use super::output::clean;
use super::payload;
use super::targets::Done;
use super::time::{self, When};
use super::wait;

/// Starts an orchestration and prints its instance id.
///
/// With --wait or --follow the command ends when the orchestration does: with 0 when it completed, 3 when it
/// failed, 4 when it was terminated, 5 when it was not over in time.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  strandline start HelloCities
  strandline start Greet -i '\"Tokyo\"' --id greet-1 --wait=30s
  strandline start Order -i @order.json --tag customer=42 --follow
  jq -c .order today.json | strandline start Order -i - -o id
  strandline start Report --in 2h
  strandline start Report --at 2026-12-01T06:00:00Z --reuse-policy ended --id monthly")]
pub(crate) struct Args {
    /// Name of the orchestrator.
    #[arg(value_name = "ORCHESTRATOR", required_unless_present = "function_name")]
    orchestrator: Option<String>,
    #[arg(long, hide = true, conflicts_with = "orchestrator")]
    function_name: Option<String>,
    /// Its input: JSON, @FILE, or - for stdin.
    #[arg(short, long, value_name = "JSON", allow_hyphen_values = true)]
    input: Option<String>,
    /// Sends the input as it is, JSON or not.
    #[arg(long, requires = "input")]
    raw: bool,
    /// The instance id; without one the server makes one.
    #[arg(long)]
    id: Option<String>,
    /// Not before this time.
    #[arg(long, value_name = "TIME", value_parser = time::when, conflicts_with = "after")]
    at: Option<When>,
    /// Not before so much time has passed.
    #[arg(long = "in", value_name = "TIME", value_parser = time::duration)]
    after: Option<Duration>,
    /// A tag; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = filter::tag)]
    tag: Vec<(String, String)>,
    /// The version of the orchestrator.
    #[arg(long)]
    version: Option<String>,
    /// Which instance of the same id gives way to this one: none, one that ended, or any.
    #[arg(long, value_enum, default_value_t = ReusePolicy::Never, hide_possible_values = true, value_name = "never|ended|always")]
    reuse_policy: ReusePolicy,
    /// Waits until it is over, but no longer than this.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, value_parser = time::duration)]
    wait: Option<Option<Duration>>,
    /// Prints its history as it grows, until it is over.
    #[arg(long, conflicts_with = "wait")]
    follow: bool,
}

/// Which instance gives way to one of the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReusePolicy {
    Never,
    Ended,
    Always,
}

impl ReusePolicy {
    fn to_wire(self) -> Option<wire::OrchestrationIdReusePolicy> {
        let statuses: Vec<_> = match self {
            Self::Never => return None,
            Self::Ended => RuntimeStatus::OVER.to_vec(),
            Self::Always => [RuntimeStatus::OVER, RuntimeStatus::LIVE].concat(),
        };
        let replaceable_status = statuses.into_iter().map(RuntimeStatus::to_wire).collect();
        Some(wire::OrchestrationIdReusePolicy { replaceable_status })
    }
}

pub(super) async fn run(args: Args, options: &Options) -> Result<Exit, Error> {
    let input = match &args.input {
        Some(text) => Some(payload::read("--input", text, args.raw)?),
        None => None,
    };
    let name = args.orchestrator.or(args.function_name).unwrap_or_default();
    let at = args.at.map(|when| when.resolve(options.time)).or(args.after.map(time::after));
    let request = wire::CreateInstanceRequest {
        instance_id: args.id.unwrap_or_default(),
        name: name.clone(),
        version: args.version,
        input,
        scheduled_start_timestamp: at.map(time::to_wire),
        orchestration_id_reuse_policy: args.reuse_policy.to_wire(),
        tags: args.tag.into_iter().collect(),
        ..wire::CreateInstanceRequest::default()
    };
    let connection = options.connect().await?;
    let printer = options.printer();
    let id = connection.call(connection.tasks().start_instance(request)).await?.instance_id;
    if args.follow {
        printer.note(format_args!("started {} as {}", clean(&name), clean(&id)));
        return history::follow(&connection, options, &id, Reader::Everything).await;
    }
    let Some(wait) = args.wait else {
        printer.one(&Done::to(id.clone()), format_args!("started {} as {}", clean(&name), clean(&id)))?;
        return Ok(Exit::Ok);
    };
    let limit = wait.or(options.patience());
    let state = wait::until_over(&connection, &id, limit, wait::POLL, |_| Ok(())).await?;
    instance::outcome(&printer, state)
}
