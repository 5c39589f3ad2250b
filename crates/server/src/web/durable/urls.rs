//! The URLs an answer holds.

use strandline_model::InstanceId;
use url::form_urlencoded;

use crate::access::{Caller, Credential};
use crate::keys::Permission;

/// The part of a management URL's query by which it is opened, such as `sig=…`, without a `&`; `None` on
/// a server that asks nobody for a key. `hub` and `instance` are what the URL is about, `permission` what it
/// does: each URL is good for that alone.
pub(super) fn credentials(
    caller: &Caller,
    hub: &str,
    instance: &InstanceId,
    permission: Permission,
) -> Option<String> {
    let Credential { name, value } = caller.credential(hub, instance.as_str(), permission)?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    Some(query.append_pair(name, &value).finish())
}
