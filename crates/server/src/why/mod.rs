//! Why instances wait, as people and programs are told: the same over gRPC, over HTTP and by the command
//! line. [`strandline_engine::why`] finds it out.

mod stuck;
mod view;
mod wire;

use strandline_engine::runtime::{Hub, Reach, WhyError};
use strandline_model::InstanceId;
use strandline_proto::management;

use crate::access::Principal;

pub(crate) use stuck::{EXAMINED_MAX, StuckError, list};
pub(crate) use view::{Diagnosis, Severity, Value};
pub(crate) use wire::severity_from_wire;

/// Why an instance waits, for this caller; `None`: there is none of this id.
pub(crate) async fn diagnose(
    hub: &Hub,
    id: &InstanceId,
    principal: &Principal,
) -> Result<Option<management::Diagnosis>, WhyError> {
    let found = hub.why(id, Reach::ONE, &|hub| principal.sees(hub)).await?;
    Ok(found.map(|diagnosis| wire::to_wire(&diagnosis, &hub.info().name, usize::MAX)))
}
