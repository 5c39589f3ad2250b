//! Threads that run turns. An instance stays on its thread, where its suspended orchestrator is kept.

use std::sync::Arc;
use std::sync::mpsc;

use strandline_engine::worker::{Turn, TurnOutcome, TurnRunner as _};
use strandline_model::{EventKind, HistoryEvent, InstanceId, Timestamp, partition_of};
use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::runner::Runner;
use crate::worker::Program;

/// What came of a turn.
pub(super) enum Ran {
    Done {
        outcome: TurnOutcome,
        /// What the code set last; `None` when it never did.
        custom_status: Option<Option<String>>,
    },
    /// The orchestrator is not kept here: the turn can't be run without its past.
    PastMissing(Box<Turn>),
}

enum Job {
    Run { turn: Box<Turn>, done: oneshot::Sender<Ran> },
    Forget(InstanceId),
}

/// The threads end when this is dropped.
pub(super) struct TurnThreads {
    jobs: Vec<mpsc::Sender<Job>>,
}

impl TurnThreads {
    pub(super) fn start(program: &Arc<Program>, threads: u16) -> Result<Self> {
        let start = |number| {
            let (jobs, todo) = mpsc::channel();
            let program = program.clone();
            let thread = std::thread::Builder::new().name(format!("strandline-turns-{number}"));
            let started = thread.spawn(move || work(Runner::new(program), &todo));
            started
                .map(|_| jobs)
                .map_err(|error| Error::new("HubError", format!("no thread for turns: {error}")))
        };
        Ok(Self { jobs: (0..threads.max(1)).map(start).collect::<Result<_>>()? })
    }

    fn of(&self, instance: &InstanceId) -> Option<&mpsc::Sender<Job>> {
        let threads = u16::try_from(self.jobs.len()).unwrap_or(u16::MAX);
        self.jobs.get(usize::from(partition_of(instance.as_str(), threads)))
    }

    /// Runs a turn; its past, if it has one, is used only when its orchestrator is not kept here. `None`:
    /// the threads are gone.
    pub(super) async fn run(&self, turn: Turn) -> Option<Ran> {
        let (done, ran) = oneshot::channel();
        self.of(&turn.instance)?.send(Job::Run { turn: Box::new(turn), done }).ok()?;
        ran.await.ok()
    }

    /// What is kept of an instance may not be what the hub has.
    pub(super) fn forget(&self, instance: InstanceId) {
        if let Some(jobs) = self.of(&instance) {
            let _ = jobs.send(Job::Forget(instance));
        }
    }
}

fn work(mut runner: Runner, todo: &mpsc::Receiver<Job>) {
    while let Ok(job) = todo.recv() {
        match job {
            Job::Forget(instance) => runner.forget(&instance),
            Job::Run { mut turn, done } => {
                let kept = runner.holds(&turn.instance, turn.execution, turn.seen)
                    && turn
                        .past
                        .as_deref()
                        .is_none_or(|past| last_turn(past) == runner.last_turn(&turn.instance));
                let ran = match (kept, &turn.past) {
                    (false, None) => Ran::PastMissing(turn),
                    _ => {
                        if kept {
                            turn.past = None;
                        }
                        let (outcome, custom_status) = runner.run_telling(*turn);
                        Ran::Done { outcome, custom_status }
                    }
                };
                let _ = done.send(ran);
            }
        }
    }
}

/// When the last turn of a history was handed out. Another worker's turn of the same length differs in it.
fn last_turn(past: &[Arc<HistoryEvent>]) -> Option<Timestamp> {
    let started = past.iter().rev().find(|event| matches!(event.kind(), EventKind::OrchestratorStarted(_)));
    started.map(|event| event.timestamp)
}
