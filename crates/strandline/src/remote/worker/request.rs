//! A turn as a server describes it.

use std::collections::HashMap;
use std::sync::Arc;

use strandline_engine::worker::Turn;
use strandline_model::{EventKind, ExecutionId, HistoryEvent, InstanceId};
use strandline_proto::history::UNKNOWN_TASK;
use strandline_proto::{InvalidMessage, history, ids, trace, wire};

/// The turn. It lacks its past when that must be fetched first.
pub(super) fn turn(request: wire::OrchestratorRequest) -> Result<Turn, InvalidMessage> {
    let execution = match request.execution_id.as_deref() {
        None | Some("") => ExecutionId(0),
        Some(text) => ids::from_wire(text, "OrchestratorRequest.executionId")?,
    };
    let mut turn = Turn {
        instance: InstanceId::trusted(request.instance_id),
        execution,
        name: String::new(),
        version: None,
        seen: usize::try_from(request.past_event_count.unwrap_or(u64::MAX)).unwrap_or(usize::MAX),
        past: None,
        new: read(request.new_events)?,
        span: request.orchestration_trace_context.map(trace::span_from_wire),
    };
    if !request.requires_history_streaming {
        add_past(&mut turn, request.past_events)?;
    }
    Ok(turn)
}

/// Puts in the events committed before the turn.
pub(super) fn add_past(turn: &mut Turn, past: Vec<wire::HistoryEvent>) -> Result<(), InvalidMessage> {
    let mut past = read(past)?;
    complete(&mut past, &mut turn.new, turn.execution);
    turn.seen = past.len();
    if let Some((name, version)) = orchestrator(past.iter().chain(&turn.new)) {
        (turn.name, turn.version) = (name.to_owned(), version.map(str::to_owned));
    }
    turn.past = Some(past);
    Ok(())
}

fn read(events: Vec<wire::HistoryEvent>) -> Result<Vec<Arc<HistoryEvent>>, InvalidMessage> {
    events.into_iter().map(|event| history::from_wire(event).map(Arc::new)).collect()
}

fn orchestrator<'a>(
    mut events: impl Iterator<Item = &'a Arc<HistoryEvent>>,
) -> Option<(&'a str, Option<&'a str>)> {
    events.find_map(|event| match event.kind() {
        EventKind::ExecutionStarted(start) => Some((start.name.as_str(), start.version.as_deref())),
        _ => None,
    })
}

/// Adds what servers without our fields leave out: a seed, always the same for an execution, and the
/// tasks that entities answer.
fn complete(past: &mut [Arc<HistoryEvent>], new: &mut [Arc<HistoryEvent>], execution: ExecutionId) {
    let lacks = |event: &Arc<HistoryEvent>| match event.kind() {
        EventKind::ExecutionStarted(start) => start.seed == 0,
        EventKind::EntityOperationCompleted(e) => e.task_id == UNKNOWN_TASK,
        EventKind::EntityOperationFailed(e) => e.task_id == UNKNOWN_TASK,
        EventKind::EntityLockGranted(e) => e.task_id == UNKNOWN_TASK,
        _ => false,
    };
    if !past.iter().chain(&*new).any(lacks) {
        return;
    }
    let tasks: HashMap<String, i32> = past
        .iter()
        .filter_map(|event| match event.kind() {
            EventKind::EntityOperationCalled(call) => Some((call.request_id.clone(), event.id)),
            EventKind::EntityLockRequested(request) => Some((request.section_id.clone(), event.id)),
            _ => None,
        })
        .collect();
    let task = |id: &str| tasks.get(id).copied().unwrap_or(UNKNOWN_TASK);
    for event in past.iter_mut().chain(new).filter(|event| lacks(event)) {
        match Arc::make_mut(event).kind_mut() {
            EventKind::ExecutionStarted(start) => start.seed = seed(execution),
            EventKind::EntityOperationCompleted(e) => e.task_id = task(&e.request_id),
            EventKind::EntityOperationFailed(e) => e.task_id = task(&e.request_id),
            EventKind::EntityLockGranted(e) => e.task_id = task(&e.section_id),
            _ => {}
        }
    }
}

fn seed(execution: ExecutionId) -> u64 {
    // Zero would stand for none.
    ((execution.0 >> 64) as u64 ^ execution.0 as u64).max(1)
}

#[cfg(test)]
mod tests {
    use strandline_proto::wire::history_event::Kind;

    use super::*;

    fn event(event_id: i32, kind: Kind) -> wire::HistoryEvent {
        wire::HistoryEvent { event_id, timestamp: None, kind: Some(kind) }
    }

    fn started() -> wire::HistoryEvent {
        let start = wire::ExecutionStartedEvent {
            name: "Order".to_owned(),
            version: Some("2".to_owned()),
            orchestration_instance: Some(wire::OrchestrationInstance::default()),
            ..wire::ExecutionStartedEvent::default()
        };
        event(-1, Kind::ExecutionStarted(Box::new(start)))
    }

    /// As a server says it that knows none of our fields.
    fn foreign() -> wire::OrchestratorRequest {
        let call = wire::EntityOperationCalledEvent {
            request_id: "r".to_owned(),
            target_instance_id: Some("@stock@a".to_owned()),
            ..wire::EntityOperationCalledEvent::default()
        };
        let done = wire::EntityOperationCompletedEvent {
            request_id: "r".to_owned(),
            ..wire::EntityOperationCompletedEvent::default()
        };
        wire::OrchestratorRequest {
            instance_id: "i".to_owned(),
            execution_id: Some("0123456789abcdef0123456789abcdee".to_owned()),
            past_events: vec![started(), event(7, Kind::EntityOperationCalled(Box::new(call)))],
            new_events: vec![event(-1, Kind::EntityOperationCompleted(done))],
            ..wire::OrchestratorRequest::default()
        }
    }

    #[test]
    fn what_other_servers_leave_out_is_made_up_for() {
        let seed_and_task = || {
            let turn = turn(foreign()).unwrap();
            assert_eq!((turn.name.as_str(), turn.version.as_deref(), turn.seen), ("Order", Some("2"), 2));
            let past = turn.past.unwrap();
            let EventKind::ExecutionStarted(start) = past[0].kind() else { panic!("{past:?}") };
            let EventKind::EntityOperationCompleted(done) = turn.new[0].kind() else { panic!() };
            (start.seed, done.task_id)
        };
        let (seed, task) = seed_and_task();
        assert_ne!(seed, 0);
        assert_eq!((seed, task), seed_and_task(), "the same at each replay");
        assert_eq!(task, 7);
    }

    #[test]
    fn a_long_past_is_fetched_only_when_its_length_is_not_enough() {
        let request = |past_event_count| {
            let requires_history_streaming = true;
            let request =
                wire::OrchestratorRequest { requires_history_streaming, past_event_count, ..foreign() };
            turn(wire::OrchestratorRequest { past_events: Vec::new(), ..request }).unwrap()
        };
        let known = request(Some(40));
        assert_eq!((known.seen, known.past), (40, None));
        let unknown = request(None);
        assert_eq!((unknown.seen, unknown.past), (usize::MAX, None), "no orchestrator has seen as many");
    }
}
