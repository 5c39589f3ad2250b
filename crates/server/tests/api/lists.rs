//! Lists, counts and purges of many.

use serde_json::{Value, json};

use crate::support::TestServer;

fn ids(list: &Value) -> Vec<String> {
    let instances = list["instances"].as_array().unwrap().iter();
    instances.map(|instance| instance["instanceId"].as_str().unwrap().to_owned()).collect()
}

/// All pages of a list.
async fn all(server: &TestServer, query: &str) -> Vec<String> {
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/instances?{query}{token}")).await.json(200);
        found.extend(ids(&page));
        match page["nextToken"].as_str() {
            Some(next) => token = format!("&token={next}"),
            None => return found,
        }
    }
}

#[tokio::test]
async fn lists_and_counts_mean_the_same_by_a_filter() {
    let server = TestServer::start().await;
    server.echoed(&["a-1", "a-2", "b-1"]).await;
    server.run(json!({"name": "Waiting", "instanceId": "b-2", "tags": {"team": "x=y", "on": ""}})).await;
    server.run(json!({"name": "Parent", "instanceId": "p"})).await;
    server.get("/instances/p%2Fchild?waitFor=started").await.json(200);
    let middle = server.get("/instances/a-2").await.json(200);
    let (created, completed) =
        (middle["createdTime"].as_str().unwrap(), middle["completedTime"].as_str().unwrap());

    let cases = [
        ("idPrefix=a-".to_owned(), vec!["a-1", "a-2"]),
        ("name=Waiting".to_owned(), vec!["b-2", "p/child"]),
        ("status=Completed".to_owned(), vec!["a-1", "a-2", "b-1"]),
        ("status=Completed&status=Running&idPrefix=b".to_owned(), vec!["b-1", "b-2"]),
        ("tag=team%3Dx%3Dy&tag=on%3D".to_owned(), vec!["b-2"]),
        ("tag=team%3Dother".to_owned(), vec![]),
        ("parent=p".to_owned(), vec!["p/child"]),
        (format!("createdTo={created}"), vec!["a-1"]),
        (format!("createdFrom={created}&createdTo={created}"), vec![]),
        (format!("completedTo={completed}&idPrefix=a-2"), vec![]),
        (format!("completedFrom={completed}&idPrefix=a-2"), vec!["a-2"]),
        (String::new(), vec!["a-1", "a-2", "b-1", "b-2", "p", "p/child"]),
    ];
    for (query, expected) in cases {
        let mut found = all(&server, &query).await;
        found.sort();
        assert_eq!(found, expected, "{query}");
        let count = server.get(&format!("/instance-count?{query}")).await.json(200);
        assert_eq!(count, json!({"count": expected.len()}), "{query}");
        let mut paged = all(&server, &format!("limit=1&{query}")).await;
        paged.sort();
        assert_eq!(paged, expected, "by ones, {query}");
    }
    // The newest first; by id; by completion.
    let newest = all(&server, "limit=3").await;
    assert_eq!((newest.first().unwrap().as_str(), newest.last().unwrap().as_str()), ("p/child", "a-1"));
    assert_eq!(all(&server, "orderBy=id&limit=4").await, ["a-1", "a-2", "b-1", "b-2", "p", "p/child"]);
    assert_eq!(all(&server, "orderBy=completed").await.len(), 3);

    let bare = server.get("/instances?idPrefix=a-1").await.json(200);
    assert!(bare["instances"][0].get("input").is_none(), "{bare}");
    let full = server.get("/instances?idPrefix=a-1&payloads=true").await.json(200);
    assert_eq!(full["instances"][0]["input"], "a-1");
    server.stop().await;
}

#[tokio::test]
async fn a_page_ends_where_an_answer_would_grow_too_large() {
    let server = TestServer::start().await;
    let large = "x".repeat(900_000);
    for id in ["l-1", "l-2", "l-3", "l-4"] {
        server.run(json!({"name": "None", "instanceId": id, "input": large})).await;
    }
    let page = server.get("/instances?idPrefix=l-&payloads=true").await;
    assert!(page.body.len() < 2_500_000, "{}", page.body.len());
    assert_eq!(ids(&page.json(200)), ["l-1", "l-2"]);
    assert_eq!(all(&server, "idPrefix=l-&payloads=true").await, ["l-1", "l-2", "l-3", "l-4"]);
    assert_eq!(ids(&server.get("/instances?idPrefix=l-").await.json(200)).len(), 4);
    server.stop().await;
}

#[tokio::test]
async fn tokens_are_good_for_their_query_only() {
    let server = TestServer::start().await;
    server.echoed(&["a", "b"]).await;
    let page = server.get("/instances?limit=1").await.json(200);
    let token = page["nextToken"].as_str().unwrap();
    for path in [format!("/instances?limit=1&name=Echo&token={token}"), "/instances?token=x".to_owned()] {
        let refused = server.get(&path).await;
        assert_eq!(
            (refused.problem().0, &refused.problem_document()["field"]),
            (400, &json!("token")),
            "{path}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn many_are_purged_but_only_what_is_over() {
    let server = TestServer::start().await;
    server.echoed(&["a-1", "a-2", "b-1"]).await;
    server.run(json!({"name": "Waiting", "instanceId": "a-3"})).await;
    let refused = server.delete("/instances").await;
    assert_eq!((refused.problem().0, &refused.problem_document()["field"]), (400, &json!("all")));

    let purged = |purged: u64| json!({"purged": purged, "notOver": 0, "complete": true});
    assert_eq!(server.delete("/instances?idPrefix=a-&dryRun=true").await.json(200), purged(2));
    assert_eq!(all(&server, "").await.len(), 4);
    assert_eq!(server.delete("/instances?idPrefix=a-").await.json(200), purged(2));
    assert_eq!(server.delete("/instances?status=Running&dryRun=true").await.json(200), purged(0));
    assert_eq!(server.delete("/instances?status=Running").await.json(200), purged(0));
    assert_eq!(server.delete("/instances?all=true").await.json(200), purged(1));
    assert_eq!(all(&server, "").await, ["a-3"]);
    assert_eq!(server.delete("/instances?all=true&timeout=0").await.problem().0, 400);
    assert_eq!(server.delete("/instances?all=true&token=nonsense").await.problem().0, 400);

    server.echoed(&["c-1"]).await;
    let listed = json!({"instanceIds": ["c-1", "a-3", "nobody"]});
    let done = server.ask("POST", "/instance-purges").json(&listed).send().await.json(200);
    assert_eq!(done, json!({"purged": 1, "notOver": 1, "complete": true}));
    let too_many = json!({"instanceIds": vec!["x"; 501]});
    let refused = server.ask("POST", "/instance-purges").json(&too_many).send().await;
    assert_eq!((refused.problem().0, &refused.problem_document()["limit"]), (422, &json!(500)));

    let ended = json!({"instanceIds": ["a-3", "nobody"], "reason": "enough"});
    let done = server.ask("POST", "/instance-terminations").json(&ended).send().await.json(200);
    assert_eq!(done, json!({"unterminatedInstanceIds": ["nobody"]}));
    let over = server.ended("a-3").await;
    assert_eq!((&over["runtimeStatus"], &over["output"]), (&json!("Terminated"), &json!("enough")));
    server.stop().await;
}
