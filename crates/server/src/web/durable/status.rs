//! An instance, as clients are told of it.

use serde::{Serialize, Serializer};
use strandline_hub::InstanceStatus;
use strandline_model::Timestamp;

use super::payload::Payload;

/// The status of an instance, with its keys in the order clients know.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status<'a> {
    name: &'a str,
    instance_id: &'a str,
    runtime_status: &'static str,
    input: Payload<'a>,
    custom_status: Payload<'a>,
    output: Output<'a>,
    created_time: Seconds,
    last_updated_time: Seconds,
}

impl<'a> Status<'a> {
    pub(super) fn of(instance: &'a InstanceStatus, show_input: bool) -> Self {
        Self {
            name: instance.name(),
            instance_id: instance.id.as_str(),
            runtime_status: instance.status.name(),
            input: Payload(instance.input().filter(|_| show_input)),
            custom_status: Payload(instance.custom_status.as_deref()),
            output: Output(instance),
            created_time: Seconds(instance.created),
            last_updated_time: Seconds(instance.updated),
        }
    }

    /// Bytes of what may be long.
    pub(super) fn weight(instance: &InstanceStatus, show_input: bool) -> usize {
        let text = |text: Option<&str>| text.map_or(0, str::len);
        text(instance.input().filter(|_| show_input))
            + text(instance.output())
            + text(instance.custom_status.as_deref())
            + instance.failure().map_or(0, |failure| failure.message.len())
    }
}

/// The result of an instance, or why it failed.
#[derive(Clone, Copy, Debug)]
struct Output<'a>(&'a InstanceStatus);

impl Serialize for Output<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.failure() {
            Some(failure) => {
                let name = self.0.name();
                serializer
                    .collect_str(&format_args!("Orchestrator function '{name}' failed: {}", failure.message))
            }
            None => Payload(self.0.output()).serialize(serializer),
        }
    }
}

/// A moment to the second, as clients read it.
#[derive(Clone, Copy, Debug)]
struct Seconds(Timestamp);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.format(0))
    }
}
