//! `strandline health`: a probe for machines that have no other, such as containers without a shell.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::exit::{Exit, Failure};

/// Asks a server on this machine whether it is ready, and exits with 0 if so.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the server listens without TLS, if need be for monitoring alone.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7071", env = "STRANDLINE_HEALTH")]
    at: SocketAddr,
    /// Asks whether it is alive instead, though it may not be able to work at the moment.
    #[arg(long)]
    live: bool,
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(8);
/// An answer is a line or two.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

pub(crate) async fn run(Args { at, live }: Args) -> Result<(), Failure> {
    let path = if live { "/livez" } else { "/readyz" };
    let unreachable = |error| Failure::new(Exit::Unreachable, error);
    let answer = tokio::time::timeout(PATIENCE, ask(at, path)).await;
    let answer = answer.context("it gives no answer").and_then(|answer| answer.context("it does not answer"));
    let answer = answer.with_context(|| format!("the server at {at}")).map_err(unreachable)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        let said = body.lines().next().unwrap_or_default();
        return Err(Failure::new(Exit::Error, anyhow::anyhow!("not ready: {status} {said}")));
    }
    println!("{}", body.lines().next().unwrap_or_default());
    Ok(())
}

async fn ask(at: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(at).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
