//! The URLs an answer holds.

use strandline_model::InstanceId;

use crate::access::Caller;
use crate::web::App;

/// The part of a management URL's query by which it is opened, such as `code=…`, without a `&`; `None` on
/// a server that asks nobody for a key. `hub` and `instance` are what the URL is about.
pub(super) fn credentials(
    _app: &App,
    _caller: &Caller,
    _hub: &str,
    _instance: &InstanceId,
) -> Option<String> {
    None
}
