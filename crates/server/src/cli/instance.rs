//! Instances, as they are shown.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use comfy_table::{Attribute, Cell, Color};
use jiff::Timestamp;
use serde::Serialize;
use strandline_proto::wire;
use strandline_proto::wire::OrchestrationStatus as Wire;

use super::error::{Error, Exit};
use super::output::{Format, Item, Printer, clean, grouped, preview};
use super::payload::Payload;
use super::time::{self, TimeStyle};

/// Characters of a payload that are shown unless it is asked for alone.
const PAYLOAD_SHOWN: usize = 1_000;

/// Where an instance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
pub(crate) enum RuntimeStatus {
    Pending,
    Running,
    Suspended,
    Completed,
    Failed,
    Terminated,
    Canceled,
}

impl RuntimeStatus {
    pub(super) const LIVE: &'static [Self] = &[Self::Pending, Self::Running, Self::Suspended];
    pub(super) const OVER: &'static [Self] =
        &[Self::Completed, Self::Failed, Self::Terminated, Self::Canceled];

    pub(super) fn of(state: &wire::OrchestrationState) -> Self {
        match state.orchestration_status() {
            Wire::Pending => Self::Pending,
            // An instance that goes on with a new execution is running.
            Wire::Running | Wire::ContinuedAsNew => Self::Running,
            Wire::Suspended => Self::Suspended,
            Wire::Completed => Self::Completed,
            Wire::Failed => Self::Failed,
            Wire::Terminated => Self::Terminated,
            Wire::Canceled => Self::Canceled,
        }
    }

    pub(super) fn to_wire(self) -> i32 {
        let status = match self {
            Self::Pending => Wire::Pending,
            Self::Running => Wire::Running,
            Self::Suspended => Wire::Suspended,
            Self::Completed => Wire::Completed,
            Self::Failed => Wire::Failed,
            Self::Terminated => Wire::Terminated,
            Self::Canceled => Wire::Canceled,
        };
        status as i32
    }

    pub(super) fn is_over(self) -> bool {
        Self::OVER.contains(&self)
    }

    /// What a command that waited for it ends with.
    pub(super) fn exit(self) -> Exit {
        match self {
            Self::Failed => Exit::Failed,
            Self::Terminated | Self::Canceled => Exit::Terminated,
            Self::Pending | Self::Running | Self::Suspended | Self::Completed => Exit::Ok,
        }
    }

    fn cell(self) -> Cell {
        let cell = Cell::new(self);
        match self {
            Self::Pending => cell.fg(Color::DarkGrey),
            Self::Running => cell.fg(Color::Cyan),
            Self::Suspended => cell.fg(Color::Yellow),
            Self::Completed => cell.fg(Color::Green),
            Self::Failed => cell.fg(Color::Red).add_attribute(Attribute::Bold),
            Self::Terminated | Self::Canceled => cell.fg(Color::Magenta),
        }
    }
}

impl fmt::Display for RuntimeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Why something failed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Failure {
    error_type: String,
    error_message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stack_trace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inner_failure: Option<Box<Failure>>,
    is_non_retriable: bool,
}

impl Failure {
    pub(super) fn new(details: wire::TaskFailureDetails) -> Self {
        Self {
            error_type: details.error_type,
            error_message: details.error_message,
            stack_trace: details.stack_trace,
            inner_failure: details.inner_failure.map(|inner| Box::new(Self::new(*inner))),
            is_non_retriable: details.is_non_retriable,
        }
    }

    /// On one line.
    pub(super) fn line(&self) -> String {
        match self.error_type.as_str() {
            "" => clean(&self.error_message),
            kind => format!("{}: {}", clean(kind), clean(&self.error_message)),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Instance {
    pub(super) instance_id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    pub(super) runtime_status: RuntimeStatus,
    created_time: Option<Timestamp>,
    last_updated_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_start_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_instance_id: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) input: Option<Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) custom_status: Option<Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_details: Option<Failure>,
}

impl Instance {
    pub(super) fn new(state: wire::OrchestrationState) -> Self {
        Self {
            runtime_status: RuntimeStatus::of(&state),
            instance_id: state.instance_id,
            name: state.name,
            version: state.version,
            created_time: time::from_wire(state.created_timestamp),
            last_updated_time: time::from_wire(state.last_updated_timestamp),
            completed_time: time::from_wire(state.completed_timestamp),
            scheduled_start_time: time::from_wire(state.scheduled_start_timestamp),
            execution_id: state.execution_id,
            parent_instance_id: state.parent_instance_id,
            tags: state.tags.into_iter().collect(),
            input: state.input.map(Payload::new),
            output: state.output.map(Payload::new),
            custom_status: state.custom_status.map(Payload::new),
            failure_details: state.failure_details.map(Failure::new),
        }
    }

    /// How long it took, if it is over.
    fn took(&self) -> Option<Duration> {
        let took = self.completed_time?.duration_since(self.created_time?);
        Some(Duration::try_from(took).unwrap_or_default())
    }

    /// All about it, a line for each thing.
    pub(super) fn detail(&self, style: TimeStyle) -> String {
        let mut lines = Vec::new();
        let mut line = |title: &str, text: String| lines.push(format!("{title:<12}{text}"));
        let took = self.took().map(|took| format!(" after {}", time::coarse(took))).unwrap_or_default();
        line("Instance", clean(&self.instance_id));
        line("Name", self.shown_name());
        line("Status", format!("{}{took}", self.runtime_status));
        let times = [
            ("Created", self.created_time),
            ("Starts", self.scheduled_start_time),
            ("Updated", self.last_updated_time),
            ("Completed", self.completed_time),
        ];
        for (title, time) in times {
            if let Some(time) = time {
                line(title, style.show(time));
            }
        }
        for (title, text) in [("Execution", &self.execution_id), ("Parent", &self.parent_instance_id)] {
            if let Some(text) = text {
                line(title, clean(text));
            }
        }
        for (key, value) in &self.tags {
            line("Tag", format!("{}={}", clean(key), clean(value)));
        }
        let payloads = [("Input", &self.input), ("Custom", &self.custom_status), ("Output", &self.output)];
        for (title, payload) in payloads {
            if let Some(payload) = payload {
                line(title, shown_payload(payload, &title.to_lowercase()));
            }
        }
        let mut failure = self.failure_details.as_ref();
        let mut title = "Failure";
        while let Some(one) = failure {
            line(title, one.line());
            for frame in one.stack_trace.iter().flat_map(|trace| trace.lines()).take(20) {
                line("", format!("  {}", clean(frame)));
            }
            failure = one.inner_failure.as_deref();
            title = "Caused by";
        }
        lines.join("\n")
    }

    fn shown_name(&self) -> String {
        match self.version.as_deref() {
            Some(version) if !version.is_empty() => format!("{} ({})", clean(&self.name), clean(version)),
            _ => clean(&self.name),
        }
    }
}

fn shown_payload(payload: &Payload, name: &str) -> String {
    let text = payload.text();
    let count = text.chars().count();
    if count <= PAYLOAD_SHOWN {
        return clean(text);
    }
    let flag = if name == "custom" { "custom-status" } else { name };
    let all = grouped(u64::try_from(count).unwrap_or(u64::MAX));
    format!("{} ({all} characters: --{flag} prints all)", preview(text, PAYLOAD_SHOWN))
}

impl Item for Instance {
    const COLUMNS: &'static [&'static str] =
        &["STATUS", "NAME", "ID", "CREATED", "TOOK", "UPDATED", "VERSION", "PARENT", "TAGS"];
    const WIDE_FROM: usize = 5;

    fn id(&self) -> &str {
        &self.instance_id
    }

    fn row(&self, style: TimeStyle) -> Vec<Cell> {
        let time = |time: Option<Timestamp>| Cell::new(time.map(|t| style.show(t)).unwrap_or_default());
        let text = |text: &Option<String>| Cell::new(clean(text.as_deref().unwrap_or_default()));
        let tags: Vec<String> =
            self.tags.iter().map(|(key, value)| format!("{}={}", clean(key), clean(value))).collect();
        vec![
            self.runtime_status.cell(),
            Cell::new(clean(&self.name)),
            Cell::new(clean(&self.instance_id)),
            time(self.created_time),
            Cell::new(self.took().map(time::coarse).unwrap_or_default()),
            time(self.last_updated_time),
            text(&self.version),
            text(&self.parent_instance_id),
            Cell::new(tags.join(",")),
        ]
    }
}

/// Prints what became of an instance that was waited for.
pub(super) fn outcome(printer: &Printer, state: wire::OrchestrationState) -> Result<Exit, Error> {
    let instance = Instance::new(state);
    let text = match printer.format {
        Format::Table | Format::Wide => instance.detail(printer.time),
        _ => String::new(),
    };
    printer.one(&instance, text)?;
    Ok(instance.runtime_status.exit())
}
