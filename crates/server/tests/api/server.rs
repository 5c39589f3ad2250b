//! What is about the server as a whole.

use serde_json::{Value, json};
use strandline_server::access::Access;
use strandline_server::keys::{HubScope, KeyFile, NewKey, Note, Role};
use strandline_server::settings::{Settings, Source};

use crate::support::TestServer;

#[tokio::test]
async fn settings_are_shown_with_where_they_were_said() {
    let mut settings = Settings::default();
    settings.limits.json_depth_max = 50;
    settings.http.public_url = Some("https://me:top-secret@flows.example/x".parse().unwrap());
    let variable = Source::Environment("STRANDLINE__HTTP__PUBLIC_URL".to_owned());
    let line = Source::File { path: "strandline.toml".into(), line: 3 };
    let sources = [("http.public_url", variable), ("limits.json_depth_max", line)];
    settings.sources = sources.into_iter().map(|(key, source)| (key.to_owned(), source)).collect();
    let server = TestServer::with(Access::open(), settings).await;
    let answer = server.ask_at("GET", "/api/v1/settings").send().await;
    server.stop().await;
    assert!(!answer.text().contains("top-secret"), "{}", answer.text());
    let shown = answer.json(200);
    let of = |key: &str| -> Value {
        let mut all = shown["settings"].as_array().unwrap().iter();
        all.find(|setting| setting["key"] == key).unwrap_or_else(|| panic!("{key}: {shown}")).clone()
    };
    for (key, value, source) in [
        (
            "http.public_url",
            json!("https://hidden@flows.example/x"),
            "environment variable STRANDLINE__HTTP__PUBLIC_URL",
        ),
        ("limits.json_depth_max", json!(50), "strandline.toml:3"),
        ("limits.body_timeout", json!("30s"), "default"),
        ("server.listen", json!(["127.0.0.1:7071"]), "default"),
        ("tls.key", Value::Null, "default"),
    ] {
        assert_eq!(of(key), json!({"key": key, "value": value, "source": source}));
    }
}

#[tokio::test]
async fn who_has_one_hub_does_not_run_the_server() {
    let place = tempfile::tempdir().unwrap();
    let file = KeyFile::in_directory(place.path());
    let key = |role: Role, hub: HubScope| {
        let new = NewKey { roles: role.into(), hub, functions: None, note: Note::default(), expires: None };
        file.create(new, jiff::Timestamp::now()).unwrap().0
    };
    let all = key(Role::Admin, HubScope::All);
    let one = key(Role::Admin, HubScope::one("default").unwrap());
    let client = key(Role::Client, HubScope::All);
    let server = TestServer::with(Access::open_until_keyed(file).unwrap(), Settings::default()).await;
    let get = |key: &str| server.ask_at("GET", "/api/v1/settings").header("x-functions-key", key).send();
    get(all.reveal()).await.json(200);
    for key in [&one, &client] {
        assert_eq!(get(key.reveal()).await.problem(), (403, "not-permitted".to_owned()));
    }
    let why = get(one.reveal()).await.problem_document();
    assert!(why["detail"].as_str().unwrap().contains("all task hubs"), "{why}");
    server.stop().await;
}
