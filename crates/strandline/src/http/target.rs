//! Where requests may go: names, ports and addresses.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use url::{Host, Url};

/// The addresses of a name, later.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Finds the addresses of a name, in place of the system.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of a host name.
    fn resolve(&self, host: &str) -> Resolving;
}

/// Asks the system.
pub(super) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str) -> Resolving {
        let host = host.to_owned();
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((host, 0)).await?;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    }
}

/// What may be reached besides public addresses on the usual ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    host: AllowedHost,
    /// None: the ports that are allowed everywhere.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum AllowedHost {
    Name(String),
    /// A network: its first address and how many bits are fixed.
    Network(IpAddr, u8),
}

impl Allowed {
    /// Reads `build.internal`, `10.0.0.7`, `10.0.0.0/8`, `[fd00::1]`, `fd00::/8`, each with `:port` at will.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some((network, bits)) = text.rsplit_once('/') {
            let address: IpAddr = network.parse().ok()?;
            let bits: u8 = bits.parse().ok()?;
            let network = AllowedHost::Network(address, bits);
            return (bits <= width(address)).then_some(Self { host: network, port: None });
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self { host: AllowedHost::Network(address, width(address)), port: None });
        }
        // As part of a URL, what is behind or before these would not count.
        if text.contains(['#', '@']) {
            return None;
        }
        // The parser of URLs also reads the many ways to write an address.
        let url = Url::parse(&format!("none://{text}")).ok()?;
        let plain = matches!(url.path(), "") && url.username().is_empty() && url.query().is_none();
        let host = Url::parse(&format!("http://{}", url.host_str()?)).ok()?;
        let host = match host.host()? {
            // No pattern: it would be a name that nothing has.
            Host::Domain(name) if name.contains('*') => return None,
            Host::Domain(name) => AllowedHost::Name(name.to_owned()),
            Host::Ipv4(address) => AllowedHost::Network(address.into(), 32),
            Host::Ipv6(address) => AllowedHost::Network(address.into(), 128),
        };
        plain.then_some(Self { host, port: url.port() })
    }

    fn has_name(&self, host: &str) -> bool {
        matches!(&self.host, AllowedHost::Name(name) if name == host)
    }

    fn has_address(&self, address: IpAddr) -> bool {
        matches!(self.host, AllowedHost::Network(network, bits) if is_within(address, network, bits))
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            (address.to_bits() ^ network.to_bits()) & mask == 0
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            (address.to_bits() ^ network.to_bits()) & mask == 0
        }
        _ => false,
    }
}

/// Networks that are not public, and what they are. The first that fits names an address.
const CLOSED_V4: [(Ipv4Addr, u8, &str); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "an address of this host"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private address"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "an address behind a carrier's NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "a loopback address"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "a link-local address"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private address"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "a reserved address"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "an address for documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "a reserved address"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "a reserved address"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a reserved address"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private address"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "a reserved address"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "an address for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "an address for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "an address for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 3, "a multicast or reserved address"),
];

const CLOSED_V6: [(Ipv6Addr, u8, &str); 13] = [
    (Ipv6Addr::UNSPECIFIED, 128, "an address of this host"),
    (Ipv6Addr::LOCALHOST, 128, "a loopback address"),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, "an IPv4 address written as IPv6"),
    (Ipv6Addr::UNSPECIFIED, 96, "an IPv4 address written as IPv6"),
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 32, "an address behind NAT64"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "a private address"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "a link-local address"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "a private address"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "a multicast address"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "an address for documentation"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "an address for documentation"),
    // Teredo, benchmarks, ORCHID and more.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "a reserved address"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "a 6to4 address"),
];

/// The only part of IPv6 that is public.
const PUBLIC_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What an address is, unless it is public.
fn closed(address: IpAddr) -> Option<&'static str> {
    let of = |network: IpAddr, bits| is_within(address, network, bits);
    match address {
        IpAddr::V4(_) => {
            CLOSED_V4.iter().find(|(network, bits, _)| of((*network).into(), *bits)).map(|entry| entry.2)
        }
        IpAddr::V6(_) => {
            let known = CLOSED_V6.iter().find(|(network, bits, _)| of((*network).into(), *bits));
            let rest = (!of(PUBLIC_V6.0.into(), PUBLIC_V6.1)).then_some("a reserved address");
            known.map(|entry| entry.2).or(rest)
        }
    }
}

/// Why a request does not go where it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

const ALLOW: &str = "HttpPolicy::allow, or call_http.allowed_hosts of a server";

/// What may be reached.
#[derive(Clone, Debug)]
pub(super) struct Targets {
    pub(super) allowed: Vec<Allowed>,
    pub(super) ports: Vec<u16>,
}

impl Targets {
    /// Judges a URL by what it says; where it names a host, [`Guard`] judges the addresses.
    pub(super) fn check(&self, url: &Url) -> Result<(), Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal(format!("the scheme '{}' is neither http nor https", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            let text = "a URL with credentials would keep them in the history: send a secret header";
            return Err(Refusal(text.to_owned()));
        }
        let Some((host, port)) = url.host().zip(url.port_or_known_default()) else {
            return Err(Refusal("the URL has no host".to_owned()));
        };
        let named: Vec<_> = self.allowed.iter().filter(|allowed| allowed.is(&host)).collect();
        let fits = |allowed: &&&Allowed| match allowed.port {
            Some(allowed) => allowed == port,
            None => self.ports.contains(&port),
        };
        if named.iter().any(|allowed| fits(&allowed)) {
            return Ok(());
        }
        if !named.is_empty() || !self.ports.contains(&port) {
            return Err(Refusal(format!(
                "port {port} of {host} is not allowed: '{host}:{port}' can be allowed ({ALLOW})"
            )));
        }
        match host {
            Host::Domain(_) => Ok(()),
            Host::Ipv4(address) => self.check_literal(address.into()),
            Host::Ipv6(address) => self.check_literal(address.into()),
        }
    }

    fn check_literal(&self, address: IpAddr) -> Result<(), Refusal> {
        match closed(address) {
            None => Ok(()),
            Some(what) => Err(Refusal(format!("{address} is {what}: it can be allowed ({ALLOW})"))),
        }
    }

    /// Judges the addresses of a name: one that is refused refuses all, for nobody knows which is taken.
    fn check_addresses(&self, host: &str, addresses: &[IpAddr]) -> Result<(), Refusal> {
        if self.allowed.iter().any(|allowed| allowed.has_name(host)) {
            return Ok(());
        }
        let open = |address: IpAddr| {
            self.allowed.iter().any(|allowed| allowed.port.is_none() && allowed.has_address(address))
        };
        let refused =
            addresses.iter().filter(|address| !open(**address)).find_map(|address| closed(*address));
        match refused {
            None => Ok(()),
            // Which address it is would tell the author of a request about the network it is sent from.
            Some(what) => Err(Refusal(format!("'{host}' is at {what}: '{host}' can be allowed ({ALLOW})"))),
        }
    }
}

impl Allowed {
    fn is(&self, host: &Host<&str>) -> bool {
        match host {
            Host::Domain(name) => self.has_name(name),
            Host::Ipv4(address) => self.has_address((*address).into()),
            Host::Ipv6(address) => self.has_address((*address).into()),
        }
    }
}

/// Stands between the client and the resolver: it connects to what was judged here, and to nothing else.
pub(super) struct Guard {
    pub(super) targets: Arc<Targets>,
    pub(super) resolver: Arc<dyn Resolve>,
}

impl reqwest::dns::Resolve for Guard {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let (targets, resolving) = (self.targets.clone(), self.resolver.resolve(name.as_str()));
        Box::pin(async move {
            let addresses = resolving.await?;
            targets.check_addresses(name.as_str(), &addresses)?;
            let addresses: Vec<_> = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

/// An origin that a token or a secret may be sent to: `https://api.example`, `https://*.vault.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: String,
    /// What follows an asterisk, or the whole name.
    host: String,
    any_below: bool,
    port: u16,
}

impl Origin {
    /// Reads an origin; one without a scheme has `https`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
        let (any_below, rest) = match rest.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let url = Url::parse(&format!("{scheme}://{rest}")).ok()?;
        let plain = matches!(url.path(), "" | "/") && url.query().is_none() && url.username().is_empty();
        let http = matches!(url.scheme(), "http" | "https");
        (plain && http).then_some(Self {
            scheme: url.scheme().to_owned(),
            host: url.host_str()?.to_owned(),
            any_below,
            port: url.port_or_known_default()?,
        })
    }

    pub(super) fn has(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let named = if self.any_below {
            host.strip_suffix(&self.host).is_some_and(|below| below.len() > 1 && below.ends_with('.'))
        } else {
            host == self.host
        };
        named && url.scheme() == self.scheme && url.port_or_known_default() == Some(self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(allowed: &[&str]) -> Targets {
        let allowed = allowed.iter().map(|text| Allowed::parse(text).unwrap()).collect();
        Targets { allowed, ports: vec![80, 443] }
    }

    fn check(allowed: &[&str], url: &str) -> Result<(), String> {
        targets(allowed).check(&Url::parse(url).unwrap()).map_err(|refusal| refusal.0)
    }

    #[test]
    fn public_addresses_are_open_and_others_are_not() {
        for open in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"] {
            assert_eq!(closed(open.parse().unwrap()), None, "{open}");
        }
        let shut = [
            "0.1.2.3",
            "10.9.8.7",
            "100.64.0.1",
            "127.1.2.3",
            "169.254.169.254",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.19.0.1",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:1.1.1.1",
            "::7f00:1",
            "64:ff9b::101:101",
            "64:ff9b:1::1",
            "100::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "4000::1",
        ];
        for address in shut {
            assert!(closed(address.parse().unwrap()).is_some(), "{address}");
        }
    }

    #[test]
    fn addresses_are_known_however_they_are_written() {
        let loopback = [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://0177.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://127.0.0.1./",
            "http://[::ffff:7f00:1]/",
            "http://1.1.1.1@127.0.0.1/",
            "http://①②⑦.0.0.1/",
        ];
        for url in loopback {
            assert!(check(&[], url).is_err(), "{url}");
        }
        let metadata = ["http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/"];
        for url in metadata {
            assert!(check(&[], url).unwrap_err().contains("allowed_hosts"), "{url}");
        }
        assert!(check(&[], "ftp://example.com/").is_err());
        assert!(check(&[], "https://me:hush@example.com/").is_err_and(|text| !text.contains("hush")));
    }

    #[test]
    fn hosts_networks_and_ports_can_be_allowed() {
        assert_eq!(check(&[], "https://example.com/"), Ok(()));
        assert!(check(&[], "https://example.com:8443/").unwrap_err().contains("'example.com:8443'"));
        assert_eq!(check(&["example.com:8443"], "https://example.com:8443/"), Ok(()));
        assert!(check(&["example.com:8443"], "https://example.com/").is_err(), "that port only");
        assert_eq!(check(&["10.0.0.0/8"], "http://10.1.2.3/"), Ok(()));
        assert!(check(&["10.0.0.0/8"], "http://11.1.2.3:81/").is_err());
        assert_eq!(check(&["127.0.0.1:9000"], "http://127.0.0.1:9000/"), Ok(()));
        assert!(check(&["127.0.0.1:9000"], "http://127.0.0.1/").is_err());
        assert_eq!(check(&["[fd00::1]:9000"], "http://[fd00::1]:9000/"), Ok(()));
        assert_eq!(check(&["fd00::/8"], "http://[fd12::1]/"), Ok(()));
        assert_eq!(check(&["BUILD.internal"], "http://build.INTERNAL/"), Ok(()));
        let wrong =
            ["", "a/b", "10.0.0.0/33", "a b", "http://a", "u@a", "@a", ":p@a", "a#b", "a#", "a:99999"];
        let patterns = ["*", "*.internal", "a.*:8443", "%2a.internal"];
        for wrong in wrong.into_iter().chain(patterns) {
            assert_eq!(Allowed::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_address_of_a_name_is_judged() {
        let check = |allowed: &[&str], addresses: &[&str]| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
            targets(allowed).check_addresses("a.example", &addresses)
        };
        assert_eq!(check(&[], &["1.1.1.1", "2606:4700::1111"]), Ok(()));
        assert!(check(&[], &["1.1.1.1", "10.0.0.7"]).is_err_and(|refusal| !refusal.0.contains("10.0")));
        assert_eq!(check(&["10.0.0.0/8"], &["1.1.1.1", "10.0.0.7"]), Ok(()));
        assert!(check(&["10.0.0.0/8"], &["10.0.0.7", "127.0.0.1"]).is_err());
        assert_eq!(check(&["a.example"], &["127.0.0.1"]), Ok(()));
        assert!(check(&["10.0.0.7:8080"], &["10.0.0.7"]).is_err(), "goes for URLs that name the address");
    }

    #[test]
    fn credentials_go_to_their_origins() {
        let has = |origin: &str, url: &str| Origin::parse(origin).unwrap().has(&Url::parse(url).unwrap());
        assert!(has("https://api.example", "https://api.example/a?b"));
        assert!(has("api.example", "https://API.example:443/"));
        assert!(!has("api.example", "http://api.example/"));
        assert!(!has("api.example", "https://api.example:8443/"));
        assert!(!has("api.example", "https://evil-api.example/"));
        assert!(has("https://*.vault.example", "https://mine.vault.example/"));
        assert!(!has("https://*.vault.example", "https://vault.example/"));
        assert!(!has("https://*.vault.example", "https://evilvault.example/"));
        assert!(!has("https://*.vault.example", "https://.vault.example/"));
        for wrong in ["", "ftp://a", "https://a/b", "https://u@a", "https://a?b"] {
            assert_eq!(Origin::parse(wrong), None, "{wrong}");
        }
    }
}
