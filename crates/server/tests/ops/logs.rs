//! The log of a server: its words, and what is never in it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use strandline::RemoteHub;
use strandline::prelude::*;

use crate::program::Program;
use crate::support::{Answer, get, send};

#[activity]
async fn greet(name: String) -> Result<String> {
    if name == "nobody" { bail!("there is nobody") } else { Ok(format!("Hello {name}!")) }
}

const THANKS: Event<String> = Event::named("Thanks");

#[orchestrator]
async fn welcome(ctx: OrchestrationContext, name: String) -> Result<String> {
    let greeting = ctx.call(greet, name).await?;
    ctx.timer(std::time::Duration::from_millis(1)).await?;
    ctx.wait_for(THANKS).await?;
    Ok(greeting)
}

/// What the server said in its log, as it must be to be read by programs.
fn lines(log: &str) -> Vec<BTreeMap<String, Value>> {
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

async fn run(variables: &[(&str, &str)]) -> String {
    let program = Program::serve(variables).await;
    let hub = RemoteHub::connect(format!("http://{}", program.address)).await.unwrap();
    hub.worker().register((greet, welcome)).start().await.unwrap();
    let client = hub.client();
    let good = client.start(welcome, "top-secret".to_owned()).instance_id("good").await.unwrap();
    good.raise(THANKS, "very-private".to_owned()).await.unwrap();
    good.output().await.unwrap();
    let bad = client.start(welcome, "nobody".to_owned()).instance_id("bad").await.unwrap();
    bad.output().await.unwrap_err();
    good.raise(Event::<String>::named("For\n{\"level\":\"ERROR\"}\u{1b}[31m"), "late".to_owned())
        .await
        .unwrap_err();
    let gone = client.start(welcome, "another".to_owned()).instance_id("gone").await.unwrap();
    gone.terminate("because-of-me").await.unwrap();
    for path in [
        "/nowhere?code=sl_top_secret_key",
        "/runtime/webhooks/durabletask/instances/x?code=sl_top_secret_key",
    ] {
        get(program.address, path, &[("x-functions-key", "sl_top_secret_key")]).await;
        get(program.address, path, &[("authorization", "Bearer sl_top_secret_key")]).await;
    }
    hub.close().await.unwrap();
    program.terminate();
    let (status, log) = program.ended().await;
    assert_eq!(status.code(), Some(0));
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn says_what_becomes_of_instances_in_known_words() {
    let log = run(&[("STRANDLINE_LOG", "trace")]).await;
    for secret in ["top-secret", "very-private", "because-of-me", "there is nobody", "Hello", "sl_top"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    let lines = lines(&log);
    let of = |instance: &str| {
        let told = lines.iter().filter(|line| {
            line["target"] == "strandline::lifecycle"
                && line.get("instance_id").is_some_and(|id| id == instance)
        });
        let word = |line: &BTreeMap<String, Value>, name: &str| {
            line.get(name).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        };
        let short = told.map(|line| {
            let names = ["level", "event", "state", "status", "target_name", "task_id", "payload", "reason"];
            let words: Vec<_> = names.iter().filter_map(|name| word(line, name)).collect();
            words.join(" ")
        });
        short.collect::<BTreeSet<_>>()
    };
    let set = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<BTreeSet<_>>();
    let expected = set(&[
        "INFO SchedulingOrchestration Scheduled (Redacted 12 characters)",
        "DEBUG SchedulingActivity Scheduled greet 0 (Redacted 12 characters)",
        "DEBUG TaskActivityStarting Started 0",
        "DEBUG TaskActivityCompleted Completed 0 (Redacted 19 characters)",
        "DEBUG CreatingTimer Listening 1",
        "DEBUG TimerFired TimerExpired 1",
        "DEBUG OrchestrationExecuted Awaited",
        "INFO RaisingEvent ExternalEventRaised Thanks (Redacted 14 characters)",
        "INFO OrchestrationCompleted Completed Completed (Redacted 19 characters)",
    ]);
    assert_eq!(of("good"), expected);
    let failed = of("bad");
    assert!(
        failed.iter().any(|line| line.starts_with("INFO OrchestrationCompleted Failed Failed (Redacted"))
    );
    assert!(failed.iter().any(|line| line.starts_with("DEBUG TaskActivityFailure Failed 0 (Redacted")));
    let ended = of("gone");
    assert!(ended.contains("INFO TerminatingInstance Terminated (Redacted 13 characters)"), "{ended:?}");
    assert!(ended.iter().any(|line| line.starts_with("INFO OrchestrationCompleted Terminated Terminated")));
    // All that such a line may have.
    let known: BTreeSet<&str> = [
        "timestamp",
        "level",
        "target",
        "event",
        "state",
        "hub",
        "partition",
        "instance_id",
        "execution_id",
        "name",
        "version",
        "status",
        "task_id",
        "target_name",
        "target_version",
        "worker_id",
        "count",
        "reason",
        "payload",
        "trace_id",
        "span_id",
    ]
    .into();
    for line in lines.iter().filter(|line| line["target"] == "strandline::lifecycle") {
        for always in ["timestamp", "level", "event", "hub", "partition", "instance_id"] {
            assert!(line.contains_key(always), "{always} in {line:?}");
        }
        let names: BTreeSet<&str> = line.keys().map(String::as_str).collect();
        assert!(names.is_subset(&known), "{:?}", names.difference(&known));
    }
    let start = lines.iter().find(|line| line.get("event").is_some_and(|e| e == "SchedulingOrchestration"));
    let start = start.unwrap();
    assert_eq!((&start["hub"], &start["name"]), (&Value::from("default"), &Value::from("welcome")));
    assert_eq!(start["execution_id"].as_str().map(str::len), Some(32));
}

#[tokio::test(flavor = "multi_thread")]
async fn says_little_unless_asked() {
    let log = run(&[]).await;
    let lines = lines(&log);
    assert!(lines.iter().all(|line| line["level"] != "INFO" && line["level"] != "DEBUG"), "{log}");
    assert!(!log.contains("sl_top"), "{log}");
}

/// For as long as it runs, and never in the detail in which connections hold keys.
#[tokio::test(flavor = "multi_thread")]
async fn says_more_once_it_is_told_to() {
    let program = Program::serve(&[]).await;
    let said = |answer: &Answer| serde_json::from_str::<Value>(&answer.body).unwrap();
    let put = |body: Value| {
        let body = body.to_string();
        async move {
            let headers = [("content-type", "application/json")];
            send(program.address, "PUT", "/api/v1/log", &headers, &body).await
        }
    };
    let level = async || said(&get(program.address, "/api/v1/log", &[]).await);
    let start = async |id: &str| {
        let body = json!({"name": "Nothing", "instanceId": id}).to_string();
        let path = "/api/v1/hubs/default/instances";
        let started = send(program.address, "POST", path, &[("content-type", "application/json")], &body);
        assert_eq!(started.await.status, 201);
    };
    assert_eq!(level().await, json!({"level": "warn"}));
    start("before").await;
    let info = json!({"level": "info,hyper=trace"});
    let changed = put(info.clone()).await;
    assert_eq!((changed.status, said(&changed)), (200, info.clone()));
    start("during").await;
    for wrong in [json!({"level": "loud"}), json!({"level": ""}), json!({"level": "a".repeat(5_000)})] {
        let refused = put(wrong).await;
        assert_eq!((refused.status, &said(&refused)["field"]), (422, &json!("level")), "{refused:?}");
    }
    assert_eq!(level().await, info, "what is refused changes nothing");
    assert_eq!(put(json!({"level": "error"})).await.status, 200);
    start("after").await;
    program.terminate();
    let (_, log) = program.ended().await;
    let lines = lines(&log);
    let started: Vec<_> = lines.iter().filter_map(|line| line.get("instance_id")).collect();
    assert_eq!(started, ["during"], "{log}");
    assert!(!log.contains("\"hyper"), "{log}");
}
