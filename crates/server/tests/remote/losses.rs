//! Servers and workers that vanish in the middle.

use std::sync::atomic::Ordering;

use strandline::prelude::*;

use crate::functions::*;
use crate::server::Server;

#[tokio::test]
async fn everything_outlasts_a_server_that_is_killed() {
    let mut server = Server::start();
    let gate = Gate::open();
    let hub = server.worker(gate.clone()).await;
    let client = hub.client();
    let mut runs = Vec::new();
    for n in 0..20 {
        runs.push(client.start(passes, 10).instance_id(format!("before-{n}")).await.unwrap());
    }
    let waiting: Vec<_> = runs
        .iter()
        .map(|run| {
            tokio::spawn({
                let run = run.clone();
                async move { run.output().await }
            })
        })
        .collect();
    for _ in 0..30 {
        gate.entered().await;
    }
    server.kill();
    // Sent while nobody listens; it arrives when somebody does.
    let late = tokio::spawn({
        let client = client.clone();
        async move { client.start(passes, 2).instance_id("meanwhile").await?.output().await }
    });
    server.start_again();
    for run in waiting {
        assert_eq!(run.await.unwrap().unwrap(), 45);
    }
    assert_eq!(late.await.unwrap().unwrap(), 1);
    hub.close().await.unwrap();
}

#[tokio::test]
async fn the_work_of_a_lost_worker_goes_to_another() {
    let server = Server::start();
    let stuck = Gate::closed();
    let lost = server.worker(stuck.clone()).await;
    let client = server.connect().await.unwrap().client();
    let runs = join_all((0..5).map(|_| async { client.start(passes, 3).await.unwrap() })).await;
    for _ in 0..5 {
        stuck.entered().await;
    }
    assert_eq!(lost.client().running_activities().len(), 5);
    drop(lost);
    let hub = server.worker(Gate::open()).await;
    for run in runs {
        assert_eq!(run.output().await.unwrap(), 3);
    }
    while stuck.cancelled.load(Ordering::SeqCst) < 5 {
        tokio::task::yield_now().await;
    }
    hub.close().await.unwrap();
}

#[tokio::test]
async fn a_worker_that_closes_finishes_what_it_has_in_hand() {
    let server = Server::start();
    let gate = Gate::closed();
    let hub = server.worker(gate.clone()).await;
    let client = server.connect().await.unwrap().client();
    let run = client.start(passes, 2).await.unwrap();
    gate.entered().await;
    let closing = tokio::spawn(async move { hub.close().await });
    let other = server.worker(Gate::open()).await;
    gate.let_through(1);
    closing.await.unwrap().unwrap();
    assert_eq!(run.output().await.unwrap(), 1);
    assert_eq!(gate.cancelled.load(Ordering::SeqCst), 0);
    // The first call ran once: its result was taken.
    assert_eq!(gate.times_entered(), 1);
    other.close().await.unwrap();
}
