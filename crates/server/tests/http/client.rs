//! A client that sends what it is told, byte for byte, and shows what came back.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::soon;

/// A request before it is sent.
#[must_use = "nothing is sent until `.send()`"]
pub(crate) struct Request {
    address: SocketAddr,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn new(address: SocketAddr, method: &str, target: &str) -> Self {
        let (method, target) = (method.to_owned(), target.to_owned());
        Self { address, method, target, headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn json(self, body: &str) -> Self {
        self.header("Content-Type", "application/json").body(body)
    }

    /// On a connection of its own.
    pub(crate) async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.target);
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let named = |name: &str| self.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        let mut head = format!("{what} HTTP/1.1\r\nConnection: close\r\n");
        if !named("host") {
            head += &format!("Host: {}\r\n", self.address);
        }
        head += &format!("Content-Length: {}\r\n", self.body.len());
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        let (mut reader, mut writer) = stream.split();
        let write = async {
            // Who refuses a body need not read it.
            let _ = writer.write_all(head.as_bytes()).await;
            let _ = writer.write_all(&self.body).await;
        };
        let read = async {
            let mut received = Vec::new();
            let _ = reader.read_to_end(&mut received).await;
            received
        };
        let (received, ()) = soon(&what, async { tokio::join!(read, write) }).await;
        Answer::parse(&received).unwrap_or_else(|| panic!("{what}: {}", String::from_utf8_lossy(&received)))
    }
}

impl Answer {
    fn parse(received: &[u8]) -> Option<Self> {
        let end = received.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&received[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let header =
            |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        let headers = lines.map(header).collect::<Option<Vec<_>>>()?;
        let mut answer = Self { status, headers, body: String::new() };
        let body = &received[end + 4..];
        let body = match answer.header("transfer-encoding") {
            Some("chunked") => unchunked(body)?,
            _ => body.to_vec(),
        };
        answer.body = String::from_utf8(body).ok()?;
        Some(answer)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json; charset=utf-8"), "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    /// Its status, once it is sure that there is nothing more.
    #[track_caller]
    pub(crate) fn empty(&self) -> u16 {
        assert_eq!(self.body, "", "{self:?}");
        assert_eq!(self.header("content-length"), Some("0"), "{self:?}");
        assert_eq!(self.header("content-type"), None, "{self:?}");
        self.status
    }

    /// Its status and its JSON as it came.
    #[track_caller]
    pub(crate) fn shown(&self) -> (u16, &str) {
        self.json();
        (self.status, &self.body)
    }

    /// Its status and its `Message`.
    #[track_caller]
    pub(crate) fn message(&self) -> (u16, String) {
        let json = self.json();
        assert!(json.get("StackTrace").is_none(), "{self:?}");
        (self.status, json["Message"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned())
    }

    /// Its status and the JSON string it is.
    #[track_caller]
    pub(crate) fn text(&self) -> (u16, String) {
        (self.status, self.json().as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned())
    }

    /// The ids of the instances listed, sorted.
    #[track_caller]
    pub(crate) fn listed(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{self:?}");
        let id = |instance: &Value| instance["instanceId"].as_str().unwrap().to_owned();
        let mut ids: Vec<_> = self.json().as_array().unwrap().iter().map(id).collect();
        ids.sort();
        ids
    }
}

fn unchunked(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).ok()?, 16).ok()?;
        body = &body[end + 2..];
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(body.get(..size)?);
        body = body.get(size + 2..)?;
    }
}
