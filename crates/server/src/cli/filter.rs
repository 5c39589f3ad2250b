//! Which instances are meant: by what they have in common.

use jiff::Timestamp;
use strandline_proto::management;

use super::instance::RuntimeStatus;
use super::time::{self, TimeStyle, When};

// No doc comment: clap would take it for that of the command.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Filters")]
pub(crate) struct Filter {
    /// Only these: pending, running, suspended, completed, failed, terminated or canceled.
    #[arg(
        long,
        value_enum,
        ignore_case = true,
        value_delimiter = ',',
        value_name = "STATUS,…",
        hide_possible_values = true,
        alias = "runtime-status"
    )]
    pub(super) status: Vec<RuntimeStatus>,
    /// Only those of this orchestrator.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Only those created since: a date, an RFC 3339 time, or a time ago like 1h.
    #[arg(long, value_name = "TIME", value_parser = time::when, alias = "created-after")]
    since: Option<When>,
    /// Only those created before: as --since.
    #[arg(long, value_name = "TIME", value_parser = time::when, alias = "created-before")]
    until: Option<When>,
    /// Only those with this tag; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag)]
    tag: Vec<(String, String)>,
    /// Only the direct sub-orchestrations of this instance.
    #[arg(long, value_name = "ID")]
    parent: Option<String>,
    /// Only those whose ids begin like this; they are listed by id.
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Only those that ended before; a flag of some verbs.
    #[arg(skip)]
    pub(super) completed_before: Option<Timestamp>,
}

impl Filter {
    /// It leaves nothing out.
    pub(super) fn is_empty(&self) -> bool {
        self.status.is_empty()
            && self.name.is_none()
            && self.since.is_none()
            && self.until.is_none()
            && self.tag.is_empty()
            && self.parent.is_none()
            && self.prefix.is_none()
            && self.completed_before.is_none()
    }

    pub(super) fn to_wire(&self, style: TimeStyle) -> management::InstanceFilter {
        let time = |when: Option<When>| when.map(|when| time::to_wire(when.resolve(style)));
        management::InstanceFilter {
            statuses: self.status.iter().map(|status| status.to_wire()).collect(),
            name: self.name.clone(),
            created_from: time(self.since),
            created_to: time(self.until),
            completed_from: None,
            completed_to: self.completed_before.map(time::to_wire),
            id_prefix: self.prefix.clone(),
            tags: self.tag.iter().cloned().collect(),
            parent: self.parent.clone(),
        }
    }
}

/// Reads `key=value`.
pub(super) fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("give KEY=VALUE".to_owned()),
    }
}
