//! `strandline why`, as people type it.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::ask::{soon_why, taking};
use crate::support::TestServer;

/// What the command printed on stdout, and how it ended.
async fn strandline(server: &TestServer, arguments: &[&str]) -> (String, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strandline"));
    command.args(arguments).args(["--time", "utc", "--server", &format!("http://{}", server.address())]);
    for variable in ["SERVER", "HUB", "KEY", "LOG"] {
        command.env_remove(format!("STRANDLINE_{variable}"));
    }
    command.stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
}

#[tokio::test]
async fn the_answer_fits_a_screen_and_its_commands_work() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let _worker = client.worker_with(taking("w", &["Oder"], &[])).await.unwrap();
    client.start_as("Order", "order-1").await;
    soon_why(&server, "order-1", "unknownName").await;

    let (text, exit) = strandline(&server, &["why", "order-1"]).await;
    assert_eq!(exit, 0);
    let first = text.lines().next().unwrap();
    assert!(first.starts_with("Verdict") && first.contains("did you mean \"Oder\"?"), "{text}");
    assert!(text.lines().count() <= 24, "{text}");
    let command = text.lines().find_map(|line| line.trim().strip_prefix("strandline ")).unwrap();
    let words: Vec<_> = command.split_whitespace().collect();
    assert_eq!(strandline(&server, &words).await.1, 0, "{command}");

    let (json, _) = strandline(&server, &["why", "order-1", "-o", "json"]).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["verdict"], &json["severity"]), (&"unknownName".into(), &"error".into()));
    assert_eq!((&json["state"], &json["evidence"]["nearestName"]), (&"Pending".into(), &"Oder".into()));
    assert_eq!(json["waitingOn"][0]["kind"], "turn");
    assert_eq!(json["suggestions"][0]["cli"], "strandline worker list");

    let (ids, _) = strandline(&server, &["why", "--all", "-o", "id"]).await;
    assert_eq!(ids, "order-1\n");
    assert_eq!(strandline(&server, &["why", "nobody"]).await.1, 6);
    assert_eq!(strandline(&server, &["why", "order-1", "--hub", "nowhere"]).await.1, 6);
    assert_eq!(strandline(&server, &["why"]).await.1, 2);
}
