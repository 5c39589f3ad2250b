//! What each kind of event looks like, alone and with its result.

use strandline_model::{
    ContinueAsNew, Empty, EntityLockGranted, EntityLockRequested, EntityOperationCalled,
    EntityOperationCompleted, EntityOperationFailed, EntityOperationSignaled, EntityUnlockSent, EventRaised,
    EventSent, ExecutionResumed, ExecutionRewound, ExecutionStarted, ExecutionSuspended, ExecutionTerminated,
    Generic, ParentInstance, SubOrchestrationCompleted, SubOrchestrationCreated, SubOrchestrationFailed,
    TaskCompleted, TaskFailed, TaskScheduled, TimerCreated, TimerFired,
};

use super::*;

const ALL: Show = Show { input: true, output: true };
const NONE: Show = Show { input: false, output: false };

/// Kinds of events and the ids of their actions.
type Events = Vec<(i32, EventKind)>;

/// The tenth of a second at which the event with this number happens.
fn at(number: usize) -> Timestamp {
    Timestamp::from_millis(1_519_795_129_000 + 100 * number as i64)
}

fn shown(events: Events, show: Show) -> String {
    let event = |(number, (id, kind))| Arc::new(HistoryEvent::of_action(id, at(number), kind));
    let events: Vec<_> = events.into_iter().enumerate().map(event).collect();
    let mut joiner = Joiner::default();
    events.iter().for_each(|event| joiner.note(event));
    let mut list = Vec::new();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(joiner.lacks(event), None);
        joiner.show(number, event, show, &mut list);
    }
    assert_eq!(joiner.held_bytes, 0, "what has no result is not held");
    String::from_utf8(list).unwrap().replace("},{\"EventType", "}\n{\"EventType")
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn scheduled(id: i32, name: &str, input: &str) -> (i32, EventKind) {
    (
        id,
        EventKind::TaskScheduled(TaskScheduled {
            name: name.into(),
            input: text(input),
            ..Default::default()
        }),
    )
}

fn completed(task_id: i32, result: &str) -> (i32, EventKind) {
    (-1, EventKind::TaskCompleted(TaskCompleted { task_id, result: text(result) }))
}

fn failure() -> FailureDetails {
    FailureDetails::new("IOError", "no space")
        .caused_by(FailureDetails::new("DiskError", "full").non_retriable())
}

const FAILURE: &str = r#"{"ErrorType":"IOError","ErrorMessage":"no space","StackTrace":null,"InnerFailure":{"ErrorType":"DiskError","ErrorMessage":"full","StackTrace":null,"InnerFailure":null,"IsNonRetriable":true,"Properties":null},"IsNonRetriable":false,"Properties":null}"#;

fn failed(task_id: i32) -> (i32, EventKind) {
    (-1, EventKind::TaskFailed(TaskFailed { task_id, failure: failure() }))
}

fn started(input: Option<String>) -> (i32, EventKind) {
    let parent = ParentInstance { instance_id: "parent".into(), ..Default::default() };
    let start = ExecutionStarted {
        instance_id: "abc".into(),
        execution_id: vec![1; 16],
        name: "E1_HelloSequence".into(),
        version: text("1.0"),
        input,
        parent: Some(parent),
        tags: BTreeMap::from([("tenant".into(), "acme".into())]),
        trace_parent: text("00-1-2-01"),
        ..Default::default()
    };
    (-1, EventKind::ExecutionStarted(Box::new(start)))
}

fn over(status: RuntimeStatus, result: Option<&str>, failure: Option<FailureDetails>) -> (i32, EventKind) {
    let result = result.map(str::to_owned);
    let end = ExecutionCompleted { status: status as i32, result, failure, origin: None };
    (1, EventKind::ExecutionCompleted(Box::new(end)))
}

fn child(id: i32) -> (i32, EventKind) {
    let child = SubOrchestrationCreated {
        instance_id: "abc:0".into(),
        name: "Child".into(),
        input: text("7"),
        version: text("2"),
        ..Default::default()
    };
    (id, EventKind::SubOrchestrationCreated(child))
}

fn call(id: i32) -> (i32, EventKind) {
    let call = EntityOperationCalled {
        target: "@counter@a".into(),
        operation: "add".into(),
        input: text("5"),
        ..Default::default()
    };
    (id, EventKind::EntityOperationCalled(call))
}

fn turn() -> (i32, EventKind) {
    (-1, EventKind::OrchestratorStarted(Empty {}))
}

#[test]
fn each_event_looks_as_durable_functions_shows_it() {
    let fire_at = Timestamp { seconds: 1_519_795_200, nanos: 123_456_700 };
    let cases: Vec<(&str, Events, String)> = vec![
        (
            "turns are not shown",
            vec![turn(), (-1, EventKind::OrchestratorCompleted(Empty {}))],
            String::new(),
        ),
        (
            "a start: nothing of parent, version, tags",
            vec![started(text("\"Tokyo\""))],
            r#"{"EventType":"ExecutionStarted","FunctionName":"E1_HelloSequence","Input":"Tokyo","Timestamp":"2018-02-28T05:18:49Z"}"#.into(),
        ),
        (
            "an activity",
            vec![turn(), scheduled(0, "E1_SayHello", "\"Tokyo\""), completed(0, "\"Hello Tokyo!\"")],
            r#"{"EventType":"TaskCompleted","FunctionName":"E1_SayHello","Input":"Tokyo","Result":"Hello Tokyo!","ScheduledTime":"2018-02-28T05:18:49.1Z","Timestamp":"2018-02-28T05:18:49.2Z"}"#.into(),
        ),
        (
            "an activity that has no result yet",
            vec![scheduled(0, "E1_SayHello", "{\"city\": \"Tokyo\"}")],
            r#"{"EventType":"TaskScheduled","Input":{"city": "Tokyo"},"Name":"E1_SayHello","Timestamp":"2018-02-28T05:18:49Z"}"#.into(),
        ),
        (
            "an activity that failed",
            vec![scheduled(0, "Copy", "1"), failed(0)],
            r#"{"EventType":"TaskFailed","Details":"IOError: no space; caused by DiskError: full","FailureDetails":FAILURE,"FunctionName":"Copy","Input":1,"Reason":"no space","ScheduledTime":"2018-02-28T05:18:49Z","Timestamp":"2018-02-28T05:18:49.1Z"}"#.into(),
        ),
        (
            "an activity that failed, and was done again after a while",
            vec![
                scheduled(0, "Copy", "1"),
                failed(0),
                (1, EventKind::TimerCreated(TimerCreated { fire_at })),
                (-1, EventKind::TimerFired(TimerFired { timer_id: 1, fire_at })),
                scheduled(2, "Copy", "1"),
                completed(2, "null"),
            ],
            r#"{"EventType":"TaskFailed","Details":"IOError: no space; caused by DiskError: full","FailureDetails":FAILURE,"FunctionName":"Copy","Input":1,"Reason":"no space","ScheduledTime":"2018-02-28T05:18:49Z","Timestamp":"2018-02-28T05:18:49.1Z"}
{"EventType":"TimerCreated","FireAt":"2018-02-28T05:20:00.1234567Z","Timestamp":"2018-02-28T05:18:49.2Z"}
{"EventType":"TimerFired","FireAt":"2018-02-28T05:20:00.1234567Z","Timestamp":"2018-02-28T05:18:49.3Z"}
{"EventType":"TaskCompleted","FunctionName":"Copy","Input":1,"Result":null,"ScheduledTime":"2018-02-28T05:18:49.4Z","Timestamp":"2018-02-28T05:18:49.5Z"}"#.into(),
        ),
        (
            "results in another order than what was scheduled",
            vec![scheduled(0, "A", "0"), scheduled(1, "B", "1"), completed(1, "11"), completed(0, "10")],
            r#"{"EventType":"TaskCompleted","FunctionName":"B","Input":1,"Result":11,"ScheduledTime":"2018-02-28T05:18:49.1Z","Timestamp":"2018-02-28T05:18:49.2Z"}
{"EventType":"TaskCompleted","FunctionName":"A","Input":0,"Result":10,"ScheduledTime":"2018-02-28T05:18:49Z","Timestamp":"2018-02-28T05:18:49.3Z"}"#.into(),
        ),
        (
            "a result of what is not in the history",
            vec![completed(7, "1")],
            r#"{"EventType":"TaskCompleted","Result":1,"Timestamp":"2018-02-28T05:18:49Z"}"#.into(),
        ),
        (
            "events: in, with text that is no JSON; out",
            vec![
                (-1, EventKind::EventRaised(EventRaised { name: "Go".into(), input: text("true"), undelivered: false })),
                (-1, EventKind::EventRaised(EventRaised { name: "Go".into(), input: text("yes!"), undelivered: true })),
                (3, EventKind::EventSent(EventSent { instance_id: "other".into(), name: "Go".into(), input: None })),
            ],
            r#"{"EventType":"EventRaised","Input":true,"Name":"Go","Timestamp":"2018-02-28T05:18:49Z"}
{"EventType":"EventRaised","Input":"yes!","Name":"Go","Timestamp":"2018-02-28T05:18:49.1Z"}
{"EventType":"EventSent","Input":null,"InstanceId":"other","Name":"Go","Timestamp":"2018-02-28T05:18:49.2Z"}"#.into(),
        ),
        (
            "sub-orchestrations: done, failed, still running",
            vec![
                child(0),
                (-1, EventKind::SubOrchestrationCompleted(SubOrchestrationCompleted { task_id: 0, result: text("8") })),
                child(1),
                (-1, EventKind::SubOrchestrationFailed(SubOrchestrationFailed { task_id: 1, failure: failure() })),
                child(2),
            ],
            r#"{"EventType":"SubOrchestrationInstanceCompleted","FunctionName":"Child","Input":7,"Result":8,"ScheduledTime":"2018-02-28T05:18:49Z","Timestamp":"2018-02-28T05:18:49.1Z"}
{"EventType":"SubOrchestrationInstanceFailed","Details":"IOError: no space; caused by DiskError: full","FailureDetails":FAILURE,"FunctionName":"Child","Input":7,"Reason":"no space","ScheduledTime":"2018-02-28T05:18:49.2Z","Timestamp":"2018-02-28T05:18:49.3Z"}
{"EventType":"SubOrchestrationInstanceCreated","Input":7,"InstanceId":"abc:0","Name":"Child","Timestamp":"2018-02-28T05:18:49.4Z"}"#.into(),
        ),
        (
            "what people do to it",
            vec![
                (-1, EventKind::ExecutionSuspended(ExecutionSuspended { input: text("lunch") })),
                (-1, EventKind::ExecutionResumed(ExecutionResumed { input: None })),
                (-1, EventKind::ExecutionRewound(ExecutionRewound { reason: text("fixed") })),
                (-1, EventKind::ExecutionTerminated(ExecutionTerminated { input: text("\"enough\""), recurse: true })),
                over(RuntimeStatus::Terminated, Some("\"enough\""), None),
            ],
            r#"{"EventType":"ExecutionSuspended","Reason":"lunch","Timestamp":"2018-02-28T05:18:49Z"}
{"EventType":"ExecutionResumed","Reason":null,"Timestamp":"2018-02-28T05:18:49.1Z"}
{"EventType":"ExecutionRewound","Reason":"fixed","Timestamp":"2018-02-28T05:18:49.2Z"}
{"EventType":"ExecutionTerminated","Input":"enough","Timestamp":"2018-02-28T05:18:49.3Z"}
{"EventType":"ExecutionCompleted","FailureDetails":null,"OrchestrationStatus":"Terminated","Result":"enough","Timestamp":"2018-02-28T05:18:49.4Z"}"#.into(),
        ),
        (
            "an end",
            vec![over(RuntimeStatus::Completed, Some(r#"["Hello Tokyo!"]"#), None)],
            r#"{"EventType":"ExecutionCompleted","FailureDetails":null,"OrchestrationStatus":"Completed","Result":["Hello Tokyo!"],"Timestamp":"2018-02-28T05:18:49Z"}"#.into(),
        ),
        (
            "a failure",
            vec![over(RuntimeStatus::Failed, None, Some(failure()))],
            r#"{"EventType":"ExecutionCompleted","FailureDetails":FAILURE,"OrchestrationStatus":"Failed","Result":"no space","Timestamp":"2018-02-28T05:18:49Z"}"#.into(),
        ),
        (
            "the rest of the protocol",
            vec![
                (-1, EventKind::Generic(Generic { data: text("old") })),
                (4, EventKind::ContinueAsNew(ContinueAsNew { input: text("5") })),
            ],
            r#"{"EventType":"GenericEvent","Data":"old","Timestamp":"2018-02-28T05:18:49Z"}
{"EventType":"ContinueAsNew","Result":5,"Timestamp":"2018-02-28T05:18:49.1Z"}"#.into(),
        ),
        (
            "entities: a signal for later, calls, a critical section",
            vec![
                (0, EventKind::EntityOperationSignaled(EntityOperationSignaled {
                    target: "@counter@a".into(),
                    operation: "reset".into(),
                    scheduled_time: Some(fire_at),
                    ..Default::default()
                })),
                (1, EventKind::EntityLockRequested(EntityLockRequested {
                    section_id: "s".into(),
                    lock_set: vec!["@counter@a".into()],
                })),
                (-1, EventKind::EntityLockGranted(EntityLockGranted { task_id: 1, section_id: "s".into() })),
                call(2),
                (-1, EventKind::EntityOperationCompleted(EntityOperationCompleted {
                    task_id: 2,
                    output: text("6"),
                    ..Default::default()
                })),
                call(3),
                (-1, EventKind::EntityOperationFailed(EntityOperationFailed {
                    task_id: 3,
                    failure: failure(),
                    ..Default::default()
                })),
                (4, EventKind::EntityUnlockSent(EntityUnlockSent { section_id: "s".into(), target: "@counter@a".into() })),
                call(5),
            ],
            r#"{"EventType":"EntityOperationSignaled","Input":null,"InstanceId":"@counter@a","Operation":"reset","ScheduledTime":"2018-02-28T05:20:00.1234567Z","Timestamp":"2018-02-28T05:18:49Z"}
{"EventType":"EntityLockGranted","LockSet":["@counter@a"],"ScheduledTime":"2018-02-28T05:18:49.1Z","Timestamp":"2018-02-28T05:18:49.2Z"}
{"EventType":"EntityOperationCompleted","Input":5,"InstanceId":"@counter@a","Operation":"add","Result":6,"ScheduledTime":"2018-02-28T05:18:49.3Z","Timestamp":"2018-02-28T05:18:49.4Z"}
{"EventType":"EntityOperationFailed","Details":"IOError: no space; caused by DiskError: full","FailureDetails":FAILURE,"Input":5,"InstanceId":"@counter@a","Operation":"add","Reason":"no space","ScheduledTime":"2018-02-28T05:18:49.5Z","Timestamp":"2018-02-28T05:18:49.6Z"}
{"EventType":"EntityUnlockSent","InstanceId":"@counter@a","Timestamp":"2018-02-28T05:18:49.7Z"}
{"EventType":"EntityOperationCalled","Input":5,"InstanceId":"@counter@a","Operation":"add","Timestamp":"2018-02-28T05:18:49.8Z"}"#.into(),
        ),
    ];
    for (what, events, expected) in cases {
        assert_eq!(shown(events, ALL), expected.replace("FAILURE", FAILURE), "{what}");
    }
}

#[test]
fn without_payloads_the_rest_stays() {
    let events = vec![
        started(text("1")),
        scheduled(0, "A", "1"),
        completed(0, "2"),
        scheduled(1, "B", "1"),
        (
            -1,
            EventKind::EventRaised(EventRaised {
                name: "Go".into(),
                input: text("true"),
                undelivered: false,
            }),
        ),
        (-1, EventKind::ExecutionTerminated(ExecutionTerminated { input: text("enough"), recurse: false })),
        over(RuntimeStatus::Terminated, Some("enough"), None),
    ];
    let expected = r#"{"EventType":"ExecutionStarted","FunctionName":"E1_HelloSequence","Timestamp":"2018-02-28T05:18:49Z"}
{"EventType":"TaskCompleted","FunctionName":"A","ScheduledTime":"2018-02-28T05:18:49.1Z","Timestamp":"2018-02-28T05:18:49.2Z"}
{"EventType":"TaskScheduled","Name":"B","Timestamp":"2018-02-28T05:18:49.3Z"}
{"EventType":"EventRaised","Name":"Go","Timestamp":"2018-02-28T05:18:49.4Z"}
{"EventType":"ExecutionTerminated","Timestamp":"2018-02-28T05:18:49.5Z"}
{"EventType":"ExecutionCompleted","FailureDetails":null,"OrchestrationStatus":"Terminated","Timestamp":"2018-02-28T05:18:49.6Z"}"#;
    assert_eq!(shown(events, NONE), expected);
}

#[test]
fn failures_keep_their_details() {
    let failure = FailureDetails {
        stack_trace: text("at main"),
        properties: BTreeMap::from([("code".into(), "7".into()), ("text".into(), "\"x\"".into())]),
        ..FailureDetails::new("E", "m")
    };
    let failed = (-1, EventKind::TaskFailed(TaskFailed { task_id: 0, failure }));
    assert_eq!(
        shown(vec![failed], NONE),
        r#"{"EventType":"TaskFailed","Details":"E: m","FailureDetails":{"ErrorType":"E","ErrorMessage":"m","StackTrace":"at main","InnerFailure":null,"IsNonRetriable":false,"Properties":{"code":7,"text":"x"}},"Reason":"m","Timestamp":"2018-02-28T05:18:49Z"}"#
    );
}

#[test]
fn a_wide_fan_out_is_not_held_in_memory() {
    let large = format!("\"{}\"", "x".repeat(HELD_BYTES_MAX / 2));
    let event = |id, kind| Arc::new(HistoryEvent::of_action(id, at(0), kind));
    let task = |id| event(id, scheduled(id, "A", &large).1);
    let done = |id| event(-1, completed(id, "1").1);
    let events = [task(0), task(1), task(2), done(2), done(0), done(1)];
    let mut joiner = Joiner::default();
    events.iter().for_each(|event| joiner.note(event));
    let mut list = Vec::new();
    let mut read_again = Vec::new();
    for (number, event) in events.iter().enumerate() {
        if let Some(lacking) = joiner.lacks(event) {
            read_again.push(lacking);
            joiner.provide(events[lacking].clone());
        }
        joiner.show(number, event, Show { input: false, output: true }, &mut list);
    }
    assert_eq!(read_again, [2, 1], "one fits; the others are asked for");
    assert_eq!(joiner.held_bytes, 0);
    assert_eq!(String::from_utf8(list).unwrap().matches(r#""FunctionName":"A""#).count(), 3);
}
