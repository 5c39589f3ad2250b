//! `strandline list`

use strandline_proto::management;

use super::error::{Error, Exit};
use super::filter::Filter;
use super::instance::Instance;
use super::options::Options;
use super::output::{Format, grouped};
use super::targets::PAGE;

/// Lists instances, the newest first.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  strandline list --status failed --since 1h
  strandline list --name Order --tag customer=42 --time relative
  strandline list --status running --all -o id | xargs -n 100 strandline terminate -y
  strandline list --count --status pending,running
  strandline list --since 2026-11-20 --all -o jsonl > instances.jsonl")]
pub(crate) struct Args {
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..), alias = "top")]
    limit: u32,
    /// All of them, page by page.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Prints only how many there are.
    #[arg(long, conflicts_with_all = ["limit", "all"])]
    count: bool,
    /// Also fetches input, output and custom status, for JSON.
    #[arg(long)]
    payloads: bool,
    #[command(flatten)]
    filter: Filter,
}

pub(super) async fn run(args: Args, options: &Options) -> Result<Exit, Error> {
    let connection = options.connect().await?;
    let printer = options.printer();
    let filter = args.filter.to_wire(options.time);
    let count = async |filter| {
        let request = management::CountInstancesRequest { filter: Some(filter) };
        connection.call(connection.management().count_instances(request)).await.map(|answer| answer.count)
    };
    if args.count {
        let count = count(filter).await?;
        match printer.format {
            Format::Json | Format::Jsonl => printer.line(serde_json::json!({ "count": count }))?,
            Format::Table | Format::Wide | Format::Id => printer.line(count)?,
        }
        return Ok(Exit::Ok);
    }
    let limit = if args.all { usize::MAX } else { usize::try_from(args.limit).unwrap_or(usize::MAX) };
    let mut list = printer.list();
    let mut token = None;
    loop {
        let left = u32::try_from(limit - list.printed()).unwrap_or(u32::MAX);
        let request = management::ListInstancesRequest {
            filter: Some(filter.clone()),
            with_payloads: args.payloads,
            page_size: left.min(PAGE),
            continuation_token: token,
        };
        let page = connection.call(connection.management().list_instances(request)).await?;
        let items: Vec<_> = page.instances.into_iter().map(Instance::new).collect();
        list.page(items.get(..items.len().min(limit - list.printed())).unwrap_or_default())?;
        token = page.continuation_token;
        if token.is_none() || list.printed() >= limit {
            break;
        }
    }
    let printed = list.printed();
    list.end()?;
    if matches!(printer.format, Format::Table | Format::Wide) {
        let shown = grouped(u64::try_from(printed).unwrap_or(u64::MAX));
        match (printed, token) {
            (0, _) => printer.note(format_args!("no instances in task hub {:?} match", connection.hub)),
            (_, None) => printer.note(format_args!("{shown} in all")),
            (_, Some(_)) => {
                let all = grouped(count(filter).await?);
                printer.note(format_args!("{shown} of {all}: --limit N or --all shows more"));
            }
        }
    }
    Ok(Exit::Ok)
}
