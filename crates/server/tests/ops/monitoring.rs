//! What is said of metrics elsewhere in the repository is true.

use std::collections::BTreeSet;
use std::path::PathBuf;

use strandline_proto::wire::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use tonic::transport::Endpoint;

use crate::support::TestServer;

fn file(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../monitoring").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of metrics in a text, without what belongs to series.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| {
        let rest = word.strip_prefix("strandline_").or_else(|| word.strip_prefix("process_"));
        rest.is_some_and(|rest| !rest.is_empty())
    });
    ours.map(family).collect()
}

fn family(word: &str) -> String {
    let ends = ["_bucket", "_sum", "_count", "_total", "_info"];
    let end = ends.iter().find_map(|end| word.strip_suffix(end));
    end.unwrap_or(word).to_owned()
}

async fn shown() -> BTreeSet<String> {
    let server = TestServer::start().await;
    // Families of requests show once there was one.
    server.get("/livez").await;
    let channel =
        Endpoint::try_from(format!("http://{}", server.address())).unwrap().connect().await.unwrap();
    TaskHubSidecarServiceClient::new(channel).hello(()).await.unwrap();
    let text = server.get("/metrics").await.body;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_described_and_no_other() {
    let readme = file("README.md");
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let described: BTreeSet<_> = rows.map(family).collect();
    assert_eq!(described, shown().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboards_and_rules_use_metrics_that_there_are() {
    let shown = shown().await;
    for path in ["grafana-dashboard.json", "prometheus-rules.yaml", "keda-scaledobject.yaml"] {
        let text = file(path);
        let used = named(&text);
        assert!(!used.is_empty(), "{path}");
        let unknown: Vec<_> = used.difference(&shown).collect();
        assert!(unknown.is_empty(), "{path} uses {unknown:?}");
    }
    serde_json::from_str::<serde_json::Value>(&file("grafana-dashboard.json")).unwrap();
}

#[test]
fn every_alert_says_what_to_do() {
    let rules = file("prometheus-rules.yaml");
    let readme = file("README.md");
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 8, "{alerts:?}");
    assert_eq!(rules.matches("summary:").count(), alerts.len());
    assert_eq!(rules.matches("runbook:").count(), alerts.len());
    for alert in alerts {
        assert!(readme.contains(&format!("### {alert}\n")), "no runbook for {alert}");
    }
}
