//! What a document pipeline does to keep what it must and no more: ids that are found by what they begin
//! with, and a purge of what is old and over, over HTTP and by the command line.

use std::process::{Command, Output};

use strandline_engine::pipeline::Read;

use crate::support::TestServer;

async fn child(server: &TestServer, id: &str, works: &str) {
    let started = server.ask("POST", &format!("/orchestrators/Child/{id}")).json(works).send().await;
    assert_eq!(started.status, 202, "{started:?}");
    server.reaches(id, Read::Ended).await;
}

/// Documents that are completed, terminated and waiting before the returned moment; one completed after it.
async fn archive(server: &TestServer) -> String {
    child(server, "doc-42-alice-1767225600000", "true").await;
    child(server, "doc-42-bob-1767225700000", "false").await;
    for id in ["doc-43-alice-1767225800000", "doc-44-alice-1767225900000"] {
        server.run_on("Waiting", id).await;
    }
    assert_eq!(server.post("/instances/doc-43-alice-1767225800000/terminate").await.empty(), 202);
    server.reaches("doc-43-alice-1767225800000", Read::Ended).await;
    let then = server.hub().engine().now().await.unwrap().format(9);
    child(server, "doc-42-alice-1769904000000", "true").await;
    then
}

/// What stays: what failed, what waits, what is newer.
const KEPT: [&str; 3] =
    ["doc-42-alice-1769904000000", "doc-42-bob-1767225700000", "doc-44-alice-1767225900000"];

#[tokio::test]
async fn what_is_old_and_over_is_purged_over_http() {
    let server = TestServer::start().await;
    let then = archive(&server).await;
    let found = server.get("/instances?instanceIdPrefix=doc-42-").await.listed();
    assert_eq!(
        found,
        ["doc-42-alice-1767225600000", "doc-42-alice-1769904000000", "doc-42-bob-1767225700000"]
    );
    let found = server.get("/instances?instanceIdPrefix=doc-42-alice-").await.listed();
    assert_eq!(found, ["doc-42-alice-1767225600000", "doc-42-alice-1769904000000"]);

    let purge = |to: &str| {
        format!("/instances?createdTimeFrom=2000-01-01&createdTimeTo={to}&runtimeStatus=Completed,Terminated")
    };
    assert_eq!(server.delete(&purge("2001-01-01T00:00:00Z")).await.empty(), 404);
    assert_eq!(server.delete(&purge(&then)).await.shown(), (200, r#"{"instancesDeleted":2}"#));
    assert_eq!(server.get("/instances").await.listed(), KEPT);
    assert_eq!(server.delete(&purge(&then)).await.empty(), 404);
}

#[tokio::test]
async fn what_is_old_and_over_is_purged_by_the_command_line() {
    let server = TestServer::start().await;
    let then = archive(&server).await;
    let address = format!("http://{}", server.address);
    let run = async |arguments: Vec<String>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strandline"));
        command.args(arguments).args(["--server", &address]).env("NO_COLOR", "1");
        let output: Output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let words = |line: &str| line.split(' ').map(str::to_owned).collect();
    let found = run(words("list --prefix doc-42-alice- -o id")).await;
    assert_eq!(found, "doc-42-alice-1767225600000\ndoc-42-alice-1769904000000\n");
    run(words(&format!("purge --until {then} --status completed,terminated -y"))).await;
    assert_eq!(server.get("/instances").await.listed(), KEPT);
}
