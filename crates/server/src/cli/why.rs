//! `strandline why`

use comfy_table::{Cell, Color};
use strandline_model::Timestamp;
use strandline_proto::management;

use super::connection::Connection;
use super::error::{Error, Exit};
use super::filter::Filter;
use super::options::Options;
use super::output::{Format, Item, Printer, clean, grouped, preview};
use super::time::{self, TimeStyle};
use crate::why::{Diagnosis, Severity, Value};

/// Says why an instance waits, and what to do about it; with --all, which instances are stuck.
///
/// The answer begins with a verdict: nobody registers a name, or not in this version; no worker is there; a
/// worker has it; an event, a timer, a lock, a sub-orchestration is waited for; it is suspended, was handed
/// out in vain, or waits in a queue. What the verdict rests on follows, then commands that may help. What an
/// orchestrator waits for is looked into: sub-orchestrations down to the last one, and who holds locks.
///
/// With --all the instances that are not over are looked at, the newest first, and those are listed whose
/// verdict is a warning or worse. That says nothing of an instance that changes meanwhile.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  strandline why order-1
  strandline why order-1 -o json | jq -r '.suggestions[].cli'
  strandline why --all
  strandline why --all --severity error --name Order -o id
  strandline why --all --until 1h --limit 500 -o jsonl")]
pub(crate) struct Args {
    /// The instance's id.
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    id: Option<String>,
    /// Lists instances that are stuck.
    #[arg(long)]
    all: bool,
    /// Leaves out what is less severe: info, warning or error.
    #[arg(
        long,
        value_enum,
        ignore_case = true,
        default_value = "warning",
        value_name = "SEVERITY",
        hide_possible_values = true,
        requires = "all"
    )]
    severity: Severity,
    /// How many to list at most.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..), requires = "all")]
    limit: u32,
    #[command(flatten)]
    filter: Filter,
}

pub(super) async fn run(args: Args, options: &Options) -> Result<Exit, Error> {
    let connection = options.connect().await?;
    let printer = options.printer();
    match &args.id {
        None => all(&connection, options, &printer, &args).await,
        Some(_) if !args.filter.is_empty() => {
            Err(Error::Argument { flag: "why", reason: "give either an instance id, or --all and filters" })
        }
        Some(id) => one(&connection, &printer, id).await,
    }
}

async fn one(connection: &Connection, printer: &Printer, id: &str) -> Result<Exit, Error> {
    let request = management::DiagnoseRequest { instance_id: id.to_owned() };
    let answer = connection.call(connection.management().diagnose(request)).await;
    let diagnosis = answer.map_err(|error| match error {
        Error::Refused(status) if status.code() == tonic::Code::NotFound && !is_of_hub(&status) => {
            Error::NoInstance { id: id.to_owned(), hub: connection.hub.clone() }
        }
        error => error,
    })?;
    let diagnosis = Diagnosis::from(diagnosis);
    printer.one(&diagnosis, detail(&diagnosis, printer.time))?;
    Ok(Exit::Ok)
}

/// The hub is not there, rather than the instance.
fn is_of_hub(status: &tonic::Status) -> bool {
    status.metadata().get("strandline-error").is_some_and(|kind| kind == "HubNotFound")
}

async fn all(
    connection: &Connection,
    options: &Options,
    printer: &Printer,
    args: &Args,
) -> Result<Exit, Error> {
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let filter = args.filter.to_wire(options.time);
    let mut list = printer.list();
    let mut examined = 0_u64;
    let mut token = None;
    // A page has more than fits.
    let mut is_cut = false;
    loop {
        let request = management::ListStuckRequest {
            filter: Some(filter.clone()),
            severity: management::Severity::from(args.severity) as i32,
            page_size: 0,
            continuation_token: token,
        };
        let page = connection.call(connection.management().list_stuck(request)).await?;
        examined += u64::from(page.examined);
        let items: Vec<_> = page.diagnoses.into_iter().map(Diagnosis::from).collect();
        let fitting = items.get(..limit - list.printed());
        is_cut |= fitting.is_some_and(|fitting| fitting.len() < items.len());
        list.page(fitting.unwrap_or(&items))?;
        token = page.continuation_token;
        if token.is_none() || list.printed() >= limit {
            break;
        }
    }
    let printed = list.printed();
    list.end()?;
    if matches!(printer.format, Format::Table | Format::Wide) {
        let (examined, hub) = (grouped(examined), &connection.hub);
        match (printed, token) {
            _ if is_cut => {
                printer.note(format_args!(
                    "{printed} of the newest {examined}, and more are stuck: --limit N shows more"
                ));
            }
            (0, _) => printer.note(format_args!("none of {examined} instances in task hub {hub:?} is stuck")),
            (_, None) => printer.note(format_args!("{printed} of {examined} that are not over")),
            (_, Some(_)) => {
                printer.note(format_args!("{printed} of the newest {examined}: --limit N shows more"));
            }
        }
        if printed > 0 {
            printer.note("`strandline why ID` tells more of one");
        }
    }
    Ok(Exit::Ok)
}

/// The verdict first, then what it rests on, then what to do.
fn detail(diagnosis: &Diagnosis, style: TimeStyle) -> String {
    let mut lines = Vec::new();
    let mut line = |title: &str, text: String| lines.push(format!("{title:<20}{text}"));
    line("Verdict", format!("{} ({})", clean(&diagnosis.summary), severity(diagnosis.severity)));
    line("Instance", clean(&diagnosis.instance_id));
    line("Name", clean(&diagnosis.name));
    line("Status", diagnosis.state.to_owned());
    if let Some(since) = shown(diagnosis.since, style) {
        line("Since", since);
    }
    if diagnosis.path.len() > 1 {
        let path: Vec<_> = diagnosis.path.iter().map(|id| clean(id)).collect();
        line("Path", path.join(" → "));
    }
    for (name, value) in &diagnosis.evidence.0 {
        let text = match value {
            Value::Text(text) => clean(text),
            Value::Time(at) => shown(Some(*at), style).unwrap_or_default(),
            Value::Count(count) => grouped(*count),
            Value::Number(number) => format!("{number:.1}"),
            Value::Texts(texts) => texts.iter().map(|text| clean(text)).collect::<Vec<_>>().join(", "),
        };
        line(&title(name), text);
    }
    // One alone is what the verdict says already.
    if diagnosis.waiting_on_total > 1 {
        lines.push(format!("\nWaits for {}:", grouped(u64::from(diagnosis.waiting_on_total))));
        for wait in diagnosis.waiting_on.iter().take(WAITS_SHOWN) {
            let kind = title(&wait.kind).to_lowercase();
            let what = [kind.as_str(), wait.name.as_str(), wait.id.as_deref().unwrap_or_default()];
            let what: Vec<_> = what.into_iter().filter(|text| !text.is_empty()).map(clean).collect();
            lines.push(format!("  {}: {}", what.join(" "), preview(&wait.summary, 100)));
        }
        let more = diagnosis.waiting_on_total.saturating_sub(WAITS_SHOWN as u32);
        if more > 0 {
            lines.push(format!("  and {} more", grouped(u64::from(more))));
        }
    }
    lines.push(String::new());
    for suggestion in &diagnosis.suggestions {
        lines.push(clean(&suggestion.text));
        lines.extend(suggestion.cli.as_ref().map(|cli| format!("    {}", clean(cli))));
    }
    lines.join("\n")
}

/// Open tasks that are shown of one instance: the answer fits a screen.
const WAITS_SHOWN: usize = 8;

fn shown(at: Option<Timestamp>, style: TimeStyle) -> Option<String> {
    let at = at?;
    let nanos = i32::try_from(at.nanos).ok()?;
    time::from_wire(Some(prost_types::Timestamp { seconds: at.seconds, nanos })).map(|at| style.show(at))
}

/// `leaseUntil` as `Lease until`.
fn title(name: &str) -> String {
    let mut title = String::new();
    for c in name.chars() {
        match c {
            c if title.is_empty() => title.push(c.to_ascii_uppercase()),
            c if c.is_ascii_uppercase() => {
                title.push(' ');
                title.push(c.to_ascii_lowercase());
            }
            c => title.push(c),
        }
    }
    title
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => "ok",
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

impl Item for Diagnosis {
    const COLUMNS: &'static [&'static str] =
        &["SEVERITY", "VERDICT", "ID", "SINCE", "SUMMARY", "NAME", "STATUS"];
    const WIDE_FROM: usize = 5;

    fn id(&self) -> &str {
        &self.instance_id
    }

    fn row(&self, style: TimeStyle) -> Vec<Cell> {
        let cell = Cell::new(severity(self.severity));
        vec![
            match self.severity {
                Severity::Error => cell.fg(Color::Red),
                Severity::Warning => cell.fg(Color::Yellow),
                Severity::Ok | Severity::Info => cell,
            },
            Cell::new(clean(&self.verdict)),
            Cell::new(clean(&self.instance_id)),
            Cell::new(shown(self.since, style).unwrap_or_default()),
            Cell::new(preview(&self.summary, 100)),
            Cell::new(clean(&self.name)),
            Cell::new(self.state),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_facts_are_read_as_words() {
        assert_eq!(title("leaseUntil"), "Lease until");
        assert_eq!(title("activity"), "Activity");
    }
}
