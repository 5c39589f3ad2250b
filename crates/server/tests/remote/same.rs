//! One scenario after the other, on a hub of this process and on a server's: outcomes are equal, and so are
//! histories but for ids and times.

use std::fmt::Debug;

use strandline::prelude::*;
use strandline::{EventKind, HistoryEvent, InstanceStatus, RuntimeStatus};

use crate::functions::*;
use crate::server::Server;

/// What came of a scenario.
type Told = Vec<String>;

async fn everything(client: Client) -> Told {
    let mut told = Vec::new();
    let cities = ["Tokyo", "Seattle", "London"].map(str::to_owned).to_vec();
    let run = client.start(sequence, cities).instance_id("sequence").tag("tenant", "acme").await.unwrap();
    over(&mut told, &run).await;

    let run = client.start(retries, "luck".to_owned()).instance_id("retries").await.unwrap();
    over(&mut told, &run).await;

    let run = client.start(waits, ()).instance_id("waits").await.unwrap();
    until_custom_status(&run, "\"waiting\"").await;
    run.raise(GO, "go".to_owned()).await.unwrap();
    over(&mut told, &run).await;

    let run = client.start(parent, "bread".to_owned()).instance_id("parent").await.unwrap();
    over(&mut told, &run).await;

    let run = client.start(counts, 0).instance_id("counts").await.unwrap();
    over(&mut told, &run).await;

    client.entity::<Account>("b").signal().add(1).await.unwrap();
    while client.entity::<Account>("b").state().await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    let run = client.start(transfers, ()).instance_id("transfers").await.unwrap();
    over(&mut told, &run).await;
    for key in ["a", "b", "c"] {
        told.push(format!("{:?}", client.entity::<Account>(key).state().await.unwrap()));
    }

    let run = client.start(passes, 3).instance_id("terminated").await.unwrap();
    run.suspend("for now").await.unwrap();
    told.push(format!("{:?}", run.status().await.unwrap().unwrap().status));
    run.resume("again").await.unwrap();
    run.terminate("enough").await.unwrap();
    told.push(format!("{:?}", run.output().await.unwrap_err()));

    // What a program can't do is told in the same words.
    told.push(format!("{:?}", client.start(counts, 0).instance_id("counts").await.unwrap_err()));
    told.push(format!("{:?}", run.raise(GO, String::new()).await.unwrap_err()));
    told.push(format!("{:?}", run.rewind("in vain").await.unwrap_err()));
    let nobody = client.instance::<()>("nobody").unwrap();
    told.push(format!("{:?}", nobody.raise(GO, String::new()).await.unwrap_err()));
    told.push(format!("{:?}", nobody.history().await.unwrap_err()));
    told.push(format!("{:?}", nobody.status().await.unwrap()));
    told
}

/// Waits for the end of an instance and tells all of it.
async fn over<O: serde::de::DeserializeOwned + Debug>(told: &mut Told, run: &Instance<O>) {
    told.push(match run.output().await {
        Ok(output) => format!("{}: {output:?}", run.id()),
        Err(error) => format!("{}: {error:?}", run.id()),
    });
    let InstanceStatus { status, custom_status, .. } = run.status().await.unwrap().unwrap();
    told.push(format!("{status:?} {custom_status:?}"));
    let history = run.history().await.unwrap();
    told.extend(history.iter().filter_map(|event| plain(event)));
}

/// An event without ids and times, which differ; marks of turns depend on what arrives together.
fn plain(event: &HistoryEvent) -> Option<String> {
    let mut event = event.clone();
    event.timestamp = Timestamp::EPOCH;
    match event.kind_mut() {
        EventKind::OrchestratorStarted(_) | EventKind::OrchestratorCompleted(_) => return None,
        EventKind::ExecutionStarted(start) => {
            start.execution_id.clear();
            start.seed = 0;
        }
        EventKind::SubOrchestrationCreated(created) => created.instance_id.clear(),
        EventKind::TimerCreated(timer) => timer.fire_at = Timestamp::EPOCH,
        EventKind::TimerFired(timer) => timer.fire_at = Timestamp::EPOCH,
        EventKind::EntityOperationCalled(call) => call.request_id.clear(),
        EventKind::EntityOperationCompleted(done) => done.request_id.clear(),
        EventKind::EntityOperationFailed(failed) => failed.request_id.clear(),
        EventKind::EntityLockRequested(lock) => lock.section_id.clear(),
        EventKind::EntityLockGranted(lock) => lock.section_id.clear(),
        EventKind::EntityUnlockSent(unlock) => unlock.section_id.clear(),
        _ => {}
    }
    Some(format!("{event:?}"))
}

async fn until_custom_status<O>(run: &Instance<O>, wanted: &str) {
    while run.status().await.unwrap().and_then(|s| s.custom_status).as_deref() != Some(wanted) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_server_does_what_an_embedded_hub_does() {
    let embedded = TaskHub::in_memory().await.unwrap();
    embedded.worker().register(all()).state(Gate::closed()).start().unwrap();
    let expected = everything(embedded.client()).await;
    embedded.close().await.unwrap();

    let server = Server::start();
    let hub = server.worker(Gate::closed()).await;
    let told = everything(hub.client()).await;
    for (told, expected) in told.iter().zip(&expected) {
        assert_eq!(told, expected);
    }
    assert_eq!(told.len(), expected.len());
}

#[tokio::test]
async fn turns_and_histories_may_be_larger_than_messages() {
    let server = Server::start();
    let hub = server.worker(Gate::open()).await;
    let texts = 300;
    let run = hub.client().start(measures, texts).await.unwrap();
    assert_eq!(run.output().await.unwrap(), texts * 20_000 + 4);
    let history = run.history().await.unwrap();
    let pages: Vec<_> = run.history_pages().try_collect().await.unwrap();
    assert_eq!(pages.concat(), history);

    // A worker that never saw it reads it from the beginning.
    let again = server.worker(Gate::open()).await;
    drop(hub);
    let run = again.client().start(measures, texts).await.unwrap();
    assert_eq!(run.wait().await.unwrap().status, RuntimeStatus::Completed);
}

#[tokio::test]
async fn lists_find_what_was_started() {
    let server = Server::start();
    let hub = server.worker(Gate::closed()).await;
    let client = hub.client();
    for n in 0..5 {
        let run = client.start(sequence, vec![format!("{n}")]).instance_id(format!("list-{n}"));
        run.tag("parity", if n % 2 == 0 { "even" } else { "odd" }).await.unwrap().wait().await.unwrap();
    }
    let even = client.query().tag("parity", "even").name("sequence").page_size(2);
    let found: Vec<_> = even.clone().stream().map_ok(|i| i.id.to_string()).try_collect().await.unwrap();
    assert_eq!(found, ["list-4", "list-2", "list-0"]);
    assert_eq!(even.count().await.unwrap(), 3);
    let prefix = client.query().id_prefix("list-").with_payloads(false);
    let listed: Vec<InstanceStatus> = prefix.stream().try_collect().await.unwrap();
    assert_eq!(listed.len(), 5);
    assert!(listed.iter().all(|instance| instance.input().is_none()));
    let error = client.query().page_size(0).page(None).await.unwrap_err();
    assert_eq!(error.error_type(), "InvalidRequest");
}
