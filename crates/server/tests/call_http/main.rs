//! A server that sends the HTTP requests of orchestrations, for workers elsewhere.

#[path = "../../../strandline/tests/call_http/stub.rs"]
#[allow(dead_code, reason = "the SDK's tests use all of it")]
mod stub;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use strandline::http::{HttpPolicy, HttpRefused, TokenSource};
use strandline::prelude::*;
use strandline::{DataDirectory, RuntimeStatus};
use strandline_server::access::Access;
use strandline_server::settings::{CallHttp, CallHttpSecret, CallHttpTokens, SecretPlace, Settings};
use strandline_server::{Reflection, Server, ServerOptions, UnknownHub, bind};
use stub::{Answer, Stub};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[orchestrator]
async fn call(ctx: OrchestrationContext, request: HttpRequest) -> Result<HttpResponse> {
    ctx.call_http(request).await
}

struct Running {
    server: Option<Server>,
    directory: DataDirectory,
}

impl Running {
    async fn start(dir: &Path, at: &str, call_http: CallHttp) -> anyhow::Result<Self> {
        let directory =
            DataDirectory::at(dir).partitions(4).open().await.map_err(|e| anyhow::anyhow!("{e}"))?;
        let listener = bind(at.parse()?).await?;
        let options = ServerOptions {
            unknown: UnknownHub::Create,
            reflection: Reflection::Off,
            access: Access::open(),
            settings: Settings { call_http, ..Settings::default() },
        };
        let server = Server::start(directory.clone(), vec![listener], options).await?;
        Ok(Self { server: Some(server), directory })
    }

    fn address(&self) -> String {
        self.server.as_ref().map(|server| server.addresses()[0].to_string()).unwrap_or_default()
    }

    fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    async fn stop(mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
        self.directory.close().await.unwrap();
    }
}

fn enabled(hosts: &[&Stub]) -> CallHttp {
    let allowed_hosts = hosts.iter().map(|stub| stub.address.to_string()).collect();
    CallHttp { enabled: true, allowed_hosts, ..CallHttp::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_requests_for_the_workers_of_all_hubs() -> anyhow::Result<()> {
    let mut looks = 0;
    let stub = Stub::start(move |_| {
        looks += 1;
        if looks % 2 == 1 { Answer::new(202).header("location", "/7") } else { Answer::new(200).body("made") }
    })
    .await;
    let dir = tempfile::tempdir()?;
    let settings = CallHttp { default_async_request_sleep: Duration::from_secs(1), ..enabled(&[&stub]) };
    let server = Running::start(dir.path(), "127.0.0.1:0", settings).await?;
    for name in ["default", "orders"] {
        let hub = TaskHub::connect(server.url()).task_hub(name).create_if_absent().await.unwrap();
        hub.worker().register(call).start().await.unwrap();
        let run = hub.client().start(call, HttpRequest::post(stub.url("/start"))).await.unwrap();
        assert_eq!(run.output().await.unwrap().content, "made", "{name}");
        let metadata = HttpRequest::get("http://169.254.169.254/latest/");
        let run = hub.client().start(call, metadata).await.unwrap();
        assert!(run.output().await.unwrap_err().is::<HttpRefused>());
    }
    assert_eq!(stub.lines(), ["POST /start", "GET /7", "POST /start", "GET /7"]);
    server.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_requests_to_others_unless_it_is_told() -> anyhow::Result<()> {
    let stub = Stub::start(|_| Answer::new(200)).await;
    let dir = tempfile::tempdir()?;
    let server = Running::start(dir.path(), "127.0.0.1:0", CallHttp::default()).await?;
    let hub = TaskHub::connect(server.url()).await.unwrap();
    hub.worker().register(call).start().await.unwrap();
    let run = hub.client().start(call, HttpRequest::get(stub.url("/"))).await.unwrap();
    while !run.history().await.unwrap().iter().any(|event| event.kind().name() == "TaskScheduled") {
        tokio::task::yield_now().await;
    }
    assert_eq!(run.status().await.unwrap().unwrap().status, RuntimeStatus::Running);
    assert!(stub.received().is_empty());

    let other = TaskHub::connect(server.url()).await.unwrap();
    other.worker().register(HttpPolicy::new().allow(stub.address.to_string())).start().await.unwrap();
    assert_eq!(run.output().await.unwrap().status_code, 200);
    server.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn goes_on_after_a_restart() -> anyhow::Result<()> {
    let stub = Stub::start(|received| match received.method.as_str() {
        "POST" => Answer::new(202).header("location", "/7").header("retry-after", "1"),
        _ => Answer::new(200).body("made"),
    })
    .await;
    let dir = tempfile::tempdir()?;
    let server = Running::start(dir.path(), "127.0.0.1:0", enabled(&[&stub])).await?;
    let address = server.address();
    let hub = TaskHub::connect(server.url()).await.unwrap();
    hub.worker().register(call).start().await.unwrap();
    let run = hub.client().start(call, HttpRequest::post(stub.url("/"))).await.unwrap();
    while !run.history().await.unwrap().iter().any(|event| event.kind().name() == "TimerCreated") {
        tokio::task::yield_now().await;
    }
    server.stop().await;
    let server = Running::start(dir.path(), &address, enabled(&[&stub])).await?;
    assert_eq!(run.output().await.unwrap().content, "made");
    assert_eq!(stub.lines(), ["POST /", "GET /7"]);
    server.stop().await;
    Ok(())
}

/// A server with a certificate of its own, which answers once for each connection.
async fn with_certificate(dir: &Path) -> (u16, std::path::PathBuf) {
    let made =
        rcgen::generate_simple_self_signed(["build.internal".to_owned(), "localhost".to_owned()]).unwrap();
    let file = dir.join("trusted.pem");
    std::fs::write(&file, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let token = String::from_utf8_lossy(&head).to_lowercase();
            let seen = token.contains("authorization: bearer tok-1") && token.contains("x-key: open-sesame");
            let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\n{seen}");
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (port, file)
}

#[tokio::test(flavor = "multi_thread")]
async fn takes_certificates_secrets_and_tokens_from_files() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (port, certificates_file) = with_certificate(dir.path()).await;
    let origin = format!("https://localhost:{port}");
    let file = |name: &str, text: &str| -> std::io::Result<SecretPlace> {
        let path = dir.path().join(name);
        std::fs::write(&path, text)?;
        Ok(SecretPlace { file: Some(path), env: None })
    };
    let secret = CallHttpSecret { value: file("key", "open-sesame\n")?, origins: vec![origin.clone()] };
    let tokens = CallHttpTokens::Static {
        value: file("token", "tok-1")?,
        resources: vec!["https://api.example/.default".to_owned()],
        origins: vec![origin.clone()],
    };
    let settings = CallHttp {
        enabled: true,
        allowed_hosts: vec![format!("localhost:{port}")],
        certificates_file: Some(certificates_file),
        secrets: [("key".to_owned(), secret)].into(),
        tokens: [("api".to_owned(), tokens)].into(),
        ..CallHttp::default()
    };
    let untrusting = CallHttp { certificates_file: None, ..settings.clone() };
    let request = || {
        HttpRequest::get(format!("{origin}/"))
            .secret_header("X-Key", "key")
            .token(TokenSource::managed_identity("https://api.example/.default"))
    };
    for (settings, trusted) in [(settings, true), (untrusting, false)] {
        let hubs = tempfile::tempdir()?;
        let server = Running::start(hubs.path(), "127.0.0.1:0", settings).await?;
        let hub = TaskHub::connect(server.url()).await.unwrap();
        hub.worker().register(call).start().await.unwrap();
        let result = hub.client().start(call, request()).await.unwrap().output().await;
        match result {
            Ok(response) => assert_eq!((trusted, response.content.as_str()), (true, "true")),
            Err(error) => assert!(!trusted && error.message().contains("certificate"), "{error}"),
        }
        server.stop().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn does_not_start_with_what_makes_no_sense() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let wrong = CallHttp { allowed_hosts: vec!["a b".to_owned()], ..enabled(&[]) };
    let error = Running::start(dir.path(), "127.0.0.1:0", wrong).await.err().map(|error| error.to_string());
    assert!(
        error.as_ref().is_some_and(|error| error.contains("call_http") && error.contains("a b")),
        "{error:?}"
    );
    Ok(())
}
