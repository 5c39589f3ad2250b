//! Stopping: what runs is finished, what waits is let go, and the service manager knows.

use std::sync::Arc;

use strandline::prelude::*;
use strandline::{DataDirectory, State};
use strandline_proto::wire;
use strandline_proto::wire::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixDatagram};
use tokio::sync::{Notify, Semaphore};
use tonic::transport::Endpoint;

use crate::program::Program;
use crate::support::soon;

/// With connections of every kind that would last for ever.
#[tokio::test(flavor = "multi_thread")]
async fn ends_though_others_would_go_on() {
    let program = Program::serve(&[]).await;
    let mut kept_alive = TcpStream::connect(program.address).await.unwrap();
    kept_alive.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    kept_alive.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let silent = TcpStream::connect(program.address).await.unwrap();
    let endpoint = Endpoint::try_from(format!("http://{}", program.address)).unwrap();
    let mut client = TaskHubSidecarServiceClient::new(endpoint.connect().await.unwrap());
    let mut work = client.get_work_items(wire::GetWorkItemsRequest::default()).await.unwrap().into_inner();
    // The worker has something in hand.
    let start = wire::CreateInstanceRequest { name: "Waits".to_owned(), ..Default::default() };
    let instance_id = client.start_instance(start).await.unwrap().into_inner().instance_id;
    assert!(soon("work", work.message()).await.unwrap().is_some());
    let mut waiting = client.clone();
    let asked = wire::GetInstanceRequest { instance_id, ..Default::default() };
    let wait = tokio::spawn(async move { waiting.wait_for_instance_completion(asked).await });
    client.hello(()).await.unwrap();
    program.terminate();
    let (status, log) = program.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    // Of nothing but that there are no keys.
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(soon("the end of the stream", work.message()).await.is_err());
    assert!(soon("the end of the wait", wait).await.unwrap().is_err());
    drop((kept_alive, silent));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_manager_is_told() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let told = async |wanted: &str| {
        let mut message = [0; 4096];
        loop {
            let length = soon(wanted, socket.recv(&mut message)).await.unwrap();
            if String::from_utf8_lossy(&message[..length]).lines().any(|line| line == wanted) {
                return;
            }
        }
    };
    let notify = path.to_str().unwrap();
    let program = Program::serve(&[("NOTIFY_SOCKET", notify), ("WATCHDOG_USEC", "200000")]).await;
    told("READY=1").await;
    told("WATCHDOG=1").await;
    told("WATCHDOG=1").await;
    program.terminate();
    told("STOPPING=1").await;
    assert_eq!(program.ended().await.0.code(), Some(0));
}

#[derive(Clone, Default)]
struct Gate {
    entered: Arc<Notify>,
    open: Arc<Notify>,
}

#[activity]
async fn pass(gate: State<Gate>, _: ()) -> Result<()> {
    gate.entered.notify_one();
    gate.open.notified().await;
    Ok(())
}

#[orchestrator]
async fn one(ctx: OrchestrationContext) -> Result<()> {
    ctx.call(pass, ()).await
}

#[activity]
async fn count(begun: State<Arc<Semaphore>>, _: ()) -> Result<()> {
    begun.add_permits(1);
    Ok(())
}

#[orchestrator]
async fn other(ctx: OrchestrationContext) -> Result<()> {
    ctx.call(count, ()).await
}

/// What runs has its time, what did not begin waits for the next start.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_new_begins_while_what_runs_is_finished() {
    let place = tempfile::tempdir().unwrap();
    let (gate, begun) = (Gate::default(), Arc::new(Semaphore::new(0)));
    let open = async || {
        let directory = DataDirectory::open(place.path()).await.unwrap();
        let hub = directory.hub("default").await.unwrap();
        let worker = hub.worker().register((pass, one, count, other));
        worker.state(gate.clone()).state(begun.clone()).start().unwrap();
        (directory, hub)
    };
    let (directory, hub) = open().await;
    hub.client().start(one, ()).instance_id("runs").await.unwrap();
    soon("the activity", gate.entered.notified()).await;
    directory.node().drain();
    let waits = hub.client().start(other, ()).instance_id("waits").await.unwrap();
    soon("the first turn", async {
        while waits.history().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    gate.open.notify_one();
    directory.close_within(crate::support::PATIENCE).await.unwrap();
    assert_eq!(begun.available_permits(), 0);
    drop((directory, hub, waits));
    let (directory, hub) = open().await;
    for id in ["runs", "waits"] {
        let instance = hub.client().instance::<()>(id).unwrap();
        soon(id, instance.output()).await.unwrap();
    }
    assert_eq!(begun.available_permits(), 1);
    directory.close().await.unwrap();
}
