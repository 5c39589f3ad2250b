//! What is taken at most, and from whom.

use std::time::Duration;

use strandline_server::settings::Settings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::place::{API, LONG, Place};
use strandline_server::keys::Role;

fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings::default();
    change(&mut settings);
    settings
}

#[tokio::test]
async fn heads_are_bounded() {
    let place = Place::new(Settings::default()).await;
    let limits = Settings::default().limits;
    let path = format!("/{}", "a".repeat(limits.path_bytes_max - 1));
    assert_eq!(place.send("GET", &path, &[]).await.status, 404);
    assert_eq!(place.send("GET", &format!("{path}a"), &[]).await.status, 414);
    let large = "v".repeat(limits.header_bytes_max as usize - 1000);
    assert_eq!(place.send("GET", "/", &[("x-large", &large)]).await.status, 404);
    let larger = "v".repeat(limits.header_bytes_max as usize);
    assert_eq!(place.send("GET", "/", &[("x-large", &larger)]).await.status, 431);
    let huge = "v".repeat(10 * limits.header_bytes_max as usize);
    let answer = place.send("GET", "/", &[("x-large", &huge)]).await;
    assert!([0, 431].contains(&answer.status), "{answer:?}");
    place.stop().await;
}

#[tokio::test]
async fn who_sends_a_head_without_end_is_let_go() {
    let place = Place::new(settings(|s| s.limits.header_timeout = Duration::from_millis(200))).await;
    for said in ["", "G", "GET / HTTP/1.1\r\nHost: localhost\r\n", "PRI * HTTP/2.0\r\n\r\nSM"] {
        let mut stream = TcpStream::connect(place.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // Closed or reset, maybe after an answer; not left open.
        let _ = tokio::time::timeout(LONG, stream.read_to_end(&mut rest)).await.expect("still open");
        assert!(!rest.starts_with(b"HTTP/1.1 2"), "{said:?}");
    }
    place.stop().await;
}

/// Thousands who are silent cost neither a place to those who speak nor, once there are too many, anything.
#[tokio::test]
async fn idle_connections_are_many_and_bounded() {
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    // Both ends are here.
    let many = usize::try_from(most.saturating_sub(500) / 2).unwrap_or(usize::MAX).min(3000);
    let place = Place::new(settings(|s| {
        s.limits.connections_max = many + 1;
        s.limits.header_timeout = LONG * 10;
    }))
    .await;
    let mut idle = Vec::new();
    for _ in 0..many {
        idle.push(TcpStream::connect(place.address).await.unwrap());
    }
    assert_eq!(place.send("GET", "/", &[]).await.status, 404, "there is one place left");
    let mut last = TcpStream::connect(place.address).await.unwrap();
    last.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    // Taken or not: who comes now waits until somebody goes.
    let (address, host) = (place.address, format!("Host: {}", place.address));
    let waiting = tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let text = format!("GET / HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        super::place::Answer::read(&mut stream).await.status
    });
    idle.clear();
    assert_eq!(tokio::time::timeout(LONG, waiting).await.unwrap().unwrap(), 404);
    drop(last);
    place.stop().await;
}

#[tokio::test]
async fn a_page_of_a_browser_drives_no_server_without_keys() {
    let place = Place::new(settings(|s| s.http.allowed_hosts = vec!["dev.example.org".to_owned()])).await;
    let path = format!("{API}/makeprimary");
    let port = place.address.port();
    let local = format!("localhost:{port}");
    for headers in [
        vec![("Host", &*local)],
        vec![("Host", &*local), ("Origin", "http://localhost:3000")],
        vec![("Host", "dev.example.org")],
    ] {
        assert_eq!(place.send("POST", &path, &headers).await.status, 200, "{headers:?}");
    }
    let rebound = format!("evil.example:{port}");
    let grpc = ("Content-Type", "application/grpc");
    for headers in [
        vec![("Host", &*rebound)],
        vec![("Host", &*rebound), ("Origin", "http://evil.example")],
        vec![("Host", &*local), ("Origin", "https://evil.example")],
        vec![("Host", &*local), ("Origin", "null")],
        // A page can say that it is gRPC, but it does not speak HTTP/2 to a server without TLS.
        vec![("Host", &*rebound), grpc],
    ] {
        let answer = place.send("POST", &path, &headers).await;
        assert_eq!(answer.status, 403, "{headers:?}");
        assert!(answer.body.contains("http.allowed_hosts"), "{answer:?}");
    }
    // Where there are keys, no page has one.
    let (key, _) = place.new_key(Role::Client, "*", &[]);
    let with_key = format!("{path}?code={}", key.reveal());
    let closed =
        async { while place.send("POST", &with_key, &[("Host", "any.example")]).await.status != 200 {} };
    tokio::time::timeout(LONG, closed).await.expect("the server does not see the key");
    place.stop().await;
}

#[tokio::test]
async fn bodies_are_bounded_in_size_time_and_form() {
    let place = Place::new(settings(|s| {
        s.limits.body_bytes_max = 100_000;
        s.limits.body_timeout = Duration::from_millis(200);
    }))
    .await;
    let path = format!("{API}/orchestrators/Order");
    // One that says that it is too large is refused before it comes.
    assert_eq!(place.send("POST", &path, &[("Content-Length", "1000000000")]).await.status, 413);
    // One that never comes is not waited for.
    assert_eq!(place.send("POST", &path, &[("Content-Length", "10")]).await.status, 408);
    // What it unfolds to would be anybody's guess.
    assert_eq!(place.send("POST", &path, &[("Content-Encoding", "gzip")]).await.status, 415);
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
        place.address
    );
    let chunk = |bytes: usize| format!("{bytes:x}\r\n{}\r\n", " ".repeat(bytes));
    let fits = format!("{head}{}{}0\r\n\r\n", chunk(50_000), chunk(50_000));
    assert_eq!(place.raw(&fits).await.status, 202);
    // One that does not say it is read up to the limit, and what the network holds, but not to its end.
    let (mut reading, mut writing) = TcpStream::connect(place.address).await.unwrap().into_split();
    let (chunk, end) = (chunk(50_000), 20_000);
    let sending = tokio::spawn(async move {
        writing.write_all(head.as_bytes()).await.unwrap();
        for sent in 0..end {
            if writing.write_all(chunk.as_bytes()).await.is_err() {
                return sent;
            }
        }
        end
    });
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(LONG, reading.read_to_end(&mut answer)).await.expect("no answer");
    let sent = tokio::time::timeout(LONG, sending).await.unwrap().unwrap();
    assert!(sent < 2000, "of a gigabyte {sent} chunks of 50 kB were taken");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(place.send("GET", &format!("{API}/instances"), &[]).await.status, 200, "others go on");
    place.stop().await;
}
