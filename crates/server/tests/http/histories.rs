//! `showHistory`.

use serde_json::{Value as Json, json};
use strandline_engine::pipeline::Read;

use crate::support::TestServer;

/// The events, with what differs from run to run checked and taken out.
fn events(status: &Json) -> Vec<Json> {
    let mut events = status["historyEvents"].as_array().unwrap().clone();
    for event in &mut events {
        let event = event.as_object_mut().unwrap();
        for time in ["Timestamp", "ScheduledTime", "FireAt"] {
            if let Some(moment) = event.remove(time) {
                let moment = moment.as_str().unwrap();
                assert!(moment.ends_with('Z') && moment.len() <= 28, "{moment}");
                moment.parse::<strandline::Timestamp>().unwrap();
            }
        }
        if let Some(details) = event.get_mut("FailureDetails").and_then(Json::as_object_mut) {
            assert!(details.contains_key("ErrorType") && details.contains_key("InnerFailure"), "{details:?}");
            let message = details["ErrorMessage"].clone();
            event.insert("FailureDetails".to_owned(), message);
        }
        event.remove("Details");
    }
    events
}

#[tokio::test]
async fn a_history_is_shown_with_what_was_done() {
    let server = TestServer::start().await;
    let started = server.ask("POST", "/orchestrators/Everything/all").json("\"Tokyo\"").send().await;
    assert_eq!(started.status, 202, "{started:?}");
    assert_eq!(
        server.ask("POST", "/instances/all/raiseEvent/Go").json(r#"{"n": 1}"#).send().await.empty(),
        202
    );
    server.reaches("all", Read::Ended).await;

    let whole = server.get("/instances/all?showHistory=true&showHistoryOutput=true").await;
    assert_eq!(whole.status, 200);
    assert!(whole.header("content-length").is_some(), "what is short has a length");
    let mut shown = events(&whole.json());
    // An event arrives when it arrives.
    let raised = shown.iter().position(|event| event["EventType"] == "EventRaised").unwrap();
    assert_eq!(shown.remove(raised), json!({"EventType": "EventRaised", "Input": {"n": 1}, "Name": "Go"}));
    let no_milk = "no milk today";
    let own_mind = "the child has its own mind";
    let first = "the first attempt fails";
    let expected = json!([
        {"EventType": "ExecutionStarted", "FunctionName": "Everything", "Input": "Tokyo"},
        {"EventType": "TaskCompleted", "FunctionName": "SayHello", "Input": "Tokyo", "Result": "Hello Tokyo!"},
        {"EventType": "TaskFailed", "FailureDetails": no_milk, "FunctionName": "Fail", "Input": "milk", "Reason": no_milk},
        {"EventType": "TaskFailed", "FailureDetails": first, "FunctionName": "Flaky", "Input": null, "Reason": first},
        {"EventType": "TimerCreated"},
        {"EventType": "TimerFired"},
        {"EventType": "TaskCompleted", "FunctionName": "Flaky", "Input": null, "Result": 7},
        {"EventType": "TimerCreated"},
        {"EventType": "TimerFired"},
        {"EventType": "SubOrchestrationInstanceCompleted", "FunctionName": "Child", "Input": true, "Result": "grown up"},
        {"EventType": "SubOrchestrationInstanceFailed", "FailureDetails": own_mind, "FunctionName": "Child", "Input": false, "Reason": own_mind},
        {"EventType": "EventSent", "Input": 1, "InstanceId": "nobody", "Name": "Go"},
        {"EventType": "ExecutionCompleted", "FailureDetails": null, "OrchestrationStatus": "Completed", "Result": "Hello Tokyo!"},
    ]);
    assert_eq!(Json::Array(shown), expected);

    // Results are shown when asked for, inputs unless told otherwise.
    let plain = server.get("/instances/all?showHistory=TRUE").await;
    assert!(!plain.body.contains("\"Result\"") && plain.body.contains("\"Input\":\"Tokyo\""), "{plain:?}");
    let bare = server.get("/instances/all?showHistory=true&showInput=false").await;
    assert!(!bare.body.contains("\"Input\"") && bare.body.contains("\"Reason\""), "{bare:?}");
    assert!(!server.get("/instances/all").await.body.contains("historyEvents"));
}

#[tokio::test]
async fn what_people_did_to_an_instance_is_in_its_history() {
    let server = TestServer::start().await;
    server.run_on("Waiting", "w").await;
    assert_eq!(server.post("/instances/w/suspend?reason=lunch").await.empty(), 202);
    let open = server.get("/instances/w?showHistory=true").await;
    assert_eq!(open.status, 202);
    assert_eq!(open.header("retry-after"), Some("5"));
    assert_eq!(server.post("/instances/w/resume").await.empty(), 202);
    assert_eq!(server.post("/instances/w/terminate?reason=enough").await.empty(), 202);
    server.reaches("w", Read::Ended).await;
    let whole = server.get("/instances/w?showHistory=true&showHistoryOutput=true").await.json();
    let expected = json!([
        {"EventType": "ExecutionStarted", "FunctionName": "Waiting", "Input": null},
        {"EventType": "ExecutionSuspended", "Reason": "lunch"},
        {"EventType": "ExecutionResumed", "Reason": null},
        {"EventType": "ExecutionTerminated", "Input": "enough"},
        {"EventType": "ExecutionCompleted", "FailureDetails": null, "OrchestrationStatus": "Terminated", "Result": "enough"},
    ]);
    assert_eq!(Json::Array(events(&whole)), expected);
}

/// More scheduled inputs than one answer holds in memory, and more than it makes before it sends.
#[tokio::test]
async fn a_long_history_comes_whole() {
    let server = TestServer::start().await;
    let (calls, bytes) = (1_200, 10_000);
    server.ask("POST", "/orchestrators/Wide/wide").json(&format!("[{calls}, {bytes}]")).send().await;
    server.reaches("wide", Read::Ended).await;
    let answer = server.get("/instances/wide?showHistory=true&showHistoryOutput=true").await;
    assert_eq!((answer.status, answer.header("content-length")), (200, None), "it is sent as it is made");
    let status = answer.json();
    let events = status["historyEvents"].as_array().unwrap();
    assert_eq!(events.len(), calls + 2);
    let input = "x".repeat(bytes);
    for event in &events[1..=calls] {
        assert_eq!(
            (&event["EventType"], &event["FunctionName"]),
            (&json!("TaskCompleted"), &json!("SayHello"))
        );
        assert!(event["Input"] == json!(input) && event["Result"] == json!(format!("Hello {input}!")));
    }
    assert_eq!(status["output"], calls);
}
