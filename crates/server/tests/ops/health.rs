//! Probes: for everybody, and the same whoever asks.

use serde_json::{Value, json};
use strandline_server::access::Access;
use strandline_server::keys::KeyFile;
use strandline_server::settings::Settings;
use tonic::transport::Endpoint;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::program::{Program, output};
use crate::support::{TestServer, get, get_as, soon};

#[tokio::test(flavor = "multi_thread")]
async fn probes_need_no_key() {
    let place = tempfile::tempdir().unwrap();
    let access = Access::keyed(KeyFile::in_directory(place.path())).unwrap();
    let server = TestServer::with(access, Settings::default()).await;
    for (path, said) in [("/livez", "alive\n"), ("/readyz", "ready\n"), ("/startupz", "started\n")] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, said), "{path}");
    }
    let version: Value = serde_json::from_str(&server.get("/version").await.body).unwrap();
    assert_eq!(version, json!({ "name": "strandline", "version": env!("CARGO_PKG_VERSION") }));
    let verbose: Value = serde_json::from_str(&server.get("/readyz?verbose").await.body).unwrap();
    let ready = json!({
        "ready": true, "draining": false, "store": null, "partitions_running": 4, "partitions": 4,
    });
    assert_eq!(verbose, ready);
}

/// Over HTTP and gRPC alike.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_closed_is_not_ready() {
    let server = TestServer::start().await;
    let endpoint = Endpoint::try_from(format!("http://{}", server.address())).unwrap();
    let mut client = HealthClient::new(endpoint.connect().await.unwrap());
    let mut watch = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let first = soon("the status", watch.message()).await.unwrap().unwrap();
    assert_eq!(first.status, ServingStatus::Serving as i32);
    server.directory.close().await.unwrap();
    let answer = server.get("/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("closed"), "{answer:?}");
    let verbose: Value = serde_json::from_str(&server.get("/readyz?verbose").await.body).unwrap();
    assert_eq!((&verbose["ready"], &verbose["partitions_running"]), (&json!(false), &json!(0)));
    assert_eq!(server.get("/livez").await.status, 200, "nothing is stuck");
    let then = soon("the change", watch.message()).await.unwrap().unwrap();
    assert_eq!(then.status, ServingStatus::NotServing as i32);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_tells_by_its_exit_code() {
    let program = Program::serve(&[]).await;
    let address = program.address.to_string();
    let ready = output(&["health", "--at", &address]).await;
    assert_eq!((ready.status.code(), ready.stdout.as_slice()), (Some(0), &b"ready\n"[..]));
    let alive = output(&["health", "--live", "--at", &address]).await;
    assert_eq!((alive.status.code(), alive.stdout.as_slice()), (Some(0), &b"alive\n"[..]));
    program.terminate();
    program.ended().await;
    assert_eq!(output(&["health", "--at", &address]).await.status.code(), Some(8));
}

/// On a server without keys, which lets no other names through.
#[tokio::test(flavor = "multi_thread")]
async fn probes_may_call_the_server_as_they_like() {
    let server = TestServer::start().await;
    let origin = [("Origin", "https://status.example")];
    for path in ["/livez", "/readyz", "/readyz?verbose", "/startupz", "/version"] {
        assert_eq!(get(server.address(), path, &origin).await.status, 200, "{path}");
        let answer = get_as(server.address(), "strandline-0.strandline.flows.svc", path).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    for path in ["/metrics", "/livez/", "/api/v1/hubs"] {
        assert_eq!(get(server.address(), path, &origin).await.status, 403, "{path}");
        let answer = get_as(server.address(), "strandline-0.strandline.flows.svc", path).await;
        assert_eq!(answer.status, 403, "{path}");
    }
}
