//! A server in this process, and HTTP by hand.

use std::net::SocketAddr;
use std::time::Duration;

use strandline::DataDirectory;
use strandline_server::access::Access;
use strandline_server::settings::Settings;
use strandline_server::{Reflection, Server, ServerOptions, UnknownHub, bind};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Nothing here takes that long: a test that waits longer hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for what must happen.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

pub(crate) struct TestServer {
    pub(crate) server: Server,
    pub(crate) directory: DataDirectory,
    _place: TempDir,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::with(Access::open(), Settings::default()).await
    }

    pub(crate) async fn with(access: Access, settings: Settings) -> Self {
        let place = tempfile::tempdir().unwrap();
        let directory = DataDirectory::at(place.path()).partitions(4).open().await.unwrap();
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let options =
            ServerOptions { unknown: UnknownHub::Refuse, reflection: Reflection::Off, access, settings };
        let server = Server::start(directory.clone(), vec![listener], options).await.unwrap();
        Self { server, directory, _place: place }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.addresses()[0]
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        get(self.address(), path, &[]).await
    }

    /// The value of one series on `/metrics`.
    pub(crate) async fn value(&self, series: &str) -> Option<f64> {
        let text = self.get("/metrics").await.body;
        let mut lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        lines.find(|(name, _)| *name == series).map(|(_, value)| value.parse().unwrap())
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

pub(crate) async fn get(at: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(at, "GET", path, headers, "").await
}

/// The same of somebody who knows the server by another name.
pub(crate) async fn get_as(at: SocketAddr, host: &str, path: &str) -> Answer {
    exchange(at, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await
}

/// One request on a connection of its own.
pub(crate) async fn send(
    at: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\nContent-Length: {length}\r\n\
         {headers}\r\n{body}"
    );
    exchange(at, &request).await
}

async fn exchange(at: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: unchunked(head, body) }
}

fn unchunked(head: &str, body: &str) -> String {
    if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return body.to_owned();
    }
    let (mut rest, mut whole) = (body, String::new());
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            break;
        }
        whole.push_str(&after[..length]);
        rest = &after[length + 2..];
    }
    whole
}
