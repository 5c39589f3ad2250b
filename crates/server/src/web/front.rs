//! What every request passes first, of gRPC or not, and every answer last.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderName};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, StatusCode, Version};

use super::host::{is_address, is_allowed, is_local};
use super::{App, api, ops};
use crate::serve::is_grpc;
use crate::serve::listen::Peer;
use crate::settings::{Http, Limits};

/// What answers say unless a handler says otherwise: they are for the caller alone, and nobody's page.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
];
/// Longest part of what a caller sent that it is told again, in characters.
const ECHO_MAX: usize = 100;
/// What a header has around its name and value.
const AROUND: usize = 4;

/// Why a request goes no further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("path and query have more than {0} bytes: the limit is limits.path_bytes_max")]
    Path(usize),
    #[error("the headers have more than {0} bytes: the limit is limits.header_bytes_max")]
    Headers(u32),
    #[error(
        "this server asks for no keys, so it takes no requests that may be those of a web page: {what} is \
         {named:?}, which is neither this machine nor in http.allowed_hosts"
    )]
    Elsewhere { what: &'static str, named: String },
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Path(_) => StatusCode::URI_TOO_LONG,
            Self::Headers(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Elsewhere { .. } => StatusCode::FORBIDDEN,
        };
        (status, self.to_string()).into_response()
    }
}

pub(super) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let grpc = is_grpc(request.headers());
    let is_ours = api::is_under(request.uri().path());
    let mut response = match check(&app, &request, grpc) {
        Ok(()) => next.run(request).await,
        Err(refused) if is_ours => api::Problem::from(refused).into_response(),
        Err(refused) => refused.into_response(),
    };
    if !grpc {
        for (name, value) in HEADERS {
            response.headers_mut().entry(name).or_insert(value);
        }
        if response.status() == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().entry(header::WWW_AUTHENTICATE).or_insert(scheme);
        }
    }
    response
}

fn check(app: &App, request: &Request, grpc: bool) -> Result<(), Refused> {
    check_head(request, &app.settings.limits)?;
    // Browsers speak HTTP/2 only where there is TLS, and take no certificate for another name.
    if grpc && request.version() == Version::HTTP_2 {
        return Ok(());
    }
    // They show nothing of users, and name the server as whoever probes it knows it.
    if ops::is_probe(request.uri().path()) {
        return Ok(());
    }
    if app.access.needs_keys() {
        return Ok(());
    }
    let peer = request.extensions().get::<Peer>();
    let near = peer.is_none_or(|peer| peer.address.ip().to_canonical().is_loopback());
    check_names(request, &app.settings.http, near)
}

fn check_head(request: &Request, limits: &Limits) -> Result<(), Refused> {
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    if path > limits.path_bytes_max {
        return Err(Refused::Path(limits.path_bytes_max));
    }
    let bytes = |headers: &HeaderMap| -> usize {
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + AROUND).sum()
    };
    if bytes(request.headers()) > limits.header_bytes_max as usize {
        return Err(Refused::Headers(limits.header_bytes_max));
    }
    Ok(())
}

/// A server without keys lets in everybody who reaches it, and browsers that do run anybody's pages. A page can
/// reach the server in two ways: as what it is, and then the browser tells its `Origin`; or, after its name was
/// made to mean the server's machine, as the server's own page, and then `Host` has its name. By what name other
/// machines know the server nobody can tell, so `Host` is looked at only where the caller is `near`: on this one.
fn check_names(request: &Request, settings: &Http, near: bool) -> Result<(), Refused> {
    let named = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let elsewhere =
        |what, named: &str| Refused::Elsewhere { what, named: named.chars().take(ECHO_MAX).collect() };
    let host = match request.uri().authority() {
        Some(authority) => Some(authority.as_str().to_owned()),
        None => request.headers().get(header::HOST).map(named),
    };
    if let Some(host) = host.as_ref().filter(|_| near) {
        let known = host.parse::<Authority>().is_ok_and(|host| {
            // Names can be made to mean another machine; addresses are what they are.
            is_address(host.host()) || is_local(host.host()) || is_allowed(&host, settings)
        });
        if !known {
            return Err(elsewhere("the host", host));
        }
    }
    if let Some(origin) = request.headers().get(header::ORIGIN).map(named) {
        let authority = origin.split_once("://").and_then(|(_, rest)| rest.parse::<Authority>().ok());
        let known = authority.is_some_and(|from| {
            is_local(from.host()) || is_allowed(&from, settings) || host.as_deref() == Some(from.as_str())
        });
        if !known {
            return Err(elsewhere("the origin", &origin));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use url::Url;

    use super::*;

    fn check(host: &str, origin: Option<&str>) -> Result<(), Refused> {
        check_from(true, host, origin)
    }

    fn check_from(near: bool, host: &str, origin: Option<&str>) -> Result<(), Refused> {
        let settings = Http {
            allowed_hosts: vec!["dev.example.org".to_owned(), "other.example.org:8080".to_owned()],
            public_url: Some(Url::parse("https://flows.example.org/x").unwrap()),
            ..Http::default()
        };
        let mut request = Request::get("/x").header(header::HOST, host);
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        check_names(&request.body(Body::empty()).unwrap(), &settings, near)
    }

    #[test]
    fn only_pages_of_this_machine_and_of_allowed_hosts_get_through() {
        for host in [
            "localhost:7071",
            "LOCALHOST",
            "app.localhost:7071",
            "127.0.0.1:7071",
            "[::1]:7071",
            "10.0.0.7:7071",
            "dev.example.org",
            "dev.example.org:99",
            "other.example.org:8080",
            "flows.example.org",
        ] {
            assert_eq!(check(host, None), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:7071",
            "127.0.0.1.evil.example",
            "other.example.org",
            "",
            "a b",
        ] {
            assert!(check(host, None).is_err(), "{host}");
        }
    }

    #[test]
    fn a_page_from_elsewhere_is_refused_though_the_host_is_right() {
        for origin in
            ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:80", "https://flows.example.org"]
        {
            assert_eq!(check("localhost:7071", Some(origin)), Ok(()), "{origin}");
        }
        for origin in [
            "https://evil.example",
            "null",
            "http://10.0.0.8",
            "file://",
            "http://localhost.evil.example",
            "",
        ] {
            let refused = check("localhost:7071", Some(origin)).unwrap_err().to_string();
            assert!(refused.contains("http.allowed_hosts"), "{refused}");
        }
        assert_eq!(check("10.0.0.7:7071", Some("http://10.0.0.7:7071")), Ok(()), "the server's own page");
    }

    #[test]
    fn from_other_machines_the_server_has_any_name_and_pages_are_still_refused() {
        assert_eq!(check_from(false, "flows.internal:7071", None), Ok(()));
        assert_eq!(check_from(false, "flows.internal", Some("http://flows.internal")), Ok(()));
        assert!(check_from(false, "flows.internal", Some("https://evil.example")).is_err());
        assert!(check_from(false, "flows.internal", Some("null")).is_err());
    }
}
