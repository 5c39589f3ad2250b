//! What a sender of requests may do.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::HTTP_ACTIVITY;
use super::caller::HttpCaller;
use super::polling::DEFAULT_PAUSE;
use super::secret::Secret;
use super::target::{Allowed, Origin, Resolve, SystemResolver, Targets};
use super::tokens::{Grant, TokenProvider};
use crate::error::{Error, Result};
use crate::register::Register;
use crate::registry::Registry;

/// What the activity behind [`call_http`](crate::OrchestrationContext::call_http) may do. Register it with
/// a worker, and the worker serves that activity.
///
/// By default requests reach public addresses on the ports 80 and 443. A host name is resolved, all its
/// addresses are judged, and only those are connected to; so are the targets of redirects. There is no
/// proxy, and nothing is decompressed. What is refused fails with [`HttpRefused`](super::HttpRefused).
///
/// ```
/// use strandline::http::{ClientCredentials, HttpPolicy, Secret};
/// use strandline::prelude::*;
///
/// # fn f() -> Result<HttpPolicy> {
/// let login = ClientCredentials::new("https://login.example/token", "reports", Secret::env("LOGIN_SECRET"))?;
/// let policy = HttpPolicy::new()
///     .allow("10.0.0.0/8")
///     .allow("build.internal:8443")
///     .timeout(secs(30))
///     .secret("partner-key", Secret::env("PARTNER_KEY"), ["https://api.partner.example"])
///     .token_provider("reports", login, ["https://reports.example/.default"], ["https://reports.example"]);
/// # Ok(policy) }
/// ```
///
/// Values that make no sense are told when the worker is built.
#[must_use = "a policy does nothing until it is registered with a worker"]
pub struct HttpPolicy {
    pub(super) targets: Targets,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) certificates: String,
    pub(super) timeout: Duration,
    pub(super) content_bytes_max: usize,
    pub(super) response_bytes_max: usize,
    pub(super) redirects_max: usize,
    pub(super) requests_max: usize,
    pub(super) async_request_sleep: Duration,
    pub(super) secrets: BTreeMap<String, (Secret, Vec<Origin>)>,
    pub(super) grants: BTreeMap<String, Grant>,
    problems: Vec<String>,
}

impl Default for HttpPolicy {
    fn default() -> Self {
        Self {
            targets: Targets { allowed: Vec::new(), ports: vec![80, 443] },
            resolver: Arc::new(SystemResolver),
            certificates: String::new(),
            timeout: Duration::from_secs(100),
            content_bytes_max: 4 * 1024 * 1024,
            response_bytes_max: 4 * 1024 * 1024,
            redirects_max: 5,
            requests_max: 64,
            async_request_sleep: DEFAULT_PAUSE,
            secrets: BTreeMap::new(),
            grants: BTreeMap::new(),
            problems: Vec::new(),
        }
    }
}

impl HttpPolicy {
    /// Public addresses on the ports 80 and 443.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows a host that is not public, or a port of it: `build.internal`, `build.internal:8443`,
    /// `10.0.0.7`, `10.0.0.0/8`, `[fd00::1]:8443`. Names are whole: there are no patterns.
    ///
    /// A name allows whatever addresses it has. With a port it allows that port instead of the usual ones.
    /// An address with a port goes for URLs that name the address; one without, and a network, also for
    /// names that lead there.
    pub fn allow(mut self, host: impl AsRef<str>) -> Self {
        let text = host.as_ref();
        match Allowed::parse(text) {
            Some(allowed) => self.targets.allowed.push(allowed),
            None => self.problems.push(format!(
                "{text:?} is no host to allow: write a name, an address or a network, with :port at will, \
                 without *, # and @"
            )),
        }
        self
    }

    /// The ports that are allowed everywhere: 80 and 443 by default.
    pub fn ports(mut self, ports: impl IntoIterator<Item = u16>) -> Self {
        self.targets.ports = ports.into_iter().collect();
        self
    }

    /// How long a request may take in all, redirects and the wait for others included; 100 seconds by
    /// default. The timeout of a request counts where it is shorter.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        if timeout.is_zero() {
            self.problems.push("a timeout of requests is longer than zero".to_owned());
        }
        self.timeout = timeout;
        self
    }

    /// Most bytes of the content of a request; 4 MiB by default.
    pub fn max_content(mut self, bytes: usize) -> Self {
        self.content_bytes_max = bytes;
        self
    }

    /// Most bytes of the content of a response; 4 MiB by default.
    pub fn max_response(mut self, bytes: usize) -> Self {
        self.response_bytes_max = bytes;
        self
    }

    /// How many redirects are followed; 5 by default. One more is the response.
    pub fn max_redirects(mut self, redirects: usize) -> Self {
        self.redirects_max = redirects;
        self
    }

    /// How many requests are under way at the same time; 64 by default. Others wait.
    pub fn max_requests(mut self, requests: usize) -> Self {
        if requests == 0 {
            self.problems.push("at least one request must be possible at a time".to_owned());
        }
        self.requests_max = requests;
        self
    }

    /// How long an orchestrator waits before it looks again after a `202` that does not say; 30 seconds by
    /// default, in whole seconds, and a second to an hour whatever it is. It becomes the `Retry-After` of
    /// such a response, also in place of one that is no number of seconds.
    pub fn async_request_sleep(mut self, sleep: Duration) -> Self {
        self.async_request_sleep = sleep;
        self
    }

    /// Trusts certificates, in PEM, besides those of the system.
    pub fn trust(mut self, certificates: impl AsRef<str>) -> Self {
        self.certificates.push_str(certificates.as_ref());
        self.certificates.push('\n');
        self
    }

    /// Finds the addresses of names in place of the system. They are judged all the same.
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// Makes a secret known to requests, by name, for headers sent to these origins: `https://api.example`
    /// or `https://*.api.example`.
    pub fn secret<O: AsRef<str>>(
        mut self,
        name: impl Into<String>,
        secret: Secret,
        origins: impl IntoIterator<Item = O>,
    ) -> Self {
        let name = name.into();
        let origins = self.origins(&name, origins);
        if self.secrets.insert(name.clone(), (secret, origins)).is_some() {
            self.problems.push(format!("secret {name:?} is given twice"));
        }
        self
    }

    /// Gets tokens for these resources (scopes or audiences), for requests to these origins. A request asks
    /// for them by the name, or by the resource, as it would ask for those of a managed identity: then the
    /// provider is the first by name whose resources and origins fit.
    pub fn token_provider<R: Into<String>, O: AsRef<str>>(
        mut self,
        name: impl Into<String>,
        provider: impl TokenProvider,
        resources: impl IntoIterator<Item = R>,
        origins: impl IntoIterator<Item = O>,
    ) -> Self {
        let name = name.into();
        let origins = self.origins(&name, origins);
        let resources = resources.into_iter().map(Into::into).collect();
        let grant = Grant::new(Arc::new(provider), resources, origins);
        if self.grants.insert(name.clone(), grant).is_some() {
            self.problems.push(format!("token provider {name:?} is given twice"));
        }
        self
    }

    fn origins<O: AsRef<str>>(&mut self, of: &str, origins: impl IntoIterator<Item = O>) -> Vec<Origin> {
        let mut read = Vec::new();
        for origin in origins {
            match Origin::parse(origin.as_ref()) {
                Some(origin) => read.push(origin),
                None => self.problems.push(format!(
                    "{:?} is no origin for {of:?}: write https://host or https://host:port",
                    origin.as_ref()
                )),
            }
        }
        if read.is_empty() {
            self.problems.push(format!("{of:?} needs an origin that it may be sent to"));
        }
        read
    }

    /// The sender of requests, or everything that is wrong with the policy.
    ///
    /// # Errors
    /// Names all values that make no sense.
    pub fn build(mut self) -> Result<HttpCaller> {
        let problems = std::mem::take(&mut self.problems);
        if !problems.is_empty() {
            return Err(Error::new("HttpPolicyError", problems.join("; ")));
        }
        HttpCaller::new(self)
    }
}

impl Register for HttpPolicy {
    fn register(self, registry: &mut Registry) {
        match self.build() {
            Ok(caller) => caller.register(registry),
            Err(error) => registry.problem(format!("'{}': {error}", crate::Named::name(&HTTP_ACTIVITY))),
        }
    }
}

impl fmt::Debug for HttpPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpPolicy")
            .field("targets", &self.targets)
            .field("timeout", &self.timeout)
            .field("secrets", &self.secrets.keys())
            .field("token_providers", &self.grants.keys())
            .finish_non_exhaustive()
    }
}
