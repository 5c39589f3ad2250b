//! Histories as text: each event in and out.

use std::sync::Arc;
use std::time::Duration;

use strandline::testing::History;
use strandline::{EventKind, HistoryEvent, Registry};
use strandline_model::*;

use crate::support::mentions;

fn text(payload: &str) -> Option<String> {
    Some(payload.to_owned())
}

fn kinds() -> Vec<EventKind> {
    let at = Timestamp { seconds: 1_767_225_600 + 90_000, nanos: 5 };
    let failure = FailureDetails {
        stack_trace: text("at a\nat b"),
        properties: [("code".to_owned(), "\"7\"".to_owned())].into(),
        ..FailureDetails::new("E", "no \"way\"").caused_by(FailureDetails::new("F", "").non_retriable())
    };
    let parent = ParentInstance {
        instance_id: "p".into(),
        execution_id: vec![7; 16],
        name: "parent".into(),
        version: text("2"),
        task_id: 3,
        depth: 1,
        fire_and_forget: true,
    };
    let tags = [("tenant".to_owned(), "größe \u{1f600}".to_owned())];
    let (name, input) = ("n".to_owned(), text("{\"b\":1,\"a\":[ 2]}"));
    let (target, operation, request_id) = ("@c@k".to_owned(), "add".to_owned(), "r".to_owned());
    vec![
        EventKind::OrchestratorStarted(Empty {}),
        EventKind::ExecutionStarted(Box::new(ExecutionStarted {
            instance_id: "i".into(),
            execution_id: vec![0xab; 16],
            name: name.clone(),
            version: text("1"),
            input: input.clone(),
            parent: Some(parent),
            scheduled_start: Some(at),
            tags: tags.clone().into(),
            seed: u64::MAX,
            trace_parent: text("00-a"),
            trace_state: text("b=c"),
        })),
        EventKind::TaskScheduled(TaskScheduled {
            name: name.clone(),
            version: None,
            input: text(""),
            tags: tags.into(),
            timeout_nanos: Some(5),
            trace: None,
        }),
        EventKind::TaskCompleted(TaskCompleted { task_id: 0, result: text("null") }),
        EventKind::TaskCompleted(TaskCompleted { task_id: 1, result: None }),
        EventKind::TaskCompleted(TaskCompleted { task_id: 2, result: text("not JSON\nat all") }),
        EventKind::TaskCompleted(TaskCompleted { task_id: 2, result: text("\"result_text\"") }),
        EventKind::TaskCompleted(TaskCompleted { task_id: 2, result: text(" 1 ") }),
        EventKind::TaskFailed(TaskFailed { task_id: 0, failure: failure.clone() }),
        EventKind::SubOrchestrationCreated(SubOrchestrationCreated {
            instance_id: "c".into(),
            name: name.clone(),
            version: text("2"),
            input: input.clone(),
            fire_and_forget: true,
            ..Default::default()
        }),
        EventKind::SubOrchestrationCompleted(SubOrchestrationCompleted { task_id: 0, result: input.clone() }),
        EventKind::SubOrchestrationFailed(SubOrchestrationFailed { task_id: 0, failure: failure.clone() }),
        EventKind::TimerCreated(TimerCreated { fire_at: at }),
        EventKind::TimerFired(TimerFired { timer_id: 4, fire_at: Timestamp::EPOCH }),
        EventKind::EventSent(EventSent { instance_id: "x".into(), name: name.clone(), input: input.clone() }),
        EventKind::EventRaised(EventRaised { name, input: input.clone(), undelivered: true }),
        EventKind::Generic(Generic { data: text("x") }),
        EventKind::ContinueAsNew(ContinueAsNew { input: input.clone() }),
        EventKind::ExecutionSuspended(ExecutionSuspended { input: text("a reason") }),
        EventKind::ExecutionResumed(ExecutionResumed { input: None }),
        EventKind::ExecutionTerminated(ExecutionTerminated { input: text("1"), recurse: true }),
        EventKind::EntityOperationSignaled(EntityOperationSignaled {
            target: target.clone(),
            request_id: request_id.clone(),
            operation: operation.clone(),
            input: input.clone(),
            scheduled_time: Some(at),
        }),
        EventKind::EntityOperationCalled(EntityOperationCalled {
            target: target.clone(),
            request_id: request_id.clone(),
            operation,
            input: input.clone(),
            scheduled_time: None,
        }),
        EventKind::EntityOperationCompleted(EntityOperationCompleted {
            task_id: 0,
            request_id: request_id.clone(),
            output: input,
        }),
        EventKind::EntityOperationFailed(EntityOperationFailed {
            task_id: 0,
            request_id,
            failure: failure.clone(),
        }),
        EventKind::EntityLockRequested(EntityLockRequested {
            section_id: "s".into(),
            lock_set: vec![target.clone(), "@c@\"".into()],
        }),
        EventKind::EntityLockGranted(EntityLockGranted { task_id: 0, section_id: "s".into() }),
        EventKind::EntityUnlockSent(EntityUnlockSent { section_id: "s".into(), target }),
        EventKind::ExecutionRewound(ExecutionRewound { reason: text("again") }),
        EventKind::ExecutionCompleted(Box::new(ExecutionCompleted {
            status: RuntimeStatus::Failed as i32,
            result: text("\"r\""),
            failure: Some(failure),
            origin: Some(-1),
        })),
        EventKind::OrchestratorCompleted(Empty {}),
    ]
}

#[test]
fn every_event_comes_back_as_it_was() {
    let mut time = Timestamp { seconds: 1_767_225_600, nanos: 1 };
    let mut events = Vec::new();
    for (index, kind) in kinds().into_iter().enumerate() {
        events.push(Arc::new(HistoryEvent::of_action(index as i32 - 1, time, kind)));
        time = time.saturating_add(Duration::from_millis(61_001));
    }
    let history = History::from(events);
    let text = history.to_string();
    assert_eq!(text.lines().count(), kinds().len() + 1, "one line for each: {text}");
    let back: History = text.parse().unwrap();
    assert_eq!(back, history);
    assert_eq!(back.to_string(), text);
    // Every kind there is: what has a name must be in the list above.
    let mut names: Vec<_> = kinds().iter().map(EventKind::name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 27);
}

#[test]
fn texts_that_are_no_histories() {
    let wrong = |text: &str| text.parse::<History>().unwrap_err().to_string();
    mentions(&wrong(""), &["not a history of Strandline"]);
    let head = "Strandline history 1, begun 2026-01-01T00:00:00Z\n";
    let cases = [
        ("0:00 X", "'0:00' is not a time like +72:00:00"),
        ("+0:00:00", "a time and a name"),
        ("+0:00:00 Nothing {}", "'Nothing' is no history event"),
        ("+0:00:00 TimerFired #x {}", "'#x' is not a sequence id"),
        ("+0:00:00 TaskCompleted {\"result\": 1}", "'task_id' is missing"),
        ("+0:00:00 TaskCompleted {\"task_id\": true}", "'task_id' invalid type"),
        ("+0:00:00 TaskCompleted {\"task_id\": 1, \"x\": 1}", "'x' is unknown"),
        ("+0:00:00 TimerFired {\"timer_id\": 1, \"fire_at\": \"soon\"}", "'soon' is not a time"),
        ("+0:00:00 TaskCompleted {", "EOF"),
    ];
    for (line, problem) in cases {
        mentions(&wrong(&format!("{head}{line}")), &["line 2", problem]);
    }
    let error = History::read("/nowhere/at.all").unwrap_err();
    mentions(error.message(), &["/nowhere/at.all"]);
    let history: History = head.parse().unwrap();
    let worker = Registry::new().build().unwrap();
    mentions(history.replay(&worker).unwrap_err().message(), &["no ExecutionStarted"]);
}
