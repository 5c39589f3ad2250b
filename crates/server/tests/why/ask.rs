//! Asking why, and workers that take just some things.

use std::time::Duration;

use strandline_proto::management::management_client::ManagementClient;
use strandline_proto::management::{self as wire, Severity, fact::Value};
use strandline_proto::wire as tasks;
use tonic::Status;

use crate::support::{TestServer, soon};

pub(crate) async fn ask(server: &TestServer, id: &str) -> Result<wire::Diagnosis, Status> {
    let mut management = ManagementClient::new(server.channel().await);
    let request = wire::DiagnoseRequest { instance_id: id.to_owned() };
    management.diagnose(request).await.map(tonic::Response::into_inner)
}

pub(crate) async fn why(server: &TestServer, id: &str) -> wire::Diagnosis {
    ask(server, id).await.unwrap()
}

/// The diagnosis once it says this: what an answer caused may take a moment.
pub(crate) async fn soon_why(server: &TestServer, id: &str, verdict: &str) -> wire::Diagnosis {
    let mut management = ManagementClient::new(server.channel().await);
    let looked = async {
        loop {
            let request = wire::DiagnoseRequest { instance_id: id.to_owned() };
            let found = management.diagnose(request).await.unwrap().into_inner();
            if found.verdict == verdict {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(&format!("{id} to be {verdict}"), looked).await
}

pub(crate) fn is(found: &wire::Diagnosis, verdict: &str, severity: Severity) {
    assert_eq!((found.verdict.as_str(), found.severity()), (verdict, severity), "{found:#?}");
}

/// A fact as text.
pub(crate) fn fact(found: &wire::Diagnosis, name: &str) -> Option<String> {
    let fact = found.evidence.iter().find(|fact| fact.name == name)?;
    Some(match fact.value.clone()? {
        Value::Text(text) => text,
        Value::Time(time) => time.to_string(),
        Value::Count(count) => count.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Texts(texts) => texts.texts.join(", "),
    })
}

pub(crate) fn commands(found: &wire::Diagnosis) -> Vec<&str> {
    found.suggestions.iter().filter_map(|suggestion| suggestion.cli.as_deref()).collect()
}

/// A worker of this name that takes just these orchestrators and activities.
pub(crate) fn taking(id: &str, orchestrators: &[&str], activities: &[&str]) -> tasks::GetWorkItemsRequest {
    let name = |name: &&str| (*name).to_owned();
    let orchestrations = orchestrators.iter().map(name);
    let activities = activities.iter().map(name);
    let filters = tasks::WorkItemFilters {
        orchestrations: orchestrations
            .map(|name| tasks::OrchestrationFilter { name, ..Default::default() })
            .collect(),
        activities: activities.map(|name| tasks::ActivityFilter { name, ..Default::default() }).collect(),
        ..Default::default()
    };
    tasks::GetWorkItemsRequest {
        worker_instance_id: id.to_owned(),
        work_item_filters: Some(filters),
        ..Default::default()
    }
}

/// A moment that does not come while a test runs.
pub(crate) fn later() -> prost_types::Timestamp {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    prost_types::Timestamp { seconds: seconds as i64 + 7_200, nanos: 0 }
}
