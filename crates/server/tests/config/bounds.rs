//! What may be out of a hub at a time is never exceeded, whoever works: in this process, over gRPC, or both. And
//! nobody is left without.

use strandline::prelude::*;
use strandline::{DataDirectory, RemoteHub};
use strandline_server::access::Access;
use strandline_server::settings::Settings;
use strandline_server::{Reflection, Server, ServerOptions, UnknownHub, bind};

use crate::bounds_of::*;

/// A hub with two places of each kind, and a server in front of it.
struct Hub {
    directory: DataDirectory,
    here: TaskHub,
    server: Server,
    there: Vec<RemoteHub>,
}

impl Hub {
    async fn start() -> Self {
        let directory = DataDirectory::in_memory().partitions(4);
        let directory =
            directory.max_concurrent_activities(2).max_concurrent_turns(2).max_concurrent_entities(2);
        let directory = directory.open().await.unwrap();
        let here = directory.hub("default").await.unwrap();
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let options = ServerOptions {
            unknown: UnknownHub::Refuse,
            reflection: Reflection::Off,
            access: Access::open(),
            settings: Settings::default(),
        };
        let server = Server::start(directory.clone(), vec![listener], options).await.unwrap();
        Self { directory, here, server, there: Vec::new() }
    }

    /// Another worker elsewhere, on a connection of its own.
    async fn connect(&mut self, functions: impl strandline::Register) {
        let hub = TaskHub::connect(format!("http://{}", self.server.addresses()[0])).await.unwrap();
        hub.worker().register(functions).start().await.unwrap();
        self.there.push(hub);
    }

    async fn stop(self) {
        for hub in self.there {
            hub.close().await.unwrap();
        }
        self.server.stop().await;
        self.directory.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_in_this_process_keep_to_it() {
    let hub = Hub::start().await;
    let (activities, turns, entities) = (Tally::new(), Tally::new(), Tally::new());
    let worker =
        hub.here.worker().register((works, work_here, work_there, operates, entity_here, entity_there));
    worker.register((turns_here, turns_there)).start().unwrap();
    everything(&hub, &activities, &turns, &entities).await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_elsewhere_keep_to_it_together() {
    let mut hub = Hub::start().await;
    let (activities, turns, entities) = (Tally::new(), Tally::new(), Tally::new());
    for _ in 0..3 {
        let first = (works, work_here, work_there, operates, entity_here, entity_there);
        hub.connect((first, (turns_here, turns_there))).await;
    }
    everything(&hub, &activities, &turns, &entities).await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_here_and_elsewhere_keep_to_it_together() {
    let mut hub = Hub::start().await;
    let (activities, turns, entities) = (Tally::new(), Tally::new(), Tally::new());
    hub.here.worker().register((works, work_here, entity_here, turns_here)).start().unwrap();
    for _ in 0..2 {
        hub.connect((operates, work_there, entity_there, turns_there)).await;
    }
    everything(&hub, &activities, &turns, &entities).await;
    hub.stop().await;
}

/// A load of all kinds, whoever serves it.
async fn everything(hub: &Hub, activities: &Tally, turns: &Tally, entities: &Tally) {
    // One in this process refuses what is not served here.
    let client = hub.there.first().map_or_else(|| hub.here.client(), RemoteHub::client);
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(client.start(works, (activities.number(), 15)).await.unwrap());
        runs.push(client.start(operates, (entities.number(), 15)).await.unwrap());
    }
    for _ in 0..10 {
        runs.push(client.start(turns_here, turns.number()).await.unwrap());
        runs.push(client.start(turns_there, turns.number()).await.unwrap());
    }
    for run in runs {
        run.output().await.unwrap();
    }
    assert_eq!((activities.done(), activities.most()), (90, 2));
    assert!(turns.done() >= 100 && turns.most() <= 2, "{} of {} turns", turns.most(), turns.done());
    assert!(entities.done() >= 90 && entities.most() <= 2, "{} of {}", entities.most(), entities.done());
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_work_on_one_side_leaves_places_to_the_other() {
    let mut hub = Hub::start().await;
    let (endless, waits) = (Tally::new(), Tally::new());
    hub.here.worker().register((works, never_ends_here, never_ends_there, work_here)).start().unwrap();
    hub.connect(work_there).await;
    let client = hub.here.client();
    let mut never = Vec::new();
    for _ in 0..4 {
        never.push(client.start(never_ends_here, endless.number()).await.unwrap());
        never.push(client.start(never_ends_there, endless.number()).await.unwrap());
    }
    client.start(works, (waits.number(), 20)).await.unwrap().output().await.unwrap();
    assert_eq!(waits.done(), 40);
    assert!(endless.most() <= 2 && waits.most() <= 2);
    for run in never {
        run.terminate("enough").await.unwrap();
    }
    hub.stop().await;
}
