use serde_json::json;
use strandline_engine::pipeline::Read;
use strandline_model::EventKind;
use strandline_server::settings::{OverridableStates, Settings};

use crate::support::{API, TestServer};

#[tokio::test]
async fn a_start_tells_where_to_ask_and_asking_tells_how_it_goes() {
    let server = TestServer::start().await;
    let started = server.ask("POST", "/orchestrators/Waiting").json("{\"a\": 1.0}").send().await;
    assert_eq!(started.status, 202);
    assert_eq!(started.header("retry-after"), Some("10"));
    let urls = started.json();
    let id = urls["id"].as_str().unwrap().to_owned();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    let location = started.header("location").unwrap();
    assert_eq!(urls["statusQueryGetUri"], location);
    server.reaches(&id, Read::Started).await;

    // The URLs are good as they are printed, each time with the same answer.
    let target = location.strip_prefix(&format!("http://{}", server.address)).unwrap();
    for _ in 0..2 {
        let running = server.ask_at("GET", target).send().await;
        assert_eq!(running.status, 202);
        assert_eq!(running.header("location"), Some(location));
        assert_eq!(running.header("retry-after"), Some("5"));
        assert_eq!(running.json()["runtimeStatus"], "Running");
        assert_eq!(running.json()["input"], json!({"a": 1.0}));
    }
    let raise = urls["sendEventPostUri"].as_str().unwrap().replace("{eventName}", "Go");
    let raise = raise.strip_prefix(&format!("http://{}", server.address)).unwrap();
    assert_eq!(server.ask_at("POST", raise).json("[true]").send().await.empty(), 202);
    server.reaches(&id, Read::Ended).await;
    let done = server.ask_at("GET", target).send().await;
    assert_eq!(done.status, 200);
    assert_eq!((done.header("location"), done.header("retry-after")), (None, None));
    let time = |name: &str| done.json()[name].as_str().unwrap().to_owned();
    let (created, updated) = (time("createdTime"), time("lastUpdatedTime"));
    assert_eq!(
        done.body,
        format!(
            r#"{{"name":"Waiting","instanceId":"{id}","runtimeStatus":"Completed","input":{{"a": 1.0}},"customStatus":null,"output":[true],"createdTime":"{created}","lastUpdatedTime":"{updated}"}}"#
        )
    );
    for time in [created, updated] {
        assert_eq!((time.len(), time.ends_with('Z'), &time[10..11]), (20, true, "T"), "{time}");
    }
}

#[tokio::test]
async fn quickstarts_start_at_their_own_address() {
    let server = TestServer::start().await;
    for (target, id) in [("/api/orchestrators/Hello", None), ("/API/Orchestrators/Hello/mine/", Some("mine"))]
    {
        let started = server.ask_at("POST", target).header("Content-Type", "multipart/form-data; boundary=x");
        let started = started.send().await;
        assert_eq!(started.status, 202);
        let urls = started.json();
        assert!(id.is_none_or(|id| urls["id"] == id), "{urls}");
        assert!(
            urls["statusQueryGetUri"].as_str().unwrap().contains("/runtime/webhooks/durabletask/instances/")
        );
    }
    // Nothing else is there.
    assert_eq!(server.ask_at("GET", "/api/instances/mine").send().await.empty(), 404);
    assert_eq!(server.ask_at("POST", "/api/orchestrators").send().await.empty(), 404);
}

#[tokio::test]
async fn a_start_can_wait_for_the_end() {
    let server = TestServer::start().await;
    let start = |path: &str| server.ask("POST", &format!("/orchestrators/{path}"));
    // Either both times or one; the body is the bare output.
    let hello = start("Hello?timeout=30&pollingInterval=1").json("\"Tokyo\"").send().await;
    assert_eq!((hello.status, hello.body.as_str()), (200, "\"Hello Tokyo!\""));
    hello.json();
    let echo = start("Echo?TIMEOUT=30.5").body(" [1,  2] ").send().await;
    assert_eq!((echo.status, echo.body.as_str()), (200, "[1,2]"));
    // What fails is told of as by asking.
    let failed = start("Failing/f?timeout=30").send().await;
    assert_eq!(failed.status, 200);
    assert_eq!(failed.json()["runtimeStatus"], "Failed");
    let failed = start("Failing?timeout=30&returnInternalServerErrorOnFailure=true").send().await;
    assert_eq!((failed.status, failed.json()["runtimeStatus"].clone()), (500, json!("Failed")));
    // What is not over in time is told of as if nobody had waited.
    let waiting = start("Waiting/w?timeout=0.05").send().await;
    assert_eq!((waiting.status, waiting.json()["id"].clone()), (202, json!("w")));
    // Nothing starts when the times make no sense.
    let odd = start("Hello/odd?timeout=5&pollingInterval=10").send().await;
    assert_eq!(odd.message(), (400, "Total timeout 5 should be bigger than retry timeout 10".to_owned()));
    assert_eq!(server.get("/instances/odd").await.empty(), 404);
    for none in ["timeout=x", "timeout=-1", "timeout=NaN", "timeout=", "pollingInterval=3"] {
        assert_eq!(start(&format!("Hello?{none}")).send().await.status, 202, "{none}");
    }
}

#[tokio::test]
async fn what_ended_is_told_of_with_its_history_if_asked_to() {
    let server = TestServer::start().await;
    let failed = server.post("/orchestrators/Failing/f?timeout=30&showHistory=true").await;
    assert_eq!(failed.shown(), server.get("/instances/f?showHistory=true").await.shown());
    assert!(failed.json()["historyEvents"].is_array(), "{failed:?}");
}

#[tokio::test]
async fn who_finds_no_place_to_wait_is_told_where_to_ask() {
    let mut settings = Settings::default();
    settings.limits.waits_max = 0;
    let server = TestServer::with(settings).await;
    let waiting = server.post("/orchestrators/Waiting/w?timeout=1000").await;
    assert_eq!((waiting.status, &waiting.json()["id"]), (202, &json!("w")));
    assert!(waiting.json()["statusQueryGetUri"].is_string(), "{waiting:?}");
    server.run_out("Hello", "h").await;
    let again = server.post("/instances/h/restart?restartWithNewInstanceId=false&timeout=1000").await;
    assert_eq!((again.status, &again.json()["id"]), (202, &json!("h")));
}

#[tokio::test]
async fn who_waits_for_what_is_terminated_is_told_at_once() {
    let server = TestServer::start().await;
    let waits = server.ask("POST", "/orchestrators/Waiting/w?timeout=100").send();
    let ends = async {
        server.reaches("w", Read::Started).await;
        assert_eq!(server.post("/instances/w/terminate?reason=enough").await.empty(), 202);
    };
    let (ended, ()) = tokio::join!(waits, ends);
    assert_eq!((ended.status, ended.json()["runtimeStatus"].clone()), (200, json!("Terminated")));
    assert_eq!(ended.json()["output"], "enough");
}

#[tokio::test]
async fn who_waits_when_the_server_stops_is_told_where_to_ask() {
    let mut server = TestServer::start().await;
    let waits = server.ask("POST", "/orchestrators/Waiting/w?timeout=1000");
    let waits = tokio::spawn(waits.send());
    server.reaches("w", Read::Started).await;
    server.stop().await;
    let told = waits.await.unwrap();
    assert_eq!((told.status, told.json()["id"].clone()), (202, json!("w")));
}

#[tokio::test]
async fn bodies_are_json_or_nothing() {
    let server = TestServer::start().await;
    let inputs = [("", json!(null)), ("  \r\n", json!(null)), ("null", json!(null)), ("\"\"", json!(""))];
    for (n, (body, input)) in inputs.into_iter().enumerate() {
        let id = format!("b{n}");
        let started = server.ask("POST", &format!("/orchestrators/Nobody/{id}")).body(body).send().await;
        assert_eq!(started.status, 202, "{body:?}");
        assert_eq!(server.get(&format!("/instances/{id}")).await.json()["input"], input, "{body:?}");
    }
    let deep = "[".repeat(129) + &"]".repeat(129);
    for (body, why) in [
        ("{", "EOF"),
        ("{'a':1}", "key must be"),
        ("1 2", "trailing"),
        (&deep, "nested deeper than 128 levels"),
    ] {
        let refused = server.ask("POST", "/orchestrators/Hello/bad").body(body).send().await;
        assert_eq!(refused.message(), (400, "Invalid JSON content".to_owned()), "{body}");
        let exception = refused.json();
        assert!(exception["ExceptionMessage"].as_str().unwrap().contains(why), "{exception}");
        assert_eq!(exception["ExceptionType"], "Newtonsoft.Json.JsonReaderException");
    }
    let refused = server.ask("POST", "/orchestrators/Hello/bad").body(b"\"\xff\"".to_vec()).send().await;
    assert_eq!(refused.message().0, 400);
    let packed = server.ask("POST", "/orchestrators/Hello/bad").header("Content-Encoding", "gzip").body("1");
    assert_eq!(packed.send().await.message().0, 415);
    let huge = server.ask("POST", "/orchestrators/Hello/bad").body(vec![b' '; (16 << 20) + 1]).send().await;
    assert_eq!(huge.message().0, 413);
    assert_eq!(server.get("/instances/bad").await.empty(), 404);
}

#[tokio::test]
async fn large_inputs_come_back_as_they_are() {
    let server = TestServer::start().await;
    for (id, megabytes) in [("1", 1), ("9", 9)] {
        let input = format!("\"{}\"", "x".repeat(megabytes << 20));
        let started = server.ask("POST", &format!("/orchestrators/Nobody/{id}")).body(input.as_str());
        assert_eq!(started.send().await.status, 202);
        let shown = server.get(&format!("/instances/{id}")).await;
        assert!(shown.body.contains(&format!(r#""input":{input},"customStatus""#)), "{megabytes} MB");
        let hidden = server.get(&format!("/instances/{id}?showInput=False")).await;
        assert_eq!(hidden.json()["input"], json!(null));
    }
}

#[tokio::test]
async fn ids_keep_what_they_are_made_of() {
    let server = TestServer::start().await;
    for (path, id) in [
        ("two%20words", "two words"),
        ("a+b", "a+b"),
        ("gr%C3%B6%C3%9Fe-%F0%9F%98%80", "größe-😀"),
        ("x@y", "x@y"),
        ("%25%32%46", "%2F"),
        ("a%26b%3Dc;d", "a&b=c;d"),
    ] {
        let started = server.post(&format!("/orchestrators/Nobody/{path}")).await;
        assert_eq!((started.status, started.json()["id"].clone()), (202, json!(id)), "{path}");
        let location = started.header("location").unwrap().to_owned();
        let target = location.strip_prefix(&format!("http://{}", server.address)).unwrap();
        let shown = server.ask_at("GET", target).send().await;
        assert_eq!(shown.json()["instanceId"], id);
        assert_eq!(server.get(&format!("/instances/{path}")).await.json()["instanceId"], id);
        assert_eq!(server.post(&format!("/instances/{path}/terminate")).await.empty(), 202);
    }
}

#[tokio::test]
async fn ids_that_no_instance_can_have_are_refused() {
    let server = TestServer::start().await;
    let long = "x".repeat(257);
    let steps = [".", "..", "%2E%2e"];
    let others =
        ["@counter@a", "a%2Fb", "a%5Cb", "a%23b", "a%3Fb", "a%0Ab", "a%00", "%E2%80%AEtxt", "..%2f..", &long];
    for path in others.into_iter().chain(steps) {
        let refused = server.post(&format!("/orchestrators/Hello/{path}")).await;
        assert_eq!(refused.message().0, 400, "{path}");
        // Who asks for one is told that there is none.
        assert_eq!(server.get(&format!("/instances/{path}")).await.empty(), 404, "{path}");
        assert_eq!(server.post(&format!("/instances/{path}/terminate")).await.empty(), 404, "{path}");
    }
    // A separator that is encoded separates nothing.
    assert_eq!(server.post("/orchestrators%2FHello").await.empty(), 404);
    assert_eq!(server.post("/orchestrators/Hello/%FF").await.empty(), 404);
    assert_eq!(server.post("/orchestrators//a").await.empty(), 404);
    let name = server.post(&format!("/orchestrators/{long}")).await;
    assert_eq!(name.message(), (400, "orchestrator name has 257 bytes: the limit is 256; keep large data elsewhere and pass a reference".to_owned()));
}

#[tokio::test]
async fn an_id_in_use_is_refused_until_its_instance_is_over() {
    let server = TestServer::start().await;
    server.run_on("Waiting", "w").await;
    let taken = server.post("/orchestrators/Hello/w").await;
    let (status, message) = taken.message();
    assert!(status == 409 && message.ends_with("already exists."), "{message}");
    assert_eq!(server.ask("POST", "/instances/w/raiseEvent/Go").json("1").send().await.empty(), 202);
    server.reaches("w", Read::Ended).await;
    assert_eq!(server.run_out("Hello", "w").await.output(), Some("\"Hello nobody!\""));
    // Any that is there gives way if the server is set so.
    let mut settings = Settings::default();
    settings.hub.overridable_existing_instance_states = OverridableStates::Any;
    let server = TestServer::with(settings).await;
    server.run_on("Waiting", "w").await;
    assert_eq!(server.run_out("Hello", "w").await.output(), Some("\"Hello nobody!\""));
}

#[tokio::test]
async fn starts_have_versions_and_belong_to_traces() {
    let mut settings = Settings::default();
    settings.hub.default_version = Some("1.5".to_owned());
    let server = TestServer::with(settings).await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let start = server.ask("POST", "/orchestrators/Nobody/a?version=2.0").header("traceparent", parent);
    let start = start.header("tracestate", "a=1").header("tracestate", "b=2");
    assert_eq!(start.send().await.status, 202);
    let bad = server.ask("POST", "/orchestrators/Nobody/b").header("traceparent", "00-nonsense-01");
    assert_eq!(bad.send().await.status, 202);
    let begun = async |id: &str| {
        let status = server.reaches(id, Read::Status).await;
        let version = status.version().map(str::to_owned);
        server.post(&format!("/instances/{id}/terminate")).await;
        let events = server.history(id).await;
        let started = events.iter().find_map(|event| match event.kind() {
            EventKind::ExecutionStarted(started) => Some(started.clone()),
            _ => None,
        });
        let started = started.unwrap_or_else(|| panic!("{events:?}"));
        (version, started.trace_parent.clone(), started.trace_state.clone())
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(begun("a").await, (text("2.0"), text(parent), text("a=1,b=2")));
    assert_eq!(begun("b").await, (text("1.5"), None, None));
}

#[tokio::test]
async fn what_nobody_serves_waits_and_is_seen() {
    let server = TestServer::start().await;
    let started = server.post("/orchestrators/NobodyServesThis/n?timeout=0.01").await;
    assert_eq!(started.status, 202);
    let shown = server.get("/instances/n").await;
    assert_eq!((shown.status, shown.json()["runtimeStatus"].clone()), (202, json!("Pending")));
    let with_history = server.get("/instances/n?showHistory=true").await;
    assert_eq!(with_history.json().get("historyEvents"), None, "nothing happened yet");
}

#[tokio::test]
async fn what_is_not_there_answers_404_whatever_the_method() {
    let server = TestServer::start().await;
    server.run("Nobody", "n").await;
    for (method, path) in [
        ("GET", "/orchestrators/Hello"),
        ("POST", "/orchestrators"),
        ("POST", "/orchestrators/a/b/c"),
        ("PUT", "/instances/n"),
        ("POST", "/instances/n"),
        ("POST", "/instances"),
        ("GET", "/instances/n/terminate"),
        ("POST", "/instances/n/unknown"),
        ("POST", "/instances/n/raiseEvent"),
        ("POST", "/instances/n/raiseEvent/a/b"),
        ("OPTIONS", "/instances"),
        ("GET", ""),
        ("GET", "/nothing"),
    ] {
        assert_eq!(server.ask(method, path).send().await.empty(), 404, "{method} {path}");
    }
    assert_eq!(server.ask_at("GET", "/").send().await.empty(), 404);
    assert_eq!(server.ask_at("GET", &format!("{API}x/instances")).send().await.empty(), 404);
}
