//! The URLs an answer holds.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use strandline_model::InstanceId;
use url::form_urlencoded;

use super::Call;
use super::answer;
use crate::access::{Caller, Credential};
use crate::keys::Permission::{self, Purge, RaiseEvent, Read, Restart, Resume, Rewind, Suspend, Terminate};
use crate::web::host;

/// Everything but what never needs it.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// When to look at a started instance for the first time, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("10");

/// The part of a management URL's query by which it is opened, such as `sig=…`, without a `&`; `None` on
/// a server that asks nobody for a key. `hub` and `instance` are what the URL is about, `permission` what it
/// does: each URL is good for that alone.
fn credentials(caller: &Caller, hub: &str, instance: &InstanceId, permission: Permission) -> Option<String> {
    let Credential { name, value } = caller.credential(hub, instance.as_str(), permission)?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    Some(query.append_pair(name, &value).finish())
}

/// The URLs by which one instance is managed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Management<'a> {
    id: &'a str,
    status_query_get_uri: String,
    send_event_post_uri: String,
    terminate_post_uri: String,
    rewind_post_uri: String,
    purge_history_delete_uri: String,
    restart_post_uri: String,
    suspend_post_uri: String,
    resume_post_uri: String,
}

impl<'a> Management<'a> {
    fn of(call: &Call, id: &'a InstanceId) -> Self {
        let app = &call.app;
        let base = host::base(&app.settings, &call.head);
        let instance = utf8_percent_encode(id.as_str(), RESERVED);
        let instance = format!("{base}/runtime/webhooks/durabletask/instances/{instance}");
        let hub = &call.hub.info().name;
        let connection = utf8_percent_encode(&app.settings.http.connection_name, RESERVED);
        let query = |permission| {
            let credentials = credentials(&call.caller, hub, id, permission);
            let credentials = credentials.map(|text| format!("&{text}")).unwrap_or_default();
            format!("taskHub={hub}&connection={connection}{credentials}")
        };
        let asked = if call.fails_with_500() { "&returnInternalServerErrorOnFailure=true" } else { "" };
        let told = |operation: &str, permission| {
            format!("{instance}/{operation}?reason={{text}}&{}", query(permission))
        };
        Self {
            id: id.as_str(),
            status_query_get_uri: format!("{instance}?{}{asked}", query(Read)),
            send_event_post_uri: format!("{instance}/raiseEvent/{{eventName}}?{}", query(RaiseEvent)),
            terminate_post_uri: told("terminate", Terminate),
            rewind_post_uri: told("rewind", Rewind),
            purge_history_delete_uri: format!("{instance}?{}", query(Purge)),
            restart_post_uri: format!("{instance}/restart?{}", query(Restart)),
            suspend_post_uri: told("suspend", Suspend),
            resume_post_uri: told("resume", Resume),
        }
    }
}

/// The answer to a start that is not waited for.
pub(super) fn management(call: &Call, id: &InstanceId) -> Response {
    let urls = Management::of(call, id);
    let mut response = answer::json(StatusCode::ACCEPTED, &urls);
    if let Ok(location) = HeaderValue::from_str(&urls.status_query_get_uri) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    response
}

/// The URL that was asked for. If it held the caller's key it has what management URLs have instead.
pub(super) fn own(call: &Call, id: &InstanceId) -> Option<HeaderValue> {
    let mut url = host::base(&call.app.settings, &call.head);
    // Other bytes than those of a URL are let through by the parser.
    url.extend(utf8_percent_encode(call.head.uri.path(), CONTROLS));
    let query = call.head.uri.query().unwrap_or_default();
    let is_key = |pair: &&str| {
        let name = form_urlencoded::parse(pair.as_bytes()).next();
        name.is_some_and(|(name, _)| name.eq_ignore_ascii_case("code"))
    };
    let (keys, others): (Vec<&str>, Vec<&str>) =
        query.split('&').filter(|pair| !pair.is_empty()).partition(is_key);
    let mut parts: Vec<String> =
        others.into_iter().map(|pair| utf8_percent_encode(pair, CONTROLS).to_string()).collect();
    if !keys.is_empty() {
        parts.extend(credentials(&call.caller, &call.hub.info().name, id, Read));
    }
    if !parts.is_empty() {
        url.push('?');
        url.push_str(&parts.join("&"));
    }
    HeaderValue::from_str(&url).ok()
}
