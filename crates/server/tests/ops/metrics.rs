//! `/metrics`: what is counted, and who sees it.

use strandline::prelude::*;
use strandline::{RemoteHub, metrics::prometheus_client::encoding::text::encode};
use strandline_proto::wire;
use strandline_proto::wire::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use strandline_server::access::Access;
use strandline_server::keys::KeyFile;
use strandline_server::settings::Settings;
use tonic::transport::Endpoint;

use crate::support::{TestServer, get};

#[activity]
async fn sell(ctx: ActivityContext, region: String) -> Result<()> {
    ctx.metrics().counter("orders_total", &[("region", &region)]).add(2);
    Ok(())
}

#[activity]
async fn fail_once(ctx: ActivityContext) -> Result<()> {
    if ctx.task_id() == 1 { bail!("not yet") } else { Ok(()) }
}

#[orchestrator]
async fn shop(ctx: OrchestrationContext, region: String) -> Result<()> {
    ctx.call(sell, region).await?;
    let again = RetryPolicy::new(std::time::Duration::from_millis(1), 3);
    ctx.call(fail_once.retry(again), ()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_what_activities_of_this_process_count() {
    let server = TestServer::start().await;
    let hub = server.directory.hub("default").await.unwrap();
    hub.worker().register((sell, fail_once, shop)).start().unwrap();
    for region in ["eu", "eu", "us"] {
        hub.client().start(shop, region.to_owned()).await.unwrap().output().await.unwrap();
    }
    assert_eq!(server.value("orders_total{region=\"eu\"}").await, Some(4.0));
    assert_eq!(server.value("orders_total{region=\"us\"}").await, Some(2.0));
    let retries = "strandline_activity_retries_total{hub=\"default\",name=\"fail_once\"}";
    assert_eq!(server.value(retries).await, Some(3.0));
    let failed =
        "strandline_activity_duration_seconds_count{hub=\"default\",name=\"fail_once\",outcome=\"failed\"}";
    assert_eq!(server.value(failed).await, Some(3.0));
    let late = "strandline_timer_lateness_seconds_count{hub=\"default\"}";
    assert_eq!(server.value(late).await, Some(3.0));
}

/// The server counts its part of it, the worker what its activities say.
#[tokio::test(flavor = "multi_thread")]
async fn counts_work_of_workers_elsewhere() {
    let server = TestServer::start().await;
    let hub = RemoteHub::connect(format!("http://{}", server.address())).await.unwrap();
    hub.worker().register((sell, fail_once, shop)).start().await.unwrap();
    hub.client().start(shop, "eu".to_owned()).await.unwrap().output().await.unwrap();
    for (series, expected) in [
        ("workers_connected{hub=\"default\"}", 1.0),
        ("activity_duration_seconds_count{hub=\"default\",name=\"sell\",outcome=\"completed\"}", 1.0),
        ("work_item_schedule_to_start_seconds_count{hub=\"default\",kind=\"activity\"}", 3.0),
        ("orchestrations{hub=\"default\",status=\"Completed\"}", 1.0),
        ("grpc_requests_total{method=\"TaskHubSidecarService/CompleteActivityTask\",code=\"OK\"}", 3.0),
    ] {
        assert_eq!(server.value(&format!("strandline_{series}")).await, Some(expected), "{series}");
    }
    assert_eq!(server.value("orders_total{region=\"eu\"}").await, None, "the server did not run it");
    let mut registry = strandline::metrics::prometheus_client::registry::Registry::default();
    registry.register_collector(Box::new(hub.metrics()));
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    assert!(text.contains("orders_total{region=\"eu\"} 2\n"), "{text}");
    hub.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_requests_by_routes_that_there_are() {
    let server = TestServer::start().await;
    for path in
        ["/livez", "/nowhere/1", "/nowhere/2?code=secret", "/runtime/webhooks/durabletask/instances/x"]
    {
        server.get(path).await;
    }
    let channel =
        Endpoint::try_from(format!("http://{}", server.address())).unwrap().connect().await.unwrap();
    let mut client = TaskHubSidecarServiceClient::new(channel.clone());
    client.hello(()).await.unwrap();
    client.start_instance(wire::CreateInstanceRequest::default()).await.unwrap_err();
    let mut unknown = tonic::client::Grpc::new(channel);
    for method in ["/made.Up/A", "/made.Up/B"] {
        unknown.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let path = http::uri::PathAndQuery::from_static(method);
        unknown.unary(tonic::Request::new(()), path, codec).await.unwrap_err();
    }
    let text = server.get("/metrics").await.body;
    for series in [
        "http_requests_total{method=\"GET\",route=\"/livez\",status=\"200\"} 1",
        "http_requests_total{method=\"GET\",route=\"other\",status=\"404\"} 2",
        "http_request_duration_seconds_count{route=\"/runtime/webhooks/durabletask\"} 1",
        "grpc_requests_total{method=\"TaskHubSidecarService/Hello\",code=\"OK\"} 1",
        "grpc_requests_total{method=\"TaskHubSidecarService/StartInstance\",code=\"INVALID_ARGUMENT\"} 1",
        "grpc_requests_total{method=\"other\",code=\"UNIMPLEMENTED\"} 2",
        "grpc_request_duration_seconds_count{method=\"TaskHubSidecarService/Hello\"} 1",
    ] {
        assert!(text.lines().any(|line| line == format!("strandline_{series}")), "{series} in\n{text}");
    }
    assert!(!text.contains("nowhere") && !text.contains("made.Up") && !text.contains("secret"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_need_a_key_that_reads_all_hubs() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("keys.json");
    let key = |role: &str, hub: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_strandline"));
        command.args(["keys", "create", "--role", role, "--keys"]).arg(&path).args(hub);
        let made = command.output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let said = String::from_utf8(made.stdout).unwrap();
        said.split_whitespace()
            .find(|word| word.starts_with("strandline_"))
            .unwrap_or_else(|| panic!("{said}"))
            .to_owned()
    };
    let (reader, of_one, worker) =
        (key("reader", &[]), key("reader", &["--hub", "orders"]), key("worker", &[]));
    let mut settings = Settings::default();
    let spare = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    settings.server.metrics_listen = Some(spare);
    let server = TestServer::with(Access::keyed(KeyFile::at(path)).unwrap(), settings).await;
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status, 401, "whoever is on this machine is a stranger, too");
    assert!(answer.head.to_ascii_lowercase().contains("www-authenticate: bearer"), "{}", answer.head);
    let answer = get(spare, "/metrics", &[]).await;
    assert!(answer.head.contains("application/openmetrics-text; version=1.0.0"), "{}", answer.head);
    assert!(answer.body.ends_with("# EOF\n"));
    let asked = async |key: Option<&str>| {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let headers: Vec<_> = bearer.as_deref().map(|bearer| ("authorization", bearer)).into_iter().collect();
        get(server.address(), "/metrics", &headers).await.status
    };
    assert_eq!(asked(None).await, 401);
    assert_eq!(asked(Some("strandline_wrong")).await, 401);
    assert_eq!(asked(Some(&worker)).await, 403);
    assert_eq!(asked(Some(&of_one)).await, 403);
    assert_eq!(asked(Some(&reader)).await, 200);
    let own_port = get(spare, "/metrics", &[]).await;
    assert_eq!(own_port.status, 200, "who reaches the port may look");
    assert_eq!(get(spare, "/readyz", &[]).await.status, 200);
    assert_eq!(get(spare, "/api/v1/hubs", &[]).await.status, 404);
}
