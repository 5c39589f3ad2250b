//! `strandline watch`

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use strandline_proto::{management, wire};

use super::connection::Connection;
use super::error::{Error, Exit};
use super::filter::Filter;
use super::instance::{self, Instance, RuntimeStatus};
use super::options::Options;
use super::output::{Format, Printer, clean, preview};
use super::time;
use super::wait::{self, Absence};

/// Watches an instance until it is over, or the newest instances until interrupted.
///
/// With an id, the command tells each change of the status and of the custom status, and ends when the
/// orchestration does: with 0 when it completed, 3 when it failed, 4 when it was terminated, 5 when it was
/// not over within --timeout. Without one, a terminal shows a live table; elsewhere each change is a row.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  strandline watch greet-1
  strandline watch greet-1 --timeout 5m -o json
  strandline watch --status failed,running
  strandline watch --name Order -o jsonl | while read -r order; do …; done")]
pub(crate) struct Args {
    /// The instance's id; without one, all that match the filters are watched.
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// How often to look anew.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    interval: Duration,
    /// How many of the newest to show.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    filter: Filter,
}

fn interval(text: &str) -> Result<Duration, String> {
    let duration = time::duration(text)?;
    match duration < Duration::from_millis(100) {
        true => Err("give 100ms or more".to_owned()),
        false => Ok(duration),
    }
}

pub(super) async fn run(args: Args, options: &Options) -> Result<Exit, Error> {
    let connection = options.connect().await?;
    let printer = options.printer();
    match &args.id {
        Some(id) if args.filter.is_empty() => one(&connection, options, &printer, id, args.interval).await,
        Some(_) => Err(Error::Argument { flag: "watch", reason: "give either an instance id or filters" }),
        None => all(&connection, options, &printer, &args).await,
    }
}

async fn one(
    connection: &Connection,
    options: &Options,
    printer: &Printer,
    id: &str,
    interval: Duration,
) -> Result<Exit, Error> {
    let mut seen = None;
    let tell = |state: &wire::OrchestrationState| {
        let now = (RuntimeStatus::of(state), state.custom_status.clone());
        if seen.as_ref() != Some(&now) && !now.0.is_over() {
            let custom = now.1.as_deref().map(|text| format!("  {}", preview(text, 200)));
            printer.note(format_args!("{}: {}{}", clean(id), now.0, custom.unwrap_or_default()));
        }
        seen = Some(now);
        Ok(())
    };
    let state = wait::until_over(connection, id, options.patience(), interval, tell).await?;
    instance::outcome(printer, state)
}

async fn all(
    connection: &Connection,
    options: &Options,
    printer: &Printer,
    args: &Args,
) -> Result<Exit, Error> {
    let begun = Instant::now();
    let is_table = matches!(printer.format, Format::Table | Format::Wide);
    let redraw = is_table && io::stdout().is_terminal();
    let mut absence = Absence::default();
    let mut seen: BTreeMap<String, RuntimeStatus> = BTreeMap::new();
    // Each change is a thing of its own: no list of JSON ever ends here.
    let mut changes = printer.list();
    loop {
        let request = management::ListInstancesRequest {
            filter: Some(args.filter.to_wire(options.time)),
            with_payloads: false,
            page_size: args.limit,
            continuation_token: None,
        };
        match connection.call(connection.management().list_instances(request)).await {
            Ok(page) => {
                absence = Absence::default();
                let items: Vec<_> = page.instances.into_iter().map(Instance::new).collect();
                if redraw {
                    // The cursor goes home, and what is below it away.
                    printer.line(format_args!("\x1b[H\x1b[2J{}  {}", connection.server, connection.hub))?;
                    printer.list().page(&items)?;
                } else {
                    let statuses = items.iter().map(|i| (i.instance_id.clone(), i.runtime_status)).collect();
                    let changed: Vec<_> = items
                        .into_iter()
                        .filter(|item| seen.get(&item.instance_id) != Some(&item.runtime_status))
                        .collect();
                    seen = statuses;
                    if is_table {
                        changes.page(&changed)?;
                    } else {
                        for change in &changed {
                            printer.one(change, "")?;
                        }
                    }
                }
            }
            Err(error) => absence.bear(error).await?,
        }
        let mut pause = args.interval;
        if let Some(limit) = options.patience() {
            pause = pause.min(limit.saturating_sub(begun.elapsed()));
            if pause.is_zero() {
                return Err(Error::WatchEnded(limit));
            }
        }
        tokio::time::sleep(pause).await;
    }
}
