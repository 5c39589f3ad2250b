//! `strandline worker`

use clap::Subcommand;
use comfy_table::Cell;
use jiff::Timestamp;
use serde::Serialize;
use strandline_proto::management;

use super::With;
use super::error::{Error, Exit};
use super::output::{Format, Item, clean, preview};
use super::time::{self, TimeStyle};

#[derive(Subcommand)]
pub(crate) enum Command {
    #[command(visible_alias = "ls")]
    List(With<List>),
}

/// Lists the workers that are connected to the hub, what they serve, and how busy they are.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  strandline worker list
  strandline worker list -o json | jq '.[].activities.names[].name'")]
pub(crate) struct List {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Worker {
    worker_id: String,
    task_hub: String,
    sdk: String,
    sdk_version: String,
    connected_since: Option<Timestamp>,
    peer: String,
    orchestrators: Service,
    activities: Service,
    entities: Service,
}

/// What it does of one kind of work.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    /// It serves every name.
    all: bool,
    names: Vec<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity: Option<u32>,
    in_flight: u32,
}

#[derive(Serialize)]
struct Name {
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    versions: Vec<String>,
}

impl Service {
    fn new(service: Option<management::Service>) -> Self {
        let service = service.unwrap_or_default();
        let names = service.names.into_iter();
        Self {
            all: service.all,
            names: names.map(|n| Name { name: n.name, versions: n.versions }).collect(),
            capacity: service.capacity,
            in_flight: service.in_flight,
        }
    }

    /// `2/100 Order, Pay`
    fn cell(&self) -> Cell {
        let capacity = self.capacity.map(|capacity| format!("/{capacity}")).unwrap_or_default();
        let names: Vec<_> = self.names.iter().map(|name| name.name.as_str()).collect();
        match (self.all, names.is_empty()) {
            (true, _) => Cell::new(format!("{}{capacity} all", self.in_flight)),
            (false, true) => Cell::new("-"),
            (false, false) => {
                Cell::new(format!("{}{capacity} {}", self.in_flight, preview(&names.join(", "), 60)))
            }
        }
    }
}

impl Item for Worker {
    const COLUMNS: &'static [&'static str] =
        &["WORKER", "SDK", "SINCE", "ORCHESTRATORS", "ACTIVITIES", "ENTITIES", "PEER"];
    const WIDE_FROM: usize = 6;

    fn id(&self) -> &str {
        &self.worker_id
    }

    fn row(&self, style: TimeStyle) -> Vec<Cell> {
        vec![
            Cell::new(clean(&self.worker_id)),
            Cell::new(clean(format!("{} {}", self.sdk, self.sdk_version).trim())),
            Cell::new(self.connected_since.map(|t| style.show(t)).unwrap_or_default()),
            self.orchestrators.cell(),
            self.activities.cell(),
            self.entities.cell(),
            Cell::new(clean(&self.peer)),
        ]
    }
}

pub(super) async fn run(command: Command) -> Result<Exit, Error> {
    let Command::List(With { options, .. }) = command;
    let connection = options.connect().await?;
    let printer = options.printer();
    let request = management::ListWorkersRequest {};
    let answer = connection.call(connection.management().list_workers(request)).await?;
    let workers = answer.workers.into_iter();
    let workers: Vec<_> = workers
        .map(|worker| Worker {
            worker_id: worker.id,
            task_hub: worker.hub,
            sdk: worker.sdk,
            sdk_version: worker.sdk_version,
            connected_since: time::from_wire(worker.connected_since),
            peer: worker.peer,
            orchestrators: Service::new(worker.orchestrators),
            activities: Service::new(worker.activities),
            entities: Service::new(worker.entities),
        })
        .collect();
    let mut list = printer.list();
    list.page(&workers)?;
    list.end()?;
    if workers.is_empty() && matches!(printer.format, Format::Table | Format::Wide) {
        printer.note(format_args!("no worker is connected to task hub {:?}", connection.hub));
    }
    Ok(Exit::Ok)
}
