//! What a server tells, as an embedded hub tells it.

use std::sync::Arc;

use strandline_hub::InstanceStatus;
use strandline_hub::query::{EntityQuery, Facts, InstanceQuery};
use strandline_model::{
    EventKind, ExecutionCompleted, ExecutionId, ExecutionStarted, HistoryEvent, InstanceId, ParentInstance,
    RuntimeStatus, Timestamp,
};
use strandline_proto::{InvalidMessage, failure, history, ids, management, status, time, wire};

use crate::entity::{EntityId, EntityStatus};

pub(super) fn instance(state: wire::OrchestrationState) -> Result<InstanceStatus, InvalidMessage> {
    let now = status::from_wire(state.orchestration_status, "OrchestrationState.orchestrationStatus")?;
    let execution = match state.execution_id.as_deref() {
        None | Some("") => ExecutionId(0),
        Some(text) => ids::from_wire(text, "OrchestrationState.executionId")?,
    };
    let created = state.created_timestamp.map_or(Timestamp::EPOCH, time::from_wire);
    let updated = state.last_updated_timestamp.map_or(created, time::from_wire);
    let parent = match (state.parent_instance, state.parent_instance_id) {
        (Some(parent), _) => Some(history::parent_from_wire(parent)?),
        (None, Some(instance_id)) if !instance_id.is_empty() => {
            Some(ParentInstance { instance_id, ..ParentInstance::default() })
        }
        _ => None,
    };
    let started = ExecutionStarted {
        instance_id: state.instance_id.clone(),
        execution_id: execution.0.to_be_bytes().to_vec(),
        name: state.name,
        version: state.version,
        input: state.input,
        parent,
        scheduled_start: state.scheduled_start_timestamp.map(time::from_wire),
        tags: state.tags,
        ..ExecutionStarted::default()
    };
    let ended = now.is_terminal().then(|| {
        let completed = ExecutionCompleted {
            status: now as i32,
            result: state.output,
            failure: state.failure_details.map(failure::from_wire),
            origin: None,
        };
        let when = state.completed_timestamp.map_or(updated, time::from_wire);
        HistoryEvent::new(when, EventKind::ExecutionCompleted(Box::new(completed)))
    });
    let started = HistoryEvent::new(created, EventKind::ExecutionStarted(Box::new(started)));
    let mut told = InstanceStatus::told(InstanceId::trusted(state.instance_id), now, started, ended);
    told.execution = execution;
    told.updated = updated;
    told.custom_status = state.custom_status.map(Into::into);
    told.history_len = usize::try_from(state.history_length).unwrap_or(usize::MAX);
    Ok(told)
}

pub(super) fn events(events: Vec<wire::HistoryEvent>) -> Result<Vec<Arc<HistoryEvent>>, InvalidMessage> {
    events.into_iter().map(|event| history::from_wire(event).map(Arc::new)).collect()
}

fn wire_status(status: RuntimeStatus) -> i32 {
    status::to_wire(status) as i32
}

pub(super) fn statuses<'a>(all: impl IntoIterator<Item = &'a RuntimeStatus>) -> Vec<i32> {
    all.into_iter().copied().map(wire_status).collect()
}

pub(super) fn filter(query: &InstanceQuery) -> management::InstanceFilter {
    management::InstanceFilter {
        statuses: statuses(&query.statuses),
        name: query.name.clone(),
        created_from: query.created_from.map(time::to_wire),
        created_to: query.created_to.map(time::to_wire),
        completed_from: query.completed_from.map(time::to_wire),
        completed_to: query.completed_to.map(time::to_wire),
        id_prefix: query.id_prefix.clone(),
        tags: query.tags.clone(),
        parent: query.parent.as_ref().map(ToString::to_string),
    }
}

/// The part of the query that the Durable Task protocol has words for.
pub(super) fn query(
    query: &InstanceQuery,
    token: Option<&str>,
    size: usize,
    payloads: bool,
) -> wire::InstanceQuery {
    wire::InstanceQuery {
        runtime_status: statuses(&query.statuses),
        created_time_from: query.created_from.map(time::to_wire),
        created_time_to: query.created_to.map(time::to_wire),
        task_hub_names: Vec::new(),
        max_instance_count: i32::try_from(size).unwrap_or(i32::MAX),
        continuation_token: token.map(str::to_owned),
        instance_id_prefix: query.id_prefix.clone(),
        fetch_inputs_and_outputs: payloads,
    }
}

/// Whether an instance meets the conditions, whatever the server made of them.
pub(super) fn matches(query: &InstanceQuery, instance: &InstanceStatus) -> bool {
    let tags = instance.tags().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    query.matches(&Facts {
        id: instance.id.as_str(),
        status: instance.status,
        name: instance.name(),
        created: instance.created,
        completed: instance.completed(),
        tags: &tags,
        parent: instance.parent().map(|parent| parent.instance_id.as_str()),
    })
}

pub(super) fn entity_query(
    query: &EntityQuery,
    token: Option<&str>,
    size: usize,
    states: bool,
) -> wire::EntityQuery {
    wire::EntityQuery {
        instance_id_starts_with: query.id_prefix.clone(),
        last_modified_from: query.modified_from.map(time::to_wire),
        last_modified_to: query.modified_to.map(time::to_wire),
        include_state: states,
        include_transient: query.transient,
        page_size: Some(i32::try_from(size).unwrap_or(i32::MAX)),
        continuation_token: token.map(str::to_owned),
    }
}

pub(super) fn entity(entity: wire::EntityMetadata) -> EntityStatus {
    EntityStatus {
        id: EntityId::read(&entity.instance_id),
        state: entity.serialized_state.map(Into::into),
        modified: entity.last_modified_time.map_or(Timestamp::EPOCH, time::from_wire),
        backlog: usize::try_from(entity.backlog_queue_size).unwrap_or(0),
        locked_by: entity.locked_by.filter(|id| !id.is_empty()).map(InstanceId::trusted),
    }
}

pub(super) fn entity_status(entity: management::EntityStatus) -> EntityStatus {
    EntityStatus {
        id: EntityId::read(&entity.id),
        state: entity.state.map(Into::into),
        modified: entity.last_modified.map_or(Timestamp::EPOCH, time::from_wire),
        backlog: usize::try_from(entity.queue_length).unwrap_or(usize::MAX),
        locked_by: entity.locked_by.map(|owner| InstanceId::trusted(owner.instance_id)),
    }
}
