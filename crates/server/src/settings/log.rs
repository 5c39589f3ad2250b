//! What a server tells its operator.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Section `log`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How lines are written.
    pub format: LogFormat,
    /// What is logged: error, warn, info, debug or trace, or a list like `info,strandline::lifecycle=debug`. What
    /// becomes of instances is `info` of `strandline::lifecycle`, each of their steps `debug`.
    pub level: String,
    /// Whether inputs, outputs and reasons stand in the log, which they should not where they are personal.
    pub payloads: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: "warn".to_owned(), payloads: false }
    }
}

/// How lines of the log are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people on a terminal, as JSON otherwise.
    Auto,
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}
