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
    head: String,
    body: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(address: SocketAddr, method: &str, target: &str) -> Self {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
        Self { address, head, body: Vec::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.head += &format!("{name}: {value}\r\n");
        self
    }

    pub(crate) fn body(mut self, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("Content-Type", media_type)
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// On a connection of its own.
    pub(crate) async fn send(self) -> Answer {
        let head = format!("{}Content-Length: {}\r\n\r\n", self.head, self.body.len());
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let write = async {
            // Who refuses a body need not read it.
            let _ = writer.write_all(head.as_bytes()).await;
            let _ = writer.write_all(&self.body).await;
        };
        let mut received = Vec::new();
        let (read, ()) =
            soon(&self.head, async { tokio::join!(reader.read_to_end(&mut received), write) }).await;
        read.unwrap();
        let end =
            received.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| panic!("{head}"));
        let head = String::from_utf8(received[..end].to_vec()).unwrap().to_lowercase();
        assert!(!head.contains("transfer-encoding"), "{head}");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: received[end + 4..].to_vec() }
    }
}

impl Answer {
    /// In lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &'_ str| line.split_once(": ").is_some_and(|(other, _)| other == name);
        let line = self.head.split("\r\n").skip(1).find(|line| named(line))?;
        Some(line.split_once(": ")?.1)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What it says, once it is sure that it is this status.
    #[track_caller]
    pub(crate) fn json(&self, status: u16) -> Value {
        assert_eq!(
            (self.status, self.header("content-type")),
            (status, Some("application/json")),
            "{}",
            self.text()
        );
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The problem it is: its status and the last part of its type.
    #[track_caller]
    pub(crate) fn problem(&self) -> (u16, String) {
        let problem = self.problem_document();
        let kind = problem["type"].as_str().unwrap().strip_prefix("urn:strandline:problem:").unwrap();
        (self.status, kind.to_owned())
    }

    #[track_caller]
    pub(crate) fn problem_document(&self) -> Value {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{} {}",
            self.head,
            self.text()
        );
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], self.status);
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem
    }
}
