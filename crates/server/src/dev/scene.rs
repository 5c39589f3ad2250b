//! One sample orchestration under its fixed id, from one start of the program to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use strandline::prelude::*;
use strandline::{AnOrchestration, EventKind, HistoryEvent, InstanceStatus, ReusePolicy, RuntimeStatus};

use super::board::Board;
use super::documents;

/// How a run before left an instance.
pub(super) enum Left {
    Nothing,
    Unfinished,
    Over,
}

pub(super) struct Scene {
    pub(super) name: &'static str,
    instance: Instance<Json>,
    pub(super) left: Left,
}

impl Scene {
    /// Looks what a run before left, and says so.
    pub(super) async fn find(
        client: &Client,
        board: &Board,
        name: &'static str,
        id: &str,
        fresh: bool,
    ) -> Result<Self> {
        let instance = client.instance(id)?;
        let left = match instance.status().await? {
            None => Left::Nothing,
            Some(_) if fresh => Left::Nothing,
            Some(status) if status.status.is_terminal() => {
                board.say(format_args!("{name} was over before this start: {}", ending(&status)));
                Left::Over
            }
            Some(status) => {
                let (done, total) = steps(&instance, &status).await?;
                let of = total.map(|total| format!(" of {total}")).unwrap_or_default();
                board.say(format_args!(
                    "carrying on {name}, begun {} ({done}{of} steps were done)",
                    status.created.format(0)
                ));
                board.stands(name, done, total);
                Left::Unfinished
            }
        };
        Ok(Self { name, instance, left })
    }

    /// Starts the instance if nothing was left of it.
    pub(super) async fn begin<C>(
        &self,
        client: &Client,
        board: &Board,
        code: C,
        input: C::Input,
        steps: Option<usize>,
    ) -> Result<()>
    where
        C: Callable<Kind = AnOrchestration>,
        C::Input: Serialize,
        C::Output: 'static,
    {
        if !matches!(self.left, Left::Nothing) {
            return Ok(());
        }
        board.stands(self.name, 0, steps);
        client.start(code, input).instance_id(self.instance.id()).reuse(ReusePolicy::replace_any()).await?;
        board.say(format_args!("{} started", self.name));
        Ok(())
    }

    pub(super) fn id(&self) -> &str {
        self.instance.id()
    }

    /// Waits for the end and says what it was. True when that is a success.
    pub(super) async fn end(&self, board: &Board) -> Result<bool> {
        let status = self.instance.wait().await?;
        if !matches!(self.left, Left::Over) {
            let took = status.updated.saturating_since(status.created);
            board.over(
                self.name,
                format_args!("is over after {:.1} s: {}", took.as_secs_f64(), ending(&status)),
            );
        }
        Ok(status.status == RuntimeStatus::Completed)
    }

    /// Whether it is not over.
    pub(super) async fn goes_on(&self) -> Result<bool> {
        Ok(self.instance.status().await?.is_some_and(|status| !status.status.is_terminal()))
    }

    pub(super) async fn history(&self) -> Result<Vec<Arc<HistoryEvent>>> {
        self.instance.history().await
    }

    pub(super) async fn raise<T: Serialize>(&self, event: Event<T>, payload: T) -> Result<()> {
        self.instance.raise(event, payload).await
    }
}

/// Status and output in one line.
fn ending(status: &InstanceStatus) -> String {
    match status.failure() {
        Some(failure) => format!("{}: {}", status.status, failure.message),
        None => format!("{}: {}", status.status, status.output().unwrap_or_default()),
    }
}

/// Steps done so far, and of how many if that is known.
async fn steps(instance: &Instance<Json>, status: &InstanceStatus) -> Result<(usize, Option<usize>)> {
    let mut scheduled = BTreeMap::new();
    let (mut done, mut last) = (0, String::new());
    for event in instance.history().await? {
        match event.kind() {
            EventKind::TaskScheduled(task) => {
                last.clone_from(&task.name);
                scheduled.insert(event.id, task.name.clone());
            }
            EventKind::TaskCompleted(task) => {
                let name = scheduled.get(&task.task_id).map(String::as_str).unwrap_or_default();
                done += usize::from(status.name() != "DocumentPipeline" || documents::ENDS.contains(&name));
            }
            _ => {}
        }
    }
    let inputs = || serde_json::from_str::<Vec<Json>>(status.input().unwrap_or_default()).ok();
    let total = match status.name() {
        "HelloSequence" | "DocumentPipeline" => inputs().map(|inputs| inputs.len()),
        // Known once the files are listed; the manifest is scheduled at the end.
        "BackupSiteContent" if last == "WriteManifest" => Some(scheduled.len()),
        "BackupSiteContent" if scheduled.len() > 1 => Some(scheduled.len() + 1),
        "Approval" | "PhoneVerification" | "Transfer" => Some(done),
        _ => None,
    };
    Ok((done, total))
}
