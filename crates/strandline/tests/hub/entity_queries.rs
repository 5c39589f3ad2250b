//! Finding entities.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use strandline::prelude::*;
use strandline::{EntityStatus, InvalidRequest};

const GO: Event<()> = Event::named("Go");

#[derive(Default, Serialize, Deserialize)]
struct Sensor {
    readings: u32,
}

#[entity]
impl Sensor {
    pub fn read(&mut self) -> u32 {
        self.readings += 1;
        self.readings
    }

    pub fn look(&self) -> u32 {
        self.readings
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Other {
    touched: bool,
}

#[entity]
impl Other {
    pub fn touch(&mut self) {
        self.touched = true;
    }
}

/// Reads so many sensors once.
#[orchestrator]
async fn read_all(ctx: OrchestrationContext, keys: Vec<String>) -> Result<()> {
    let reads = keys.iter().map(|key| ctx.entity(Sensor::id(key.as_str())).read());
    try_join_all(reads).await?;
    ctx.entity(Other::id("x")).touch().await
}

#[orchestrator]
async fn delete(ctx: OrchestrationContext, key: String) -> Result<()> {
    let sensor = ctx.entity(EntityId::named("sensor", key));
    sensor.call("delete", ()).await
}

/// Locks a sensor that has no state and waits.
#[orchestrator]
async fn hold(ctx: OrchestrationContext, key: String) -> Result<u32> {
    let sensor = ctx.lock(Sensor::id(key)).await?;
    ctx.set_custom_status("locked");
    ctx.wait_for(GO).await?;
    sensor.look().await
}

async fn sensors(keys: impl Iterator<Item = u32>) -> TaskHub {
    let hub = TaskHub::in_memory().await.unwrap();
    hub.worker().register((Sensor, Other, read_all, delete, hold)).start().unwrap();
    let keys: Vec<String> = keys.map(|n| format!("{n:03}")).collect();
    hub.client().start(read_all, keys).await.unwrap().output().await.unwrap();
    hub
}

fn flush(hub: &TaskHub) {
    tokio::task::block_in_place(|| hub.engine().flush());
}

fn keys(entities: &[EntityStatus]) -> Vec<&str> {
    entities.iter().map(|entity| entity.id.key()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_every_entity_once_in_order() -> Result<()> {
    let hub = sensors(0..250).await;
    let query = hub.client().query_entities().name("SENSOR").page_size(60);
    let expected: Vec<String> = (0..250).map(|n| format!("{n:03}")).collect();
    // Before they are in the tables, half and half, and after.
    for flushed in 0..3 {
        let all: Vec<EntityStatus> = query.clone().stream().try_collect().await?;
        assert_eq!(keys(&all), expected, "{flushed}");
        assert!(all.iter().all(|entity| entity.state.is_some() && entity.locked_by.is_none()));
        flush(&hub);
        if flushed == 0 {
            let even = expected.iter().step_by(2).cloned().collect();
            hub.client().start(read_all, even).await?.output().await?;
        }
    }
    let pages: Vec<_> = query.pages().try_collect().await?;
    assert!(pages.iter().all(|page| page.entities.len() <= 60));
    assert_eq!(pages.iter().filter(|page| page.continuation_token.is_none()).count(), 1);
    hub.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_select() -> Result<()> {
    let hub = sensors(0..20).await;
    let client = hub.client();
    let ten: Vec<_> = client.query_entities().keys::<Sensor>("01").stream().try_collect().await?;
    assert_eq!(ten.len(), 10);
    let others: Vec<_> = client.query_entities().id_prefix("@other").stream().try_collect().await?;
    assert_eq!(keys(&others), ["x"]);
    let bare: Vec<_> = client.query_entities().with_states(false).stream().try_collect().await?;
    assert_eq!(bare.len(), 21);
    assert!(bare.iter().all(|entity| entity.state.is_none()));

    let times: BTreeSet<_> = ten.iter().map(|entity| entity.modified).collect();
    let (first, last) = (*times.first().unwrap(), *times.last().unwrap());
    let since = client.query_entities().name("sensor").modified_from(last);
    let since: Vec<_> = since.stream().try_collect().await?;
    assert!(since.iter().all(|entity| entity.modified >= last) && !since.is_empty());
    let before: Vec<_> = client.query_entities().modified_to(first).stream().try_collect().await?;
    assert!(before.iter().all(|entity| entity.modified < first));

    for (query, what) in [
        (client.query_entities().name("a@b"), "holds '@'"),
        (client.query_entities().page_size(0), "1 to 1000"),
        (client.query_entities().id_prefix("x".repeat(300)), "300 bytes"),
    ] {
        let error = query.page(None).await.unwrap_err();
        assert!(error.is::<InvalidRequest>() && error.message().contains(what), "{error}");
    }
    let page = client.query_entities().name("sensor").page_size(5).page(None).await?;
    let token = page.continuation_token.unwrap();
    let error = client.query_entities().page(Some(&token)).await.unwrap_err();
    assert!(error.message().contains("another query"), "{error}");
    hub.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_entities_vanish_and_transient_ones_show_when_asked_for() -> Result<()> {
    let hub = sensors(0..3).await;
    let client = hub.client();
    client.start(delete, "001".to_owned()).await?.output().await?;
    let left: Vec<_> = client.query_entities().name("sensor").stream().try_collect().await?;
    assert_eq!(keys(&left), ["000", "002"]);
    flush(&hub);
    let left: Vec<_> = client.query_entities().name("sensor").transient(true).stream().try_collect().await?;
    assert_eq!(keys(&left), ["000", "002"], "its row is gone, too");

    let holder = client.start(hold, "new".to_owned()).await?;
    crate::support::until_custom_status(&holder, "locked").await;
    let with_state: Vec<_> = client.query_entities().name("sensor").stream().try_collect().await?;
    assert_eq!(keys(&with_state), ["000", "002"]);
    let all: Vec<_> = client.query_entities().name("sensor").transient(true).stream().try_collect().await?;
    assert_eq!(keys(&all), ["000", "002", "new"]);
    assert_eq!(all[2].locked_by.as_ref().map(|id| id.as_str()), Some(holder.id()));

    // Its holder lives: the lock is no orphan.
    assert_eq!(client.clean_entities().await?.released_locks, 0);
    holder.raise(GO, ()).await?;
    assert_eq!(holder.output().await?, 0);
    hub.close().await
}
