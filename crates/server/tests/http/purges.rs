use serde_json::json;
use strandline_engine::pipeline::Read;

use crate::support::TestServer;

#[tokio::test]
async fn only_what_is_over_is_purged() {
    let server = TestServer::start().await;
    server.run_on("Waiting", "w").await;
    let refused = server.delete("/instances/w").await;
    let text = "Only orchestrations in a terminal state can be purged, but the orchestration with instance ID w has status Running";
    assert_eq!(refused.text(), (412, text.to_owned()));
    assert_eq!(server.post("/instances/w/terminate").await.status, 202);
    let purged = server.delete("/instances/w").await;
    assert_eq!((purged.status, purged.body.as_str()), (200, r#"{"instancesDeleted":1}"#));
    purged.json();
    assert_eq!(server.get("/instances/w").await.empty(), 404);
    for unknown in ["w", "@counter@nothing", "@", "@x"] {
        assert_eq!(server.delete(&format!("/instances/{unknown}")).await.empty(), 404, "{unknown}");
    }
}

#[tokio::test]
async fn what_is_over_is_purged_by_when_it_began() {
    let server = TestServer::start().await;
    let purge = async |query: &str| server.delete(&format!("/instances?{query}")).await;
    server.run_out("Hello", "first").await;
    server.run_out("Failing", "second").await;
    server.run_on("Waiting", "third").await;
    server.run_out("Hello", "fourth").await;
    let needed = (400, "Please provide value for 'createdTimeFrom' parameter.".to_owned());
    for query in ["", "createdTimeFrom=", "createdTimeFrom=yesterday", "createdTimeTo=2100-01-01"] {
        assert_eq!(purge(query).await.text(), needed, "{query}");
    }
    // An end that can't be read is none to purge by.
    let unread = (400, "The value of the 'createdTimeTo' parameter is no time.".to_owned());
    for to in ["yesterday", "2100-13-01", "2100-01-01T"] {
        assert_eq!(purge(&format!("createdTimeFrom=2019-01-01&createdTimeTo={to}")).await.text(), unread);
    }
    let early = "createdTimeFrom=1/1/2019%2012:00:00%20AM&createdTimeTo=1/2/2019%201:00%20PM";
    assert_eq!(purge(early).await.empty(), 404);
    // Nothing but what is over goes, however the filter reads.
    for query in
        ["runtimeStatus=Running", "runtimeStatus=running", "runtimeStatus=Pending,7", "runtimeStatus=x"]
    {
        assert_eq!(purge(&format!("createdTimeFrom=2019-01-01&{query}")).await.empty(), 404, "{query}");
    }
    assert_eq!(purge("createdTimeFrom=2100-01-01").await.empty(), 404);
    assert_eq!(purge("createdTimeFrom=2019-01-01&createdTimeTo=2019-01-02").await.empty(), 404);
    let second = server.reaches("second", Read::Status).await.created.format(9);
    let done = purge(&format!("createdTimeFrom=2019-01-01&createdTimeTo={second}")).await;
    assert_eq!((done.status, done.json()), (200, json!({"instancesDeleted": 1})));
    let done = purge("createdTimeFrom=2019-01-01&runtimeStatus=Completed,Running").await;
    assert_eq!(done.json(), json!({"instancesDeleted": 1}));
    assert_eq!(server.get("/instances").await.listed(), ["second", "third"]);
    assert_eq!(purge("createdTimeFrom=2019-01-01").await.json(), json!({"instancesDeleted": 1}));
    assert_eq!(server.get("/instances").await.listed(), ["third"]);
}
