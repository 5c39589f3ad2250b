//! What a verb is done to: one instance, several, or all that a filter finds.

use futures::stream::{self, StreamExt as _};
use serde::Serialize;
use strandline_proto::management;

use super::confirm::Consent;
use super::connection::Connection;
use super::error::{Error, Exit};
use super::filter::Filter;
use super::instance::{Instance, RuntimeStatus};
use super::options::Options;
use super::output::{Format, Item, List, Printer, clean, grouped};

/// Most instances one command is done to; their ids are kept until it is done.
const TARGETS_MAX: usize = 1_000_000;
/// The most that servers give at once.
pub(super) const PAGE: u32 = 1_000;
/// Calls under way at the same time.
const AT_ONCE: usize = 16;

// No doc comment: clap would take it for that of the command.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Targets {
    /// Instance ids; instead of ids there may be filters.
    #[arg(value_name = "ID")]
    pub(super) ids: Vec<String>,
    /// Everything in the hub that it can be done to.
    #[arg(long)]
    all: bool,
    /// Only shows what it would be done to.
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Does not ask, however many they are.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    pub(super) filter: Filter,
}

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verb {
    /// `terminate`
    pub(super) name: &'static str,
    /// `terminated`
    pub(super) done: &'static str,
    /// Instances that it makes sense for.
    pub(super) statuses: &'static [RuntimeStatus],
}

/// Instances that were chosen.
pub(super) enum Chosen {
    /// One, by its id.
    One(String),
    Many(Vec<String>),
    /// They were only to be shown.
    Shown,
}

impl Targets {
    /// Refuses what makes no sense, before a server is asked.
    pub(super) fn check(&self, verb: Verb) -> Result<(), Error> {
        if self.ids.is_empty() != (self.all || !self.filter.is_empty()) {
            let reason = "give either instance ids, or filters, or --all";
            return Err(Error::Argument { flag: verb.name, reason });
        }
        match self.filter.status.iter().all(|status| verb.statuses.contains(status)) {
            true => Ok(()),
            false => {
                let reason = "instances in this status can't be meant: see `strandline help` about this verb";
                Err(Error::Argument { flag: "--status", reason })
            }
        }
    }

    /// Finds what is meant, and asks whether it may be done.
    pub(super) async fn choose(
        self,
        connection: &Connection,
        options: &Options,
        verb: Verb,
    ) -> Result<Chosen, Error> {
        let printer = options.printer();
        let consent = Consent::given(self.yes);
        if self.ids.is_empty() {
            let mut filter = self.filter.to_wire(options.time);
            if filter.statuses.is_empty() {
                filter.statuses = verb.statuses.iter().map(|status| status.to_wire()).collect();
            }
            let Some(ids) = find(connection, &printer, filter, self.dry_run).await? else {
                return Ok(Chosen::Shown);
            };
            return confirmed(ids, verb, consent).await.map(Chosen::Many);
        }
        if self.dry_run {
            let mut list = printer.list();
            for id in &self.ids {
                list.page(&[Instance::new(connection.instance(id).await?)])?;
            }
            list.end()?;
            return Ok(Chosen::Shown);
        }
        match <[String; 1]>::try_from(self.ids) {
            Ok([id]) => Ok(Chosen::One(id)),
            Err(ids) => confirmed(ids, verb, consent).await.map(Chosen::Many),
        }
    }

    /// Does something to each of them.
    pub(super) async fn each<A, F>(self, options: &Options, verb: Verb, act: A) -> Result<Exit, Error>
    where
        A: Fn(Connection, String) -> F,
        F: Future<Output = Result<Done, Error>>,
    {
        self.check(verb)?;
        let connection = options.connect().await?;
        let printer = options.printer();
        let ids = match self.choose(&connection, options, verb).await? {
            Chosen::Shown => return Ok(Exit::Ok),
            Chosen::One(id) => {
                let done = act(connection, id).await?;
                printer.one(&done, done.line(verb))?;
                return Ok(Exit::Ok);
            }
            Chosen::Many(ids) => ids,
        };
        let of = ids.len();
        let mut failed = 0;
        let mut list = printer.list();
        let mut acts = std::pin::pin!(
            stream::iter(ids)
                .map(|id| {
                    let doing = act(connection.clone(), id.clone());
                    async move { doing.await.map_err(|error| (id, error)) }
                })
                .buffered(AT_ONCE)
        );
        while let Some(acted) = acts.next().await {
            match acted {
                Ok(done) => report_one(&printer, &mut list, done)?,
                Err((_, error @ (Error::Unreachable { .. } | Error::NoAnswer { .. }))) => return Err(error),
                Err((id, error)) => {
                    failed += 1;
                    printer.note(format_args!("{}: {error}", clean(&id)));
                }
            }
        }
        summary(&printer, list, verb, of, failed)
    }
}

/// In tables the number of them is enough.
pub(super) fn report_one(printer: &Printer, list: &mut List<'_, Done>, done: Done) -> Result<(), Error> {
    match printer.format {
        Format::Table => Ok(()),
        _ => list.page(&[done]),
    }
}

pub(super) fn summary(
    printer: &Printer,
    list: List<'_, Done>,
    verb: Verb,
    of: usize,
    failed: usize,
) -> Result<Exit, Error> {
    list.end()?;
    if printer.format == Format::Table {
        printer.line(format_args!("{} {}", verb.done, count(of - failed)))?;
    }
    if failed > 0 {
        return Err(Error::Partly { failed, of, done: verb.done });
    }
    Ok(Exit::Ok)
}

/// All that a filter finds, by id; `None`: they were printed instead.
async fn find(
    connection: &Connection,
    printer: &Printer,
    filter: management::InstanceFilter,
    dry_run: bool,
) -> Result<Option<Vec<String>>, Error> {
    let mut ids = Vec::new();
    let mut list = printer.list();
    let mut token = None;
    loop {
        let request = management::ListInstancesRequest {
            filter: Some(filter.clone()),
            with_payloads: false,
            page_size: PAGE,
            continuation_token: token,
        };
        let page = connection.call(connection.management().list_instances(request)).await?;
        if dry_run {
            let items: Vec<_> = page.instances.into_iter().map(Instance::new).collect();
            list.page(&items)?;
        } else {
            ids.extend(page.instances.into_iter().map(|state| state.instance_id));
        }
        if ids.len() > TARGETS_MAX {
            return Err(Error::TooMany { limit: TARGETS_MAX });
        }
        token = page.continuation_token;
        if token.is_none() {
            break;
        }
    }
    if dry_run {
        printer.note(format_args!("{} would be touched", count(list.printed())));
        list.end()?;
        return Ok(None);
    }
    Ok(Some(ids))
}

async fn confirmed(ids: Vec<String>, verb: Verb, consent: Consent) -> Result<Vec<String>, Error> {
    if !ids.is_empty() {
        consent.obtain(format!("{} {}", verb.name, count(ids.len()))).await?;
    }
    Ok(ids)
}

fn count(number: usize) -> String {
    match number {
        1 => "1 instance".to_owned(),
        n => format!("{} instances", grouped(u64::try_from(n).unwrap_or(u64::MAX))),
    }
}

/// One instance that it was done to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Done {
    instance_id: String,
    /// The instance that began because of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    new_instance_id: Option<String>,
}

impl Done {
    pub(super) fn to(instance_id: String) -> Self {
        Self { instance_id, new_instance_id: None }
    }

    /// Another instance began.
    pub(super) fn began(instance_id: String, new: String) -> Self {
        Self { instance_id, new_instance_id: Some(new) }
    }

    pub(super) fn line(&self, verb: Verb) -> String {
        match &self.new_instance_id {
            Some(new) => format!("{} {} as {}", verb.done, clean(&self.instance_id), clean(new)),
            None => format!("{} {}", verb.done, clean(&self.instance_id)),
        }
    }
}

impl Item for Done {
    const COLUMNS: &'static [&'static str] = &["ID", "NEW ID"];
    const WIDE_FROM: usize = 2;

    fn id(&self) -> &str {
        self.new_instance_id.as_deref().unwrap_or(&self.instance_id)
    }

    fn row(&self, _: super::time::TimeStyle) -> Vec<comfy_table::Cell> {
        let new = self.new_instance_id.as_deref().unwrap_or_default();
        vec![clean(&self.instance_id).into(), clean(new).into()]
    }
}

/// The instance, if it is not over.
pub(super) async fn live(connection: &Connection, id: &str) -> Result<(), Error> {
    let status = RuntimeStatus::of(&connection.instance(id).await?);
    match status.is_over() {
        true => Err(Error::Over { id: id.to_owned(), status }),
        false => Ok(()),
    }
}
