//! Turns.

use futures::TryStreamExt;
use strandline_engine::worker::Turn;
use strandline_proto::wire;
use tonic::Status;

use super::session::Session;
use super::turns::Ran;
use super::{deliver, request, response};
use crate::versioning::Verdict;

/// Attempts to read a history that breaks off.
const READS: usize = 3;

pub(super) async fn handle(session: &Session, token: String, request: wire::OrchestratorRequest) {
    let instance_id = request.instance_id.clone();
    match run(session, &token, request).await {
        Ok(()) => {}
        Err(Undone::NotForUs) => session.abandon_turn(token).await,
        Err(Undone::Failed(why)) => {
            tracing::warn!(instance_id, why, "a turn could not be run: it is given back");
            session.abandon_turn(token).await;
        }
    }
}

/// Why a turn was not run.
enum Undone {
    /// The versions this worker takes leave it out.
    NotForUs,
    Failed(String),
}

impl Undone {
    fn because(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

async fn run(session: &Session, token: &str, request: wire::OrchestratorRequest) -> Result<(), Undone> {
    let mut turn = request::turn(request).map_err(Undone::because)?;
    let (instance, execution, span) = (turn.instance.clone(), turn.execution, turn.span.clone());
    let (outcome, custom_status) = loop {
        if turn.past.is_some() {
            check(session, &turn)?;
        }
        match session.worker.turns.run(turn).await {
            Some(Ran::Done { outcome, custom_status }) => break (outcome, custom_status),
            Some(Ran::PastMissing(unrun)) => {
                turn = *unrun;
                let past = past(session, &turn).await.map_err(Undone::because)?;
                request::add_past(&mut turn, past).map_err(Undone::because)?;
            }
            None => return Err(Undone::because("the threads for turns are gone")),
        }
    };
    let answer = response::Answer { instance: &instance, execution, token, server: session.server };
    for part in answer.parts(outcome, custom_status, span.as_ref()) {
        let call = || {
            let (mut stub, part) = (session.stub.clone(), part.clone());
            async move { stub.complete_orchestrator_task(part).await }
        };
        if let Err(status) = deliver(session, call).await {
            // What is kept here went further than the hub's instance.
            session.worker.turns.forget(instance.clone());
            tracing::debug!(%instance, error = %status, "the server did not take a turn");
            break;
        }
    }
    Ok(())
}

fn check(session: &Session, turn: &Turn) -> Result<(), Undone> {
    match session.worker.rust.program.judge(&turn.name, turn.version.as_deref()) {
        Verdict::Run | Verdict::Fail => Ok(()),
        Verdict::Wait => Err(Undone::NotForUs),
    }
}

/// The events committed before a turn.
async fn past(session: &Session, turn: &Turn) -> Result<Vec<wire::HistoryEvent>, Status> {
    let mut attempt = 1;
    loop {
        match read_past(session, turn).await {
            Err(status) if attempt < READS && super::is_passing(&status) => attempt += 1,
            other => return other,
        }
    }
}

async fn read_past(session: &Session, turn: &Turn) -> Result<Vec<wire::HistoryEvent>, Status> {
    let call = || {
        let mut stub = session.stub.clone();
        let request = wire::StreamInstanceHistoryRequest {
            instance_id: turn.instance.to_string(),
            execution_id: Some(turn.execution.to_string()),
            for_work_item_processing: true,
        };
        async move { stub.stream_instance_history(request).await }
    };
    let mut chunks = deliver(session, call).await?.into_inner();
    let mut events = Vec::new();
    while let Some(chunk) = chunks.try_next().await? {
        events.extend(chunk.events);
    }
    Ok(events)
}
