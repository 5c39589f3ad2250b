//! Which existing instances a start replaces.

use strandline_hub::ReusePolicy;
use strandline_model::RuntimeStatus;

/// A policy that can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Invalid reusable statuses: cannot exclude 'Terminated' while also allowing reuse of running instances"
)]
pub(crate) struct InvalidReuse;

/// The policy that replaces instances in these states.
pub(crate) fn policy(replaceable: Vec<RuntimeStatus>) -> Result<ReusePolicy, InvalidReuse> {
    let live = [RuntimeStatus::Pending, RuntimeStatus::Running, RuntimeStatus::Suspended];
    let any_live = replaceable.iter().any(|status| live.contains(status));
    // What is going on is terminated first, so that must be replaceable as well.
    if any_live && !replaceable.contains(&RuntimeStatus::Terminated) {
        return Err(InvalidReuse);
    }
    Ok(ReusePolicy { replaceable })
}
