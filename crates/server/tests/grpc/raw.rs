//! Below the generated client: any message to any path, and frames by hand.

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::support::{TestServer, soon};

/// Calls a method by its path with any message. What it answers is not looked at.
pub(crate) async fn call_path<M>(channel: &Channel, path: &'static str, message: M) -> Result<(), Status>
where
    M: Message + Default + 'static,
{
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<M, ()>::default();
    let path = http::uri::PathAndQuery::from_static(path);
    grpc.unary(Request::new(message), path, codec).await.map(drop)
}

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;

/// A frame of HTTP/2.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The headers of a call, without any compression.
pub(crate) fn call_headers(path: &str) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "test"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    }
    block
}

/// A connection that speaks HTTP/2 as badly as it is told to.
pub(crate) struct Raw(TcpStream);

impl Raw {
    pub(crate) async fn connect(server: &TestServer) -> Self {
        Self(TcpStream::connect(server.address()).await.unwrap())
    }

    /// After the preface, as a client does.
    pub(crate) async fn open(server: &TestServer) -> Self {
        let mut raw = Self::connect(server).await;
        raw.send(PREFACE).await;
        raw.send(&frame(SETTINGS, 0, 0, &[])).await;
        raw
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // A server may hang up in the middle of it.
        let _ = self.0.write_all(bytes).await;
    }

    /// Says no more, and waits until the server hangs up.
    pub(crate) async fn end(mut self) {
        let _ = self.0.shutdown().await;
        let _ = soon("the end of a connection", self.0.read_to_end(&mut Vec::new())).await;
    }

    /// Waits until the server has taken all that was sent.
    pub(crate) async fn ping(&mut self) {
        self.send(&frame(PING, 0, 0, b"12345678")).await;
        loop {
            let mut head = [0; 9];
            soon("an answer to a ping", self.0.read_exact(&mut head)).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            soon("a frame", self.0.read_exact(&mut payload)).await.unwrap();
            if (head[3], head[4]) == (PING, 1) {
                return;
            }
        }
    }
}
