//! Anything the model can hold.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use strandline_model::*;

/// Also empty, with quotes, and beyond ASCII.
pub(crate) fn text() -> impl Strategy<Value = String> + Clone {
    prop_oneof![Just(String::new()), Just("null".to_owned()), "[a-z\"ü😀 \\\\]{0,8}"]
}

/// Absent and empty are different.
pub(crate) fn payload() -> impl Strategy<Value = Option<String>> + Clone {
    option::of(text())
}

pub(crate) fn tags() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(text(), text(), 0..3)
}

/// Years 1 to 9999.
pub(crate) fn time() -> impl Strategy<Value = Timestamp> {
    (-62_135_596_800..=253_402_300_799_i64, 0..1_000_000_000_u32)
        .prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

pub(crate) fn trace() -> impl Strategy<Value = Option<Box<TraceContext>>> {
    option::of((text(), payload()).prop_map(|(parent, state)| Box::new(TraceContext { parent, state })))
}

pub(crate) fn execution_bytes() -> impl Strategy<Value = Vec<u8>> {
    any::<u128>().prop_map(|id| id.to_be_bytes().to_vec())
}

pub(crate) fn entity() -> impl Strategy<Value = String> {
    ("[a-z]{1,5}", "[A-Z@/]{0,5}").prop_map(|(name, key)| format!("@{name}@{key}"))
}

pub(crate) fn failure() -> impl Strategy<Value = FailureDetails> {
    let json = prop_oneof![
        text(),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| n.to_string()),
        Just("{\"b\":[1,{\"c\":null}],\"a\":1.50}".to_owned()),
        Just(format!("{}{}", "[".repeat(30), "]".repeat(30))),
    ];
    let link = (text(), text(), payload(), any::<bool>(), btree_map(text(), json, 0..3));
    vec(link, 1..5)
        .prop_map(|links| {
            links.into_iter().rev().fold(
                None,
                |inner, (error_type, message, stack_trace, is_non_retriable, properties)| {
                    let inner_failure = inner.map(Box::new);
                    Some(FailureDetails {
                        error_type,
                        message,
                        stack_trace,
                        inner_failure,
                        is_non_retriable,
                        properties,
                    })
                },
            )
        })
        .prop_map(Option::unwrap_or_default)
}

prop_compose! {
    fn parent()(
        (instance_id, name) in (text(), text()),
        execution_id in execution_bytes(),
        version in payload(),
        (task_id, depth, fire_and_forget) in any::<(i32, u32, bool)>(),
    ) -> ParentInstance {
        ParentInstance { instance_id, execution_id, name, version, task_id, depth, fire_and_forget }
    }
}

prop_compose! {
    fn started()(
        (instance_id, name) in (text(), text()),
        execution_id in execution_bytes(),
        (version, input) in (payload(), payload()),
        parent in option::of(parent()),
        scheduled_start in option::of(time()),
        (tags, seed) in (tags(), any::<u64>()),
        trace in trace(),
    ) -> ExecutionStarted {
        let trace_parent = trace.as_ref().map(|trace| trace.parent.clone());
        let trace_state = trace.and_then(|trace| trace.state);
        ExecutionStarted {
            instance_id, execution_id, name, version, input, parent, scheduled_start, tags, seed,
            trace_parent, trace_state,
        }
    }
}

/// Events of tasks, timers and the execution itself.
fn own_kind() -> impl Strategy<Value = EventKind> {
    prop_oneof![
        started().prop_map(|event| EventKind::ExecutionStarted(Box::new(event))),
        (0..8, payload(), option::of(failure()), any::<Option<i32>>()).prop_map(
            |(status, result, failure, origin)| {
                let event = ExecutionCompleted { status, result, failure, origin };
                EventKind::ExecutionCompleted(Box::new(event))
            }
        ),
        (payload(), any::<bool>()).prop_map(|(input, recurse)| {
            EventKind::ExecutionTerminated(ExecutionTerminated { input, recurse })
        }),
        (text(), payload(), payload(), tags(), any::<Option<u64>>(), trace()).prop_map(
            |(name, version, input, tags, timeout_nanos, trace)| {
                EventKind::TaskScheduled(TaskScheduled { name, version, input, tags, timeout_nanos, trace })
            }
        ),
        (any::<i32>(), payload())
            .prop_map(|(task_id, result)| EventKind::TaskCompleted(TaskCompleted { task_id, result })),
        (any::<i32>(), failure())
            .prop_map(|(task_id, failure)| EventKind::TaskFailed(TaskFailed { task_id, failure })),
        (text(), text(), payload(), payload(), tags(), any::<bool>(), trace()).prop_map(
            |(instance_id, name, version, input, tags, fire_and_forget, trace)| {
                EventKind::SubOrchestrationCreated(SubOrchestrationCreated {
                    instance_id,
                    name,
                    version,
                    input,
                    tags,
                    fire_and_forget,
                    trace,
                })
            }
        ),
        (any::<i32>(), payload()).prop_map(|(task_id, result)| {
            EventKind::SubOrchestrationCompleted(SubOrchestrationCompleted { task_id, result })
        }),
        (any::<i32>(), failure()).prop_map(|(task_id, failure)| {
            EventKind::SubOrchestrationFailed(SubOrchestrationFailed { task_id, failure })
        }),
        time().prop_map(|fire_at| EventKind::TimerCreated(TimerCreated { fire_at })),
        (any::<i32>(), time())
            .prop_map(|(timer_id, fire_at)| EventKind::TimerFired(TimerFired { timer_id, fire_at })),
        Just(EventKind::OrchestratorStarted(Empty {})),
        Just(EventKind::OrchestratorCompleted(Empty {})),
        payload().prop_map(|data| EventKind::Generic(Generic { data })),
        payload().prop_map(|input| EventKind::ContinueAsNew(ContinueAsNew { input })),
        payload().prop_map(|input| EventKind::ExecutionSuspended(ExecutionSuspended { input })),
        payload().prop_map(|input| EventKind::ExecutionResumed(ExecutionResumed { input })),
        payload().prop_map(|reason| EventKind::ExecutionRewound(ExecutionRewound { reason })),
    ]
}

fn raised() -> impl Strategy<Value = EventKind> {
    (text(), payload(), any::<bool>()).prop_map(|(name, input, undelivered)| {
        EventKind::EventRaised(EventRaised { name, input, undelivered })
    })
}

/// Events of messages and entities.
fn foreign_kind() -> impl Strategy<Value = EventKind> {
    prop_oneof![
        (text(), text(), payload()).prop_map(|(instance_id, name, input)| {
            EventKind::EventSent(EventSent { instance_id, name, input })
        }),
        raised(),
        (entity(), text(), text(), payload(), option::of(time())).prop_map(
            |(target, request_id, operation, input, scheduled_time)| {
                EventKind::EntityOperationSignaled(EntityOperationSignaled {
                    target,
                    request_id,
                    operation,
                    input,
                    scheduled_time,
                })
            }
        ),
        (entity(), text(), text(), payload(), option::of(time())).prop_map(
            |(target, request_id, operation, input, scheduled_time)| {
                EventKind::EntityOperationCalled(EntityOperationCalled {
                    target,
                    request_id,
                    operation,
                    input,
                    scheduled_time,
                })
            }
        ),
        (any::<i32>(), text(), payload()).prop_map(|(task_id, request_id, output)| {
            EventKind::EntityOperationCompleted(EntityOperationCompleted { task_id, request_id, output })
        }),
        (any::<i32>(), text(), failure()).prop_map(|(task_id, request_id, failure)| {
            EventKind::EntityOperationFailed(EntityOperationFailed { task_id, request_id, failure })
        }),
        (text(), vec(entity(), 0..4)).prop_map(|(section_id, lock_set)| {
            EventKind::EntityLockRequested(EntityLockRequested { section_id, lock_set })
        }),
        (any::<i32>(), text()).prop_map(|(task_id, section_id)| {
            EventKind::EntityLockGranted(EntityLockGranted { task_id, section_id })
        }),
        (text(), entity()).prop_map(|(section_id, target)| {
            EventKind::EntityUnlockSent(EntityUnlockSent { section_id, target })
        }),
    ]
}

fn event_of(kind: impl Strategy<Value = EventKind>) -> impl Strategy<Value = HistoryEvent> {
    (any::<i32>(), time(), kind).prop_map(|(id, time, kind)| HistoryEvent::of_action(id, time, kind))
}

pub(crate) fn event() -> impl Strategy<Value = HistoryEvent> {
    event_of(prop_oneof![2 => own_kind(), 1 => foreign_kind()])
}

fn completion() -> impl Strategy<Value = Completion> {
    let origin =
        prop_oneof![Just(Origin::Unknown), Just(Origin::Code), (0..i32::MAX).prop_map(Origin::Task),];
    prop_oneof![
        payload().prop_map(|result| Completion::Completed { result }),
        (failure(), origin).prop_map(|(failure, origin)| Completion::Failed { failure, origin }),
        (payload(), payload(), vec(event_of(raised()), 0..3)).prop_map(|(input, version, carryover)| {
            Completion::ContinuedAsNew { input, version, carryover }
        }),
    ]
}

/// No entity, and not empty.
fn orchestration() -> impl Strategy<Value = String> {
    "[a-zü:]{1,8}"
}

fn action_kind() -> impl Strategy<Value = ActionKind> {
    let timeout = option::of(any::<u64>().prop_map(Duration::from_nanos));
    let task = (text(), payload(), payload(), tags(), timeout, trace());
    let child = (orchestration(), text(), payload(), payload(), tags(), any::<bool>(), trace());
    let lock_set = btree_set(entity(), 0..4).prop_map(|entities| entities.into_iter().collect());
    prop_oneof![
        task.prop_map(|(name, version, input, tags, timeout, trace)| {
            ActionKind::ScheduleTask { name, version, input, tags, timeout, trace }
        }),
        time().prop_map(|fire_at| ActionKind::CreateTimer { fire_at }),
        child.prop_map(|(instance_id, name, version, input, tags, fire_and_forget, trace)| {
            ActionKind::CreateSubOrchestration {
                instance_id,
                name,
                version,
                input,
                tags,
                fire_and_forget,
                trace,
            }
        }),
        (orchestration(), text(), payload()).prop_map(|(instance_id, name, input)| ActionKind::SendEvent {
            instance_id,
            name,
            input
        }),
        (entity(), text(), text(), payload(), option::of(time())).prop_map(
            |(target, request_id, operation, input, scheduled_time)| {
                ActionKind::SignalEntity { target, request_id, operation, input, scheduled_time }
            }
        ),
        (entity(), text(), text(), payload(), option::of(time())).prop_map(
            |(target, request_id, operation, input, scheduled_time)| {
                ActionKind::CallEntity { target, request_id, operation, input, scheduled_time }
            }
        ),
        (text(), lock_set)
            .prop_map(|(section_id, lock_set)| ActionKind::LockEntities { section_id, lock_set }),
        (text(), entity()).prop_map(|(section_id, target)| ActionKind::UnlockEntity { section_id, target }),
        (text(), payload(), any::<bool>()).prop_map(|(instance_id, reason, recursive)| {
            ActionKind::Terminate { instance_id, reason, recursive }
        }),
        any::<i32>().prop_map(|target| ActionKind::Cancel { target }),
        any::<i32>().prop_map(|from| ActionKind::Part { from }),
        completion().prop_map(ActionKind::Complete),
    ]
}

pub(crate) fn action() -> impl Strategy<Value = Action> {
    (any::<i32>(), action_kind()).prop_map(|(id, kind)| Action { id, kind })
}

prop_compose! {
    fn caller()(
        instance_id in text(),
        execution_id in execution_bytes(),
        task_id in any::<i32>(),
        section_id in payload(),
    ) -> EntityCaller {
        EntityCaller { instance_id, execution_id, task_id, section_id }
    }
}

prop_compose! {
    pub(crate) fn operation()(
        (request_id, name, input) in (text(), text(), payload()),
        caller in option::of(caller()),
        scheduled_time in option::of(time()),
        trace in trace(),
    ) -> EntityOperation {
        EntityOperation { request_id, name, input, caller, scheduled_time, trace }
    }
}

fn entity_action() -> impl Strategy<Value = EntityAction> {
    prop_oneof![
        (entity(), text(), payload(), option::of(time()), trace()).prop_map(
            |(target, operation, input, scheduled_time, trace)| {
                EntityAction::Signal { target, operation, input, scheduled_time, trace }
            }
        ),
        (text(), text(), payload(), payload(), option::of(time()), trace()).prop_map(
            |(instance_id, name, version, input, scheduled_start, trace)| {
                EntityAction::Start { instance_id, name, version, input, scheduled_start, trace }
            }
        ),
    ]
}

prop_compose! {
    pub(crate) fn outcome()(
        results in vec(prop_oneof![payload().prop_map(Ok), failure().prop_map(Err)], 0..4),
        state in prop_oneof![Just(NewState::Unchanged), payload().prop_map(NewState::Set)],
        actions in vec(entity_action(), 0..4),
    ) -> EntityOutcome {
        EntityOutcome { results, state, actions }
    }
}
