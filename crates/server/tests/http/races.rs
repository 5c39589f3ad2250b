use futures::StreamExt as _;
use futures::stream;
use strandline_engine::pipeline::Read;

use crate::support::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn of_many_starts_of_one_id_one_wins() {
    let server = TestServer::start().await;
    let starts = (0..50).map(|_| server.post("/orchestrators/Waiting/w"));
    let answers = futures::future::join_all(starts).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(202), count(409)), (1, 49));
}

/// An event and the event that ends the instance are sent at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_taken_is_in_the_history() {
    let server = TestServer::start().await;
    let server = &server;
    let race = |n: usize| async move {
        let id = format!("race-{n}");
        server.run_on("Waiting", &id).await;
        let raise =
            |name: &str| server.ask("POST", &format!("/instances/{id}/raiseEvent/{name}")).json("1").send();
        let (ends, late) = tokio::join!(raise("Go"), raise("Late"));
        assert_eq!(ends.empty(), 202);
        let late = late.empty();
        server.reaches(&id, Read::Ended).await;
        let raised = server.raised(&id).await;
        let arrived = raised.iter().any(|(name, _)| name == "Late");
        assert_eq!(late, if arrived { 202 } else { 410 }, "{id}: {raised:?}");
        late
    };
    let answers: Vec<_> = stream::iter((0..1000).map(race)).buffer_unordered(16).collect().await;
    for both in [202, 410] {
        assert!(answers.contains(&both), "the race was never won by {both}");
    }
}
