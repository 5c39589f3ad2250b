use serde_json::{Value, json};
use strandline_engine::pipeline::Read;

use crate::support::TestServer;

#[tokio::test]
async fn the_code_of_an_answer_says_what_the_instance_does() {
    let server = TestServer::start().await;
    server.run("Nobody", "pending").await;
    for id in ["running", "suspended", "terminated"] {
        server.run_on("Waiting", id).await;
    }
    assert_eq!(server.post("/instances/suspended/suspend").await.status, 202);
    assert_eq!(server.post("/instances/terminated/terminate").await.status, 202);
    server.run_out("Hello", "completed").await;
    server.run_out("Failing", "failed").await;
    for (id, status, code, flagged) in [
        ("pending", "Pending", 202, 202),
        ("running", "Running", 202, 202),
        ("suspended", "Suspended", 202, 202),
        ("completed", "Completed", 200, 200),
        ("terminated", "Terminated", 200, 200),
        ("failed", "Failed", 200, 500),
    ] {
        for (query, code) in [
            ("", code),
            ("?returnInternalServerErrorOnFailure=false", code),
            ("?ReturnInternalServerErrorOnFailure=True", flagged),
        ] {
            let shown = server.get(&format!("/instances/{id}{query}")).await;
            assert_eq!((shown.status, &shown.json()["runtimeStatus"]), (code, &json!(status)), "{query}");
            let own = format!("http://{}/runtime/webhooks/durabletask/instances/{id}{query}", server.address);
            assert_eq!(shown.header("location"), (code == 202).then_some(own.as_str()));
            assert_eq!(shown.header("retry-after"), (code == 202).then_some("5"));
        }
    }
    assert_eq!(server.get("/instances/unknown").await.empty(), 404);
    let failed = server.get("/instances/failed").await.json();
    assert_eq!(failed["output"], "Orchestrator function 'Failing' failed: no luck today");
}

#[tokio::test]
async fn payloads_are_shown_as_json() {
    let server = TestServer::start().await;
    let value = r#"{"z":[1,2.50,1e400],"a":"größe"}"#;
    let echo = server.ask("POST", "/orchestrators/Nobody/raw").body(value).send().await;
    assert_eq!(echo.status, 202);
    let shown = server.get("/instances/raw").await;
    assert!(shown.body.contains(&format!(r#""input":{value},"#)), "{}", shown.body);
    let echo = server.ask("POST", "/orchestrators/Echo/e?timeout=30").body(r#"{"n":7}"#).send().await;
    assert_eq!((echo.status, echo.json()), (200, json!({"n": 7})));
    let shown = server.get("/instances/e").await.json();
    assert_eq!((&shown["customStatus"], &shown["output"]), (&json!({"n": 7}), &json!({"n": 7})));
    // What is no JSON, which other clients can send, is shown as a string.
    let client = server.hub().engine();
    let start = strandline_hub::Start {
        id: strandline_model::InstanceId::trusted("text"),
        name: "Nobody".to_owned(),
        version: None,
        input: Some("not {json".to_owned()),
        tags: Default::default(),
        scheduled_start: None,
        reuse: strandline_hub::ReusePolicy::refuse(),
        execution: strandline_model::ExecutionId(0),
        seed: 0,
        trace_parent: None,
        trace_state: None,
    };
    client.start(start).await.unwrap();
    assert_eq!(server.get("/instances/text").await.json()["input"], "not {json");
}

#[tokio::test]
async fn pages_follow_each_other() {
    let server = TestServer::start().await;
    for (prefix, count) in [("none-", 0), ("one-", 1), ("hundred-", 100), ("more-", 101)] {
        for n in 0..count {
            server.run("Nobody", &format!("{prefix}{n:03}")).await;
        }
        let expected: Vec<_> = (0..count).map(|n| format!("{prefix}{n:03}")).collect();
        for (top, size) in
            [("", 100), ("&top=7", 7), ("&top=0", 100), ("&top=-3", 100), ("&top=100000", 1000)]
        {
            let (mut ids, mut token) = (Vec::new(), String::new());
            loop {
                let list = server.ask("GET", &format!("/instances?instanceIdPrefix={prefix}{top}"));
                let page = list.header("x-ms-continuation-token", &token).send().await;
                let listed = page.listed();
                assert!(listed.len() <= size, "{prefix} {top}");
                ids.extend(listed);
                token = page.header("x-ms-continuation-token").expect("it is always there").to_owned();
                if token.is_empty() {
                    break;
                }
            }
            ids.sort();
            assert_eq!(ids, expected, "{prefix} {top}");
        }
    }
    for token in ["nonsense", "grün"] {
        let refused = server.ask("GET", "/instances").header("x-ms-continuation-token", token).send().await;
        assert_eq!(refused.message().0, 400);
    }
}

#[tokio::test]
async fn lists_show_what_was_asked_for() {
    let server = TestServer::start().await;
    let list = async |query: &str| server.get(&format!("/instances?{query}")).await.listed();
    let created = async |id: &str| server.reaches(id, Read::Status).await.created.format(9);
    server.run_out("Hello", "a-1").await;
    server.run_out("Failing", "a-2").await;
    server.run_on("Waiting", "b-1").await;
    let signal = server.ask("POST", "/entities/counter/x?op=add").send().await;
    assert_eq!(signal.empty(), 202);
    assert_eq!(list("").await, ["a-1", "a-2", "b-1"]);
    assert_eq!(list("instanceIdPrefix=a-").await, ["a-1", "a-2"]);
    assert_eq!(list("runtimeStatus=Failed").await, ["a-2"]);
    assert_eq!(list("runtimeStatus=Failed,Running&RuntimeStatus=Pending").await, ["a-2", "b-1"]);
    assert_eq!(list("runtimeStatus=1").await, ["a-1"]);
    // Names that can't be read are as if not given.
    assert_eq!(list("runtimeStatus=failed").await, ["a-1", "a-2", "b-1"]);
    assert_eq!(list("runtimeStatus=failed,Running").await, ["b-1"]);
    let second = created("a-2").await;
    assert!(created("a-1").await < second && second < created("b-1").await);
    assert_eq!(list(&format!("createdTimeFrom={second}")).await, ["a-2", "b-1"]);
    assert_eq!(list(&format!("createdTimeTo={second}")).await, ["a-1"]);
    assert_eq!(
        list(&format!("createdTimeFrom={second}&createdTimeTo={}", created("b-1").await)).await,
        ["a-2"]
    );
    assert_eq!(list("createdTimeFrom=2019-03-16").await.len(), 3);
    assert_eq!(list("createdTimeTo=2019-03-16T21%3A20%3A47Z").await.len(), 0);
    assert_eq!(list("createdTimeTo=long%20ago").await.len(), 3);
    let both = "instanceIdPrefix=a-&runtimeStatus=Completed,Running&createdTimeFrom=2019-03-16";
    assert_eq!(list(both).await, ["a-1"]);

    let keys = |instance: &Value| instance.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let one = server.get("/instances?instanceIdPrefix=a-1&showHistory=true&showInput=false").await.json();
    assert!(!keys(&one[0]).contains(&"historyEvents".to_owned()), "{one}");
    let long = server.get(&format!("/instances?instanceIdPrefix={}", "x".repeat(300))).await;
    assert_eq!(long.message().0, 400);
}

#[tokio::test]
async fn lists_leave_inputs_out_if_asked_to() {
    let server = TestServer::start().await;
    assert_eq!(server.ask("POST", "/orchestrators/Nobody/n").json("[1]").send().await.status, 202);
    for (query, input) in [("", json!([1])), ("?showInput=false", json!(null)), ("?showInput=x", json!([1]))]
    {
        assert_eq!(server.get(&format!("/instances{query}")).await.json()[0]["input"], input, "{query}");
        assert_eq!(server.get(&format!("/instances/n{query}")).await.json()["input"], input, "{query}");
    }
}
