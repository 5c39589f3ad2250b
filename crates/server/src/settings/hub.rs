//! How task hubs run.

use std::num::NonZeroUsize;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strandline::{DataDirectory, DataDirectoryBuilder};
use strandline_engine::runtime::HubOptions;

/// Section `hub`: every hub of a server runs so. The names are those of `host.json` where it has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HubSettings {
    /// The hub of callers that name none.
    pub name: String,
    /// Partitions of hubs that are created from now on.
    pub partitions: u16,
    /// Activities of one hub that are out at the same time, to all its workers together; without it, as many
    /// as they take.
    pub max_concurrent_activities: Option<NonZeroUsize>,
    /// Turns of one hub that are out at the same time, to all its workers together; without it, as many as
    /// they take.
    pub max_concurrent_orchestrators: Option<NonZeroUsize>,
    /// Batches of entity operations of one hub that are out at the same time, to all its workers together;
    /// without it, as many as they take.
    pub max_concurrent_entities: Option<NonZeroUsize>,
    /// Operations of one entity handed out together, between two commits.
    pub max_entity_operation_batch_size: NonZeroUsize,
    /// Memory for instances and entities of one hub, in bytes.
    pub cache_bytes: usize,
    /// The version of instances that are started without one.
    pub default_version: Option<String>,
    /// Which existing instances a start over HTTP replaces.
    pub overridable_existing_instance_states: OverridableStates,
}

impl Default for HubSettings {
    fn default() -> Self {
        let options = HubOptions::default();
        Self {
            name: crate::hubs::DEFAULT_HUB.to_owned(),
            partitions: options.partitions,
            max_concurrent_activities: None,
            max_concurrent_orchestrators: None,
            max_concurrent_entities: None,
            max_entity_operation_batch_size: NonZeroUsize::new(options.operations_per_batch)
                .unwrap_or(NonZeroUsize::MIN),
            cache_bytes: options.cache_bytes,
            default_version: None,
            overridable_existing_instance_states: OverridableStates::NonRunning,
        }
    }
}

impl HubSettings {
    /// A directory whose hubs run so.
    pub(crate) fn directory(&self, dir: &Path) -> DataDirectoryBuilder {
        let mut directory = DataDirectory::at(dir)
            .partitions(self.partitions)
            .max_entity_batch(self.max_entity_operation_batch_size.get())
            .cache_bytes(self.cache_bytes);
        if let Some(activities) = self.max_concurrent_activities {
            directory = directory.max_concurrent_activities(activities.get());
        }
        if let Some(turns) = self.max_concurrent_orchestrators {
            directory = directory.max_concurrent_turns(turns.get());
        }
        if let Some(entities) = self.max_concurrent_entities {
            directory = directory.max_concurrent_entities(entities.get());
        }
        match &self.default_version {
            Some(version) => directory.default_version(version),
            None => directory,
        }
    }
}

/// Which existing instances a start over HTTP replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OverridableStates {
    /// Those that are over.
    NonRunning,
    /// All; what runs is terminated.
    Any,
}
