//! What every history must be, whoever wrote it.

use std::collections::{BTreeMap, BTreeSet};

use strandline_model::{EventKind, HistoryEvent, Timestamp};

use crate::Violation;

#[derive(Clone, Copy, PartialEq)]
enum Scheduled {
    Activity,
    Timer(Timestamp),
    Child,
    Call,
    Lock,
}

/// Checks a whole history; `over`: its execution has ended for good.
pub(super) fn well_formed(history: &[HistoryEvent], over: bool) -> Result<(), Violation> {
    let mut open: BTreeMap<i32, Scheduled> = BTreeMap::new();
    let mut last_id = -1;
    // Taken out by a rewind, and recorded again further on.
    let mut again = BTreeSet::new();
    let mut started = 0;
    let mut in_turn = false;
    let mut turn_time = Timestamp::EPOCH;
    for (index, event) in history.iter().enumerate() {
        let wrong = |what: &str| Err(format!("history event {index} ({}): {what}", event.kind().name()));
        if index == 0 && !begins(event) {
            return wrong("a history does not begin so");
        }
        if let Some(scheduled) = scheduled(event) {
            if event.id <= last_id && !again.remove(&event.id) {
                return wrong("ids do not increase");
            }
            last_id = last_id.max(event.id);
            open.extend(scheduled.map(|s| (event.id, s)));
        }
        let closed = match event.kind() {
            EventKind::TaskCompleted(e) => Some((e.task_id, Scheduled::Activity)),
            EventKind::TaskFailed(e) => Some((e.task_id, Scheduled::Activity)),
            EventKind::SubOrchestrationCompleted(e) => Some((e.task_id, Scheduled::Child)),
            EventKind::SubOrchestrationFailed(e) => Some((e.task_id, Scheduled::Child)),
            EventKind::EntityOperationCompleted(e) => Some((e.task_id, Scheduled::Call)),
            EventKind::EntityOperationFailed(e) => Some((e.task_id, Scheduled::Call)),
            EventKind::EntityLockGranted(e) => Some((e.task_id, Scheduled::Lock)),
            EventKind::TimerFired(e) => Some((e.timer_id, Scheduled::Timer(e.fire_at))),
            _ => None,
        };
        if let Some((id, kind)) = closed
            && open.remove(&id) != Some(kind)
        {
            return wrong("completes what is not open");
        }
        match event.kind() {
            EventKind::OrchestratorStarted(_) => {
                if in_turn || event.timestamp < turn_time {
                    return wrong("a turn begins inside another, or time goes back");
                }
                (in_turn, turn_time) = (true, event.timestamp);
            }
            EventKind::OrchestratorCompleted(_) if !std::mem::replace(&mut in_turn, false) => {
                return wrong("no turn to end");
            }
            EventKind::TimerFired(e) if event.timestamp < e.fire_at || turn_time < e.fire_at => {
                return wrong("fired early");
            }
            EventKind::Generic(_) if event.id >= 0 => {
                again.insert(event.id);
                last_id = last_id.max(event.id);
            }
            EventKind::ExecutionStarted(_) => started += 1,
            EventKind::EventRaised(e) if e.undelivered && !over => return wrong("undelivered, but not over"),
            EventKind::ExecutionCompleted(_) if index + 1 != history.len() => return wrong("not the last"),
            _ => {}
        }
    }
    if started != usize::from(!history.is_empty()) {
        return Err(format!("a history with {started} starts"));
    }
    let ends = history.last().is_some_and(|e| matches!(e.kind(), EventKind::ExecutionCompleted(_)));
    if over != ends || in_turn {
        return Err("the history's end is not that of its execution".to_owned());
    }
    Ok(())
}

fn begins(event: &HistoryEvent) -> bool {
    matches!(event.kind(), EventKind::OrchestratorStarted(_) | EventKind::ExecutionStarted(_))
}

/// Events that record actions, and what they leave open.
fn scheduled(event: &HistoryEvent) -> Option<Option<Scheduled>> {
    match event.kind() {
        EventKind::TaskScheduled(_) => Some(Some(Scheduled::Activity)),
        EventKind::TimerCreated(timer) => Some(Some(Scheduled::Timer(timer.fire_at))),
        EventKind::SubOrchestrationCreated(child) => {
            Some((!child.fire_and_forget).then_some(Scheduled::Child))
        }
        EventKind::EntityOperationCalled(_) => Some(Some(Scheduled::Call)),
        EventKind::EntityLockRequested(_) => Some(Some(Scheduled::Lock)),
        EventKind::EventSent(_) | EventKind::EntityOperationSignaled(_) | EventKind::EntityUnlockSent(_) => {
            Some(None)
        }
        _ => None,
    }
}
