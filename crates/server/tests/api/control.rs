//! Telling instances what to do.

use serde_json::json;

use crate::support::TestServer;

#[tokio::test]
async fn events_are_raised_with_the_bytes_that_came() {
    let server = TestServer::start().await;
    let raise = |id: &str, name: &str| server.ask("POST", &format!("/instances/{id}/events/{name}"));
    server.run(json!({"name": "Waiting", "instanceId": "a/b"})).await;
    let raised = raise("a%2Fb", "Go").body("application/json; charset=utf-8", "{\"b\":  1.0}").send().await;
    assert_eq!((raised.status, raised.text().as_str()), (202, ""));
    assert_eq!(server.ended("a%2Fb").await["output"], json!({"b": 1.0}));
    let over = raise("a%2Fb", "Go").json(&json!(1)).send().await;
    assert_eq!(over.problem(), (410, "instance-over".to_owned()));
    assert_eq!(raise("nobody", "Go").json(&json!(1)).send().await.problem().0, 404);

    // What nobody serves only collects them.
    server.run(json!({"name": "None", "instanceId": "n"})).await;
    assert_eq!(raise("n", "with%20space%2F").send().await.status, 202);
    assert_eq!(raise("n", "text").body("text/plain", "<b>{").send().await.status, 202);
    assert_eq!(raise("n", "Go").body("application/json", "{").send().await.problem().0, 400);
    let xml = raise("n", "Go").body("application/xml", "<a/>").send().await;
    assert_eq!(xml.problem(), (415, "unsupported-media-type".to_owned()));
    assert_eq!(raise("n", "Go").body("text/plain", b"\xff".to_vec()).send().await.problem().0, 400);
    server.stop().await;
}

#[tokio::test]
async fn an_instance_is_suspended_resumed_and_ended() {
    let server = TestServer::start().await;
    server.run(json!({"name": "Waiting", "instanceId": "w"})).await;
    server.get("/instances/w?waitFor=started").await.json(200);
    let tell = |verb: &str| {
        server.ask("POST", &format!("/instances/w/{verb}")).json(&json!({"reason": "because"})).send()
    };
    assert_eq!(tell("resume").await.problem(), (409, "unchanged".to_owned()));
    assert_eq!(tell("suspend").await.status, 202);
    assert_eq!(tell("suspend").await.problem(), (409, "unchanged".to_owned()));
    assert_eq!(server.get("/instances/w").await.json(200)["runtimeStatus"], "Suspended");
    assert_eq!(tell("resume").await.status, 202);
    assert_eq!(tell("rewind").await.problem(), (412, "instance-not-failed".to_owned()));
    assert_eq!(server.delete("/instances/w").await.problem(), (412, "instance-not-over".to_owned()));
    assert_eq!(tell("terminate").await.status, 202);
    let ended = server.ended("w").await;
    assert_eq!((&ended["runtimeStatus"], &ended["output"]), (&json!("Terminated"), &json!("because")));
    for verb in ["terminate", "suspend", "resume"] {
        assert_eq!(tell(verb).await.problem(), (410, "instance-over".to_owned()), "{verb}");
    }
    let history = server.get("/instances/w/history?order=desc").await.json(200);
    let events = history["events"].as_array().unwrap();
    let suspended = events.iter().find(|event| event["type"] == "ExecutionSuspended").unwrap();
    assert_eq!(suspended["reason"], "because");
    // No body at all is no reason.
    for verb in ["terminate", "suspend", "resume", "rewind"] {
        assert_eq!(server.post(&format!("/instances/nobody/{verb}")).await.problem().0, 404, "{verb}");
    }
    server.stop().await;
}

#[tokio::test]
async fn trees_are_ended_and_purged_whole() {
    let server = TestServer::start().await;
    server.run(json!({"name": "Parent", "instanceId": "p"})).await;
    server.get("/instances/p%2Fchild?waitFor=started").await.json(200);
    let request = server.ask("POST", "/instances/p/terminate").json(&json!({"recursive": true}));
    assert_eq!(request.send().await.status, 202);
    assert_eq!(server.ended("p").await["runtimeStatus"], "Terminated");
    assert_eq!(server.ended("p%2Fchild").await["runtimeStatus"], "Terminated");
    let purged = server.delete("/instances/p?recursive=true").await.json(200);
    assert_eq!(purged, json!({"purged": 2, "notOver": 0, "complete": true}));
    assert_eq!(server.delete("/instances/p").await.problem(), (404, "instance-not-found".to_owned()));
    server.stop().await;
}

#[tokio::test]
async fn what_failed_is_rewound_and_what_is_over_started_again() {
    let server = TestServer::start().await;
    server.run(json!({"name": "Failing", "instanceId": "f"})).await;
    let failed = server.ended("f").await;
    assert_eq!(server.post("/instances/f/rewind").await.status, 202);
    let again = server.ended("f").await;
    assert_eq!(again["runtimeStatus"], "Failed");
    assert_ne!(again["executionId"], failed["executionId"]);

    let restart = |id: &str, how| server.ask("POST", &format!("/instances/{id}/restart")).json(&how).send();
    let new = restart("f", json!({"newInstanceId": "g"})).await;
    assert_eq!(new.header("location"), Some("/api/v1/hubs/default/instances/g"));
    assert_eq!(new.json(201), json!({"instanceId": "g"}));
    server.ended("g").await;
    assert_eq!(
        restart("f", json!({"newInstanceId": "g"})).await.problem(),
        (409, "instance-exists".to_owned())
    );
    assert_eq!(restart("f", json!({"under": "sameId"})).await.json(201), json!({"instanceId": "f"}));
    let both = restart("f", json!({"under": "sameId", "newInstanceId": "h"})).await;
    assert_eq!(both.problem(), (422, "invalid-body".to_owned()));
    let made = server.post("/instances/f/restart").await.json(201);
    assert_eq!(made["instanceId"].as_str().unwrap().len(), 32);
    assert_eq!(restart("nobody", json!({})).await.problem(), (404, "instance-not-found".to_owned()));

    server.run(json!({"name": "Waiting", "instanceId": "w"})).await;
    let early = restart("w", json!({"under": "sameId"})).await;
    assert_eq!(early.problem(), (412, "instance-not-over".to_owned()));
    server.stop().await;
}
