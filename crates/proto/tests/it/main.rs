//! Nothing is lost on the way from the model to a message and back, and nothing that comes in panics.

mod action;
mod any;
mod entity;
mod history;
mod hostile;

use proptest::prelude::ProptestConfig;
use prost::Message;
use strandline_model::ExecutionId;
use strandline_proto::Execution;

const OF: Execution<'static> = Execution { instance_id: "i", execution_id: ExecutionId(0xab) };

fn cases() -> ProptestConfig {
    ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() }
}

/// Through bytes, as between two processes.
fn through<M: Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).unwrap()
}
