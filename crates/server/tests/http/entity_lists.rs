//! Lists of entities.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use crate::client::Answer;
use crate::support::TestServer;

const TOKEN: &str = "x-ms-continuation-token";

fn keys(answer: &Answer) -> Vec<String> {
    let key = |entity: &Json| entity["entityId"]["key"].as_str().unwrap().to_owned();
    answer.json().as_array().unwrap().iter().map(key).collect()
}

/// A server with three counters and a recorder.
async fn populated() -> TestServer {
    let server = TestServer::start().await;
    for key in ["a", "b", "c"] {
        assert_eq!(
            server.ask("POST", &format!("/entities/Counter/{key}?op=add")).json("5").send().await.empty(),
            202
        );
    }
    assert_eq!(server.ask("POST", "/entities/Recorder/a?op=go").json("1").send().await.empty(), 202);
    server.until("/entities", |answer| answer.json().as_array().unwrap().len() == 4).await;
    server
}

#[tokio::test]
async fn lists_entities_with_their_states_if_asked() {
    let server = populated().await;
    let all = server.get("/entities").await;
    assert_eq!(all.header(TOKEN), Some(""));
    assert!(all.json().as_array().unwrap().iter().all(|entity| entity["state"].is_null()), "{all:?}");
    let recorder = server.get("/entities/RECORDER?fetchState=true").await;
    let time = recorder.json()[0]["lastOperationTime"].as_str().unwrap().to_owned();
    assert_eq!(time.len(), "2019-12-18T21:54:07Z".len(), "{time}");
    let entity = format!(
        r#"[{{"entityId":{{"name":"recorder","key":"a"}},"lastOperationTime":"{time}","state":[["go",1]]}}]"#
    );
    assert_eq!(recorder.shown(), (200, entity.as_str()));
    assert_eq!(keys(&server.get("/entities/counter/?fetchState=no").await), ["a", "b", "c"]);
    assert_eq!(server.get("/entities/Count").await.shown(), (200, "[]"));
    assert_eq!(server.get("/entities/counter%40").await.shown(), (200, "[]"));
    // They are no instances.
    assert_eq!(server.get("/instances").await.shown(), (200, "[]"));
}

#[tokio::test]
async fn what_was_deleted_is_not_listed() {
    let server = populated().await;
    assert_eq!(server.delete("/entities/Counter/b").await.empty(), 202);
    server.until("/entities/Counter", |answer| keys(answer) == ["a", "c"]).await;
}

#[tokio::test]
async fn lists_come_in_pages() {
    let server = populated().await;
    let (mut found, mut token, mut pages) = (BTreeSet::new(), String::new(), 0);
    loop {
        let page = server.ask("GET", "/entities?top=1").header(TOKEN, &token).send().await;
        let here = keys(&page).len();
        assert!(here <= 1, "{page:?}");
        found.extend(page.json().as_array().unwrap().iter().map(|entity| entity["entityId"].to_string()));
        pages += here;
        token = page.header(TOKEN).unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!((found.len(), pages), (4, 4), "each once");
    let refused = server.ask("GET", "/entities").header(TOKEN, "made up").send().await;
    let (status, text) = refused.message();
    assert!(status == 400 && text.contains("token"), "{refused:?}");
    // What is no number is as if not given.
    for top in ["x", "0", "-1"] {
        assert_eq!(keys(&server.get(&format!("/entities?top={top}")).await).len(), 4, "{top}");
    }
}

/// However large states are, an answer is not.
#[tokio::test]
async fn pages_are_bounded_by_bytes() {
    let server = TestServer::start().await;
    let large = json!("x".repeat(3 << 20)).to_string();
    for key in ["a", "b", "c"] {
        assert_eq!(
            server
                .ask("POST", &format!("/entities/Recorder/{key}?op=keep"))
                .json(&large)
                .send()
                .await
                .empty(),
            202
        );
    }
    server.until("/entities", |answer| keys(answer).len() == 3).await;
    let page = server.get("/entities?fetchState=true").await;
    assert_eq!(keys(&page), ["a", "b"]);
    let token = page.header(TOKEN).unwrap();
    let rest = server.ask("GET", "/entities?fetchState=true").header(TOKEN, token).send().await;
    assert_eq!((keys(&rest).as_slice(), rest.header(TOKEN)), (["c".to_owned()].as_slice(), Some("")));
}

#[tokio::test]
async fn lists_know_the_time_of_the_last_operation() {
    let server = populated().await;
    let listed = async |query: &str| keys(&server.get(&format!("/entities/Counter?{query}")).await).len();
    assert_eq!(listed("lastOperationTimeFrom=2020-01-01T00:00:00Z").await, 3);
    assert_eq!(listed("lastOperationTimeFrom=9000-01-01").await, 0);
    assert_eq!(listed("lastOperationTimeTo=2020-01-01T00:00:00Z").await, 0);
    assert_eq!(listed("LastOperationTimeTo=9000-01-01&lastOperationTimeFrom=never").await, 3);
}
