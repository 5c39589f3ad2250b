//! What is not sent, or not taken.

use std::collections::VecDeque;
use std::net::IpAddr;

use parking_lot::Mutex;
use strandline::http::{HttpPolicy, HttpRefused, InvalidHttpRequest, Resolve, Resolving};
use strandline::prelude::*;

use crate::stub::{Answer, Stub};
use crate::support::{Called, call_once, calls, reaching};

#[track_caller]
fn assert_refused(called: &Called, part: &str) {
    let error = called.error();
    assert!(error.is::<HttpRefused>() && error.is_non_retriable(), "{error:?}");
    assert!(error.message().contains(part), "{error}");
    assert_eq!(called.count("TaskScheduled"), 1, "it is not retried");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_public_is_not_reached() {
    let inside = Stub::start(|_| Answer::new(200)).await;
    let port = inside.address.port();
    let urls = [
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://[fd00:ec2::254]/latest/".to_owned(),
        format!("http://127.0.0.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://localhost:{port}/"),
        "http://0.0.0.0/".to_owned(),
        "http://100.64.0.1/".to_owned(),
    ];
    let retry = || HttpRetryOptions::new(millis(1), 3);
    let requests = urls.iter().map(|url| HttpRequest::get(url).retry(retry())).collect();
    let policy = HttpPolicy::new().ports([80, 443, port]);
    for called in calls(policy, requests).await {
        assert_refused(&called, "call_http.allowed_hosts");
    }
    let other_port =
        call_once(HttpPolicy::new(), HttpRequest::get(format!("http://example.com:{port}/"))).await;
    assert_refused(&other_port, &format!("port {port} of example.com"));
    let other_scheme = call_once(HttpPolicy::new(), HttpRequest::get("file:///etc/passwd")).await;
    assert_refused(&other_scheme, "file");
    assert!(inside.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_does_not_lead_inside() {
    let inside = Stub::start(|_| Answer::new(200)).await;
    let target = inside.url("/secrets");
    let outside = Stub::start(move |_| Answer::new(302).header("location", target.clone())).await;
    let called = call_once(reaching(&[&outside]), HttpRequest::get(outside.url("/"))).await;
    assert_refused(&called, "127.0.0.1");
    assert_eq!((outside.lines().len(), inside.lines().len()), (1, 0));
}

/// Answers with these addresses, one list after the other.
struct Rebinding(Mutex<VecDeque<Vec<IpAddr>>>);

impl Rebinding {
    fn new(answers: &[&[&str]]) -> Self {
        let list = |addresses: &&[&str]| addresses.iter().map(|text| text.parse().unwrap()).collect();
        Self(Mutex::new(answers.iter().map(list).collect()))
    }
}

impl Resolve for Rebinding {
    fn resolve(&self, _: &str) -> Resolving {
        let answer = self.0.lock().pop_front().unwrap_or_default();
        Box::pin(async move { Ok(answer) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_judged_each_time_and_taken_at_its_word() {
    let outside = Stub::start_at("127.0.0.2:0", |_| Answer::new(200).body("outside")).await;
    let port = outside.address.port();
    let inside = Stub::start_at(&format!("127.0.0.1:{port}"), |_| Answer::new(200).body("inside")).await;
    // The first answer is judged and connected to. Another question would be answered otherwise.
    let resolver =
        Rebinding::new(&[&["127.0.0.2"], &["127.0.0.1"], &["127.0.0.2", "127.0.0.1"], &["127.0.0.2"]]);
    let policy = HttpPolicy::new().allow("127.0.0.2").ports([port]).resolver(resolver);
    let request = || HttpRequest::get(format!("http://rebinding.example:{port}/"));
    let called = calls(policy, vec![request(), request(), request(), request()]).await;
    assert_eq!(called[0].response().content, "outside");
    assert_refused(&called[1], "'rebinding.example' is at a loopback address");
    assert_refused(&called[2], "loopback");
    assert_eq!(called[3].response().content, "outside");
    assert!(inside.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_are_bounded() {
    let stub = Stub::start(|received| {
        let body = vec![b'x'; 2000];
        match received.target.as_str() {
            "/exact" => Answer::new(200).body(&body[..1000]),
            "/unsized" => Answer::new(200).body(body).without_length(),
            "/zipped" => Answer::new(200).body("x").header("content-encoding", "gzip"),
            _ => Answer::new(200).body(body),
        }
    })
    .await;
    let policy = reaching(&[&stub]).max_response(1000).max_content(1000);
    let get = |path: &str| HttpRequest::get(stub.url(path));
    let requests = vec![
        get("/exact").content("x".repeat(1000)),
        get("/"),
        get("/unsized"),
        get("/zipped"),
        get("/").content("x".repeat(1001)),
    ];
    let called = calls(policy, requests).await;
    assert_eq!(called[0].response().content.len(), 1000);
    assert_refused(&called[1], "call_http.response_bytes_max");
    assert_refused(&called[2], "more than 1000 bytes");
    assert_refused(&called[3], "gzip");
    assert_refused(&called[4], "call_http.content_bytes_max");
    assert_eq!(stub.received().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_not_sent() {
    let stub = Stub::start(|_| Answer::new(200)).await;
    let get = || HttpRequest::get(stub.url("/"));
    let requests = vec![
        get().header("Host", "admin.internal"),
        get().header("Transfer-Encoding", "chunked"),
        get().header("a b", "c"),
        get().header("A", "hush\r\nB: c"),
        get().header("A", "x".repeat(100_000)),
        HttpRequest::new("CONNECT", stub.url("/")),
        HttpRequest::new("a b", stub.url("/")),
        HttpRequest::get("no url"),
        HttpRequest::get(format!("http://a.example/{}", "x".repeat(10_000))),
    ];
    for called in calls(reaching(&[&stub]), requests).await {
        let error = called.error();
        assert!(error.is::<InvalidHttpRequest>() && error.is_non_retriable(), "{error:?}");
        assert!(!error.message().contains("hush"), "{error}");
    }
    assert!(stub.received().is_empty());
}
