//! The worker of a server's own: it sends the HTTP requests of orchestrations, if the server may.

use std::fs;

use strandline::http::{ClientCredentials, HttpPolicy, Secret};
use strandline::{Registry, RustWorker};

use crate::settings::{AsksFor, CallHttp, CallHttpTokens, SecretPlace};

/// What is wrong with the section `call_http` of the configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallHttpError {
    #[error("call_http.certificates_file: {0}")]
    Certificates(#[source] std::io::Error),
    #[error("call_http.{0}: give its value's `file` or its `env`, and not both")]
    Place(String),
    #[error("call_http.tokens.{0}: {1}")]
    Provider(String, strandline::Error),
    #[error("call_http: {0}")]
    Policy(strandline::Error),
}

/// The worker that serves the HTTP activity of all hubs; `None` unless the server may.
pub(crate) fn worker(settings: &CallHttp) -> Result<Option<RustWorker>, CallHttpError> {
    if !settings.enabled {
        return Ok(None);
    }
    let caller = policy(settings)?.build().map_err(CallHttpError::Policy)?;
    Registry::new().register(caller).build().map(Some).map_err(CallHttpError::Policy)
}

fn policy(settings: &CallHttp) -> Result<HttpPolicy, CallHttpError> {
    let certificates = match &settings.certificates_file {
        Some(path) => fs::read_to_string(path).map_err(CallHttpError::Certificates)?,
        None => String::new(),
    };
    let mut policy = HttpPolicy::new()
        .ports(settings.allowed_ports.iter().copied())
        .timeout(settings.timeout)
        .max_content(settings.content_bytes_max)
        .max_response(settings.response_bytes_max)
        .max_redirects(settings.redirects_max)
        .max_requests(settings.requests_max)
        .async_request_sleep(settings.default_async_request_sleep)
        .trust(&certificates);
    for host in &settings.allowed_hosts {
        policy = policy.allow(host);
    }
    for (name, secret) in &settings.secrets {
        let value = place(&secret.value, || format!("secrets.{name}"))?;
        policy = policy.secret(name, value, &secret.origins);
    }
    for (name, tokens) in &settings.tokens {
        policy = match tokens {
            CallHttpTokens::Static { value, resources, origins } => {
                let value = place(value, || format!("tokens.{name}"))?;
                policy.token_provider(name, value, resources, origins)
            }
            CallHttpTokens::ClientCredentials {
                endpoint,
                client_id,
                client_secret,
                asks_for,
                resources,
                origins,
            } => {
                let secret = place(client_secret, || format!("tokens.{name}"))?;
                let login = ClientCredentials::trusting(endpoint, client_id, secret, &certificates)
                    .map_err(|error| CallHttpError::Provider(name.clone(), error))?;
                let login = match asks_for {
                    AsksFor::Scope => login,
                    AsksFor::Audience => login.as_audience(),
                };
                policy.token_provider(name, login, resources, origins)
            }
        };
    }
    Ok(policy)
}

fn place(place: &SecretPlace, of: impl FnOnce() -> String) -> Result<Secret, CallHttpError> {
    match (&place.file, &place.env) {
        (Some(file), None) => Ok(Secret::file(file)),
        (None, Some(variable)) => Ok(Secret::env(variable)),
        _ => Err(CallHttpError::Place(of())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker_of(text: &str) -> Result<bool, String> {
        let settings: CallHttp = toml::from_str(text).map_err(|error| error.to_string())?;
        worker(&settings).map(|worker| worker.is_some()).map_err(|error| error.to_string())
    }

    #[test]
    fn is_off_unless_enabled() {
        assert_eq!(worker_of("allowed_hosts = ['10.0.0.0/8']"), Ok(false));
        assert_eq!(worker_of("enabled = true"), Ok(true));
    }

    #[test]
    fn defaults_are_those_of_the_policy() {
        let written = policy(&CallHttp::default()).unwrap();
        assert_eq!(format!("{written:?}"), format!("{:?}", HttpPolicy::new()));
    }

    #[test]
    fn takes_secrets_and_tokens() {
        let text = "
            enabled = true
            [secrets.partner]
            value = { env = 'PARTNER_KEY' }
            origins = ['https://api.partner.example']
            [tokens.azure]
            kind = 'client-credentials'
            endpoint = 'https://login.example/token'
            client_id = 'me'
            client_secret = { file = '/run/secrets/azure' }
            resources = ['https://management.core.windows.net']
            origins = ['https://management.azure.com']
            [tokens.other]
            kind = 'static'
            value = { env = 'OTHER' }
            origins = ['https://other.example']";
        assert_eq!(worker_of(text), Ok(true));
    }

    #[test]
    fn names_what_is_wrong() {
        let secret = |value: &str, origin: &str| {
            format!("enabled = true\n[secrets.k]\nvalue = {value}\norigins = ['{origin}']")
        };
        let cases = [
            ("enabled = true\nallowed_hosts = ['a b']".to_owned(), "\"a b\""),
            ("enabled = true\nallowed_hosts = ['*.internal']".to_owned(), "without *"),
            ("enabled = true\ntimeout = '0s'".to_owned(), "timeout"),
            (secret("{}", "https://a"), "call_http.secrets.k"),
            (secret("{ env = 'A', file = 'b' }", "https://a"), "call_http.secrets.k"),
            (secret("{ env = 'A' }", "ftp://a"), "\"ftp://a\""),
            ("enabled = true\ncertificates_file = '/nowhere'".to_owned(), "certificates_file"),
        ];
        for (text, part) in cases {
            let error = worker_of(&text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
