//! Which existing instances a start replaces.

use strandline_hub::ReusePolicy;
use strandline_model::RuntimeStatus;

use crate::access::Principal;

/// A policy that can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Invalid reusable statuses: cannot exclude 'Terminated' while also allowing reuse of running instances"
)]
pub(crate) struct InvalidReuse;

/// What of a policy a caller may use. Who may start just some functions replaces nothing: what is there may be an
/// instance of another one.
pub(crate) fn by(caller: &Principal, policy: ReusePolicy) -> ReusePolicy {
    if caller.is_limited() { ReusePolicy::refuse() } else { policy }
}

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
