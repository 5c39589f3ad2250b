//! `strandline entity`

use std::time::Duration;

use clap::Subcommand;
use comfy_table::Cell;
use jiff::Timestamp;
use serde::Serialize;
use strandline_proto::{management, wire};

use super::With;
use super::error::{Error, Exit};
use super::options::Options;
use super::output::{Format, Item, clean, grouped, preview};
use super::payload::{self, Payload};
use super::targets::PAGE;
use super::time::{self, TimeStyle, When};

#[derive(Subcommand)]
pub(crate) enum Command {
    #[command(visible_alias = "ls")]
    List(With<List>),
    Get(With<Get>),
    Signal(With<Signal>),
}

impl Command {
    pub(super) fn options(&self) -> &Options {
        match self {
            Self::List(With { options, .. })
            | Self::Get(With { options, .. })
            | Self::Signal(With { options, .. }) => options,
        }
    }
}

/// Lists entities by id.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  strandline entity list
  strandline entity list --name counter --since 1h
  strandline entity list --all -o jsonl --state | jq .state")]
pub(crate) struct List {
    /// Only entities of this name.
    #[arg(long, conflicts_with = "prefix")]
    name: Option<String>,
    /// Only those whose ids, @name@key, begin like this.
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Only those that changed since: a date, an RFC 3339 time, or a time ago like 1h.
    #[arg(long, value_name = "TIME", value_parser = time::when)]
    since: Option<When>,
    /// Only those that changed last before: as --since.
    #[arg(long, value_name = "TIME", value_parser = time::when)]
    until: Option<When>,
    /// Also those without a state, which wait for operations or are locked.
    #[arg(long)]
    transient: bool,
    /// Also fetches the states.
    #[arg(long)]
    state: bool,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// All of them, page by page.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// Shows an entity: its state, what waits for it, and who holds its lock.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  strandline entity get @counter@alice
  strandline entity get @counter@alice --state | jq .")]
pub(crate) struct Get {
    /// Its id: @name@key.
    #[arg(value_name = "ENTITY")]
    id: String,
    /// Prints its state alone.
    #[arg(long)]
    state: bool,
}

/// Sends an entity an operation, without waiting for it.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  strandline entity signal @counter@alice add -d 5
  strandline entity signal @counter@alice reset --in 1h")]
pub(crate) struct Signal {
    /// Its id: @name@key.
    #[arg(value_name = "ENTITY")]
    id: String,
    /// The operation.
    #[arg(value_name = "OPERATION")]
    operation: String,
    /// The operation's input: JSON, @FILE, or - for stdin.
    #[arg(short, long, value_name = "JSON", allow_hyphen_values = true)]
    data: Option<String>,
    /// Sends the input as it is, JSON or not.
    #[arg(long, requires = "data")]
    raw: bool,
    /// Not before this time.
    #[arg(long, value_name = "TIME", value_parser = time::when, conflicts_with = "after")]
    at: Option<When>,
    /// Not before so much time has passed.
    #[arg(long = "in", value_name = "TIME", value_parser = time::duration)]
    after: Option<Duration>,
}

pub(super) async fn run(command: Command) -> Result<Exit, Error> {
    match command {
        Command::List(With { args, options }) => list(args, &options).await,
        Command::Get(With { args, options }) => get(args, &options).await,
        Command::Signal(With { args, options }) => signal(args, &options).await,
    }
}

/// An entity as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entity {
    entity_id: String,
    last_modified_time: Option<Timestamp>,
    backlog_queue_size: u64,
    /// The instance that holds its lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    locked_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Payload>,
}

impl Item for Entity {
    const COLUMNS: &'static [&'static str] = &["ENTITY", "MODIFIED", "WAITING", "LOCKED BY", "STATE"];
    const WIDE_FROM: usize = 5;

    fn id(&self) -> &str {
        &self.entity_id
    }

    fn row(&self, style: TimeStyle) -> Vec<Cell> {
        vec![
            Cell::new(clean(&self.entity_id)),
            Cell::new(self.last_modified_time.map(|t| style.show(t)).unwrap_or_default()),
            Cell::new(grouped(self.backlog_queue_size)),
            Cell::new(clean(self.locked_by.as_deref().unwrap_or_default())),
            Cell::new(self.state.as_ref().map(|state| preview(state.text(), 60)).unwrap_or_default()),
        ]
    }
}

impl Entity {
    fn detail(&self, style: TimeStyle) -> String {
        let mut lines = vec![
            format!("{:<12}{}", "Entity", clean(&self.entity_id)),
            format!("{:<12}{}", "Waiting", grouped(self.backlog_queue_size)),
        ];
        if let Some(time) = self.last_modified_time {
            lines.push(format!("{:<12}{}", "Modified", style.show(time)));
        }
        if let Some(owner) = &self.locked_by {
            lines.push(format!("{:<12}{}", "Locked by", clean(owner)));
        }
        let state = self.state.as_ref().map_or("none".to_owned(), |state| clean(state.text()));
        lines.push(format!("{:<12}{state}", "State"));
        lines.join("\n")
    }
}

async fn list(args: List, options: &Options) -> Result<Exit, Error> {
    let connection = options.connect().await?;
    let printer = options.printer();
    let moment = |when: Option<When>| when.map(|when| time::to_wire(when.resolve(options.time)));
    // Entity names have no capitals.
    let prefix = args.name.map(|name| format!("@{}@", name.to_lowercase())).or(args.prefix);
    let limit = if args.all { usize::MAX } else { usize::try_from(args.limit).unwrap_or(usize::MAX) };
    let mut list = printer.list();
    let mut token = None;
    loop {
        let left = i32::try_from((limit - list.printed()).min(PAGE as usize)).unwrap_or(i32::MAX);
        let query = wire::EntityQuery {
            instance_id_starts_with: prefix.clone(),
            last_modified_from: moment(args.since),
            last_modified_to: moment(args.until),
            include_state: args.state,
            include_transient: args.transient,
            page_size: Some(left),
            continuation_token: token,
        };
        let request = wire::QueryEntitiesRequest { query: Some(query) };
        let page = connection.call(connection.tasks().query_entities(request)).await?;
        let entities = page.entities.into_iter().map(|entity| Entity {
            entity_id: entity.instance_id,
            last_modified_time: time::from_wire(entity.last_modified_time),
            backlog_queue_size: u64::try_from(entity.backlog_queue_size).unwrap_or(0),
            locked_by: entity.locked_by,
            state: entity.serialized_state.map(Payload::new),
        });
        let entities: Vec<_> = entities.take(limit - list.printed()).collect();
        list.page(&entities)?;
        token = page.continuation_token.filter(|token| !token.is_empty());
        if token.is_none() || list.printed() >= limit {
            break;
        }
    }
    let printed = list.printed();
    list.end()?;
    if matches!(printer.format, Format::Table | Format::Wide) {
        match token {
            Some(_) => printer.note(format_args!("{printed} of more: --limit N or --all shows them")),
            None => printer.note(format_args!("{printed} in all")),
        }
    }
    Ok(Exit::Ok)
}

async fn get(args: Get, options: &Options) -> Result<Exit, Error> {
    let connection = options.connect().await?;
    let printer = options.printer();
    let request = management::GetEntityStatusRequest { id: args.id };
    let status = connection.call(connection.management().get_entity_status(request)).await?;
    let entity = Entity {
        entity_id: status.id,
        last_modified_time: time::from_wire(status.last_modified),
        backlog_queue_size: status.queue_length,
        locked_by: status.locked_by.map(|owner| owner.instance_id),
        state: status.state.map(Payload::new),
    };
    if !args.state {
        printer.one(&entity, entity.detail(printer.time))?;
    } else if let Some(state) = &entity.state {
        printer.line(state.text())?;
    }
    Ok(Exit::Ok)
}

async fn signal(args: Signal, options: &Options) -> Result<Exit, Error> {
    let input = match &args.data {
        Some(text) => Some(payload::read("--data", text, args.raw)?),
        None => None,
    };
    let at = args.at.map(|when| when.resolve(options.time)).or(args.after.map(time::after));
    let request = wire::SignalEntityRequest {
        instance_id: args.id.clone(),
        name: args.operation.clone(),
        input,
        request_id: uuid::Uuid::new_v4().to_string(),
        scheduled_time: at.map(time::to_wire),
        ..wire::SignalEntityRequest::default()
    };
    let connection = options.connect().await?;
    connection.call(connection.tasks().signal_entity(request)).await?;
    let line = format!("signaled {} {}", clean(&args.id), clean(&args.operation));
    let done = Signaled { entity_id: args.id };
    options.printer().one(&done, line)?;
    Ok(Exit::Ok)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Signaled {
    entity_id: String,
}

impl Item for Signaled {
    const COLUMNS: &'static [&'static str] = &["ENTITY"];
    const WIDE_FROM: usize = 1;

    fn id(&self) -> &str {
        &self.entity_id
    }

    fn row(&self, _: TimeStyle) -> Vec<Cell> {
        vec![Cell::new(clean(&self.entity_id))]
    }
}
