use strandline_model::limits::{TAG_KEY_BYTES_MAX, TAG_VALUE_BYTES_MAX, TAGS_MAX};
use strandline_model::{EventKind, ExecutionStarted, HistoryEvent, InstanceId, Timestamp};

use super::{Decision, Effect, check_length, check_name, check_payload, control};
use crate::command::Start;
use crate::partition::Partition;
use crate::record::{Created, Record};
use crate::reply::{Refusal, Reply};

/// Check and start are one decision: of any number of starts of one id, the first one wins.
pub(super) fn start(state: &Partition, now: Timestamp, start: Start) -> Decision {
    if let Err(refusal) = check(&start) {
        return Decision::refuse(refusal);
    }
    let mut records = Vec::new();
    let mut effects = Vec::new();
    if let Some(existing) = state.instance(start.id.as_str()) {
        let status = existing.status();
        // An execution id that is used again would take the results of the execution before.
        if !start.reuse.allows(status) || existing.execution == start.execution {
            return Decision::refuse(Refusal::AlreadyExists { status });
        }
        if !existing.is_over() {
            let reason = Some("replaced by a new instance of the same id".to_owned());
            records.push(control::termination(existing, now, reason, false));
            effects.push(Effect::Killed { id: existing.id.clone(), execution: existing.execution });
        }
    }
    let execution = start.execution;
    records.push(Record::Created(Created { id: start.id.to_string(), started: started(now, start) }));
    Decision { effects, ..Decision::new(records, Reply::Started { execution }) }
}

fn check(start: &Start) -> Result<(), Refusal> {
    if let Err(error) = InstanceId::new(start.id.as_str()) {
        return Err(Refusal::Invalid { field: "instance id", problem: format!("can't be used: {error}") });
    }
    check_name("orchestrator name", &start.name)?;
    check_payload("input", start.input.as_ref())?;
    check_length("version", start.version.as_ref().map_or(0, String::len), TAG_VALUE_BYTES_MAX)?;
    check_length("traceparent", start.trace_parent.as_ref().map_or(0, String::len), TAG_VALUE_BYTES_MAX)?;
    check_length("tracestate", start.trace_state.as_ref().map_or(0, String::len), TAG_VALUE_BYTES_MAX)?;
    if start.tags.len() > TAGS_MAX {
        let problem = format!("has {} entries: the limit is {TAGS_MAX}", start.tags.len());
        return Err(Refusal::Invalid { field: "tags", problem });
    }
    for (key, value) in &start.tags {
        check_length("key of a tag", key.len(), TAG_KEY_BYTES_MAX)?;
        check_length("value of a tag", value.len(), TAG_VALUE_BYTES_MAX)?;
    }
    Ok(())
}

fn started(now: Timestamp, start: Start) -> HistoryEvent {
    let body = ExecutionStarted {
        instance_id: start.id.to_string(),
        execution_id: start.execution.0.to_be_bytes().to_vec(),
        name: start.name,
        version: start.version,
        input: start.input,
        parent: None,
        scheduled_start: start.scheduled_start,
        tags: start.tags,
        seed: start.seed,
        trace_parent: start.trace_parent,
        trace_state: start.trace_state,
    };
    HistoryEvent::new(now, EventKind::ExecutionStarted(Box::new(body)))
}
