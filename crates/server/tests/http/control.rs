use serde_json::json;
use strandline_engine::pipeline::Read;

use crate::support::TestServer;

#[tokio::test]
async fn events_arrive_as_they_were_sent() {
    let server = TestServer::start().await;
    server.run_on("Waiting", "w").await;
    let raise = server.ask("POST", "/instances/w/raiseEvent/Some%2Fthing%20else");
    let raise =
        raise.header("Content-Type", "Application/JSON; charset=utf-8").body(" {\"b\": 1.0,\"a\":[]}");
    assert_eq!(raise.send().await.empty(), 202);
    assert_eq!(server.ask("POST", "/INSTANCES/w/RAISEEVENT/Go/").json("true").send().await.empty(), 202);
    assert_eq!(server.reaches("w", Read::Ended).await.output(), Some("true"));
    let text = |text: &str| text.to_owned();
    let expected =
        [(text("Some/thing else"), Some(text(" {\"b\": 1.0,\"a\":[]}"))), (text("Go"), Some(text("true")))];
    assert_eq!(server.raised("w").await, expected);
}

#[tokio::test]
async fn what_is_wrong_with_an_event_is_told_in_order() {
    let server = TestServer::start().await;
    server.run_on("Waiting", "w").await;
    server.run_out("Hello", "done").await;
    let raise = |id: &str, content_type: Option<&str>, body: &str| {
        let request = server.ask("POST", &format!("/instances/{id}/raiseEvent/Go")).body(body);
        match content_type {
            Some(content_type) => request.header("Content-Type", content_type).send(),
            None => request.send(),
        }
    };
    assert_eq!(raise("unknown", None, "{").await.empty(), 404);
    assert_eq!(raise("done", None, "{").await.empty(), 410);
    let unsupported = (400, "Only application/json request content is supported".to_owned());
    assert_eq!(raise("w", None, "{").await.message(), unsupported);
    assert_eq!(raise("w", Some("text/json"), "{").await.message(), unsupported);
    for body in ["{", "", " "] {
        let refused = raise("w", Some("application/json"), body).await;
        assert_eq!(refused.message(), (400, "Invalid JSON content".to_owned()), "{body:?}");
        assert!(
            refused.json()["ExceptionMessage"].is_string() && refused.json()["ExceptionType"].is_string()
        );
    }
    let long = server.ask("POST", &format!("/instances/w/raiseEvent/{}", "x".repeat(257))).json("1");
    assert_eq!(long.send().await.message().0, 400);
    assert_eq!(server.raised("w").await, []);
}

#[tokio::test]
async fn orders_are_taken_by_what_goes_on() {
    let server = TestServer::start().await;
    server.run_out("Hello", "done").await;
    server.run_on("Waiting", "w").await;
    for order in ["terminate", "suspend", "resume"] {
        assert_eq!(server.post(&format!("/instances/unknown/{order}")).await.empty(), 404);
        assert_eq!(server.post(&format!("/instances/done/{order}?reason=x")).await.empty(), 410);
    }
    let status = async || server.get("/instances/w").await.json()["runtimeStatus"].clone();
    assert_eq!(server.post("/instances/w/resume").await.message().0, 409);
    assert_eq!(server.post("/instances/w/suspend?reason=a%20break").await.empty(), 202);
    assert_eq!(status().await, "Suspended");
    assert_eq!(server.get("/instances/w").await.status, 202);
    assert_eq!(server.post("/instances/w/suspend").await.message().0, 409);
    // The body of an order is not looked at.
    assert_eq!(server.ask("POST", "/instances/w/resume").json("{").send().await.empty(), 202);
    assert_eq!(status().await, "Running");
    assert_eq!(
        server.post(&format!("/instances/w/suspend?reason={}", "x".repeat(4097))).await.message().0,
        400
    );
    assert_eq!(server.post("/instances/w/terminate?reason=that%20%22is%22+it").await.empty(), 202);
    let ended = server.get("/instances/w").await;
    assert_eq!(ended.status, 200);
    assert_eq!(ended.json()["runtimeStatus"], "Terminated");
    assert_eq!(ended.json()["output"], "that \"is\" it");
    assert_eq!(server.post("/instances/w/terminate").await.empty(), 410);
    // Without a reason there is none; one that reads like a number is a text, too.
    for (id, query, output) in [("none", "", json!(null)), ("number", "?reason=12", json!("12"))] {
        server.run_on("Waiting", id).await;
        assert_eq!(server.post(&format!("/instances/{id}/terminate{query}")).await.empty(), 202);
        assert_eq!(server.get(&format!("/instances/{id}")).await.json()["output"], output);
    }
}

#[tokio::test]
async fn only_what_failed_is_rewound() {
    let server = TestServer::start().await;
    let unknown = server.post("/instances/abc/rewind").await;
    assert_eq!(unknown.text(), (404, "No orchestration with instance ID \"$abc\" found.".to_owned()));
    server.run_on("Waiting", "w").await;
    let running = "This orchestration has status Running, but only orchestrations in the \"Failed\" state can be rewound.";
    assert_eq!(server.post("/instances/w/rewind").await.text(), (412, running.to_owned()));
    server.run_out("Failing", "f").await;
    server.mended.mend();
    assert_eq!(server.post("/instances/f/rewind?reason=mended").await.empty(), 202);
    assert_eq!(server.reaches("f", Read::Ended).await.output(), Some("\"lucky\""));
    assert_eq!(server.post("/instances/f/rewind").await.text().0, 412);
}

#[tokio::test]
async fn an_instance_can_be_started_again() {
    let server = TestServer::start().await;
    let first = server.ask("POST", "/orchestrators/Hello/h?timeout=30").json("\"Kyoto\"").send().await;
    assert_eq!(first.body, "\"Hello Kyoto!\"");
    // Under a new id unless it says otherwise.
    let again = server.post("/instances/h/restart").await;
    assert_eq!((again.status, again.header("retry-after")), (202, Some("10")));
    let urls = again.json();
    let id = urls["id"].as_str().unwrap();
    assert_ne!(id, "h");
    assert!(urls["rewindPostUri"].as_str().unwrap().contains(id));
    assert_eq!(server.reaches(id, Read::Ended).await.output(), Some("\"Hello Kyoto!\""));
    let same = server.post("/instances/h/restart?restartWithNewInstanceId=false&timeout=30").await;
    assert_eq!((same.status, same.body.as_str()), (200, "\"Hello Kyoto!\""));
    // What goes on can be started under another id only.
    server.run_on("Waiting", "w").await;
    let taken = server.post("/instances/w/restart?restartWithNewInstanceId=FALSE").await;
    let message = "A non-terminal instance with this instance ID already exists.";
    assert_eq!(taken.message(), (409, message.to_owned()));
    assert!(taken.json()["ExceptionMessage"].is_string() && taken.json()["ExceptionType"].is_string());
    assert_eq!(server.post("/instances/w/restart?timeout=0.01").await.status, 202);
    for unknown in ["unknown", "@counter@a"] {
        let unknown = server.post(&format!("/instances/{unknown}/restart")).await;
        let message = "InstanceId does not match a valid orchestration instance.";
        assert_eq!(unknown.message(), (400, message.to_owned()));
        assert_eq!(unknown.json()["ExceptionType"], "System.ArgumentException");
    }
    let odd = server.post("/instances/h/restart?timeout=1&pollingInterval=2").await;
    assert_eq!(odd.message().0, 400);
}

#[tokio::test]
async fn the_only_server_is_the_primary_one() {
    let server = TestServer::start().await;
    for method in ["GET", "POST", "PUT"] {
        assert_eq!(server.ask(method, "/makeprimary").send().await.empty(), 200);
    }
}
