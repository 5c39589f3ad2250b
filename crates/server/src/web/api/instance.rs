//! Instances, as answers show them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strandline_hub::InstanceStatus;
use strandline_model::{FailureDetails, RuntimeStatus};
use utoipa::ToSchema;

use super::payload::{Payload, not_json};
use super::time::Time;

/// Where an instance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(super) enum Status {
    Pending,
    Running,
    Suspended,
    /// Between two executions.
    ContinuedAsNew,
    Completed,
    Failed,
    Terminated,
    Canceled,
}

impl From<RuntimeStatus> for Status {
    fn from(status: RuntimeStatus) -> Self {
        match status {
            RuntimeStatus::Pending => Self::Pending,
            RuntimeStatus::Running => Self::Running,
            RuntimeStatus::Suspended => Self::Suspended,
            RuntimeStatus::ContinuedAsNew => Self::ContinuedAsNew,
            RuntimeStatus::Completed => Self::Completed,
            RuntimeStatus::Failed => Self::Failed,
            RuntimeStatus::Terminated => Self::Terminated,
            RuntimeStatus::Canceled => Self::Canceled,
        }
    }
}

impl From<Status> for RuntimeStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => Self::Pending,
            Status::Running => Self::Running,
            Status::Suspended => Self::Suspended,
            Status::ContinuedAsNew => Self::ContinuedAsNew,
            Status::Completed => Self::Completed,
            Status::Failed => Self::Failed,
            Status::Terminated => Self::Terminated,
            Status::Canceled => Self::Canceled,
        }
    }
}

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

/// An instance of an orchestration.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Instance {
    instance_id: String,
    /// Its generation: another one after continue-as-new, rewind and restart.
    execution_id: String,
    /// The orchestrator's.
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    runtime_status: Status,
    created_time: Time,
    last_updated_time: Time,
    /// When it ended; absent while it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_time: Option<Time>,
    /// It stays pending until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_start_time: Option<Time>,
    /// The instance that called it.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_instance_id: Option<String>,
    tags: BTreeMap<String, String>,
    /// Events in the history of this execution.
    history_length: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Payload, required = false)]
    input: Option<Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Payload, required = false)]
    output: Option<Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Payload, required = false)]
    custom_status: Option<Payload>,
    /// Those of the payloads that are not JSON and stand here as strings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    not_json: Vec<&'static str>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_details: Option<Failure>,
}

impl Instance {
    pub(super) fn new(instance: &InstanceStatus, payloads: Payloads) -> Self {
        let shown = |text: Option<&str>| text.filter(|_| payloads == Payloads::Included).map(Payload::new);
        let (input, output) = (shown(instance.input()), shown(instance.output()));
        let custom_status = shown(instance.custom_status.as_deref());
        Self {
            instance_id: instance.id.to_string(),
            execution_id: instance.execution.to_string(),
            name: instance.name().to_owned(),
            version: instance.version().map(str::to_owned),
            runtime_status: instance.status.into(),
            created_time: Time(instance.created),
            last_updated_time: Time(instance.updated),
            completed_time: instance.completed().map(Time),
            scheduled_start_time: instance.scheduled_start().map(Time),
            parent_instance_id: instance.parent().map(|parent| parent.instance_id.clone()),
            tags: instance.tags().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            history_length: instance.history_len as u64,
            not_json: not_json(&[("input", &input), ("output", &output), ("customStatus", &custom_status)]),
            input,
            output,
            custom_status,
            failure_details: instance.failure().map(Failure::new),
        }
    }

    /// About how many bytes it takes in an answer.
    pub(super) fn bytes(&self) -> usize {
        const ALL_ELSE: usize = 500;
        let payloads = [&self.input, &self.output, &self.custom_status].into_iter().flatten();
        let tags = self.tags.iter().map(|(key, value)| key.len() + value.len());
        let failure = self.failure_details.as_ref().map_or(0, Failure::bytes);
        ALL_ELSE + payloads.map(Payload::bytes).sum::<usize>() + tags.sum::<usize>() + failure
    }
}

/// Why something failed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Failure {
    /// As the language of the worker names it.
    error_type: String,
    error_message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stack_trace: Option<String>,
    /// What caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion)]
    inner_failure: Option<Box<Failure>>,
    /// No retry policy retries it.
    is_non_retriable: bool,
    /// What else the worker says of it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    properties: BTreeMap<String, Payload>,
}

/// Causes of causes that are shown.
const CAUSES_MAX: usize = 50;

impl Failure {
    pub(super) fn new(details: &FailureDetails) -> Self {
        let chain: Vec<_> = details.chain().take(CAUSES_MAX).collect();
        let causes = chain.iter().skip(1).rev();
        let cause = causes.fold(None, |inner, details| Some(Box::new(Self::with_cause(details, inner))));
        Self::with_cause(details, cause)
    }

    fn with_cause(details: &FailureDetails, inner_failure: Option<Box<Self>>) -> Self {
        let property = |(name, json): (&String, &String)| (name.clone(), Payload::new(json));
        Self {
            error_type: details.error_type.clone(),
            error_message: details.message.clone(),
            stack_trace: details.stack_trace.clone(),
            inner_failure,
            is_non_retriable: details.is_non_retriable,
            properties: details.properties.iter().map(property).collect(),
        }
    }

    /// About how many bytes it takes in an answer.
    pub(super) fn bytes(&self) -> usize {
        let properties = self.properties.iter().map(|(name, payload)| name.len() + payload.bytes());
        self.error_type.len()
            + self.error_message.len()
            + self.stack_trace.as_ref().map_or(0, String::len)
            + properties.sum::<usize>()
            + self.inner_failure.as_ref().map_or(0, |inner| inner.bytes())
    }
}
