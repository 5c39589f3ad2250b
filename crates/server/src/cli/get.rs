//! `strandline get`

use super::error::{Error, Exit};
use super::history::{self, Reader};
use super::instance::Instance;
use super::options::Options;

/// Shows an instance: status, times, input, output, and why it failed.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  strandline get greet-1
  strandline get greet-1 --output | jq .
  strandline get greet-1 -o json
  strandline get greet-1 --history --time relative")]
pub(crate) struct Args {
    /// Its id.
    #[arg(value_name = "ID")]
    id: String,
    /// Prints its input alone.
    #[arg(long = "input", group = "part")]
    input: bool,
    /// Prints its output alone.
    #[arg(long = "output", id = "output_alone", group = "part")]
    output: bool,
    /// Prints its custom status alone.
    #[arg(long, group = "part")]
    custom_status: bool,
    /// Prints its history as well.
    #[arg(long, conflicts_with = "part")]
    history: bool,
}

pub(super) async fn run(args: Args, options: &Options) -> Result<Exit, Error> {
    let connection = options.connect().await?;
    let printer = options.printer();
    let instance = Instance::new(connection.instance(&args.id).await?);
    if args.input || args.output || args.custom_status {
        let payload = match () {
            () if args.input => &instance.input,
            () if args.output => &instance.output,
            () => &instance.custom_status,
        };
        // What is absent prints nothing, unlike `null`.
        if let Some(payload) = payload {
            printer.line(payload.text())?;
        }
        return Ok(Exit::Ok);
    }
    printer.one(&instance, instance.detail(printer.time))?;
    if args.history {
        history::print(&connection, &printer, &args.id, Reader::Everything).await?;
    }
    Ok(Exit::Ok)
}
