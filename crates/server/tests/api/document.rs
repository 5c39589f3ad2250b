//! The document that describes the API, and that what it says holds.

use std::path::Path;

use serde_json::{Map, Value};
use strandline_server::access::Access;
use strandline_server::keys::{HubScope, KeyFile, NewKey, Note, Role};
use strandline_server::settings::Settings;

use crate::support::TestServer;

async fn document(server: &TestServer) -> Value {
    server.ask_at("GET", "/api/v1/openapi.json").send().await.json(200)
}

/// Method, path, and what is said of it.
fn operations(document: &Value) -> Vec<(String, String, Map<String, Value>)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| {
        let each = item.as_object().unwrap().iter();
        each.map(|(method, operation)| {
            (method.to_uppercase(), path.clone(), operation.as_object().unwrap().clone())
        })
    });
    operations.collect()
}

/// `RENEW=1 cargo test -p strandline-server --test api` writes it anew.
#[tokio::test]
async fn the_document_is_the_one_that_is_checked_in() {
    let server = TestServer::start().await;
    let made = serde_json::to_string_pretty(&document(&server).await).unwrap() + "\n";
    server.stop().await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    if std::env::var_os("RENEW").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "{} is not what the handlers say: renew it with RENEW=1", path.display());
}

#[tokio::test]
async fn every_operation_says_what_it_needs_and_what_may_go_wrong() {
    let server = TestServer::start().await;
    let document = document(&server).await;
    server.stop().await;
    assert_eq!(document["openapi"], "3.1.0");
    let operations = operations(&document);
    assert!(operations.len() > 25, "{}", operations.len());
    let mut ids = std::collections::BTreeSet::new();
    for (method, path, operation) in operations {
        let at = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].to_string()), "{at}: its id is another one's");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{at}");
        assert!(operation["security"][0]["accessKey"][0].is_string(), "{at}");
        for status in ["400", "401", "403", "404", "414", "431", "503"] {
            assert!(operation["responses"][status].is_object(), "{at}: {status}");
        }
        for (status, response) in operation["responses"].as_object().unwrap() {
            let problem =
                response["content"]["application/problem+json"].is_object() || response["$ref"].is_string();
            assert_eq!(problem, status.as_str() >= "400", "{at}: {status}");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(
                parameter["description"].as_str().is_some_and(|text| !text.is_empty()),
                "{at}: {parameter}"
            );
        }
    }
}

#[tokio::test]
async fn no_operation_takes_a_parameter_it_does_not_know() {
    let server = TestServer::start().await;
    for (method, path, _) in operations(&document(&server).await) {
        let request = server.ask_at(&method, &format!("{}?nonsense=1", target(&path)));
        let refused = request.json(&serde_json::json!({})).send().await;
        assert_eq!(refused.problem_document()["field"], "nonsense", "{method} {path}: {}", refused.text());
    }
    server.stop().await;
}

/// What is sent where access is all that matters.
fn target(path: &str) -> String {
    let id = if path.contains("/entities/") { "@x@y" } else { "x" };
    path.replace("{hub}", "default").replace("{id}", id).replace("{name}", "x").replace("{payload}", "input")
}

#[tokio::test]
async fn nothing_is_reached_without_a_key_that_suffices() {
    let place = tempfile::tempdir().unwrap();
    let file = KeyFile::in_directory(place.path());
    let key = |role: Role, hub: HubScope| {
        let new = NewKey { roles: role.into(), hub, functions: None, note: Note::default(), expires: None };
        file.create(new, jiff::Timestamp::now()).unwrap().0
    };
    let elsewhere = key(Role::Admin, HubScope::one("other").unwrap());
    let worker = key(Role::Worker, HubScope::All);
    let reader = key(Role::Reader, HubScope::All);
    let access = Access::open_until_keyed(file).unwrap();
    let server = TestServer::with(access, Settings::default()).await;
    let send = async |method: &str, path: &str, key: Option<&str>| {
        let request = server.ask_at(method, &target(path));
        let request = match key {
            Some(key) => request.header("Authorization", &format!("Bearer {key}")),
            None => request,
        };
        request.send().await
    };
    let described = server.ask_at("GET", &format!("/api/v1/openapi.json?code={}", reader.reveal()));
    let document = described.send().await.json(200);
    for path in ["/api/v1/openapi.json", "/api/v1/nothing"] {
        assert_eq!(send("GET", path, None).await.problem(), (401, "key-needed".to_owned()), "{path}");
    }
    for (method, path, operation) in operations(&document) {
        let at = format!("{method} {path}");
        let nobody = send(&method, &path, None).await;
        assert_eq!(nobody.problem(), (401, "key-needed".to_owned()), "{at}");
        assert_eq!(nobody.header("www-authenticate"), Some("bearer"), "{at}");
        let wrong = send(&method, &path, Some("strandline_nonsense")).await;
        assert_eq!(wrong.problem(), (401, "key-needed".to_owned()), "{at}");
        assert!(!wrong.text().contains("nonsense"), "{at}: {}", wrong.text());
        assert_eq!(send(&method, &path, Some(worker.reveal())).await.status, 403, "{at}");
        let of_another = send(&method, &path, Some(elsewhere.reveal())).await;
        if path.contains("{hub}") {
            assert_eq!(of_another.problem(), (404, "hub-not-found".to_owned()), "{at}");
        }
        let scope = &operation["security"][0]["accessKey"][0];
        let allowed = send(&method, &path, Some(reader.reveal())).await.status != 403;
        assert_eq!(allowed, scope == "read", "{at} says that it needs {scope}");
    }
    let hubs = send("GET", "/api/v1/hubs", Some(elsewhere.reveal())).await.json(200);
    assert_eq!(hubs["hubs"].as_array().unwrap().len(), 1, "{hubs}");
    let new = |key: &str, name: &str| {
        let request = server.ask_at("POST", "/api/v1/hubs").header("x-functions-key", key);
        request.json(&serde_json::json!({"name": name})).send()
    };
    assert_eq!(new(reader.reveal(), "fresh").await.problem(), (403, "not-permitted".to_owned()));
    assert_eq!(new(elsewhere.reveal(), "fresh").await.problem(), (404, "hub-not-found".to_owned()));
    server.stop().await;
}
