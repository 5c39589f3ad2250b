//! A call goes on after its process ended.

use strandline::http::HttpPolicy;
use strandline::prelude::*;

use crate::stub::{Answer, Stub};
use crate::support::{call, reaching};

async fn open(dir: &std::path::Path, policy: HttpPolicy) -> TaskHub {
    let hub = TaskHub::open(dir).await.unwrap();
    hub.worker().register((call, policy)).start().unwrap();
    hub
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_the_middle_goes_on() -> Result<()> {
    let stub = Stub::start(|received| match received.method.as_str() {
        "POST" => Answer::new(202).header("location", "/jobs/7").header("retry-after", "1"),
        _ => Answer::new(200).body("made"),
    })
    .await;
    let dir = tempfile::tempdir()?;
    {
        let hub = open(dir.path(), reaching(&[&stub])).await;
        let run = hub.client().start(call, HttpRequest::post(stub.url("/"))).instance_id("job").await?;
        while !run.history().await?.iter().any(|event| event.kind().name() == "TimerCreated") {
            tokio::task::yield_now().await;
        }
        // Dropped, it stops at once.
    }
    let hub = open(dir.path(), reaching(&[&stub])).await;
    let run = hub.client().instance::<HttpResponse>("job")?;
    assert_eq!(run.output().await?.content, "made");
    assert_eq!(stub.lines(), ["POST /", "GET /jobs/7"], "what was answered is not asked again");
    hub.close().await
}
