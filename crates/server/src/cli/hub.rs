//! `strandline hub`

use clap::Subcommand;
use comfy_table::Cell;
use serde::Serialize;
use strandline_proto::{management, wire};

use super::With;
use super::confirm::Consent;
use super::error::{Error, Exit};
use super::options::Options;
use super::output::{Item, clean, grouped};
use super::time::TimeStyle;

#[derive(Subcommand)]
pub(crate) enum Command {
    #[command(visible_alias = "ls")]
    List(With<List>),
    Create(With<Create>),
    Delete(With<Delete>),
}

impl Command {
    pub(super) fn options(&self) -> &Options {
        match self {
            Self::List(With { options, .. })
            | Self::Create(With { options, .. })
            | Self::Delete(With { options, .. }) => options,
        }
    }
}

/// Lists the task hubs of the server.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  strandline hub list
  strandline hub list -o id")]
pub(crate) struct List {}

/// Makes a task hub.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  strandline hub create orders
  strandline start HelloCities --hub orders")]
pub(crate) struct Create {
    /// Its name: 1 to 64 of A-Z a-z 0-9 _ -
    #[arg(value_name = "NAME")]
    name: String,
}

/// Deletes a task hub with all that is in it: instances, histories, entities. It can't be brought back.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  strandline hub delete orders
  strandline hub delete orders -y")]
pub(crate) struct Delete {
    /// Its name.
    #[arg(value_name = "NAME")]
    name: String,
    /// Does not ask.
    #[arg(short, long)]
    yes: bool,
}

#[derive(Serialize)]
struct Hub {
    name: String,
    partitions: u32,
    running: u32,
}

impl Item for Hub {
    const COLUMNS: &'static [&'static str] = &["NAME", "PARTITIONS", "RUNNING"];
    const WIDE_FROM: usize = 3;

    fn id(&self) -> &str {
        &self.name
    }

    fn row(&self, _: TimeStyle) -> Vec<Cell> {
        vec![Cell::new(clean(&self.name)), Cell::new(self.partitions), Cell::new(self.running)]
    }
}

#[derive(Serialize)]
struct Named {
    name: String,
}

impl Item for Named {
    const COLUMNS: &'static [&'static str] = &["NAME"];
    const WIDE_FROM: usize = 1;

    fn id(&self) -> &str {
        &self.name
    }

    fn row(&self, _: TimeStyle) -> Vec<Cell> {
        vec![Cell::new(clean(&self.name))]
    }
}

pub(super) async fn run(command: Command) -> Result<Exit, Error> {
    match command {
        Command::List(With { options, .. }) => list(&options).await,
        Command::Create(With { args, options }) => create(args, &options).await,
        Command::Delete(With { args, options }) => delete(args, &options).await,
    }
}

async fn list(options: &Options) -> Result<Exit, Error> {
    let connection = options.connect().await?;
    let printer = options.printer();
    let request = management::ListHubsRequest {};
    let answer = connection.call(connection.management().list_hubs(request)).await?;
    let hubs = answer.hubs.into_iter();
    let hubs: Vec<_> =
        hubs.map(|hub| Hub { name: hub.name, partitions: hub.partitions, running: hub.running }).collect();
    let mut list = printer.list();
    list.page(&hubs)?;
    list.end()?;
    Ok(Exit::Ok)
}

async fn create(args: Create, options: &Options) -> Result<Exit, Error> {
    let connection = options.connect_to(&args.name).await?;
    let request = wire::CreateTaskHubRequest { recreate_if_exists: false };
    connection.call(connection.tasks().create_task_hub(request)).await?;
    let line = format!("created task hub {}", clean(&args.name));
    options.printer().one(&Named { name: args.name }, line)?;
    Ok(Exit::Ok)
}

pub(super) async fn delete(args: Delete, options: &Options) -> Result<Exit, Error> {
    let connection = options.connect_to(&args.name).await?;
    let consent = Consent::given(args.yes);
    if consent == Consent::Ask {
        // Servers may make a hub when somebody asks for what is in it.
        let hubs = connection.call(connection.management().list_hubs(management::ListHubsRequest {})).await?;
        let known = hubs.hubs.iter().any(|hub| hub.name == args.name);
        let what = match known {
            true => {
                let request = management::CountInstancesRequest { filter: None };
                let answer = connection.call(connection.management().count_instances(request)).await?;
                format!("delete task hub {} with {} instances", clean(&args.name), grouped(answer.count))
            }
            false => return Err(Error::NoHub { name: args.name }),
        };
        consent.obtain(what).await?;
    }
    connection.call(connection.tasks().delete_task_hub(wire::DeleteTaskHubRequest {})).await?;
    let line = format!("deleted task hub {}", clean(&args.name));
    options.printer().one(&Named { name: args.name }, line)?;
    Ok(Exit::Ok)
}
