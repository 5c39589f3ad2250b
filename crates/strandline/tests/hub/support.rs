//! What the tests share.

use std::path::Path;
use std::sync::Arc;

use strandline::prelude::*;
use strandline::{EventKind, HistoryEvent, InstanceStatus, RuntimeStatus};
use tokio::sync::Semaphore;

/// Opens a hub in `dir` as a program does.
pub(crate) async fn hub(dir: &Path) -> TaskHub {
    TaskHub::open(dir).await.unwrap()
}

/// Something a test opens and code under test waits for, any number of times.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(crate) fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets `n` more through.
    pub(crate) fn open(&self, n: usize) {
        self.0.add_permits(n);
    }

    pub(crate) async fn pass(&self) {
        self.0.acquire().await.unwrap().forget();
    }
}

/// Names of the events in a history, without the marks of turns.
pub(crate) fn names(history: &[Arc<HistoryEvent>]) -> Vec<&'static str> {
    let marks = ["OrchestratorStarted", "OrchestratorCompleted"];
    history.iter().map(|e| e.kind().name()).filter(|n| !marks.contains(n)).collect()
}

pub(crate) fn count(history: &[Arc<HistoryEvent>], test: impl Fn(&EventKind) -> bool) -> usize {
    history.iter().filter(|e| test(e.kind())).count()
}

/// Waits until the status of an instance is as wanted.
pub(crate) async fn until<O>(
    instance: &Instance<O>,
    wanted: impl Fn(&InstanceStatus) -> bool,
) -> InstanceStatus {
    loop {
        if let Some(status) = instance.status().await.unwrap().filter(&wanted) {
            return status;
        }
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn until_custom_status<O>(instance: &Instance<O>, text: &str) {
    let json = serde_json::to_string(text).unwrap();
    until(instance, |s| s.custom_status.as_deref() == Some(json.as_str())).await;
}

pub(crate) fn completed(status: &InstanceStatus) -> &str {
    assert_eq!(status.status, RuntimeStatus::Completed, "{:?}", status.failure());
    status.output().unwrap()
}
