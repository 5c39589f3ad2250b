//! Encrypted connections.

use std::fs;
use std::path::Path;
use std::time::Duration;

use strandline_proto::wire;
use strandline_proto::wire::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use strandline_server::keys::Role;
use strandline_server::settings::Settings;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::place::{API, LONG, Place, with_key};

/// Writes a certificate that vouches for itself, and its key.
fn certificate(dir: &Path, name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    fs::write(dir.join(format!("{name}.key")), &key).unwrap();
    fs::write(dir.join(format!("{name}.pem")), &certificate).unwrap();
    (certificate, key)
}

fn settings(dir: &Path) -> Settings {
    let mut settings = Settings::default();
    settings.tls.certificate = Some(dir.join("server.pem"));
    settings.tls.key = Some(dir.join("server.key"));
    settings
}

fn http(root: &str) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let root = reqwest::Certificate::from_pem(root.as_bytes()).unwrap();
    reqwest::Client::builder().tls_certs_only([root]).no_proxy().build().unwrap()
}

async fn grpc(
    place: &Place,
    root: &str,
    identity: Option<&(String, String)>,
) -> Result<tonic::Response<wire::CreateInstanceResponse>, Box<dyn std::error::Error>> {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(root)).domain_name("localhost");
    if let Some((certificate, key)) = identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let endpoint = Endpoint::from_shared(format!("https://{}", place.address))?.tls_config(tls)?;
    let mut client = TaskHubSidecarServiceClient::new(endpoint.connect().await?);
    let (key, _) = place.new_key(Role::Client, "*", &[]);
    let start = wire::CreateInstanceRequest { name: "Order".to_owned(), ..Default::default() };
    // A server sees a new key within a second.
    Ok(tokio::time::timeout(LONG, async {
        loop {
            match client.start_instance(with_key(start.clone(), key.reveal())).await {
                Err(status) if status.code() == tonic::Code::Unauthenticated => {}
                answer => return answer,
            }
        }
    })
    .await??)
}

#[tokio::test]
async fn http_and_grpc_come_encrypted_and_certificates_change_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let (first, _) = certificate(dir.path(), "server");
    let place = Place::keyed(settings(dir.path())).await;
    let url = format!("https://localhost:{}{API}/makeprimary", place.address.port());
    let answer = http(&first).post(&url).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (401, http::Version::HTTP_2));
    grpc(&place, &first, None).await.unwrap();
    // Who speaks in the clear is not understood.
    let plain = place.send("POST", &format!("{API}/makeprimary"), &[]).await;
    assert_eq!(plain.status, 0, "{plain:?}");

    let (second, _) = certificate(dir.path(), "server");
    let changed = async {
        while http(&second).post(&url).send().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, changed).await.expect("the new certificate is not used");
    assert!(http(&first).post(&url).send().await.is_err());
    grpc(&place, &second, None).await.unwrap();
    place.stop().await;
}

#[tokio::test]
async fn who_does_not_shake_hands_is_let_go() {
    let dir = tempfile::tempdir().unwrap();
    certificate(dir.path(), "server");
    let mut settings = settings(dir.path());
    settings.limits.header_timeout = Duration::from_millis(200);
    let place = Place::keyed(settings).await;
    // Nothing, and the beginning of a handshake.
    for said in ["", "\u{16}\u{3}\u{1}\u{1}\u{0}"] {
        assert_eq!(place.raw(said).await.status, 0, "{said:?}");
    }
    place.stop().await;
}

#[tokio::test]
async fn callers_show_certificates_where_they_must() {
    let dir = tempfile::tempdir().unwrap();
    let (root, _) = certificate(dir.path(), "server");
    let mine = certificate(dir.path(), "client");
    let mut settings = settings(dir.path());
    settings.tls.client_ca = Some(dir.path().join("client.pem"));
    let place = Place::keyed(settings).await;
    assert!(grpc(&place, &root, None).await.is_err());
    let other = certificate(dir.path(), "other");
    assert!(grpc(&place, &root, Some(&other)).await.is_err());
    grpc(&place, &root, Some(&mine)).await.unwrap();
    place.stop().await;
}

#[tokio::test]
async fn the_command_line_speaks_https() {
    let dir = tempfile::tempdir().unwrap();
    certificate(dir.path(), "server");
    let place = Place::new(settings(dir.path())).await;
    let server = format!("https://localhost:{}", place.address.port());
    let run = async |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_strandline"));
        command.args(["list", "--server", &server]).args(arguments).env_clear();
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    };
    let ca = dir.path().join("server.pem").display().to_string();
    let output = run(&["--ca", &ca]).await;
    assert!(output.status.success(), "{output:?}");
    assert!(!run(&[]).await.status.success(), "nobody vouches for it");
    place.stop().await;
}
