//! What is refused, and how.

use serde_json::json;
use strandline_server::access::Access;
use strandline_server::settings::Settings;

use crate::support::TestServer;

#[tokio::test]
async fn what_is_not_in_the_document_is_refused_with_a_hint() {
    let server = TestServer::start().await;
    for (path, field, hint) in [
        ("/instances?idprefix=a", "idprefix", "did you mean \"idPrefix\"?"),
        ("/instances?pageSize=1", "pageSize", "there are "),
        ("/instances?limit=0", "limit", "1 to 1000"),
        ("/instances?limit=many", "limit", "is not a number"),
        ("/instances?status=running", "status", "did you mean \"Running\"?"),
        ("/instances?tag=a", "tag", "give key=value"),
        ("/instances?tag=a%3D1&tag=a%3D2", "tag", "given twice"),
        ("/instances?createdFrom=yesterday", "createdFrom", "is not a time"),
        ("/instances?name=a&name=b", "name", "more than once"),
        ("/instances/x?payloads=yes", "payloads", "is not true or false"),
        ("/instances/x/history?order=up", "order", "there are asc, desc"),
        ("/instance-count?limit=1", "limit", "there are "),
        ("/workers?x=1", "x", "none are taken"),
    ] {
        let refused = server.get(path).await;
        let problem = refused.problem_document();
        assert_eq!((refused.status, &problem["field"]), (400, &json!(field)), "{path}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(hint), "{path}: {problem}");
    }
    let long = "x".repeat(300);
    for (path, field) in [
        (format!("/instances/x/events/{long}"), "name"),
        (format!("/entities/@counter@a/signals?operation={long}"), "operation"),
    ] {
        let refused = server.ask("POST", &path).send().await;
        let problem = refused.problem_document();
        assert_eq!((refused.status, &problem["field"]), (400, &json!(field)), "{problem}");
        assert_eq!(problem["limit"], json!(256), "{problem}");
    }
    for (body, field, hint) in [
        (json!({"name": "Echo", "instanceid": "a"}), "instanceid", "did you mean \"instanceId\"?"),
        (json!({"nome": "Echo"}), "nome", "did you mean \"name\"?"),
        (json!({"name": 1}), "name", "invalid type"),
        (json!({"name": ""}), "name", ""),
        (json!({"name": "x".repeat(300)}), "name", "256"),
        (json!({"name": "Echo", "instanceId": "@a@b"}), "instanceId", "entities"),
        (json!({"name": "Echo", "startAt": "tomorrow"}), "startAt", "is not a time"),
        (json!({"name": "Echo", "input": 1, "inputText": "1"}), "inputText", "not both"),
        (json!({"name": "Echo", "replaceable": ["Gone"]}), "replaceable[0]", "unknown variant"),
    ] {
        let refused = server.ask("POST", "/instances").json(&body).send().await;
        let problem = refused.problem_document();
        assert_eq!((refused.status, &problem["field"]), (422, &json!(field)), "{body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(hint), "{body}: {problem}");
    }
    server.stop().await;
}

#[tokio::test]
async fn bodies_are_taken_within_limits() {
    let mut settings = Settings::default();
    settings.limits.body_bytes_max = 1_000;
    let server = TestServer::with(Access::open(), settings).await;
    let post = |media_type: &str, body: &str| server.ask("POST", "/instances").body(media_type, body).send();
    assert_eq!(post("application/json", "").await.problem(), (422, "invalid-body".to_owned()));
    assert_eq!(post("application/json", "{").await.problem(), (400, "invalid-request".to_owned()));
    assert_eq!(post("application/json", "[]").await.problem().0, 422);
    assert_eq!(post("text/plain", "{}").await.problem(), (415, "unsupported-media-type".to_owned()));
    let large = post("application/json", &"x".repeat(1_001)).await;
    assert_eq!((large.problem().0, &large.problem_document()["limit"]), (413, &json!(1_000)));
    let deep = format!("{{\"name\":\"Echo\",\"input\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    let deep = post("application/json", &deep).await;
    assert_eq!((deep.problem().0, &deep.problem_document()["limit"]), (400, &json!(128)));
    let packed =
        server.ask("POST", "/instances").header("Content-Encoding", "gzip").json(&json!({})).send().await;
    assert_eq!(packed.problem(), (415, "unsupported-media-type".to_owned()));
    let merged = post("application/merge-patch+json", "{\"name\": \"Echo\"}").await;
    merged.json(201);
    server.stop().await;
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_problems() {
    let server = TestServer::start().await;
    for path in ["/api/v1", "/api/v1/", "/api/v1/nothing", "/api/v1/hubs/", "/api/v1/hubs/default/nothing"] {
        let none = server.ask_at("GET", path).send().await;
        assert_eq!(none.problem(), (404, "path-not-found".to_owned()), "{path}");
    }
    let wrong = server.ask("PUT", "/instances/a").send().await;
    assert_eq!(wrong.problem(), (405, "wrong-method".to_owned()));
    assert_eq!(wrong.header("allow"), Some("get,head,delete"));
    let wrong = server.get("/instance-purges").await;
    assert_eq!((wrong.problem().0, wrong.header("allow")), (405, Some("post")));
    // Ids that are words of other paths are ids.
    for id in ["count", "purge", "..%2F..", "%25"] {
        assert_eq!(
            server.get(&format!("/instances/{id}")).await.problem(),
            (404, "instance-not-found".to_owned())
        );
    }
    for id in ["%00", "%FF", "x".repeat(257).as_str(), "%E2%80%AE"] {
        assert_eq!(server.get(&format!("/instances/{id}")).await.problem().0, 400, "{id}");
    }
    server.stop().await;
}

/// They are refused before it is looked at where they belong.
#[tokio::test]
async fn what_nobody_looks_at_is_a_problem_too() {
    let mut settings = Settings::default();
    settings.limits.path_bytes_max = 200;
    settings.limits.header_bytes_max = 1_000;
    let server = TestServer::with(Access::open(), settings).await;
    for (prefix, is_ours) in [("/api/v1", true), ("/runtime/webhooks/durabletask", false)] {
        let ask = |rest: &str| server.ask_at("GET", &format!("{prefix}/hubs{rest}"));
        let (long, large) = ("x".repeat(300), "x".repeat(1_000));
        let answers = [
            (ask(&format!("?{long}")), 414, "path-too-long", Some(200)),
            (ask("").header("x-large", &large), 431, "headers-too-large", Some(1_000)),
            (ask("").header("Origin", "https://evil.example"), 403, "host-not-allowed", None),
        ];
        for (request, status, kind, limit) in answers {
            let answer = request.send().await;
            if is_ours {
                assert_eq!(answer.problem(), (status, kind.to_owned()));
                assert_eq!(answer.problem_document()["limit"].as_u64(), limit);
            } else {
                assert_eq!(answer.status, status);
                assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
            }
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{kind}");
        }
    }
    server.stop().await;
}
