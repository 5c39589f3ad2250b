//! Instances that wait for something people should know of.

use std::sync::Arc;

use prost::Message as _;
use strandline_engine::runtime::{Hub, ListError, Reach, WhyError};
use strandline_engine::why::Severity;
use strandline_hub::query::InstanceQuery;
use strandline_model::RuntimeStatus;
use strandline_proto::management;

use super::wire;
use crate::access::Principal;

/// Instances that are looked at for one page, at most and unless said otherwise.
pub(crate) const EXAMINED_MAX: usize = 100;
/// Open tasks that are told of each.
const WAITS_TOLD: usize = 3;
/// Bytes of diagnoses after which a page is closed: most clients refuse messages over 4 MiB.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Part of a list.
pub(crate) struct Stuck {
    pub(crate) diagnoses: Vec<management::Diagnosis>,
    /// How many instances were looked at.
    pub(crate) examined: usize,
    /// Where the next page begins; `None` on the last one.
    pub(crate) continuation_token: Option<String>,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StuckError {
    #[error(transparent)]
    List(#[from] ListError),
    #[error(transparent)]
    Why(#[from] WhyError),
}

/// Of the next `size` instances, those whose diagnosis is at least this severe. A query without statuses is
/// about those that are not over.
pub(crate) async fn list(
    hub: &Hub,
    mut query: InstanceQuery,
    token: Option<&str>,
    size: usize,
    at_least: Severity,
    principal: &Principal,
) -> Result<Stuck, StuckError> {
    if query.statuses.is_empty() {
        query.statuses = [RuntimeStatus::Pending, RuntimeStatus::Running, RuntimeStatus::Suspended].into();
    }
    let query = Arc::new(query);
    let page = hub.list(&query, token, size.min(EXAMINED_MAX)).await?;
    let mut stuck = Stuck { diagnoses: Vec::new(), examined: 0, continuation_token: page.continuation_token };
    let mut bytes = 0;
    for instance in &page.instances {
        let sees = |hub: &str| principal.sees(hub);
        let found = hub.why(&instance.id, Reach::MANY, &sees).await?;
        stuck.examined += 1;
        // One that ended meanwhile is not stuck any more.
        if let Some(diagnosis) = found.filter(|found| found.severity >= at_least) {
            let diagnosis = wire::to_wire(&diagnosis, &hub.info().name, WAITS_TOLD);
            bytes += diagnosis.encoded_len();
            stuck.diagnoses.push(diagnosis);
        }
        if bytes > PAGE_BYTES && stuck.examined < page.instances.len() {
            let token = hub.token_after(&*query, instance).await.map_err(ListError::from)?;
            stuck.continuation_token = Some(token);
            break;
        }
    }
    Ok(stuck)
}
