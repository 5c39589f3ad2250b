use proptest::prelude::*;
use prost::Message;
use strandline_model::{EventKind, FailureDetails, HistoryEvent, TaskFailed, Timestamp};
use strandline_proto::wire::history_event::Kind;
use strandline_proto::{InvalidMessage, history, wire};

use crate::{OF, any, cases, through};

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn nothing_is_lost(event in any::event()) {
        prop_assert_eq!(history::from_wire(through(&history::to_wire(&event, OF))), Ok(event));
    }
}

#[test]
fn entity_events_name_the_entity_and_the_caller() {
    let called = strandline_model::EntityOperationCalled {
        target: "@counter@a".to_owned(),
        request_id: "r".to_owned(),
        operation: "get".to_owned(),
        ..Default::default()
    };
    let event = HistoryEvent::of_action(3, Timestamp::EPOCH, EventKind::EntityOperationCalled(called));
    let wire = history::to_wire(&event, OF);
    assert_eq!(wire.event_id, 3);
    let Some(Kind::EntityOperationCalled(called)) = wire.kind else { panic!("{:?}", wire.kind) };
    assert_eq!(called.target_instance_id.as_deref(), Some("@counter@a"));
    assert_eq!(called.parent_instance_id.as_deref(), Some("i"));
    assert_eq!(called.parent_execution_id.as_deref(), Some("000000000000000000000000000000ab"));
}

#[test]
fn errors_name_the_field() {
    let error = |kind| {
        let event = wire::HistoryEvent { kind, ..Default::default() };
        history::from_wire(event).unwrap_err().to_string()
    };
    assert_eq!(error(None), "HistoryEvent.kind is missing");
    let fired = wire::TimerFiredEvent::default();
    assert_eq!(error(Some(Kind::TimerFired(fired))), "timerFired.fireAt is missing");
    let instance = wire::OrchestrationInstance {
        instance_id: "i".to_owned(),
        execution_id: Some("nonsense".to_owned()),
    };
    let started =
        wire::ExecutionStartedEvent { orchestration_instance: Some(instance), ..Default::default() };
    assert_eq!(
        error(Some(Kind::ExecutionStarted(Box::new(started)))),
        "executionStarted.orchestrationInstance.executionId is \"nonsense\": it must be 32 hex digits",
    );
    let state = Kind::HistoryState(Box::default());
    let event = wire::HistoryEvent { kind: Some(state), ..Default::default() };
    assert!(matches!(history::from_wire(event), Err(InvalidMessage::Unsupported { .. })));
}

#[test]
fn what_others_send_needs_none_of_our_fields() {
    let failed = wire::TaskFailedEvent {
        task_scheduled_id: 0,
        failure_details: Some(wire::TaskFailureDetails::default()),
    };
    let event = wire::HistoryEvent { event_id: -1, timestamp: None, kind: Some(Kind::TaskFailed(failed)) };
    let event = history::from_wire(event).unwrap();
    assert_eq!((event.id, event.timestamp), (-1, Timestamp::EPOCH));
}

#[test]
fn the_deepest_failure_can_be_read_in_a_work_item() {
    let mut failure = FailureDetails::new("E", "");
    failure.properties.insert("p".to_owned(), format!("{}0{}", "{\"a\":".repeat(10), "}".repeat(10)));
    for _ in 0..200 {
        failure =
            FailureDetails { properties: failure.properties.clone(), ..failure.clone() }.caused_by(failure);
    }
    let failed = TaskFailed { task_id: 0, failure };
    let event = history::to_wire(&HistoryEvent::new(Timestamp::EPOCH, EventKind::TaskFailed(failed)), OF);
    let request = wire::OrchestratorRequest { new_events: vec![event], ..Default::default() };
    let item = wire::WorkItem {
        request: Some(wire::work_item::Request::OrchestratorRequest(request)),
        ..Default::default()
    };
    assert_eq!(wire::WorkItem::decode(item.encode_to_vec().as_slice()), Ok(item));
}
