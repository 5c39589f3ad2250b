//! Tokens and secrets: put in when a request is sent, only for what they are for, and written nowhere.

use std::path::Path;

use strandline::http::{
    AccessToken, ClientCredentials, HttpPolicy, HttpRefused, HttpRequestError, InvalidHttpRequest,
    ManagedIdentityOptions, Secret, TokenProvider, TokenRequest, TokenResult, TokenSource,
};
use strandline::prelude::*;

use crate::stub::{Answer, Stub};
use crate::support::{call, call_once, calls, reaching};

const AZURE: &str = "https://management.core.windows.net/";

/// Says nothing wrong, but everything it was sent.
async fn echo() -> Stub {
    Stub::start(|_| Answer::new(200).body("ok")).await
}

async fn login(lifetime: u32) -> Stub {
    let mut issued = 0;
    Stub::start(move |_| {
        issued += 1;
        let body =
            format!(r#"{{"access_token":"token-{issued}","expires_in":{lifetime},"token_type":"Bearer"}}"#);
        Answer::new(200).header("content-type", "application/json").body(body)
    })
    .await
}

fn credentials(login: &Stub) -> ClientCredentials {
    ClientCredentials::new(login.url("/token"), "me & you", Secret::text("hush=1")).unwrap()
}

fn with_tokens(api: &Stub, login: &Stub) -> HttpPolicy {
    reaching(&[api]).token_provider("azure", credentials(login), [AZURE], [api.url("")])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_fetched_once_and_sent() {
    let (api, login) = (echo().await, login(3600).await);
    let managed = || HttpRequest::get(api.url("/")).token(TokenSource::managed_identity(AZURE));
    let named = HttpRequest::get(api.url("/")).token(TokenSource::named("azure"));
    for called in calls(with_tokens(&api, &login), vec![managed(), managed(), named]).await {
        assert_eq!(called.response().status_code, 200);
        assert!(!format!("{:?}", called.history).contains("token-1"));
    }
    for received in api.received() {
        assert_eq!(received.header("authorization"), Some("Bearer token-1"));
    }
    let asked = login.received();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        asked[0].body,
        "grant_type=client_credentials&client_id=me+%26+you&client_secret=hush%3D1\
         &scope=https%3A%2F%2Fmanagement.core.windows.net%2F.default"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_about_to_expire_is_not_sent() {
    let (api, login) = (echo().await, login(60).await);
    let request = || HttpRequest::get(api.url("/")).token(TokenSource::named("azure"));
    calls(with_tokens(&api, &login), vec![request(), request()]).await;
    let sent: Vec<_> = api.received().iter().map(|r| r.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(sent, ["Bearer token-1", "Bearer token-2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_given_for_what_it_is_for() {
    let (api, other, login) = (echo().await, echo().await, login(3600).await);
    let policy = with_tokens(&api, &login).allow(other.address.to_string());
    let get = |source| HttpRequest::get(api.url("/")).token(source);
    let requests = vec![
        get(TokenSource::managed_identity("https://graph.microsoft.com")),
        get(TokenSource::managed_identity("")),
        get(TokenSource::named("unknown")),
        get(TokenSource::Named {
            name: "azure".to_owned(),
            resource: Some("https://graph.microsoft.com".to_owned()),
        }),
        HttpRequest::get(other.url("/")).token(TokenSource::named("azure")),
    ];
    for called in calls(policy, requests).await {
        assert!(called.error().is::<HttpRefused>() && called.error().is_non_retriable());
    }
    assert!(login.received().is_empty() && api.received().is_empty() && other.received().is_empty());

    // An empty resource is none: it gets no token for what the provider is not for.
    let empty = |name: &str| get(TokenSource::Named { name: name.to_owned(), resource: Some(String::new()) });
    let policy = with_tokens(&api, &login).token_provider(
        "several",
        credentials(&login),
        ["https://a.example", "https://b.example"],
        [api.url("")],
    );
    let called = calls(policy, vec![empty("several"), empty("azure")]).await;
    assert!(called[0].error().is::<InvalidHttpRequest>(), "{}", called[0].error());
    assert_eq!(called[1].response().status_code, 200);
    let asked = login.received();
    assert!(asked.len() == 1 && asked[0].body.contains("&scope=https%3A%2F%2Fmanagement"), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_may_have_a_provider_for_each_origin() {
    let (first, second, login) = (echo().await, echo().await, login(3600).await);
    let policy = reaching(&[&first, &second])
        .token_provider("a", Secret::text("for-first"), [AZURE], [first.url("")])
        .token_provider("b", credentials(&login), [AZURE], [second.url("")]);
    let get = |api: &Stub| HttpRequest::get(api.url("/")).token(TokenSource::managed_identity(AZURE));
    for called in calls(policy, vec![get(&first), get(&second)]).await {
        assert_eq!(called.response().status_code, 200);
    }
    assert_eq!(first.received()[0].header("authorization"), Some("Bearer for-first"));
    assert_eq!(second.received()[0].header("authorization"), Some("Bearer token-1"));
}

/// Has a token for each tenant.
struct Tenants;

impl TokenProvider for Tenants {
    fn token(&self, request: TokenRequest) -> TokenResult<'_> {
        let tenant = request.options.and_then(|options| options.tenant_id).unwrap_or("none".to_owned());
        Box::pin(async move { Ok(AccessToken::lasting(format!("of-{tenant}"), hours(1))) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_does_not_get_the_token_of_another() {
    let api = echo().await;
    let policy = reaching(&[&api]).token_provider("tenants", Tenants, [AZURE], [api.url("")]);
    let of = |tenant: Option<&str>| {
        let options = tenant.map(|tenant| ManagedIdentityOptions {
            tenant_id: Some(tenant.to_owned()),
            ..ManagedIdentityOptions::default()
        });
        let resource = format!("{AZURE}.default");
        HttpRequest::get(api.url("/")).token(TokenSource::AzureManagedIdentity { resource, options })
    };
    calls(policy, vec![of(None), of(Some("a")), of(Some("b")), of(None)]).await;
    let sent: Vec<_> = api.received().iter().map(|r| r.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(sent, ["Bearer of-none", "Bearer of-a", "Bearer of-b", "Bearer of-none"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_login_refuses_is_told_without_secrets() {
    let api = echo().await;
    for (status, retriable) in [(401, false), (503, true)] {
        let body = r#"{"error":"invalid_client","error_description":"hush=1 is wrong"}"#;
        let login = Stub::start(move |_| Answer::new(status).body(body)).await;
        let request = HttpRequest::get(api.url("/")).token(TokenSource::named("azure"));
        let called = call_once(with_tokens(&api, &login), request).await;
        let error = called.error();
        assert_eq!((error.is::<HttpRequestError>(), error.is_non_retriable()), (true, !retriable));
        assert!(error.message().contains(&format!("{status} invalid_client")), "{error}");
        assert!(!error.message().contains("hush"), "{error}");
    }
    assert!(api.received().is_empty());
}

fn contains(dir: &Path, text: &str) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return contains(&path, text);
        }
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_token_nor_secret_is_written() -> Result<()> {
    let (api, login) = (echo().await, login(3600).await);
    let dir = tempfile::tempdir()?;
    let key = dir.path().join("key");
    std::fs::write(&key, "open-sesame\n")?;
    let policy = with_tokens(&api, &login).secret("partner", Secret::file(&key), [api.url("")]);
    let hub = TaskHub::open(dir.path().join("hub")).await?;
    hub.worker().register((call, policy)).start()?;
    let request = HttpRequest::get(api.url("/"))
        .token(TokenSource::managed_identity(AZURE))
        .secret_header("X-Api-Key", "partner");
    hub.client().start(call, request).await?.output().await?;
    hub.close().await?;
    let received = &api.received()[0];
    assert_eq!(received.header("x-api-key"), Some("open-sesame"));
    assert_eq!(received.header("authorization"), Some("Bearer token-1"));
    for secret in ["open-sesame", "token-1", "hush"] {
        assert!(!contains(&dir.path().join("hub"), secret), "{secret}");
    }
    assert!(contains(&dir.path().join("hub"), "secretRef"), "what was looked for would have been found");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_read_when_it_is_sent_and_stays_at_its_origins() {
    let (api, other) = (echo().await, echo().await);
    let away = other.url("/");
    let moved = Stub::start(move |_| Answer::new(302).header("location", away.clone())).await;
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    let policy =
        reaching(&[&api, &other, &moved]).secret("k", Secret::file(&key), [api.url(""), moved.url("")]);
    let hub = TaskHub::in_memory().await.unwrap();
    hub.worker().register((call, policy)).start().unwrap();
    let run = async |url: String, secret: &str| {
        let request = HttpRequest::get(url).secret_header("X-Key", secret);
        hub.client().start(call, request).await.unwrap().output().await
    };
    for value in ["first", "second"] {
        std::fs::write(&key, value).unwrap();
        run(api.url("/"), "k").await.unwrap();
        assert_eq!(api.received().last().unwrap().header("x-key"), Some(value));
    }
    assert!(run(other.url("/"), "k").await.unwrap_err().is::<HttpRefused>());
    assert!(run(api.url("/"), "unknown").await.unwrap_err().is::<HttpRefused>());
    run(moved.url("/"), "k").await.unwrap();
    assert_eq!(moved.received()[0].header("x-key"), Some("second"));
    assert_eq!(other.received()[0].header("x-key"), None, "a redirect leads elsewhere");
    std::fs::remove_file(&key).unwrap();
    let error = run(api.url("/"), "k").await.unwrap_err();
    assert!(error.is::<HttpRequestError>() && !error.message().contains("key"), "{error}");
}
