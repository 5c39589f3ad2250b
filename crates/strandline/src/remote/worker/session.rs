//! One stream of work after the other.

use std::sync::Arc;
use std::time::Duration;

use strandline_proto::wire;
use strandline_proto::wire::work_item::Request as Item;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::super::backoff::Backoff;
use super::super::connection::{Stub, stub};
use super::super::error::is_passing;
use super::{Worker, activities, deliver, entities, orchestrations};

/// Longest pause before the server is tried again.
const PAUSE_MAX: Duration = Duration::from_secs(20);
/// In the answer to a greeting: the server is one of ours.
const SERVER_VERSION: &str = "strandline-version";

/// One stream, and the calls that return its work.
pub(super) struct Session {
    pub(super) worker: Arc<Worker>,
    pub(super) stub: Stub,
    /// Fires when the stream ends: the server gives what came over it to others.
    pub(super) lost: CancellationToken,
    /// What the server understands.
    pub(super) server: Server,
}

/// What kind of server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// It knows our fields.
    Strandline,
    /// It knows the Durable Task protocol.
    Other,
}

/// Gets work and has it done until told to stop. Connects again whenever the stream ends.
pub(super) async fn serve(worker: Arc<Worker>, stopping: CancellationToken, stopped: CancellationToken) {
    let mut backoff = Backoff::up_to(PAUSE_MAX);
    while !stopping.is_cancelled() {
        let ended = tokio::select! {
            ended = take_work(&worker, &stopping, &mut backoff) => ended,
            () = stopped.cancelled() => return,
        };
        let address = &worker.connection.address;
        match ended {
            Err(status) if !is_passing(&status) => {
                tracing::warn!(address, error = %status, "the server does not give the worker work: it tries again");
            }
            Err(status) => {
                tracing::info!(address, error = %status, "the worker lost its server: it connects again")
            }
            Ok(()) => tracing::info!(address, "the server ended the stream: the worker connects again"),
        }
        tokio::select! {
            () = backoff.wait() => {}
            () = stopping.cancelled() => {}
        }
    }
    // Without a stream nothing in hand can be returned; only its end is waited for.
    stopped.cancelled().await;
}

async fn take_work(
    worker: &Arc<Worker>,
    stopping: &CancellationToken,
    backoff: &mut Backoff,
) -> Result<(), Status> {
    let mut stub = stub(worker.connection.endpoint.connect_lazy(), worker.headers.clone());
    let hello = stub.hello(()).await?;
    let ours = hello.metadata().contains_key(SERVER_VERSION);
    let mut items = stub.get_work_items(worker.request.clone()).await?.into_inner();
    tracing::info!(address = %worker.connection.address, "the worker is connected");
    let lost = CancellationToken::new();
    let _lost = lost.clone().drop_guard();
    let server = if ours { Server::Strandline } else { Server::Other };
    let session = Arc::new(Session { worker: worker.clone(), stub, lost, server });
    while let Some(item) = items.message().await? {
        backoff.reset();
        if stopping.is_cancelled() {
            tokio::spawn(give_back(session.clone(), item));
            continue;
        }
        // While nothing more can be taken in hand, the stream is held up.
        let place = tokio::select! {
            place = worker.places.clone().acquire_owned() => place,
            () = stopping.cancelled() => {
                tokio::spawn(give_back(session.clone(), item));
                continue;
            }
        };
        if let Ok(place) = place {
            tokio::spawn(handle(session.clone(), item, place));
        }
    }
    Ok(())
}

/// Has one item done. The place is held until its outcome is with the server.
async fn handle(session: Arc<Session>, item: wire::WorkItem, _place: OwnedSemaphorePermit) {
    let token = item.completion_token;
    match item.request {
        Some(Item::OrchestratorRequest(request)) => orchestrations::handle(&session, token, request).await,
        Some(Item::ActivityRequest(request)) => activities::handle(&session, token, request).await,
        Some(Item::EntityRequestV2(request)) => entities::handle(&session, token, request).await,
        Some(Item::EntityRequest(request)) => entities::handle_first_form(&session, token, request).await,
        Some(Item::HealthPing(_)) | None => {}
    }
}

/// Gives an item to others.
async fn give_back(session: Arc<Session>, item: wire::WorkItem) {
    let token = item.completion_token;
    match item.request {
        Some(Item::OrchestratorRequest(_)) => session.abandon_turn(token).await,
        Some(Item::ActivityRequest(_)) => session.abandon_activity(token).await,
        Some(Item::EntityRequestV2(_) | Item::EntityRequest(_)) => session.abandon_entity(token).await,
        Some(Item::HealthPing(_)) | None => {}
    }
}

impl Session {
    pub(super) async fn abandon_turn(&self, completion_token: String) {
        let call = || {
            let mut stub = self.stub.clone();
            let request =
                wire::AbandonOrchestrationTaskRequest { completion_token: completion_token.clone() };
            async move { stub.abandon_task_orchestrator_work_item(request).await }
        };
        told(deliver(self, call).await.map(drop));
    }

    pub(super) async fn abandon_activity(&self, completion_token: String) {
        let call = || {
            let mut stub = self.stub.clone();
            let request = wire::AbandonActivityTaskRequest { completion_token: completion_token.clone() };
            async move { stub.abandon_task_activity_work_item(request).await }
        };
        told(deliver(self, call).await.map(drop));
    }

    pub(super) async fn abandon_entity(&self, completion_token: String) {
        let call = || {
            let mut stub = self.stub.clone();
            let request = wire::AbandonEntityTaskRequest { completion_token: completion_token.clone() };
            async move { stub.abandon_task_entity_work_item(request).await }
        };
        told(deliver(self, call).await.map(drop));
    }
}

/// The server takes back by itself what it does not hear of.
fn told(answer: Result<(), Status>) {
    if let Err(error) = answer {
        tracing::debug!(%error, "work could not be given back");
    }
}
