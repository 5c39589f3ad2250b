//! Whatever bytes decode as a message can be read without a panic.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use strandline_model::ExecutionId;
use strandline_proto::{Execution, history, wire};

use crate::any;

const OF: Execution<'static> = Execution { instance_id: "i", execution_id: ExecutionId(0xab) };

fn read_event(bytes: &[u8]) {
    if let Ok(event) = wire::HistoryEvent::decode(bytes) {
        // What could be read can be written, and then says the same.
        if let Ok(event) = history::from_wire(event) {
            assert_eq!(history::from_wire(history::to_wire(&event, OF)), Ok(event));
        }
    }
}

/// Overwrites some bytes, and cuts the end off.
fn damaged(mut bytes: Vec<u8>, damage: &[(usize, u8)], cut: usize) -> Vec<u8> {
    for (at, byte) in damage {
        let at = at % bytes.len().max(1);
        if let Some(place) = bytes.get_mut(at) {
            *place = *byte;
        }
    }
    bytes.truncate(bytes.len().saturating_sub(cut));
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise(bytes in vec(any::<u8>(), 0..64)) {
        read_event(&bytes);
    }

    #[test]
    fn damaged_events(event in any::event(), damage in vec(any::<(usize, u8)>(), 1..6), cut in 0..3_usize) {
        read_event(&damaged(history::to_wire(&event, OF).encode_to_vec(), &damage, cut));
    }
}
