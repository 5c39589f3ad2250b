//! `strandline history`

use std::time::Duration;

use strandline_proto::management;
use tonic::Code;

use super::connection::Connection;
use super::error::{Error, Exit};
use super::event::Event;
use super::instance::RuntimeStatus;
use super::options::Options;
use super::output::{List, Printer, clean};
use super::wait::{self, Absence};

/// Prints what happened to an instance, in order.
///
/// It is the history of the current execution: an orchestration that continues as new begins another one.
/// With --follow the command ends when the orchestration does, with 0 when it completed, 3 when it failed, 4
/// when it was terminated, 5 when it was not over within --timeout.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  strandline history greet-1
  strandline history greet-1 --failed
  strandline history greet-1 --follow
  strandline history greet-1 -o jsonl | jq 'select(.type == \"TaskScheduled\") | .name'")]
pub(crate) struct Args {
    /// The instance's id.
    #[arg(value_name = "ID")]
    id: String,
    /// Only what says that something went wrong.
    #[arg(long)]
    failed: bool,
    /// Goes on until the orchestration is over.
    #[arg(short, long)]
    follow: bool,
}

/// Which events somebody wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    Everything,
    Failures,
}

/// How often a history that grows is looked at.
const LOOK: Duration = Duration::from_secs(1);

pub(super) async fn run(args: Args, options: &Options) -> Result<Exit, Error> {
    let connection = options.connect().await?;
    let reader = if args.failed { Reader::Failures } else { Reader::Everything };
    if args.follow {
        return follow(&connection, options, &args.id, reader).await;
    }
    print(&connection, &options.printer(), &args.id, reader).await?;
    Ok(Exit::Ok)
}

/// Prints the history as it is now.
pub(super) async fn print(
    connection: &Connection,
    printer: &Printer,
    id: &str,
    reader: Reader,
) -> Result<(), Error> {
    let mut reading = Reading::new(id, reader);
    let mut list = printer.list();
    while reading.page(connection, &mut list).await? {}
    list.end()
}

/// Prints the history as it grows, and what became of the instance.
pub(super) async fn follow(
    connection: &Connection,
    options: &Options,
    id: &str,
    reader: Reader,
) -> Result<Exit, Error> {
    let printer = options.printer();
    let begun = std::time::Instant::now();
    let mut reading = Reading::new(id, reader);
    let mut list = printer.list();
    let mut absence = Absence::default();
    let mut over = None;
    loop {
        match reading.page(connection, &mut list).await {
            Ok(true) => continue,
            Ok(false) if over.is_some() => break,
            Ok(false) => {}
            Err(Error::Refused(status)) if status.code() == Code::Aborted => {
                printer.note(format_args!("{} continued as new", clean(id)));
                reading = Reading::new(id, reader);
                continue;
            }
            Err(error) => {
                absence.bear(error).await?;
                continue;
            }
        }
        let mut look = LOOK;
        if let Some(limit) = options.patience() {
            look = look.min(limit.saturating_sub(begun.elapsed()));
            if look.is_zero() {
                return Err(Error::TimedOut { id: id.to_owned(), after: limit });
            }
        }
        match wait::over(connection, id, look).await {
            // What it did last is still to be read.
            Ok(state) => {
                absence = Absence::default();
                over = state;
            }
            Err(error) => absence.bear(error).await?,
        }
    }
    list.end()?;
    let status = over.as_ref().map_or(RuntimeStatus::Running, RuntimeStatus::of);
    printer.note(format_args!("{} is over: {status}", clean(id)));
    Ok(status.exit())
}

/// Where somebody is in a history.
struct Reading<'a> {
    id: &'a str,
    reader: Reader,
    from: u32,
    /// Known after the first page.
    execution: Option<String>,
}

impl<'a> Reading<'a> {
    fn new(id: &'a str, reader: Reader) -> Self {
        Self { id, reader, from: 0, execution: None }
    }

    /// Prints the next page; false: there is none now.
    async fn page(&mut self, connection: &Connection, list: &mut List<'_, Event>) -> Result<bool, Error> {
        let request = management::GetHistoryRequest {
            instance_id: self.id.to_owned(),
            from: self.from,
            max: 0,
            execution_id: self.execution.clone(),
        };
        let page = connection.call(connection.management().get_history(request)).await?;
        self.execution = Some(page.execution_id);
        let read = page.events.len();
        let events = (self.from..).zip(page.events).map(|(index, event)| Event::new(index, event));
        let events: Vec<_> =
            events.filter(|event| self.reader == Reader::Everything || event.is_failure()).collect();
        list.page(&events)?;
        self.from = self.from.saturating_add(u32::try_from(read).unwrap_or(u32::MAX));
        Ok(read > 0)
    }
}
