//! The host a request names.
//!
//! Anybody can name any host. What an answer repeats of it is what the server is known by: a loopback name,
//! or one that is configured.

use std::net::IpAddr;

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, header};
use url::Url;

use crate::serve::listen::Peer;
use crate::settings::{Http, Settings};

/// What the URLs of an answer begin with, such as `https://example.org`, without a `/` at the end: the
/// configured one, else the host the request names if the server is known by it, else the address the
/// request came to.
pub(super) fn base(settings: &Settings, head: &Parts) -> String {
    let http = &settings.http;
    if let Some(url) = &http.public_url {
        return url.as_str().trim_end_matches('/').to_owned();
    }
    let scheme = if settings.tls.certificate.is_some() { "https" } else { "http" };
    let forwarded = || forwarded(&head.headers).filter(|_| http.use_forwarded_host);
    let named = || Some((scheme, named(head)?));
    let is_known = |host: &Authority| is_local(host.host()) || is_allowed(host, http);
    if let Some((scheme, host)) = forwarded().or_else(named).filter(|(_, host)| is_known(host)) {
        return format!("{scheme}://{host}");
    }
    match head.extensions.get::<Peer>() {
        Some(peer) => format!("{scheme}://{}", peer.local),
        None => format!("{scheme}://localhost"),
    }
}

/// The host and port a request says it is for.
fn named(head: &Parts) -> Option<Authority> {
    let header = || authority(head.headers.get(header::HOST)?.to_str().ok()?);
    head.uri.authority().cloned().or_else(header)
}

/// Whether a host is an address, which means the same machine to everybody on a network.
pub(super) fn is_address(host: &str) -> bool {
    address(host).is_some()
}

/// Whether a host is this machine, whoever says it.
pub(super) fn is_local(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let loopback = address(host).is_some_and(|address| address.to_canonical().is_loopback());
    loopback || name == "localhost" || name.ends_with(".localhost")
}

/// Whether the configuration knows a host, with or without its port.
pub(super) fn is_allowed(host: &Authority, settings: &Http) -> bool {
    let same = |allowed: &str| {
        allowed.eq_ignore_ascii_case(host.as_str()) || allowed.eq_ignore_ascii_case(host.host())
    };
    let public = settings.public_url.as_ref().and_then(Url::host_str);
    settings.allowed_hosts.iter().any(|allowed| same(allowed)) || public.is_some_and(same)
}

fn address(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

/// What a proxy says it was asked for: both headers, or nothing.
fn forwarded(headers: &HeaderMap) -> Option<(&'static str, Authority)> {
    // Of several proxies the first was asked.
    let first = |name| headers.get(name)?.to_str().ok()?.split(',').next().map(str::trim);
    let host = authority(first("x-forwarded-host")?)?;
    let proto = first("x-forwarded-proto")?;
    let scheme = ["http", "https"].into_iter().find(|scheme| scheme.eq_ignore_ascii_case(proto))?;
    Some((scheme, host))
}

fn authority(text: &str) -> Option<Authority> {
    // Nobody's name and password are part of a host.
    text.parse::<Authority>().ok().filter(|authority| !authority.as_str().contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base_of(settings: &Settings, headers: &[(&str, &str)]) -> String {
        let mut request = http::Request::get("/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut head = request.body(()).unwrap().into_parts().0;
        let local = "10.1.2.3:7071".parse().unwrap();
        head.extensions.insert(Peer { address: local, local, waits: Default::default() });
        base(settings, &head)
    }

    #[test]
    fn only_known_hosts_are_repeated() {
        let mut settings = Settings::default();
        for known in ["localhost", "LOCALHOST:7071", "127.0.0.1:80", "127.8.8.8", "[::1]:7071"] {
            assert_eq!(base_of(&settings, &[("host", known)]), format!("http://{known}"));
        }
        for other in
            ["evil.example", "localhost.evil.example", "a@localhost", "127.0.0.1.evil.example", "x y"]
        {
            assert_eq!(base_of(&settings, &[("host", other)]), "http://10.1.2.3:7071", "{other}");
        }
        settings.http.allowed_hosts = vec!["Hub.example".to_owned(), "other.example:81".to_owned()];
        assert_eq!(base_of(&settings, &[("host", "hub.example:9")]), "http://hub.example:9");
        assert_eq!(base_of(&settings, &[("host", "other.example:81")]), "http://other.example:81");
        assert_eq!(base_of(&settings, &[("host", "other.example:82")]), "http://10.1.2.3:7071");
        settings.http.public_url = Some("https://public.example/df/".parse().unwrap());
        assert_eq!(base_of(&settings, &[("host", "hub.example")]), "https://public.example/df");
    }

    #[test]
    fn proxies_count_if_they_are_meant_to() {
        let mut settings = Settings::default();
        settings.http.allowed_hosts = vec!["hub.example".to_owned()];
        let both =
            [("host", "localhost"), ("x-forwarded-host", "hub.example"), ("x-forwarded-proto", "https")];
        assert_eq!(base_of(&settings, &both), "http://localhost");
        settings.http.use_forwarded_host = true;
        assert_eq!(base_of(&settings, &both), "https://hub.example");
        assert_eq!(base_of(&settings, &both[..2]), "http://localhost");
        let forged = [("x-forwarded-host", "evil.example"), ("x-forwarded-proto", "https")];
        assert_eq!(base_of(&settings, &forged), "http://10.1.2.3:7071");
        let odd = [("host", "localhost"), ("x-forwarded-host", "hub.example"), ("x-forwarded-proto", "ftp")];
        assert_eq!(base_of(&settings, &odd), "http://localhost");
    }
}
