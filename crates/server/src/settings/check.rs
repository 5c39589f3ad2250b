//! What the types of settings do not say.

use std::ops::RangeInclusive;
use std::time::Duration;

use strandline_store::{HUB_NAME_MAX, HUB_PARTITIONS_MAX, is_hub_name};
use url::Url;

use super::{Jwt, Settings};
use crate::access::{TokensError, check_issuer};

/// Levels of nesting that the JSON parser takes.
const JSON_DEPTH_MAX: usize = 128;
/// Who stops a server does not wait longer, and points in time can't be as far away as one likes.
const GRACE_MAX: Duration = Duration::from_secs(60 * 60);

/// Orchestrators wait no shorter and no longer between two looks at a job.
const ASYNC_REQUEST_SLEEPS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60 * 60);

/// A setting whose value can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} {must}")]
pub struct Impossible {
    /// Such as `hub.name`.
    pub key: &'static str,
    /// What it must be, as in "must be at least 1".
    pub must: String,
}

impl Settings {
    /// All settings that can't be as they are.
    pub fn check(&self) -> Vec<Impossible> {
        let Self { server, limits, auth, tls, hub, call_http, log, .. } = self;
        let rules: [(&'static str, bool, &dyn Fn() -> String); 12] = [
            ("server.listen", !server.listen.is_empty(), &|| "must name at least one address".to_owned()),
            ("log.level", crate::logging::is_filter(&log.level), &|| {
                "must be error, warn, info, debug, trace or off, or a list like info,TARGET=LEVEL".to_owned()
            }),
            ("hub.name", is_hub_name(&hub.name), &|| {
                format!("must be 1 to {HUB_NAME_MAX} of A-Z a-z 0-9 _ -")
            }),
            ("hub.partitions", (1..=HUB_PARTITIONS_MAX).contains(&hub.partitions), &|| {
                format!("must be 1 to {HUB_PARTITIONS_MAX}")
            }),
            ("limits.json_depth_max", (1..=JSON_DEPTH_MAX).contains(&limits.json_depth_max), &|| {
                format!("must be 1 to {JSON_DEPTH_MAX}")
            }),
            ("auth.jwt.audiences", auth.jwt.issuer.is_none() || !auth.jwt.audiences.is_empty(), &|| {
                "must name at least one audience".to_owned()
            }),
            (
                "call_http.default_async_request_sleep",
                ASYNC_REQUEST_SLEEPS.contains(&call_http.default_async_request_sleep),
                &|| "must be 1s to 1h".to_owned(),
            ),
            ("tls.key", tls.certificate.is_none() || tls.key.is_some(), &|| {
                "must be given with tls.certificate".to_owned()
            }),
            ("tls.certificate", tls.key.is_none() || tls.certificate.is_some(), &|| {
                "must be given with tls.key".to_owned()
            }),
            ("tls.client_ca", tls.client_ca.is_none() || tls.certificate.is_some(), &|| {
                "must be given with tls.certificate".to_owned()
            }),
            ("http.public_url", self.http.public_url.as_ref().is_none_or(is_base), &|| {
                "must begin with http:// or https://, without query and fragment".to_owned()
            }),
            ("shutdown.grace", self.shutdown.grace <= GRACE_MAX, &|| "must be at most 1h".to_owned()),
        ];
        let broken = rules.into_iter().filter(|(_, holds, _)| !holds);
        let broken = broken.map(|(key, _, must)| Impossible { key, must: must() });
        let sizes = [
            ("limits.body_bytes_max", limits.body_bytes_max),
            ("limits.header_bytes_max", limits.header_bytes_max as usize),
            ("limits.path_bytes_max", limits.path_bytes_max),
            ("limits.connections_max", limits.connections_max),
            ("limits.streams_max", limits.streams_max as usize),
            ("limits.waits_max", limits.waits_max),
            ("limits.message_bytes_max", limits.message_bytes_max),
            ("hub.cache_bytes", hub.cache_bytes),
            ("call_http.response_bytes_max", call_http.response_bytes_max),
            ("call_http.requests_max", call_http.requests_max),
        ];
        let zero = sizes.into_iter().filter(|(_, size)| *size == 0);
        let zero = zero.map(|(key, _)| Impossible { key, must: "must be at least 1".to_owned() });
        let times = [
            ("limits.body_timeout", limits.body_timeout),
            ("limits.header_timeout", limits.header_timeout),
            ("auth.signed_url_lifetime", auth.signed_url_lifetime),
            ("auth.jwt.refresh_after", auth.jwt.refresh_after),
            ("auth.jwt.refresh_pause", auth.jwt.refresh_pause),
            ("call_http.timeout", call_http.timeout),
            ("call_http.default_async_request_sleep", call_http.default_async_request_sleep),
        ];
        let none = times.into_iter().filter(|(_, time)| *time == Duration::ZERO);
        let none = none.map(|(key, _)| Impossible { key, must: "must be longer than nothing".to_owned() });
        broken.chain(zero).chain(none).chain(insecure(&auth.jwt)).collect()
    }
}

/// Whether URLs can begin with it.
fn is_base(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none()
}

/// What would let anybody give keys of an issuer.
fn insecure(jwt: &Jwt) -> Option<Impossible> {
    match check_issuer(jwt) {
        Err(TokensError::Insecure { field, .. }) => {
            let must =
                "must be an https:// address; http:// is for an issuer on this machine only".to_owned();
            Some(Impossible { key: field, must })
        }
        Err(TokensError::NoUrl(_)) => {
            let must = "must be a URL, or auth.jwt.jwks_url say where its keys are".to_owned();
            Some(Impossible { key: "auth.jwt.issuer", must })
        }
        // Audiences are a rule above.
        Ok(()) | Err(TokensError::NoAudience | TokensError::Client(_)) => None,
    }
}
