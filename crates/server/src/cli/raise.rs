//! `strandline raise`

use strandline_proto::wire;

use super::error::{Error, Exit};
use super::options::Options;
use super::output::clean;
use super::payload;
use super::targets::{self, Done};

/// Sends an event to an instance, which it may be waiting for now or later.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  strandline raise approval-1 Approval -d true
  strandline raise order-42 Paid -d '{\"amount\": 12.5}'
  strandline raise order-42 Note -d '\"a string needs its quotes\"'
  strandline raise order-42 Document -d @document.json")]
pub(crate) struct Args {
    /// The instance's id.
    #[arg(value_name = "ID")]
    id: String,
    /// The event's name.
    #[arg(value_name = "EVENT", required_unless_present = "event_name")]
    event: Option<String>,
    #[arg(long, hide = true, conflicts_with = "event")]
    event_name: Option<String>,
    /// What comes with it: JSON, @FILE, or - for stdin.
    #[arg(short, long, value_name = "JSON", allow_hyphen_values = true, alias = "event-data")]
    data: Option<String>,
    /// Sends the data as it is, JSON or not.
    #[arg(long, requires = "data")]
    raw: bool,
}

pub(super) async fn run(args: Args, options: &Options) -> Result<Exit, Error> {
    let input = match &args.data {
        Some(text) => Some(payload::read("--data", text, args.raw)?),
        None => None,
    };
    let name = args.event.or(args.event_name).unwrap_or_default();
    let connection = options.connect().await?;
    // Servers take events for instances that are over, in vain.
    targets::live(&connection, &args.id).await?;
    let request = wire::RaiseEventRequest { instance_id: args.id.clone(), name: name.clone(), input };
    connection.call(connection.tasks().raise_event(request)).await?;
    let line = format!("raised {} for {}", clean(&name), clean(&args.id));
    options.printer().one(&Done::to(args.id), line)?;
    Ok(Exit::Ok)
}
