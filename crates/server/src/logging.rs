//! What the program writes to its log, and how: as lines for people on a terminal, as JSON otherwise.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use parking_lot::Mutex;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Layered, SubscriberExt as _};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::settings::{Log, LogFormat};

/// Says what is logged whatever the configuration says.
const VARIABLE: &str = "STRANDLINE_LOG";
/// Bytes of a filter.
const FILTER_BYTES_MAX: usize = 4096;
/// What these say in detail holds what passes through connections, keys included.
const CONNECTIONS: [&str; 8] = ["h2", "hyper", "hyper_util", "tonic", "tower", "rustls", "reqwest", "axum"];

type Filtered = Layered<reload::Layer<EnvFilter, Registry>, Registry>;
type Writer = Box<dyn Layer<Filtered> + Send + Sync>;

/// The log of the process, once there is one.
static CONTROL: OnceLock<LogControl> = OnceLock::new();

/// Changes the log of the process while it runs.
struct LogControl {
    filter: Handle<EnvFilter, Registry>,
    writer: Handle<Writer, Filtered>,
    /// What was said last of what is logged.
    level: Mutex<String>,
}

/// Why the log stays as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LogError {
    #[error("log.level {0:?} is no filter: give error, warn, info, debug or trace, or TARGET=LEVEL,…")]
    Filter(String),
    #[error("this process has another log than its own")]
    NotOurs,
}

/// Begins the log of the process: warnings, or what the variable says, for people. For `main`; servers are
/// configured later.
pub fn install() {
    let level = std::env::var(VARIABLE).unwrap_or_else(|_| Log::default().level);
    let (filter, level) = match filter(&level) {
        Ok(filter) => (filter, level),
        Err(error) => {
            eprintln!("warning: {VARIABLE}: {error}");
            (EnvFilter::new("warn"), "warn".to_owned())
        }
    };
    let (filter, filter_handle) = reload::Layer::new(filter);
    let (writer, writer_handle) = reload::Layer::new(writer(LogFormat::Pretty));
    let began = Registry::default().with(filter).with(writer).try_init();
    if began.is_ok() {
        let control = LogControl { filter: filter_handle, writer: writer_handle, level: Mutex::new(level) };
        let _ = CONTROL.set(control);
    }
}

/// Has the log as the configuration wants it.
pub(crate) fn configure(log: &Log) -> Result<(), LogError> {
    let Some(control) = CONTROL.get() else { return filter(&log.level).map(drop) };
    control.writer.reload(writer(log.format)).map_err(|_| LogError::NotOurs)?;
    if std::env::var_os(VARIABLE).is_none() { set_level(&log.level) } else { Ok(()) }
}

/// Changes what is logged from now on.
pub(crate) fn set_level(level: &str) -> Result<(), LogError> {
    let parsed = filter(level)?;
    let control = CONTROL.get().ok_or(LogError::NotOurs)?;
    // Held meanwhile, so that two who change it at a time leave what one of them said.
    let mut said = control.level.lock();
    control.filter.reload(parsed).map_err(|_| LogError::NotOurs)?;
    level.clone_into(&mut said);
    Ok(())
}

/// What is logged now.
pub(crate) fn level() -> Result<String, LogError> {
    Ok(CONTROL.get().ok_or(LogError::NotOurs)?.level.lock().clone())
}

/// Whether this says what to log.
pub(crate) fn is_filter(level: &str) -> bool {
    filter(level).is_ok()
}

/// `LEVEL`, or a list of it and of `TARGET=LEVEL`.
fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let wrong = || LogError::Filter(level.chars().take(200).collect());
    if level.trim().is_empty() || level.len() > FILTER_BYTES_MAX {
        return Err(wrong());
    }
    let mut kept: Vec<String> = Vec::new();
    for part in level.split(',').map(str::trim) {
        let (target, level) = part.split_once('=').unwrap_or(("", part));
        level.trim().parse::<LevelFilter>().map_err(|_| wrong())?;
        // Directives for spans would go before those for the crates below.
        if target.contains(['[', '{']) {
            return Err(wrong());
        }
        let crate_of = target.trim().split(':').next().unwrap_or_default();
        if !CONNECTIONS.contains(&crate_of) {
            kept.push(part.to_owned());
        }
    }
    kept.extend(CONNECTIONS.map(|target| format!("{target}=warn")));
    EnvFilter::builder().parse(kept.join(",")).map_err(|_| wrong())
}

fn writer(format: LogFormat) -> Writer {
    let to_terminal = std::io::stderr().is_terminal();
    let layer = fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Json => {
            layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
        LogFormat::Auto if !to_terminal => writer(LogFormat::Json),
        LogFormat::Pretty | LogFormat::Auto => layer.with_ansi(to_terminal).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        for level in ["warn", "info,strandline::lifecycle=debug", "off", "trace"] {
            assert!(filter(level).is_ok(), "{level}");
        }
        for level in ["", " ", "loud", "a=b=c", "a[b]", "h2[x]=trace", "h2[{y}]=trace", &"a".repeat(10_000)] {
            assert!(matches!(filter(level), Err(LogError::Filter(_))), "{level}");
        }
        for level in ["trace,h2::codec=trace", "h2:=trace"] {
            let shown = filter(level).map(|filter| filter.to_string()).unwrap_or_default();
            assert!(shown.contains("h2=warn") && !shown.contains("h2:"), "{shown}");
        }
    }
}
