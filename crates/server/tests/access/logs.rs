//! What a server says of those who call.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use strandline_server::keys::{HubScope, Key, KeyFile, NewKey, Note, Role};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::place::{API, Answer, with_key};

/// At the finest level of logging, and whatever the way they come by.
#[tokio::test(flavor = "multi_thread")]
async fn no_log_holds_a_key_or_a_signature() {
    let dir = tempfile::tempdir().unwrap();
    let new = NewKey {
        roles: Role::Client.into(),
        hub: HubScope::All,
        functions: None,
        note: Note::default(),
        expires: None,
    };
    let (key, _) = KeyFile::in_directory(dir.path()).create(new, jiff::Timestamp::now()).unwrap();
    let mut server = Command::new(env!("CARGO_BIN_EXE_strandline"))
        .args(["serve", "--listen", "127.0.0.1:0", "--dir"])
        .arg(dir.path())
        .env("STRANDLINE_LOG", "trace")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = server.stderr.take().unwrap();
    let log = std::thread::spawn(move || {
        let mut log = String::new();
        errors.read_to_string(&mut log).unwrap();
        log
    });
    let mut line = String::new();
    BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap().to_owned();

    let send = async |method: &str, path: &str, headers: &str| {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n"
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        Answer::read(&mut stream).await
    };
    let (right, wrong) = (key.reveal(), Key::generate().unwrap());
    let answer = send("POST", &format!("{API}/orchestrators/Order?code={right}"), "").await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let signature = answer.body.split("sig=").nth(1).unwrap().split(['&', '"']).next().unwrap().to_owned();
    for secret in [right, wrong.reveal()] {
        send("GET", &format!("{API}/instances/x?code={secret}"), "").await;
        send("GET", &format!("{API}/instances/x"), &format!("Authorization: Bearer {secret}\r\n")).await;
        send("GET", &format!("{API}/nowhere?code={secret}"), &format!("X-Functions-Key: {secret}\r\n")).await;
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let message =
            strandline_proto::wire::GetInstanceRequest { instance_id: "x".into(), ..Default::default() };
        let mut client =
            strandline_proto::wire::task_hub_sidecar_service_client::TaskHubSidecarServiceClient::new(
                channel,
            );
        let _ = client.get_instance(with_key(message, secret)).await;
    }
    send("GET", &format!("{API}/instances/x?taskHub=default&sig={signature}"), "").await;

    server.kill().unwrap();
    server.wait().unwrap();
    let log = log.join().unwrap();
    assert!(log.contains(wrong.id().as_str()), "failed attempts are logged: {log}");
    let secret = |key: &Key| key.reveal().rsplit_once(key.id().as_str()).unwrap().1.to_owned();
    let code = signature.rsplit_once('.').unwrap().1.to_owned();
    for secret in [secret(&key), secret(&wrong), code] {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(&secret)).collect();
        assert!(lines.is_empty(), "{lines:?}");
    }
}
