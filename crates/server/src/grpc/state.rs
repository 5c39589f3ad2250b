//! What clients are told of an instance.

use strandline_hub::InstanceStatus;
use strandline_proto::{failure, history, status, time, wire};

/// Which payloads an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payloads {
    Included,
    /// Input, output and custom status are left out; why it failed is not.
    LeftOut,
}

impl Payloads {
    pub(super) fn wanted(wanted: bool) -> Self {
        if wanted { Self::Included } else { Self::LeftOut }
    }
}

pub(super) fn to_wire(instance: &InstanceStatus, payloads: Payloads) -> wire::OrchestrationState {
    let text = |text: Option<&str>| text.filter(|_| payloads == Payloads::Included).map(str::to_owned);
    wire::OrchestrationState {
        instance_id: instance.id.to_string(),
        name: instance.name().to_owned(),
        version: instance.version().map(str::to_owned),
        orchestration_status: status::to_wire(instance.status) as i32,
        scheduled_start_timestamp: instance.scheduled_start().map(time::to_wire),
        created_timestamp: Some(time::to_wire(instance.created)),
        last_updated_timestamp: Some(time::to_wire(instance.updated)),
        input: text(instance.input()),
        output: text(instance.output()),
        custom_status: text(instance.custom_status.as_deref()),
        failure_details: instance.failure().map(failure::to_wire),
        execution_id: Some(instance.execution.to_string()),
        completed_timestamp: instance.completed().map(time::to_wire),
        parent_instance_id: instance.parent().map(|parent| parent.instance_id.clone()),
        tags: instance.tags().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        parent_instance: instance.parent().map(history::parent_to_wire),
        history_length: instance.history_len as u64,
    }
}
