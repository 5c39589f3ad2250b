//! What the front ends of a server, gRPC and HTTP, do alike.

pub(crate) mod lists;
pub(crate) mod reuse;
pub(crate) mod workers;

use strandline_model::InstanceId;
use uuid::Uuid;

/// Most ids in one request about many instances.
pub(crate) const IDS_MAX: usize = 500;

/// For an instance whose starter leaves the id to the server.
pub(crate) fn new_instance_id() -> InstanceId {
    InstanceId::trusted(Uuid::new_v4().simple().to_string())
}
