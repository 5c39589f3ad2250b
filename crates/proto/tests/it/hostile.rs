//! Whatever bytes decode as a message can be read without a panic, and what was read can be written.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use strandline_model::{EntityId, Timestamp};
use strandline_proto::{action, entity, history, outcome, wire};

use crate::{OF, any, cases};

fn read_event(bytes: &[u8]) {
    let Ok(event) = wire::HistoryEvent::decode(bytes) else { return };
    if let Ok(event) = history::from_wire(event) {
        assert_eq!(history::from_wire(history::to_wire(&event, OF)), Ok(event));
    }
}

fn read_action(bytes: &[u8]) {
    let Ok(action) = wire::OrchestratorAction::decode(bytes) else { return };
    if let Ok(Some(action)) = action::from_wire(action, OF) {
        assert_eq!(action::from_wire(action::to_wire(action.clone(), OF), OF), Ok(Some(action)));
    }
}

fn read_request(bytes: &[u8]) {
    let Ok(request) = wire::EntityRequest::decode(bytes) else { return };
    if let Ok(work) = entity::request_from_wire(request) {
        let again =
            entity::request_to_wire(&work.entity, work.state.as_deref(), &work.operations, Timestamp::EPOCH);
        assert_eq!(entity::request_from_wire(again), Ok(work));
    }
}

fn read_outcome(bytes: &[u8]) {
    let Ok(result) = wire::EntityBatchResult::decode(bytes) else { return };
    if let Ok(outcome) = outcome::from_wire(result, 3) {
        assert_eq!(outcome::from_wire(outcome::to_wire(outcome.clone()), 3), Ok(outcome));
    }
}

/// Overwrites some bytes, and cuts the end off.
fn damaged(mut bytes: Vec<u8>, (damage, cut): &Damage) -> Vec<u8> {
    for (at, byte) in damage {
        let at = at % bytes.len().max(1);
        if let Some(place) = bytes.get_mut(at) {
            *place = *byte;
        }
    }
    bytes.truncate(bytes.len().saturating_sub(*cut));
    bytes
}

type Damage = (Vec<(usize, u8)>, usize);

fn damage() -> impl Strategy<Value = Damage> {
    (vec(any::<(usize, u8)>(), 1..6), 0..3_usize)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn noise(bytes in vec(any::<u8>(), 0..64)) {
        read_event(&bytes);
        read_action(&bytes);
        read_request(&bytes);
        read_outcome(&bytes);
    }

    #[test]
    fn damaged_events(event in any::event(), damage in damage()) {
        read_event(&damaged(history::to_wire(&event, OF).encode_to_vec(), &damage));
    }

    #[test]
    fn damaged_actions(action in any::action(), damage in damage()) {
        read_action(&damaged(action::to_wire(action, OF).encode_to_vec(), &damage));
    }

    #[test]
    fn damaged_entity_work(
        operations in vec(any::operation(), 1..4),
        outcome in any::outcome(),
        damage in damage(),
    ) {
        let id = EntityId::new("counter", "a").unwrap();
        let request = entity::request_to_wire(&id, None, &operations, Timestamp::EPOCH);
        read_request(&damaged(request.encode_to_vec(), &damage));
        read_outcome(&damaged(outcome::to_wire(outcome).encode_to_vec(), &damage));
    }
}
