use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use strandline_model::{
    EntityAction, EntityId, EntityOperation, EntityOutcome, FailureDetails, NewState, Timestamp,
};
use strandline_proto::entity::{self, EntityWork};
use strandline_proto::wire::history_event::Kind;
use strandline_proto::wire::operation_result::Outcome;
use strandline_proto::{outcome, wire};

use crate::{any, cases, through};

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn no_operation_is_lost(
        id in any::entity(),
        state in option::of(any::text()),
        operations in vec(any::operation(), 0..4),
    ) {
        let id = EntityId::parse(&id).unwrap();
        let request = entity::request_to_wire(&id, state.as_deref(), &operations, Timestamp::EPOCH);
        let work = EntityWork { entity: id, state, operations };
        prop_assert_eq!(entity::request_from_wire(through(&request)), Ok(work));
    }

    #[test]
    fn no_signal_is_lost(id in any::entity(), operation in any::operation()) {
        let id = EntityId::parse(&id).unwrap();
        let operation = EntityOperation { caller: None, ..operation };
        let request = entity::signal_to_wire(&id, operation.clone());
        prop_assert_eq!(entity::signal_from_wire(through(&request)), Ok((id, operation)));
    }

    #[test]
    fn no_outcome_is_lost(outcome in any::outcome()) {
        let wire = outcome::to_wire(outcome.clone());
        prop_assert_eq!(outcome::from_wire(through(&wire), outcome.results.len()), Ok(outcome));
    }
}

fn success(result: &str) -> wire::OperationResult {
    let success = wire::OperationResultSuccess { result: Some(result.to_owned()), ..Default::default() };
    wire::OperationResult { outcome: Some(Outcome::Success(success)) }
}

#[test]
fn a_failed_batch_fails_what_has_no_result_and_keeps_the_state() {
    let failure = FailureDetails::new("Broken", "pipe");
    let result = wire::EntityBatchResult {
        results: vec![success("1")],
        failure_details: Some(strandline_proto::failure::to_wire(&failure)),
        ..Default::default()
    };
    let expected = EntityOutcome {
        results: vec![Ok(Some("1".to_owned())), Err(failure.clone()), Err(failure)],
        state: NewState::Unchanged,
        actions: Vec::new(),
    };
    assert_eq!(outcome::from_wire(result, 3), Ok(expected));
}

#[test]
fn an_absent_state_is_a_deleted_one_and_missing_results_stay_missing() {
    let result = wire::EntityBatchResult { results: vec![success("1")], ..Default::default() };
    let outcome = outcome::from_wire(result, 2).unwrap();
    assert_eq!((outcome.results.len(), outcome.state), (1, NewState::Set(None)));
}

#[test]
fn other_sdks_get_what_they_need() {
    let caller = strandline_model::EntityCaller {
        instance_id: "i".to_owned(),
        execution_id: vec![0xab; 16],
        task_id: 7,
        section_id: None,
    };
    let operation =
        EntityOperation { request_id: "r".to_owned(), name: "get".to_owned(), ..Default::default() };
    let call = EntityOperation { caller: Some(caller), ..operation.clone() };
    let id = EntityId::new("Counter", "A").unwrap();

    let first = entity::batch_to_wire(&id, Some(""), &[&operation, &call]);
    assert_eq!((first.instance_id.as_str(), first.entity_state.as_deref()), ("@counter@A", Some("")));
    assert_eq!(
        (first.operations[1].request_id.as_str(), first.operations[1].operation.as_str()),
        ("r", "get")
    );

    let second = entity::request_to_wire(&id, None, &[&operation, &call], Timestamp::MAX);
    assert_eq!(second.entity_state, None);
    assert!(second.operation_requests.iter().all(|event| event.event_id == -1 && event.timestamp.is_some()));
    let Some(Kind::EntityOperationCalled(called)) = &second.operation_requests[1].kind else { panic!() };
    assert_eq!(called.parent_instance_id.as_deref(), Some("i"));
    assert_eq!(called.parent_execution_id.as_deref(), Some("ab".repeat(16).as_str()));
}

#[test]
fn targets_of_signals_are_checked_and_folded() {
    let signal = |target: &str| {
        let action = EntityAction::Signal {
            target: target.to_owned(),
            operation: "add".to_owned(),
            input: None,
            scheduled_time: None,
            trace: None,
        };
        let outcome = EntityOutcome { actions: vec![action], ..EntityOutcome::default() };
        outcome::from_wire(outcome::to_wire(outcome), 0)
    };
    let outcome = signal("@Counter@A").unwrap();
    assert!(matches!(&outcome.actions[0], EntityAction::Signal { target, .. } if target == "@counter@A"));
    let error = signal("counter").unwrap_err().to_string();
    assert!(error.starts_with("sendSignal.instanceId"), "{error}");
}
