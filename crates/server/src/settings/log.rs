//! What a server tells its operator.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Section `log`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Whether inputs and outputs stand in the log, which they should not where they are personal.
    pub payloads: bool,
}
