//! Starting instances, and looking at one.

use serde_json::json;
use strandline_server::access::Access;
use strandline_server::settings::Settings;

use crate::client::Request;
use crate::support::{TestServer, soon};

#[tokio::test]
async fn an_instance_is_started_and_waited_for() {
    let server = TestServer::start().await;
    let start = json!({"name": "Echo", "instanceId": "a b/ü", "input": {"b": 1.0, "a": []}, "version": "2",
        "tags": {"team": "x"}});
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = server.ask("POST", "/instances").json(&start).header("traceparent", trace);
    let started = request.send().await;
    let path = started.header("location").unwrap().to_owned();
    assert_eq!(path, "/api/v1/hubs/default/instances/a%20b%2fü".replace('ü', "%c3%bc"));
    let started = started.json(201);
    assert_eq!(started["instanceId"], "a b/ü");

    let ended = server.ask_at("GET", &format!("{path}?waitFor=completed")).send().await.json(200);
    let shown = json!({
        "instanceId": "a b/ü", "name": "Echo", "version": "2", "runtimeStatus": "Completed",
        "executionId": started["executionId"], "tags": {"team": "x"},
        "input": {"b": 1.0, "a": []}, "output": {"b": 1.0, "a": []}, "customStatus": {"b": 1.0, "a": []},
    });
    for (field, value) in shown.as_object().unwrap() {
        assert_eq!(&ended[field], value, "{field} of {ended}");
    }
    let created = ended["createdTime"].as_str().unwrap();
    assert_eq!(
        (created.len(), created.as_bytes()[19], created.ends_with('Z')),
        (30, b'.', true),
        "{created}"
    );
    assert!(ended["completedTime"].as_str().unwrap() >= created);
    assert!(ended.get("failureDetails").is_none() && ended.get("notJson").is_none(), "{ended}");

    let bare = server.ask_at("GET", &format!("{path}?payloads=false")).send().await.json(200);
    for payload in ["input", "output", "customStatus"] {
        assert!(bare.get(payload).is_none(), "{bare}");
    }
    server.stop().await;
}

#[tokio::test]
async fn who_may_not_take_the_place_of_another_is_refused() {
    let server = TestServer::start().await;
    let start = |more: serde_json::Value| {
        let mut body = json!({"name": "Waiting", "instanceId": "one"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.ask("POST", "/instances").json(&body).send()
    };
    start(json!({})).await.json(201);
    assert_eq!(start(json!({})).await.problem(), (409, "instance-exists".to_owned()));
    let over = json!({"replaceable": ["Completed", "Failed", "Terminated"]});
    assert_eq!(start(over).await.problem(), (409, "instance-exists".to_owned()));
    let half = start(json!({"replaceable": ["Running"]})).await;
    assert_eq!((half.problem().0, &half.problem_document()["field"]), (422, &json!("replaceable")));
    start(json!({"replaceable": ["Pending", "Running", "Terminated"]})).await.json(201);
    server.stop().await;
}

#[tokio::test]
async fn payloads_are_kept_byte_for_byte() {
    let server = TestServer::start().await;
    let start = |body: &str| server.ask("POST", "/instances").body("application/json", body).send();
    // JSON as it was written, what is no JSON, an empty text, null, and nothing at all.
    start(r#"{"name": "None", "instanceId": "json", "input": {"b": 1.0,  "a":1e400}}"#).await.json(201);
    start(r#"{"name": "None", "instanceId": "text", "inputText": "<b>{"}"#).await.json(201);
    start(r#"{"name": "None", "instanceId": "empty", "inputText": ""}"#).await.json(201);
    start(r#"{"name": "None", "instanceId": "null", "input": null}"#).await.json(201);
    start(r#"{"name": "None", "instanceId": "none"}"#).await.json(201);
    for (id, bytes) in
        [("json", r#"{"b": 1.0,  "a":1e400}"#), ("text", "<b>{"), ("empty", ""), ("null", "null")]
    {
        let file = server.get(&format!("/instances/{id}/payloads/input")).await;
        assert_eq!((file.status, file.text().as_str()), (200, bytes), "{id}");
        assert_eq!(file.header("content-type"), Some("application/octet-stream"));
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(file.header("content-disposition"), Some("attachment"));
    }
    for path in ["/instances/none/payloads/input", "/instances/json/payloads/output"] {
        assert_eq!(server.get(path).await.problem(), (404, "payload-absent".to_owned()));
    }
    let raw = server.get("/instances/json").await;
    assert!(raw.text().contains(r#""input":{"b": 1.0,  "a":1e400}"#), "{}", raw.text());
    let text = server.get("/instances/text").await.json(200);
    assert_eq!((&text["input"], &text["notJson"]), (&json!("<b>{"), &json!(["input"])));
    let null = server.get("/instances/null").await.json(200);
    assert!(
        null["input"].is_null() && null.get("input").is_some() && null.get("notJson").is_none(),
        "{null}"
    );
    assert!(server.get("/instances/none").await.json(200).get("input").is_none());
    server.stop().await;
}

#[tokio::test]
async fn a_wait_ends_with_the_time() {
    let server = TestServer::start().await;
    server.run(json!({"name": "Waiting", "instanceId": "w"})).await;
    let started = server.get("/instances/w?waitFor=started").await.json(200);
    assert_eq!(started["runtimeStatus"], "Running");
    let still = server.get("/instances/w?waitFor=completed&timeout=0").await.json(200);
    assert_eq!(still["runtimeStatus"], "Running");
    let none = server.get("/instances/nobody?waitFor=completed&timeout=0").await;
    assert_eq!(none.problem(), (404, "instance-not-found".to_owned()));
    assert_eq!(server.get("/instances/w?timeout=3").await.problem().0, 400);
    let long = server.get("/instances/w?waitFor=completed&timeout=301").await;
    assert_eq!((long.problem().0, &long.problem_document()["limit"]), (400, &json!(300)));

    // One that waits for an instance to come.
    let waiting = tokio::spawn(server.ask("GET", "/instances/late?waitFor=started&timeout=100").send());
    server.run(json!({"name": "Waiting", "instanceId": "late"})).await;
    assert_eq!(waiting.await.unwrap().json(200)["instanceId"], "late");

    server.stop().await;
}

#[tokio::test]
async fn a_wait_ends_with_the_server() {
    let mut settings = Settings::default();
    settings.limits.waits_max = 1;
    let server = TestServer::with(Access::open(), settings).await;
    server.run(json!({"name": "Waiting", "instanceId": "w"})).await;
    let address = server.address;
    let waiting = tokio::spawn(async move {
        loop {
            let target = "/api/v1/hubs/default/instances/w?waitFor=completed&timeout=100";
            let answer = Request::new(address, "GET", target).send().await;
            // Those who look whether it waits take its place for a moment.
            if answer.status != 429 {
                return answer;
            }
        }
    });
    let waits = async { while server.get("/instances/w?waitFor=completed&timeout=0").await.status != 429 {} };
    soon("a request that waits", waits).await;
    server.stop().await;
    assert_eq!(waiting.await.unwrap().problem(), (503, "unavailable".to_owned()));
}

#[tokio::test]
async fn a_bounded_number_waits() {
    let mut settings = Settings::default();
    settings.limits.waits_max = 0;
    let server = TestServer::with(Access::open(), settings).await;
    server.run(json!({"name": "Waiting", "instanceId": "w"})).await;
    let refused = server.get("/instances/w?waitFor=completed").await;
    assert_eq!(refused.problem(), (429, "too-many-requests".to_owned()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    server.get("/instances/w").await.json(200);
    server.stop().await;
}

#[tokio::test]
async fn histories_are_read_from_both_ends() {
    let server = TestServer::start().await;
    server.run(json!({"name": "Failing", "instanceId": "f"})).await;
    let ended = server.ended("f").await;
    assert_eq!(ended["runtimeStatus"], "Failed");
    assert!(ended["failureDetails"].to_string().contains("no luck"), "{ended}");
    let whole = server.get("/instances/f/history").await.json(200);
    let events = whole["events"].as_array().unwrap();
    assert_eq!(
        (whole["total"].as_u64(), &whole["executionId"]),
        (Some(events.len() as u64), &ended["executionId"])
    );
    assert_eq!(whole["total"], ended["historyLength"]);
    assert!(whole.get("nextFrom").is_none());
    let of =
        |kind: &str| events.iter().find(|event| event["type"] == kind).unwrap_or_else(|| panic!("{whole}"));
    assert_eq!(of("TaskScheduled")["name"], "Risk");
    assert_eq!(of("TaskFailed")["taskScheduledId"], of("TaskScheduled")["eventId"]);
    assert_eq!(of("ExecutionCompleted")["orchestrationStatus"], "Failed");

    // Page by page, in both directions.
    for order in ["asc", "desc"] {
        let (mut from, mut seen) = (String::new(), Vec::new());
        loop {
            let page =
                server.get(&format!("/instances/f/history?limit=2&order={order}{from}")).await.json(200);
            seen.extend(page["events"].as_array().unwrap().clone());
            match page.get("nextFrom") {
                Some(next) => from = format!("&from={next}"),
                None => break,
            }
        }
        if order == "desc" {
            seen.reverse();
        }
        assert_eq!(&seen, events, "{order}");
    }
    let after = server.get("/instances/f/history?from=1000").await.json(200);
    assert_eq!(after["events"], json!([]));
    for order in ["asc", "desc"] {
        let path = format!("/instances/f/history?order={order}&from={}", u64::MAX);
        let part = server.get(&path).await.json(200);
        assert_eq!(part["events"].as_array().unwrap().is_empty(), order == "asc", "{part}");
        assert_eq!(part.get("nextFrom"), None, "{part}");
    }
    let other = server.get(&format!("/instances/f/history?executionId={:032x}", 1)).await;
    assert_eq!(other.problem(), (410, "execution-over".to_owned()));
    assert_eq!(server.get("/instances/f/history?executionId=x").await.problem().0, 400);
    assert_eq!(server.get("/instances/nobody/history").await.problem().0, 404);
    server.stop().await;
}
