use serde_json::{Value, json};
use strandline_server::access::Access;
use strandline_server::keys::{HubScope, KeyFile, NewKey, Note, Role};
use strandline_server::settings::Settings;

use crate::support::TestServer;

#[tokio::test]
async fn a_start_offers_all_there_is_to_do() {
    let server = TestServer::start().await;
    let started =
        server.post("/orchestrators/Nobody/two%20words?returnInternalServerErrorOnFailure=true").await;
    let at = format!("http://{}/runtime/webhooks/durabletask/instances/two%20words", server.address);
    let query = "taskHub=default&connection=Storage";
    let expected = [
        ("id", "two words".to_owned()),
        ("statusQueryGetUri", format!("{at}?{query}&returnInternalServerErrorOnFailure=true")),
        ("sendEventPostUri", format!("{at}/raiseEvent/{{eventName}}?{query}")),
        ("terminatePostUri", format!("{at}/terminate?reason={{text}}&{query}")),
        ("rewindPostUri", format!("{at}/rewind?reason={{text}}&{query}")),
        ("purgeHistoryDeleteUri", format!("{at}?{query}")),
        ("restartPostUri", format!("{at}/restart?{query}")),
        ("suspendPostUri", format!("{at}/suspend?reason={{text}}&{query}")),
        ("resumePostUri", format!("{at}/resume?reason={{text}}&{query}")),
    ];
    let members: Vec<_> = expected.iter().map(|(key, text)| format!("\"{key}\":{}", json!(text))).collect();
    assert_eq!(started.body, format!("{{{}}}", members.join(",")));
    assert_eq!(started.header("location"), Some(expected[1].1.as_str()));
}

/// What the answer to a start, and that to a question, say of where the server is.
async fn places(server: &TestServer, headers: &[(&str, &str)]) -> (String, String) {
    let ask = |method: &str, path: &str| {
        let request = server.ask(method, path);
        headers.iter().fold(request, |request, (name, value)| request.header(name, value))
    };
    let started = ask("POST", "/orchestrators/Nobody").send().await;
    let urls: Value = started.json();
    let id = urls["id"].as_str().unwrap().to_owned();
    for (name, url) in urls.as_object().unwrap().iter().filter(|(name, _)| *name != "id") {
        let at = |url: &str| url.split("/runtime/").next().unwrap().to_owned();
        assert_eq!(at(url.as_str().unwrap()), at(started.header("location").unwrap()), "{name}");
    }
    let shown = ask("GET", &format!("/instances/{id}?a=b")).send().await;
    let of = |location: Option<&str>| location.unwrap().split("/runtime/").next().unwrap().to_owned();
    (of(started.header("location")), of(shown.header("location")))
}

#[tokio::test]
async fn a_forged_host_is_not_repeated() {
    let server = TestServer::start().await;
    let own = format!("http://{}", server.address);
    let both = |text: &str| (text.to_owned(), text.to_owned());
    assert_eq!(places(&server, &[("Host", "localhost:1234")]).await, both("http://localhost:1234"));
    assert_eq!(places(&server, &[]).await, both(&own));
    for forged in ["10.9.8.7", "10.9.8.7:7071", "evil@10.9.8.7"] {
        assert_eq!(places(&server, &[("Host", forged)]).await, both(&own), "{forged}");
    }
    let forwarded = [("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "https")];
    assert_eq!(places(&server, &forwarded).await, both(&own));

    // Where keys are asked for a request may name any host.
    let place = tempfile::tempdir().unwrap();
    let file = KeyFile::in_directory(place.path());
    let (roles, hub) = (Role::Client.into(), HubScope::All);
    let new = NewKey { roles, hub, functions: None, note: Note::default(), expires: None };
    let (key, _) = file.create(new, jiff::Timestamp::now()).unwrap();
    let server = TestServer::letting_in(Access::keyed(file).unwrap(), Settings::default()).await;
    let own = format!("http://{}", server.address);
    for forged in ["evil.example", "evil.example:7071", "localhost.evil.example", "localhost@evil.example"] {
        let headers = [("Host", forged), ("x-functions-key", key.reveal())];
        assert_eq!(places(&server, &headers).await, both(&own), "{forged}");
    }
}

#[tokio::test]
async fn a_server_is_known_by_what_it_is_configured_to() {
    let both = |text: &str| (text.to_owned(), text.to_owned());
    let mut settings = Settings::default();
    settings.http.allowed_hosts = vec!["hub.example".to_owned()];
    settings.http.use_forwarded_host = true;
    let server = TestServer::with(settings.clone()).await;
    assert_eq!(places(&server, &[("Host", "Hub.example:81")]).await, both("http://Hub.example:81"));
    let forwarded = [("X-Forwarded-Host", "hub.example"), ("X-Forwarded-Proto", "https")];
    assert_eq!(places(&server, &forwarded).await, both("https://hub.example"));
    assert_eq!(places(&server, &forwarded[..1]).await, both(&format!("http://{}", server.address)));
    settings.http.public_url = Some("https://public.example/hubs/".parse().unwrap());
    let server = TestServer::with(settings).await;
    assert_eq!(places(&server, &forwarded).await, both("https://public.example/hubs"));
}

#[tokio::test]
async fn the_api_is_also_where_hosts_offer_it_to_their_code() {
    let server = TestServer::start().await;
    let started = server.ask_at("POST", "/durabletask/orchestrators/Nobody/n").send().await;
    assert_eq!(started.status, 202);
    let shown = server.ask_at("GET", "/DurableTask/instances/n/").send().await;
    let own = format!("http://{}/DurableTask/instances/n/", server.address);
    assert_eq!((shown.status, shown.header("location")), (202, Some(own.as_str())));
}

#[tokio::test]
async fn hubs_and_connections_are_named() {
    let server = TestServer::start().await;
    server.hub().directory().hub("orders").await.unwrap();
    assert_eq!(server.post("/orchestrators/Nobody/n?taskHub=orders").await.status, 202);
    assert_eq!(server.get("/instances/n").await.empty(), 404);
    let shown = server.get("/instances/n?TASKHUB=orders&Connection=storage").await;
    assert_eq!(shown.status, 202);
    assert!(shown.header("location").unwrap().ends_with("/instances/n?TASKHUB=orders&Connection=storage"));
    for (unknown, status) in [("nowhere", 404), ("orders,orders", 400)] {
        let refused = server.get(&format!("/instances/n?taskHub={unknown}")).await;
        assert_eq!(refused.message().0, status, "{unknown}");
    }
    let secret = "AccountKey%3Dhunter2";
    let refused = server.get(&format!("/instances/n?taskHub=orders&connection={secret}")).await;
    let (status, message) = refused.message();
    assert!(status == 400 && message.contains("'Storage'") && !message.contains("hunter2"), "{message}");
}
