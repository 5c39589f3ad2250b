//! Sends requests, as the policy allows.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::{Client, Method, Response, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::Semaphore;
use url::Url;

use super::HTTP_ACTIVITY;
use super::error::{failed, invalid, refused};
use super::headers::{HttpHeader, HttpHeaders};
use super::policy::HttpPolicy;
use super::polling::seconds_of;
use super::request::HttpRequest;
use super::response::HttpResponse;
use super::span;
use super::target::{Guard, Refusal};
use super::tokens::token_for;
use crate::activity::{ActivityContext, ActivityRequest, FromActivity};
use crate::error::{Context as _, Error, Result};
use crate::json;
use crate::register::Register;
use crate::registry::Registry;

/// Longest URL in bytes.
const URL_BYTES_MAX: usize = 8 * 1024;
/// Most headers of a request, and their bytes.
const HEADERS_MAX: usize = 100;
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// What says who sends a request that does not say it itself.
const AGENT: &str = concat!("strandline/", env!("CARGO_PKG_VERSION"));

/// Headers that belong to the connection, or decide where a request arrives: the client makes them.
const RESERVED: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Sends requests by an [`HttpPolicy`]; what the policy's `build` makes. Register it with several workers to
/// have them share its limits. Cheap to clone.
#[derive(Clone)]
pub struct HttpCaller {
    inner: Arc<Inner>,
}

struct Inner {
    policy: HttpPolicy,
    client: Client,
    permits: Semaphore,
}

impl HttpCaller {
    pub(super) fn new(policy: HttpPolicy) -> Result<Self> {
        let guard = Guard { targets: Arc::new(policy.targets.clone()), resolver: policy.resolver.clone() };
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .dns_resolver(guard)
            // Each request is judged anew, and nobody can fill the process with idle connections.
            .pool_max_idle_per_host(0)
            .tls_backend_preconfigured(tls(&policy.certificates)?)
            .build()
            .context("the HTTP client")?;
        let permits = Semaphore::new(policy.requests_max.clamp(1, Semaphore::MAX_PERMITS));
        Ok(Self { inner: Arc::new(Inner { policy, client, permits }) })
    }

    async fn serve(self, request: ActivityRequest) -> Result<HttpResponse> {
        let context = ActivityContext::from_activity(&request)?;
        let request = read(&request)?;
        let cancelled = context.cancellation();
        tokio::select! {
            response = self.call(request) => response,
            () = cancelled.cancelled() => Err(Error::from(crate::TaskCanceledError).non_retriable()),
        }
    }

    async fn call(&self, request: HttpRequest) -> Result<HttpResponse> {
        let Inner { policy, permits, .. } = &*self.inner;
        request.check()?;
        let limit = request.timeout.map_or(policy.timeout, |timeout| timeout.min(policy.timeout));
        let users = request.timeout.filter(|timeout| *timeout == limit);
        let exchange = async {
            // It is never closed.
            let _permit = permits.acquire().await.context("sending a request")?;
            self.exchange(request).await
        };
        match tokio::time::timeout(limit, exchange).await {
            Ok(result) => result,
            Err(_) => Err(timed_out(users, limit)),
        }
    }

    async fn exchange(&self, mut request: HttpRequest) -> Result<HttpResponse> {
        let policy = &self.inner.policy;
        let mut redirects = 0;
        loop {
            let url = parse(&request.uri)?;
            let response = self.send(&request, &url).await?;
            if redirects < policy.redirects_max
                && let Some(next) = redirect_of(&response, &url)
            {
                redirects += 1;
                redirected(&mut request, response.status(), &url, next);
                continue;
            }
            judge_status(&request, response.status())?;
            return self.take(&request, &url, response).await;
        }
    }

    /// One exchange with one host.
    async fn send(&self, request: &HttpRequest, url: &Url) -> Result<Response> {
        let Inner { policy, client, .. } = &*self.inner;
        policy.targets.check(url).map_err(refused)?;
        let method = Method::from_bytes(request.method.to_ascii_uppercase().as_bytes());
        let method = method.ok().filter(|method| !matches!(*method, Method::CONNECT | Method::TRACE));
        let method =
            method.ok_or_else(|| invalid(format_args!("{:?} is no method of a request", request.method)))?;
        let mut headers = self.headers(request, url)?;
        if let Some(source) = &request.token_source {
            let token = token_for(&policy.grants, source, url).await?;
            headers.insert("authorization", sensitive(&format!("Bearer {token}"), "the token")?);
        }
        let mut outgoing = client.request(method, url.clone());
        if let Some(content) = &request.content {
            let limit = policy.content_bytes_max;
            if content.len() > limit {
                let text = format!(
                    "the content of the request has more than {limit} bytes (HttpPolicy::max_content, call_http.content_bytes_max)"
                );
                return Err(refused(text));
            }
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("text/plain"));
            outgoing = outgoing.body(content.clone());
        }
        outgoing.headers(headers).send().await.map_err(|error| not_sent(&error, url))
    }

    fn headers(&self, request: &HttpRequest, url: &Url) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let (mut count, mut bytes) = (0, 0);
        for (name, value) in request.headers.iter() {
            let wrong = |what: &str| invalid(format_args!("header {name:?}: {what}"));
            let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("this is no name"))?;
            if RESERVED.contains(&parsed.as_str()) {
                return Err(wrong("the client sets it by itself"));
            }
            let value = match value {
                HttpHeader::Text(text) => sensitive(text, "the value")
                    .map_err(|_| wrong("its value has characters that no header has"))?,
                HttpHeader::Secret { secret_ref } => self.secret(secret_ref, url)?,
            };
            (count, bytes) = (count + 1, bytes + name.len() + value.len());
            if count > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
                let text =
                    format!("a request has at most {HEADERS_MAX} headers of {HEADER_BYTES_MAX} bytes in all");
                return Err(invalid(text));
            }
            if parsed == USER_AGENT {
                headers.insert(parsed, value);
            } else {
                headers.append(parsed, value);
            }
        }
        Ok(headers)
    }

    fn secret(&self, name: &str, url: &Url) -> Result<HeaderValue> {
        let Some((secret, origins)) = self.inner.policy.secrets.get(name) else {
            return Err(refused(format_args!(
                "no secret is named {name:?}: HttpPolicy::secret, or call_http.secrets of a server"
            )));
        };
        if !origins.iter().any(|origin| origin.has(url)) {
            let origin = url.origin().ascii_serialization();
            return Err(refused(format_args!(
                "the secret {name:?} must not be sent to {origin}: name it among the secret's origins"
            )));
        }
        sensitive(&secret.read()?, "the secret")
    }

    /// The response as the orchestration gets it.
    async fn take(&self, request: &HttpRequest, url: &Url, response: Response) -> Result<HttpResponse> {
        let policy = &self.inner.policy;
        let status = response.status();
        let encoding = response.headers().get("content-encoding").and_then(|value| value.to_str().ok());
        if let Some(encoding) = encoding.filter(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
            let encoding = encoding.escape_default();
            return Err(refused(format_args!("the response is encoded as {encoding}, which is not decoded")));
        }
        let mut headers = HttpHeaders::new();
        for (name, value) in response.headers() {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            headers.append(name.as_str(), HttpHeader::Text(value));
        }
        if status == StatusCode::ACCEPTED && request.asynchronous_pattern_enabled {
            complete(&mut headers, url, policy.async_request_sleep);
        }
        let content = read_body(response, policy.response_bytes_max).await?;
        let content = String::from_utf8_lossy(&content).into_owned();
        Ok(HttpResponse { status_code: status.as_u16(), headers, content })
    }
}

/// Says what an answer `202` leaves open: the orchestrator knows neither the configuration nor where
/// redirects led.
fn complete(headers: &mut HttpHeaders, url: &Url, sleep: Duration) {
    if headers.get("retry-after").and_then(seconds_of).is_none() {
        headers.remove("retry-after");
        let seconds = sleep.as_millis().div_ceil(1000);
        headers.append("retry-after", HttpHeader::Text(seconds.to_string()));
    }
    let location = headers.get("location").and_then(|location| url.join(location).ok());
    if let Some(location) = location {
        headers.remove("location");
        headers.append("location", HttpHeader::Text(location.into()));
    }
}

/// The input of the activity: a request, or an array of one, as Durable Functions in .NET writes it.
fn read(request: &ActivityRequest) -> Result<HttpRequest> {
    let input = match request.input::<serde_json::Value>()? {
        serde_json::Value::Array(mut inputs) if !inputs.is_empty() => inputs.swap_remove(0),
        input => input,
    };
    serde_json::from_value(input)
        .map_err(|error| json::unreadable::<HttpRequest>("the input of an HTTP call", &error))
}

fn parse(uri: &str) -> Result<Url> {
    if uri.len() > URL_BYTES_MAX {
        return Err(invalid(format_args!("the URL has more than {URL_BYTES_MAX} bytes")));
    }
    Url::parse(uri).map_err(|error| invalid(format_args!("the URL can't be read: {error}")))
}

fn sensitive(text: &str, what: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| invalid(format_args!("{what} has characters that no header has")))?;
    // Not for logs.
    value.set_sensitive(true);
    Ok(value)
}

/// Where a response redirects to; not from `https` to `http`.
fn redirect_of(response: &Response, url: &Url) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let next = url.join(response.headers().get("location")?.to_str().ok()?).ok()?;
    (url.scheme() != "https" || next.scheme() == "https").then_some(next)
}

/// The request after a redirect.
fn redirected(request: &mut HttpRequest, status: StatusCode, from: &Url, to: Url) {
    let method = request.method.to_ascii_uppercase();
    let becomes_get = match status.as_u16() {
        301 | 302 => method == "POST",
        303 => method != "GET" && method != "HEAD",
        _ => false,
    };
    if becomes_get {
        request.method = "GET".to_owned();
        request.content = None;
        request.remove_content_headers();
    }
    if to.origin() != from.origin() {
        request.remove_credentials();
    }
    request.uri = to.into();
}

/// Statuses are failures only for those who want to retry them.
fn judge_status(request: &HttpRequest, status: StatusCode) -> Result<()> {
    let Some(options) = &request.retry_options else { return Ok(()) };
    let code = status.as_u16();
    if options.status_codes.is_empty() && !status.is_success() {
        let reason = status.canonical_reason().unwrap_or("unknown");
        return Err(failed(format_args!(
            "Response status code does not indicate success: {code} ({reason})."
        )));
    }
    if options.status_codes.contains(&code) {
        return Err(failed(format_args!("Status code {code} received, retry requested.")));
    }
    Ok(())
}

fn timed_out(users: Option<Duration>, limit: Duration) -> Error {
    let text = match users {
        Some(timeout) => {
            format!("The request was canceled. Reached user specified timeout: {}.", span::to_text(timeout))
        }
        None => format!(
            "The request was canceled: it took more than {limit:?} (HttpPolicy::timeout, call_http.timeout)."
        ),
    };
    Error::new("TimeoutError", text)
}

/// Why nothing came back. Not the text of the client's error: it holds the URL.
fn not_sent(error: &reqwest::Error, url: &Url) -> Error {
    let sources = std::iter::successors(std::error::Error::source(error), |error| (*error).source());
    let mut cause = None;
    for source in sources {
        if let Some(refusal) = source.downcast_ref::<Refusal>() {
            return refused(refusal);
        }
        cause = Some(source);
    }
    let what = if error.is_dns() {
        "the host is not found"
    } else if error.is_connect() {
        "the connection can't be made"
    } else {
        "the request failed"
    };
    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    failed(format_args!("{}: {what}{cause}", url.origin().ascii_serialization()))
}

/// The content of a response, if it is no longer than that.
pub(super) async fn read_body(mut response: Response, limit: usize) -> Result<Vec<u8>> {
    let too_long = || {
        refused(format_args!(
            "the response has more than {limit} bytes (HttpPolicy::max_response, call_http.response_bytes_max)"
        ))
    };
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(too_long());
    }
    let mut content = Vec::new();
    loop {
        let chunk = response.chunk().await;
        let chunk = chunk.map_err(|_| failed("the connection was lost in the middle of the response"))?;
        let Some(chunk) = chunk else { return Ok(content) };
        if content.len() + chunk.len() > limit {
            return Err(too_long());
        }
        content.extend_from_slice(&chunk);
    }
}

/// What connections are encrypted by: the system's certificates, and others in PEM.
pub(super) fn tls(certificates: &str) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(certificates.as_bytes()) {
        let certificate = certificate.context("a certificate to trust")?;
        roots.add(certificate).context("a certificate to trust")?;
    }
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        tracing::warn!("the system has no certificates to trust: every https request will fail");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.context("TLS")?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

impl Register for HttpCaller {
    fn register(self, registry: &mut Registry) {
        registry.add_activity(HTTP_ACTIVITY, &[], move |request| self.clone().serve(request));
    }
}

impl fmt::Debug for HttpCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpCaller").field(&self.inner.policy).finish()
    }
}
