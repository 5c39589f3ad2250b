//! The compliance service of the document pipeline: a client of a few lines, and a stub that answers
//! on this machine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use strandline::prelude::*;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Longest message either side reads.
const MESSAGE_BYTES_MAX: u64 = 16 << 20;
/// How long one request may take.
const PATIENCE: Duration = secs(10);
/// What the stub objects to.
const FORBIDDEN: [&str; 3] = ["confidential", "password", "lorem ipsum"];

/// The service as its clients know it.
#[derive(Clone)]
pub(crate) struct Service {
    address: SocketAddr,
    key: String,
}

impl Service {
    /// What is wrong with a text. Any answer but 2xx is an error.
    pub(crate) async fn issues(&self, text: &str) -> Result<Vec<String>> {
        let answer = tokio::time::timeout(PATIENCE, self.post("/issues", text)).await;
        let body = answer.context("the compliance service took too long")??;
        serde_json::from_str(&body).context("the compliance service did not answer with a list")
    }

    async fn post(&self, path: &str, body: &str) -> Result<String> {
        let Self { address, key } = self;
        let stream = TcpStream::connect(address).await;
        let mut stream = stream.with_context(|| format!("no compliance service at {address}"))?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(MESSAGE_BYTES_MAX).read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("the compliance service hung up")?;
        let status = head.lines().next().and_then(|line| line.split_once(' ')).map_or("", |(_, rest)| rest);
        ensure!(status.starts_with('2'), "the compliance service answered {status}");
        Ok(body.to_owned())
    }
}

/// Answers in place of the real service, until it is dropped.
pub(crate) struct Stub {
    service: Service,
    requests: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Stub {
    /// Takes requests with this key; the first `failures` of them are answered with 503.
    pub(crate) async fn start(key: &str, failures: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let service = Service { address: listener.local_addr()?, key: key.to_owned() };
        let requests = Arc::new(AtomicUsize::new(0));
        let (key, counter) = (service.key.clone(), requests.clone());
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let fails = counter.fetch_add(1, Ordering::Relaxed) < failures;
                let key = key.clone();
                // A client that hangs up gets no answer, and needs none.
                tokio::spawn(async move { answer(stream, &key, fails).await });
            }
        });
        Ok(Self { service, requests, serving })
    }

    pub(crate) fn service(&self) -> Service {
        self.service.clone()
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(stream: TcpStream, key: &str, fails: bool) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut length, mut authorized) = (0, false);
    loop {
        let mut line = String::new();
        (&mut stream).take(MESSAGE_BYTES_MAX).read_line(&mut line).await?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorized = value.strip_prefix("Bearer ") == Some(key),
            "content-length" => length = value.parse()?,
            _ => {}
        }
    }
    let mut text = String::new();
    (&mut stream).take(length).read_to_string(&mut text).await?;
    let (status, body) = match (authorized, fails) {
        (false, _) => ("401 Unauthorized", "[]".to_owned()),
        (true, true) => ("503 Service Unavailable", "[]".to_owned()),
        (true, false) => ("200 OK", serde_json::to_string(&objections(&text))?),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

fn objections(text: &str) -> Vec<String> {
    let mut objections = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.to_lowercase();
        for word in FORBIDDEN.into_iter().filter(|word| line.contains(word)) {
            objections.push(format!("line {number} says '{word}'"));
        }
    }
    objections
}
