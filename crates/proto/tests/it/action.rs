use proptest::prelude::*;
use strandline_model::{Action, ActionKind, Completion, EventKind, Generic, HistoryEvent, Timestamp};
use strandline_proto::wire::orchestrator_action::Kind;
use strandline_proto::wire::send_entity_message_action::Message;
use strandline_proto::{InvalidMessage, action, history, wire};

use crate::{OF, any, cases, through};

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn nothing_is_lost(action in any::action()) {
        let wire = action::to_wire(action.clone(), OF);
        prop_assert_eq!(action::from_wire(through(&wire), OF), Ok(Some(action)));
    }
}

fn read(id: i32, kind: Kind) -> Result<Option<Action>, InvalidMessage> {
    action::from_wire(wire::OrchestratorAction { id, kind: Some(kind) }, OF)
}

fn completion(action: wire::CompleteOrchestrationAction) -> Result<Completion, InvalidMessage> {
    read(0, Kind::CompleteOrchestration(Box::new(action))).map(|action| match action {
        Some(Action { kind: ActionKind::Complete(completion), .. }) => completion,
        other => panic!("{other:?}"),
    })
}

#[test]
fn a_child_without_an_id_is_named_after_the_execution() {
    let create = |instance_id: &str| {
        let instance_id = instance_id.to_owned();
        Kind::CreateSubOrchestration(wire::CreateSubOrchestrationAction { instance_id, ..Default::default() })
    };
    for (id, given, expected) in [(0x1f, "", "000000000000000000000000000000ab:001f"), (0, "mine", "mine")] {
        match read(id, create(given)) {
            Ok(Some(Action { kind: ActionKind::CreateSubOrchestration { instance_id, .. }, .. })) => {
                assert_eq!(instance_id, expected);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn entities_are_put_in_order_and_their_names_in_lower_case() {
    let request = wire::EntityLockRequestedEvent {
        critical_section_id: "s".to_owned(),
        // As text '1' is before '@': not the order of the names.
        lock_set: ["@a@x", "@A1@y", "@a@x"].map(str::to_owned).to_vec(),
        ..Default::default()
    };
    let message = Some(Message::EntityLockRequested(request));
    let kind = ActionKind::LockEntities {
        section_id: "s".to_owned(),
        lock_set: vec!["@a1@y".to_owned(), "@a@x".to_owned()],
    };
    assert_eq!(
        read(2, Kind::SendEntityMessage(wire::SendEntityMessageAction { message })),
        Ok(Some(Action { id: 2, kind }))
    );
}

#[test]
fn events_to_entities_are_messages_of_old_workers() {
    let instance = wire::OrchestrationInstance { instance_id: "@a@x".to_owned(), execution_id: None };
    let send = wire::SendEventAction {
        instance: Some(instance),
        name: "op".to_owned(),
        data: Some("{\"op\":\"get\",\"id\":\"r\"}".to_owned()),
    };
    let kind = ActionKind::CallEntity {
        target: "@a@x".to_owned(),
        request_id: "r".to_owned(),
        operation: "get".to_owned(),
        input: None,
        scheduled_time: None,
    };
    assert_eq!(read(4, Kind::SendEvent(send)), Ok(Some(Action { id: 4, kind })));
}

#[test]
fn a_rewound_history_asks_for_nothing() {
    assert_eq!(read(-1, Kind::RewindOrchestration(wire::RewindOrchestrationAction::default())), Ok(None));
}

#[test]
fn a_failure_without_details_still_is_one() {
    let failed = wire::CompleteOrchestrationAction {
        orchestration_status: wire::OrchestrationStatus::Failed as i32,
        details: Some("no luck".to_owned()),
        ..Default::default()
    };
    let Ok(Completion::Failed { failure, .. }) = completion(failed) else { panic!() };
    assert_eq!(failure.to_string(), "OrchestrationFailed: no luck");
}

#[test]
fn errors_name_the_field() {
    let error = |kind| read(0, kind).unwrap_err().to_string();
    assert_eq!(
        action::from_wire(wire::OrchestratorAction::default(), OF).unwrap_err().to_string(),
        "OrchestratorAction.kind is missing",
    );
    assert_eq!(error(Kind::CreateTimer(wire::CreateTimerAction::default())), "createTimer.fireAt is missing");
    assert_eq!(error(Kind::SendEvent(wire::SendEventAction::default())), "sendEvent.instance is missing");
    let signal = wire::EntityOperationSignaledEvent {
        target_instance_id: Some("counter".to_owned()),
        ..Default::default()
    };
    let message = Some(Message::EntityOperationSignaled(signal));
    assert_eq!(
        error(Kind::SendEntityMessage(wire::SendEntityMessageAction { message })),
        "entityOperationSignaled.targetInstanceId: \"counter\" is not an entity id: it has the form '@name@key'",
    );
}

#[test]
fn only_ends_complete_and_only_raised_events_are_carried_over() {
    use wire::OrchestrationStatus as Status;
    for status in [Status::Running, Status::Terminated, Status::Canceled, Status::Pending, Status::Suspended]
    {
        let action =
            wire::CompleteOrchestrationAction { orchestration_status: status as i32, ..Default::default() };
        assert!(matches!(completion(action), Err(InvalidMessage::Unsupported { .. })), "{status:?}");
    }
    let event = HistoryEvent::new(Timestamp::EPOCH, EventKind::Generic(Generic { data: None }));
    let action = wire::CompleteOrchestrationAction {
        orchestration_status: Status::ContinuedAsNew as i32,
        carryover_events: vec![history::to_wire(&event, OF)],
        ..Default::default()
    };
    let field = "completeOrchestration.carryoverEvents";
    assert_eq!(completion(action), Err(InvalidMessage::Unsupported { field, kind: "GenericEvent" }));
}
