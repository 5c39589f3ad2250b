//! Histories as text: kept in files, replayed against code.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use strandline_model::{EventKind, ExecutionId, HistoryEvent, InstanceId, Timestamp};

use super::events;
use crate::error::{Context, Error, Result};
use crate::worker::RustWorker;

/// What happened to one execution of an orchestration, as a text that people can read and programs
/// can read back.
///
/// One event takes one line: the time since the beginning, the name of the event, the sequence id of
/// the action it records if it records one, and the rest as JSON.
///
/// Histories come from a hub, real or [`TestHub`](crate::TestHub), or from files. To learn whether a
/// change of the code breaks instances that run now, keep histories of such instances and replay them
/// in a test:
///
/// ```
/// use strandline::prelude::*;
/// use strandline::testing::History;
///
/// #[orchestrator]
/// async fn patience(ctx: OrchestrationContext) -> Result<()> {
///     ctx.timer(hours(1)).await
/// }
///
/// # async fn export(run: Instance<()>) -> Result<()> {
/// // In production, once:
/// std::fs::write("patience.history", History::from(run.history().await?).to_string())?;
/// # Ok(()) }
///
/// // In a test, after every change:
/// # let text = "Strandline history 1, begun 2026-01-01T00:00:00Z
/// # +0:00:00 OrchestratorStarted
/// # +0:00:00 ExecutionStarted {\"name\": \"patience\", \"instance_id\": \"a\", \
/// #     \"execution_id\": \"00000000000000000000000000000001\", \"input\": null, \"seed\": 1}
/// # +0:00:00 TimerCreated #0 {\"fire_at\": \"+1:00:00\"}
/// # +0:00:00 OrchestratorCompleted";
/// let worker = Registry::new().register(patience).build()?;
/// let history: History = text.parse()?;
/// history.replay(&worker)?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    events: Vec<Arc<HistoryEvent>>,
}

const HEAD: &str = "Strandline history 1, begun ";

impl History {
    /// The history in a file.
    ///
    /// # Errors
    /// When there is no such file, or when it holds something else; the text names file and line.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        text.parse::<Self>().with_context(|| format!("reading {}", path.display()))
    }

    /// Its events, in order.
    pub fn events(&self) -> &[Arc<HistoryEvent>] {
        &self.events
    }

    /// Runs the code of a worker over the history.
    ///
    /// # Errors
    /// When the code does not do what the history says it did: the error has the type
    /// `NonDeterminismError` and shows both sides. An instance with this history would fail with this
    /// error if the code were deployed.
    pub fn replay(&self, worker: &RustWorker) -> Result<()> {
        let started = self.events.iter().find_map(|event| match event.kind() {
            EventKind::ExecutionStarted(started) => Some(started),
            _ => None,
        });
        let started = started.context(
            "the history has no ExecutionStarted, so nobody knows what to run: export it from its beginning",
        )?;
        let execution = <[u8; 16]>::try_from(started.execution_id.as_slice()).map_or(0, u128::from_be_bytes);
        let instance = InstanceId::trusted(started.instance_id.as_str());
        let version = started.version.as_deref();
        let execution = worker.program.execution(instance, ExecutionId(execution), &started.name, version);
        let mut execution = execution.map_err(|failure| {
            Error::from_failure(failure).context(
                "the orchestrator of the history is not registered: register what serves it, its version included",
            )
        })?;
        execution.replay(&self.events);
        match execution.violation() {
            None => Ok(()),
            Some(failure) => Err(Error::from_failure(failure.clone())),
        }
    }
}

impl From<Vec<Arc<HistoryEvent>>> for History {
    fn from(events: Vec<Arc<HistoryEvent>>) -> Self {
        Self { events }
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begun = self.events.first().map_or(Timestamp::EPOCH, |event| event.timestamp);
        writeln!(f, "{HEAD}{}", begun.format(9).replace(".000000000", ""))?;
        for event in &self.events {
            write!(f, "{} {}", events::since(begun, event.timestamp), event.kind().name())?;
            if event.id >= 0 {
                write!(f, " #{}", event.id)?;
            }
            if let Some(fields) = events::write(event.kind(), begun) {
                write!(f, " {fields}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl FromStr for History {
    type Err = Error;

    /// Reads what `to_string` writes.
    fn from_str(text: &str) -> Result<Self> {
        let mut lines = text.lines().enumerate();
        let begun = lines.next().and_then(|(_, line)| line.strip_prefix(HEAD)?.trim().parse().ok());
        let Some(begun) = begun else {
            let text = format!("not a history of Strandline: the first line is not '{HEAD}' and a time");
            return Err(Error::new("InvalidHistory", text));
        };
        let mut events = Vec::new();
        for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let event = read_line(line, begun).map_err(|problem| {
                Error::new("InvalidHistory", format_args!("line {}: {problem}", index + 1))
            })?;
            events.push(Arc::new(event));
        }
        Ok(Self { events })
    }
}

fn read_line(line: &str, begun: Timestamp) -> Result<HistoryEvent, events::Problem> {
    let (time, rest) = line.split_once(' ').ok_or("an event is a time and a name")?;
    let time = events::after(begun, time).ok_or_else(|| format!("'{time}' is not a time like +72:00:00"))?;
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (id, fields) = match rest.strip_prefix('#') {
        None => (-1, rest),
        Some(rest) => {
            let (id, fields) = rest.split_once(' ').unwrap_or((rest, ""));
            (id.parse().map_err(|_| format!("'#{id}' is not a sequence id like #3"))?, fields)
        }
    };
    let fields = Some(fields.trim()).filter(|fields| !fields.is_empty());
    let kind = events::read(name, fields, begun).map_err(|problem| format!("{name}: {problem}"))?;
    Ok(HistoryEvent::of_action(id, time, kind))
}
