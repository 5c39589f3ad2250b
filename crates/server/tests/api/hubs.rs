//! Task hubs.

use serde_json::json;

use crate::support::TestServer;

#[tokio::test]
async fn hubs_are_made_listed_and_deleted() {
    let server = TestServer::start().await;
    let names = |list: serde_json::Value| -> Vec<String> {
        list["hubs"].as_array().unwrap().iter().map(|hub| hub["name"].as_str().unwrap().to_owned()).collect()
    };
    let list = async || names(server.ask_at("GET", "/api/v1/hubs").send().await.json(200));
    assert_eq!(list().await, ["default", "other"]);

    let create = |body| server.ask_at("POST", "/api/v1/hubs").json(&body).send();
    let made = create(json!({"name": "fresh"})).await;
    assert_eq!(made.header("location"), Some("/api/v1/hubs/fresh"));
    assert_eq!(made.json(201)["name"], "fresh");
    assert_eq!(create(json!({"name": "fresh"})).await.problem(), (409, "hub-exists".to_owned()));
    let wrong = create(json!({"name": "no hub"})).await;
    assert_eq!(wrong.problem().0, 400);
    assert_eq!(wrong.problem_document()["field"], "name");
    assert_eq!(list().await, ["default", "fresh", "other"]);
    let hub = server.ask_at("GET", "/api/v1/hubs/fresh").send().await.json(200);
    assert!(hub["partitions"].as_u64().unwrap() > 0, "{hub}");

    // What is made again is empty.
    let start = json!({"name": "Echo", "instanceId": "a"});
    server.ask_at("POST", "/api/v1/hubs/fresh/instances").json(&start).send().await.json(201);
    create(json!({"name": "fresh", "ifExists": "recreate"})).await.json(201);
    let count = server.ask_at("GET", "/api/v1/hubs/fresh/instance-count").send().await.json(200);
    assert_eq!(count, json!({"count": 0}));

    assert_eq!(server.ask_at("DELETE", "/api/v1/hubs/fresh").send().await.status, 204);
    for method in ["GET", "DELETE"] {
        let gone = server.ask_at(method, "/api/v1/hubs/fresh").send().await;
        assert_eq!(gone.problem(), (404, "hub-not-found".to_owned()));
    }
    let gone = server.ask_at("GET", "/api/v1/hubs/fresh/instances").send().await;
    assert_eq!(gone.problem(), (404, "hub-not-found".to_owned()));
    server.stop().await;
}

#[tokio::test]
async fn workers_say_what_they_serve() {
    let server = TestServer::start().await;
    let list = server.get("/workers").await.json(200);
    let worker = &list["workers"][0];
    assert_eq!((&worker["workerId"], &worker["sdk"]), (&json!("in-process"), &json!("strandline")));
    let names = worker["orchestrators"]["names"].as_array().unwrap();
    assert!(names.iter().any(|served| served["name"] == "Waiting"), "{worker}");
    assert!(worker["activities"]["capacity"].as_u64().unwrap() > 0);
    let none = server.ask_at("GET", "/api/v1/hubs/other/workers").send().await.json(200);
    assert_eq!(none, json!({"workers": []}));
    assert_eq!(server.get("/running-activities").await.json(200), json!({"activities": []}));
    server.stop().await;
}
