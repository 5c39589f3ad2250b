//! Entities.

use serde_json::{Value, json};

use crate::support::{TestServer, soon};

/// The entity once it has this state.
async fn settled(server: &TestServer, id: &str, state: &Value) -> Value {
    let look = async {
        loop {
            let answer = server.get(&format!("/entities/{id}")).await;
            if answer.status == 200 && answer.json(200).get("state") == Some(state) {
                return answer.json(200);
            }
        }
    };
    soon(id, look).await
}

#[tokio::test]
async fn entities_are_signalled_looked_at_and_deleted() {
    let server = TestServer::start().await;
    let signal = |id: &str, query: &str| server.ask("POST", &format!("/entities/{id}/signals?{query}"));
    let sent = signal("@Counter@a%2Fb", "operation=add").json(&json!(5)).send().await.json(202);
    assert_eq!(sent["requestId"].as_str().unwrap().len(), 36);
    let entity = settled(&server, "@counter@a%2Fb", &json!(5)).await;
    assert_eq!((&entity["name"], &entity["key"]), (&json!("counter"), &json!("a/b")));
    assert_eq!((&entity["queueLength"], &entity["hasState"]), (&json!(0), &json!(true)));
    let state = server.get("/entities/@counter@a%2Fb/state").await;
    assert_eq!((state.status, state.text().as_str()), (200, "5"));
    assert_eq!(state.header("content-type"), Some("application/octet-stream"));

    // The empty key is a key; what waits for later shows, without a state.
    let at = "2999-01-01T00:00:00Z";
    signal("@counter@", &format!("operation=add&at={at}")).json(&json!(1)).send().await.json(202);
    let waits = server.get("/entities/@counter@").await.json(200);
    assert_eq!((&waits["queueLength"], &waits["hasState"]), (&json!(1), &json!(false)));
    assert_eq!(server.get("/entities/@counter@/state").await.problem(), (404, "payload-absent".to_owned()));

    let list = async |query: &str| {
        let page = server.get(&format!("/entities?{query}")).await.json(200);
        let entities = page["entities"].as_array().unwrap().iter();
        entities.map(|entity| entity["entityId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list("").await, ["@counter@a/b"]);
    assert_eq!(list("transient=true").await, ["@counter@", "@counter@a/b"]);
    assert_eq!(list("name=COUNTER").await, ["@counter@a/b"]);
    assert_eq!(list("name=count").await, [""; 0]);
    assert_eq!(list("idPrefix=@Count").await, ["@counter@a/b"]);
    assert_eq!(list("modifiedFrom=2999-01-01T00:00:00Z").await, [""; 0]);
    let first = server.get("/entities?transient=true&limit=1").await.json(200);
    let token = first["nextToken"].as_str().unwrap();
    assert_eq!(list(&format!("transient=true&limit=1&token={token}")).await, ["@counter@a/b"]);
    let shown = server.get("/entities?state=true").await.json(200);
    assert_eq!(shown["entities"][0]["state"], 5);

    let cleaned = server.post("/entity-cleanups").await.json(200);
    assert_eq!(cleaned, json!({"releasedLocks": 0}));
    assert_eq!(server.delete("/entities/@counter@a%2Fb").await.status, 204);
    for method in ["GET", "DELETE"] {
        let gone = server.ask(method, "/entities/@counter@a%2Fb").send().await;
        assert_eq!(gone.problem(), (404, "entity-not-found".to_owned()));
    }
    // Instances and entities are not mixed up.
    assert_eq!(server.get("/instance-count").await.json(200), json!({"count": 0}));
    assert_eq!(server.get("/entities/counter").await.problem().0, 400);
    assert_eq!(server.get("/instances/@counter@").await.problem().0, 400);
    server.stop().await;
}
