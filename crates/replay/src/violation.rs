//! What ends an execution besides its own code.

use strandline_model::{Action, ActionKind, EventKind, FailureDetails, HistoryEvent};

/// Error type: code and history disagree.
pub const NON_DETERMINISM: &str = "NonDeterminismError";
/// Error type: the code waits for something that is not a durable task.
pub const NON_DURABLE_AWAIT: &str = "NonDurableAwaitError";
/// Error type: the code panicked.
pub const PANIC: &str = "panic";
/// Error type: more actions than one execution may take.
pub const TOO_MANY_ACTIONS: &str = "TooManyActionsError";
/// Error type: the custom status is longer than allowed.
pub const CUSTOM_STATUS_TOO_LONG: &str = "CustomStatusTooLongError";
/// Error type: what must not be done in a critical section, or on the way into one.
pub const CRITICAL_SECTION: &str = "CriticalSectionError";
/// Error type: the task was cancelled by the code that created it.
pub const TASK_CANCELED: &str = "TaskCanceledError";

const NOT_DURABLE: &str = "the orchestrator awaited something that is not a durable task";

pub(crate) fn stuck() -> FailureDetails {
    let message = format!(
        "{NOT_DURABLE}: its future is pending, but none of the tasks it got from the context is being \
         waited for, so no event could ever move it on. Do I/O, sleeping and waiting for threads in \
         activities; wait in orchestrators only with `ctx.timer`, `ctx.wait_for` and `ctx.call`"
    );
    FailureDetails::new(NON_DURABLE_AWAIT, message).non_retriable()
}

pub(crate) fn foreign_wake() -> FailureDetails {
    let message = format!(
        "{NOT_DURABLE}: something outside the orchestration (a runtime's timer, a thread, a socket) woke \
         it, which a replay cannot repeat. Use `ctx.timer` instead of a runtime's sleep, and activities \
         for everything that happens outside"
    );
    FailureDetails::new(NON_DURABLE_AWAIT, message).non_retriable()
}

pub(crate) fn restless(polls: u32) -> FailureDetails {
    let message = format!(
        "{NOT_DURABLE}: it asked to be polled again {polls} times in a row without doing anything, as a \
         loop that yields until something changes does"
    );
    FailureDetails::new(NON_DURABLE_AWAIT, message).non_retriable()
}

pub(crate) fn too_many_actions(limit: usize) -> FailureDetails {
    let message = format!(
        "the maximum of {limit} actions in one execution is reached: end it with `ctx.continue_as_new` \
         before that, or split the work over sub-orchestrations"
    );
    FailureDetails::new(TOO_MANY_ACTIONS, message).non_retriable()
}

pub(crate) fn custom_status_too_long(bytes: usize, limit: usize) -> FailureDetails {
    let message = format!("the custom status has {bytes} bytes: the limit is {limit}");
    FailureDetails::new(CUSTOM_STATUS_TOO_LONG, message).non_retriable()
}

pub(crate) fn panicked(payload: &(dyn std::any::Any + Send)) -> FailureDetails {
    FailureDetails::new(PANIC, panic_text(payload))
}

/// The text of a caught panic.
pub fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&'static str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic whose payload is not text".to_owned())
}

/// Where history and code part.
pub(crate) enum Mismatch<'a> {
    /// Both have an action under this id, not the same one.
    Different { recorded: &'a HistoryEvent, actual: &'a Action },
    /// The history has one, the code none.
    Missing { recorded: &'a HistoryEvent },
    /// The code has one, the history none.
    Surplus { actual: &'a Action },
    /// The history shows the execution over; the code goes on.
    EndMissing,
    /// The code is over; the history goes on.
    EndSurplus { sequence_id: i32 },
}

impl Mismatch<'_> {
    /// `index` is the position in the history, from 0, of the event at which it showed.
    pub(crate) fn into_failure(self, index: usize) -> FailureDetails {
        let (id, expected, actual, verdict) = match self {
            Self::Different { recorded, actual } => {
                (recorded.id, of_event(recorded), describe(actual), "the code now does something different")
            }
            Self::Missing { recorded } => (
                recorded.id,
                of_event(recorded),
                "nothing".to_owned(),
                "the code no longer does what is recorded (an action is missing)",
            ),
            Self::Surplus { actual } => (
                actual.id,
                "nothing".to_owned(),
                describe(actual),
                "the code now does more than is recorded (a surplus action)",
            ),
            Self::EndMissing => (
                -1,
                "the end of the orchestration".to_owned(),
                "an orchestrator that still waits".to_owned(),
                "the code no longer ends where the history does (the end is missing)",
            ),
            Self::EndSurplus { sequence_id } => (
                sequence_id,
                "further events".to_owned(),
                "the end of the orchestration".to_owned(),
                "the code now ends earlier than is recorded (a surplus end)",
            ),
        };
        let place = if id >= 0 { format!("sequence id {id}, ") } else { String::new() };
        let message = format!(
            "replay of the history failed, {verdict}: expected (recorded): {expected}; actual: {actual} \
             ({place}history index {index}). Was the code changed while instances were running? Give the \
             new code its own version with `.version()`, or let the running instances end first; see \
             also that the code decides nothing by clock, random numbers or hash order"
        );
        let mut failure = FailureDetails::new(NON_DETERMINISM, message).non_retriable();
        // Properties are JSON text; these words hold no character JSON escapes except in names.
        let properties = &mut failure.properties;
        properties.insert("expected".to_owned(), json_text(&expected));
        properties.insert("actual".to_owned(), json_text(&actual));
        properties.insert("historyIndex".to_owned(), index.to_string());
        properties.insert("sequenceId".to_owned(), id.to_string());
        failure
    }
}

fn json_text(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            c if u32::from(c) < 0x20 => json.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

fn of_event(event: &HistoryEvent) -> String {
    match event.kind() {
        EventKind::TaskScheduled(e) => named("activity", &e.name, e.version.as_deref()),
        EventKind::TimerCreated(_) => "timer".to_owned(),
        EventKind::SubOrchestrationCreated(e) => named("sub-orchestration", &e.name, e.version.as_deref()),
        EventKind::EventSent(e) => named("send of event", &e.name, None),
        EventKind::EntityOperationSignaled(e) => format!("signal '{}' to entity '{}'", e.operation, e.target),
        EventKind::EntityOperationCalled(e) => format!("call of '{}' of entity '{}'", e.operation, e.target),
        EventKind::EntityLockRequested(e) => format!("lock of {}", e.lock_set.join(", ")),
        EventKind::EntityUnlockSent(e) => format!("unlock of {}", e.target),
        other => other.name().to_owned(),
    }
}

/// An action in a few words.
pub fn describe(action: &Action) -> String {
    match &action.kind {
        ActionKind::ScheduleTask { name, version, .. } => named("activity", name, version.as_deref()),
        ActionKind::CreateTimer { .. } => "timer".to_owned(),
        ActionKind::CreateSubOrchestration { name, version, .. } => {
            named("sub-orchestration", name, version.as_deref())
        }
        ActionKind::SendEvent { name, .. } => named("send of event", name, None),
        ActionKind::SignalEntity { target, operation, .. } => {
            format!("signal '{operation}' to entity '{target}'")
        }
        ActionKind::CallEntity { target, operation, .. } => {
            format!("call of '{operation}' of entity '{target}'")
        }
        ActionKind::LockEntities { lock_set, .. } => format!("lock of {}", lock_set.join(", ")),
        ActionKind::UnlockEntity { target, .. } => format!("unlock of {target}"),
        ActionKind::Terminate { instance_id, .. } => format!("termination of {instance_id}"),
        ActionKind::Cancel { target } => format!("cancellation of task {target}"),
        ActionKind::Part { from } => format!("parting from the history at {from}"),
        ActionKind::Complete(_) => "the end of the orchestration".to_owned(),
    }
}

fn named(what: &str, name: &str, version: Option<&str>) -> String {
    match version {
        Some(version) if !version.is_empty() => format!("{what} '{name}' (version '{version}')"),
        _ => format!("{what} '{name}'"),
    }
}
