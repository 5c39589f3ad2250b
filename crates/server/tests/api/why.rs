//! Why instances wait.

use serde_json::json;

use crate::support::TestServer;

#[tokio::test]
async fn an_instance_says_why_it_waits() {
    let server = TestServer::start().await;
    for (id, name) in [("lost", "Wating"), ("held", "Waiting")] {
        let start = json!({"name": name, "instanceId": id});
        server.ask("POST", "/instances").json(&start).send().await.json(201);
    }
    let lost = server.ask("GET", "/instances/lost/why").send().await.json(200);
    assert_eq!(
        (&lost["instanceId"], &lost["verdict"], &lost["severity"]),
        (&json!("lost"), &json!("unknownName"), &json!("error")),
        "{lost}"
    );
    assert!(lost["summary"].as_str().unwrap().contains("Wating"), "{lost}");
    assert!(lost["suggestions"].to_string().contains("Waiting"), "the nearest name: {lost}");

    // What nobody can run is stuck; what waits as it was written to is not.
    let stuck = server.ask("GET", "/stuck").send().await.json(200);
    assert_eq!(stuck["examined"], 2, "{stuck}");
    let ids: Vec<_> = stuck["diagnoses"].as_array().unwrap().iter().map(|one| &one["instanceId"]).collect();
    assert_eq!(ids, ["lost"]);
    let first = server.ask("GET", "/stuck?limit=1&severity=ok").send().await.json(200);
    let next = format!("/stuck?limit=1&severity=ok&token={}", first["nextToken"].as_str().unwrap());
    let second = server.ask("GET", &next).send().await.json(200);
    assert_ne!(first["diagnoses"][0]["instanceId"], second["diagnoses"][0]["instanceId"]);

    let unknown = server.ask("GET", "/instances/nobody/why").send().await.problem();
    assert_eq!(unknown, (404, "instance-not-found".to_owned()));
    let wrong = server.ask("GET", "/stuck?limit=101").send().await.problem();
    assert_eq!(wrong.0, 400);
    server.stop().await;
}
