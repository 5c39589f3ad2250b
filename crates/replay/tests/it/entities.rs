//! Entities and critical sections, from the orchestrator's side.

use std::time::Duration;

use futures::future::{Either, join, select};
use strandline_model::*;
use strandline_replay::*;

use crate::driver::*;

/// A critical section as the SDK has it: left when it is dropped.
pub(crate) struct Section {
    ctx: ContextHandle,
    id: String,
}

impl Drop for Section {
    fn drop(&mut self) {
        self.ctx.unlock_entities(&self.id);
    }
}

pub(crate) async fn lock(ctx: &ContextHandle, targets: &[&str]) -> Result<Section, TaskError> {
    let targets = targets.iter().map(|target| (*target).to_owned()).collect();
    let (id, task) = ctx.lock_entities(targets).map_err(broken)?;
    task.await?;
    Ok(Section { ctx: ctx.clone(), id })
}

fn try_call(ctx: &ContextHandle, target: &str) -> Result<TaskHandle, TaskError> {
    ctx.call_entity(target.into(), "get".into(), None).map_err(broken)
}

async fn call(ctx: &ContextHandle, target: &str) -> TaskResult {
    try_call(ctx, target)?.await
}

fn signal(ctx: &ContextHandle, target: &str) -> Result<(), TaskError> {
    ctx.signal_entity(target.into(), "add".into(), Some("1".into()), None).map_err(broken)
}

fn child(name: &str) -> SubOrchestrationCall {
    SubOrchestrationCall { name: name.into(), ..Default::default() }
}

fn unlocked(outcome: &Outcome) -> Vec<&str> {
    let target = |action| match action {
        &Action { kind: ActionKind::UnlockEntity { ref target, .. }, .. } => Some(target.as_str()),
        _ => None,
    };
    outcome.actions.iter().filter_map(target).collect()
}

#[track_caller]
fn refused(result: Result<impl Sized, impl Into<Refusal>>, text: &str) {
    let failure = result.err().expect("refused").into().0;
    assert_eq!((failure.error_type.as_str(), failure.message.as_str()), (CRITICAL_SECTION, text));
    assert!(failure.is_non_retriable);
}

struct Refusal(FailureDetails);

impl From<TaskError> for Refusal {
    fn from(error: TaskError) -> Self {
        assert_eq!(error.task_id, None, "no action was taken");
        Self(error.failure)
    }
}

impl From<FailureDetails> for Refusal {
    fn from(failure: FailureDetails) -> Self {
        Self(failure)
    }
}

const NESTED: &str = "Must not enter another critical section from within a critical section.";
const NOT_LOCKED: &str =
    "Must not call an entity from a critical section if it is not one of the locked entities.";
const STILL_PENDING: &str =
    "Must not call an entity from a critical section while a prior call to the same entity is still pending.";
const LOCKED: &str = "Must not signal a locked entity from a critical section.";
const NOT_YET: &str = "Must await the completion of the lock request prior to calling any entity.";
const NO_CHILDREN: &str = "While holding locks, cannot call suborchestrators.";

#[test]
fn operations_are_actions_with_ids_of_their_own() {
    let code = |operations: bool| {
        program(move |ctx: ContextHandle| async move {
            let mut read = String::new();
            if operations {
                let due = Timestamp { seconds: 9, nanos: 0 };
                ctx.signal_entity("@c@k".into(), "add".into(), Some("1".into()), Some(due))
                    .map_err(broken)?;
                read = text(call(&ctx, "@c@k").await);
            }
            Ok(format!("{read}{:x}", ctx.new_guid()))
        })
    };
    let mut hub = Hub::new(code(true));
    let outcome = hub.start();
    let ActionKind::SignalEntity { target, request_id, operation, input, scheduled_time } =
        outcome.actions[0].kind.clone()
    else {
        panic!("{outcome:?}")
    };
    assert_eq!((target.as_str(), operation.as_str(), input.as_deref()), ("@c@k", "add", Some("1")));
    assert_eq!(scheduled_time, Some(Timestamp { seconds: 9, nanos: 0 }));
    let ActionKind::CallEntity { request_id: called, .. } = &outcome.actions[1].kind else {
        panic!("{outcome:?}")
    };
    assert_ne!(&request_id, called);
    assert_eq!((request_id.len(), called.len()), (36, 36));
    hub.complete(1, "42");
    let guid = Hub::started(code(false)).result().to_owned();
    assert_eq!(hub.result(), format!("42{guid}"), "the code's GUIDs are not touched");
}

#[test]
fn a_failed_operation_is_the_error_of_its_task() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        signal(&ctx, "@c@k")?;
        call(&ctx, "@c@k").await.map(|_| String::new())
    }));
    // Another kind of event does not end the call.
    hub.turn(vec![EventKind::TaskCompleted(TaskCompleted { task_id: 1, result: None })]);
    hub.fail(1, "sold out");
    let Some(Completion::Failed { failure, origin }) = &hub.ended else { panic!("{:?}", hub.ended) };
    assert_eq!((failure.message.as_str(), *origin), ("sold out", Origin::Task(1)));
}

#[test]
fn outside_of_sections_anything_goes() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let both = join(call(&ctx, "@c@k"), call(&ctx, "@c@k"));
        let (a, b) = both.await;
        Ok(text(a) + &text(b))
    }));
    hub.complete(1, "b");
    hub.complete(0, "a");
    assert_eq!(hub.result(), "ab");
}

#[test]
fn a_section_from_request_to_release() {
    let mut hub = Hub::new(program(|ctx: ContextHandle| async move {
        assert_eq!(ctx.critical_section(), None);
        let section = lock(&ctx, &["@c@b", "@c@a", "@c@b"]).await?;
        assert_eq!(ctx.critical_section().unwrap(), ["@c@a", "@c@b"]);
        signal(&ctx, "@c@other")?;
        let read = text(call(&ctx, "@c@b").await) + &text(call(&ctx, "@c@b").await);
        drop(section);
        assert_eq!(ctx.critical_section(), None);
        // All of it is over: nothing is refused any more.
        signal(&ctx, "@c@a")?;
        let again = lock(&ctx, &["@c@a"]).await?;
        ctx.unlock_entities(&again.id);
        Ok(read)
    }));
    let outcome = hub.start();
    let ActionKind::LockEntities { section_id, lock_set } = outcome.actions[0].kind.clone() else {
        panic!("{outcome:?}")
    };
    assert_eq!(lock_set, ["@c@a", "@c@b"]);
    assert_eq!(section_id.len(), 36);
    hub.complete(0, "");
    hub.complete(2, "1");
    let outcome = hub.complete(3, "2");
    assert_eq!(unlocked(&outcome), ["@c@a", "@c@b"]);
    let ActionKind::UnlockEntity { section_id: left, .. } = &outcome.actions[0].kind else {
        panic!("{outcome:?}")
    };
    assert_eq!(*left, section_id);
    let outcome = hub.complete(7, "");
    assert_eq!(unlocked(&outcome), ["@c@a"], "once, however often it is asked for");
    assert_eq!(hub.result(), "12");
}

#[test]
fn what_is_refused_before_the_locks_are_there() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let (id, task) = ctx.lock_entities(vec!["@c@a".into()]).map_err(broken)?;
        refused(try_call(&ctx, "@c@a"), NOT_YET);
        refused(try_call(&ctx, "@c@b"), NOT_YET);
        refused(signal(&ctx, "@c@a"), LOCKED);
        refused(ctx.lock_entities(vec!["@c@b".into()]), NESTED);
        refused(ctx.call_sub_orchestration(child("x"), None).await, NO_CHILDREN);
        refused(ctx.start_sub_orchestration(child("x")), NO_CHILDREN);
        signal(&ctx, "@c@b")?;
        assert_eq!(ctx.critical_section(), None);
        task.await?;
        ctx.unlock_entities(&id);
        Ok("ok".into())
    }));
    assert_eq!(hub.open.len(), 1);
    hub.complete(0, "");
    assert_eq!(hub.result(), "ok");
}

#[test]
fn what_is_refused_inside() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        refused(
            ctx.lock_entities(vec![]),
            "The list of entities to lock must not be empty: name at least one.",
        );
        let many = (0..=limits::LOCK_SET_MAX).map(|n| format!("@c@{n}")).collect();
        let text_of = ctx.lock_entities(many).err().expect("refused").message;
        assert!(text_of.contains("the limit is 1000"), "{text_of}");
        let section = lock(&ctx, &["@c@a", "@c@b"]).await?;
        refused(ctx.lock_entities(vec!["@c@c".into()]), NESTED);
        refused(try_call(&ctx, "@c@c"), NOT_LOCKED);
        refused(signal(&ctx, "@c@b"), LOCKED);
        refused(ctx.call_sub_orchestration(child("x"), None).await, NO_CHILDREN);
        refused(ctx.start_sub_orchestration(child("x")), NO_CHILDREN);
        let first = try_call(&ctx, "@c@a")?;
        refused(try_call(&ctx, "@c@a"), STILL_PENDING);
        let other = try_call(&ctx, "@c@b")?;
        // Abandoned, it is pending all the same until its reply is there.
        drop(first);
        refused(try_call(&ctx, "@c@a"), STILL_PENDING);
        ctx.wait_for("replied").await?;
        let again = text(call(&ctx, "@c@a").await);
        drop(section);
        Ok(again + &text(other.await) + &text(ctx.call_sub_orchestration(child("x"), None).await))
    }));
    hub.complete(0, "");
    hub.complete(1, "nobody looks");
    hub.raise("replied", "");
    hub.complete(3, "a");
    hub.complete(2, "b");
    hub.complete(6, "c");
    assert_eq!(hub.result(), "abc");
}

#[test]
fn a_failed_reply_is_a_reply() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let _section = lock(&ctx, &["@c@a"]).await?;
        let first = text(call(&ctx, "@c@a").await);
        Ok(first + &text(call(&ctx, "@c@a").await))
    }));
    hub.complete(0, "");
    hub.fail(1, "no");
    hub.complete(2, "yes");
    assert_eq!(hub.result(), "!noyes");
}

#[test]
fn a_retry_does_not_call_a_child_from_inside() {
    let retry = RetryPolicy {
        first_interval: Duration::from_secs(1),
        max_attempts: 3,
        backoff_coefficient: 1.0,
        max_interval: Duration::MAX,
        timeout: None,
        predicate: None,
    };
    let mut hub = Hub::started(program(move |ctx: ContextHandle| {
        let task = ctx.call_sub_orchestration(child("x"), Some(retry.clone()));
        async move {
            let section = lock(&ctx, &["@c@a"]).await?;
            refused(task.await, NO_CHILDREN);
            drop(section);
            Ok("ok".into())
        }
    }));
    hub.complete(1, "");
    hub.fail(0, "once");
    hub.complete(2, "");
    assert_eq!(hub.result(), "ok");
}

#[test]
fn a_lock_nobody_waits_for_is_given_up_and_its_grant_comes_too_late() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let due = ctx.now().saturating_add(Duration::from_secs(60));
        let locking = Box::pin(lock(&ctx, &["@c@b", "@c@a"]));
        if let Either::Left(_) = select(locking, ctx.timer(due)).await {
            return Ok("locked".into());
        }
        signal(&ctx, "@c@a")?;
        let _second = lock(&ctx, &["@c@a"]).await?;
        Ok("in time".into())
    }));
    // A future that locks does so when it is polled: the timer came first.
    let outcome = hub.complete(0, "");
    assert_eq!(unlocked(&outcome), ["@c@a", "@c@b"]);
    let late = hub.done(1, "");
    hub.turn(vec![late]);
    assert!(hub.ended.is_none(), "the grant was for the first request");
    hub.complete(5, "");
    assert_eq!(hub.result(), "in time");
}

#[test]
fn locks_that_came_when_nobody_looked_are_given_back() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let (_id, task) = ctx.lock_entities(vec!["@c@a".into()]).map_err(broken)?;
        ctx.wait_for("go").await?;
        assert_eq!(ctx.critical_section().unwrap(), ["@c@a"]);
        drop(task);
        assert_eq!(ctx.critical_section(), None);
        Ok(text(ctx.wait_for("end").await))
    }));
    hub.complete(0, "");
    let outcome = hub.raise("go", "");
    assert_eq!(unlocked(&outcome), ["@c@a"]);
    assert_eq!(unlocked(&hub.raise("end", "")), [""; 0]);
}

#[test]
fn cancelling_abandons_a_call_and_gives_a_request_up() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let read = try_call(&ctx, "@c@a")?;
        read.cancel();
        let error = read.await.unwrap_err();
        assert_eq!((error.failure.error_type.as_str(), error.task_id), (TASK_CANCELED, None));
        let (_, first) = ctx.lock_entities(vec!["@c@a".into()]).map_err(broken)?;
        first.cancel();
        assert_eq!(first.await.unwrap_err().failure.error_type, TASK_CANCELED);
        // Leaving ends the wait for what was left.
        let (id, second) = ctx.lock_entities(vec!["@c@b".into()]).map_err(broken)?;
        ctx.unlock_entities(&id);
        assert_eq!(second.await.unwrap_err().failure.error_type, TASK_CANCELED);
        ctx.cancelling(|| drop(try_call(&ctx, "@c@a")));
        Ok(text(ctx.wait_for("end").await))
    }));
    let kinds: Vec<_> = hub.history.iter().map(|event| event.kind().name()).collect();
    assert_eq!(
        kinds[2..8],
        [
            "EntityOperationCalled",
            "EntityLockRequested",
            "EntityUnlockSent",
            "EntityLockRequested",
            "EntityUnlockSent",
            "EntityOperationCalled"
        ]
    );
    assert_eq!(hub.cancelled, [0i32; 0], "the hub has nothing to stop");
    hub.complete(0, "late");
    hub.complete(1, "");
    hub.raise("end", "ok");
    assert_eq!(hub.result(), "ok");
}

#[test]
fn only_the_code_gives_locks_back() {
    let code = |panics: bool| {
        program(move |ctx: ContextHandle| async move {
            let _section = lock(&ctx, &["@c@a"]).await?;
            ctx.wait_for("end").await?;
            assert!(!panics, "inside");
            Ok("ok".into())
        })
    };
    for panics in [false, true] {
        let mut hub = Hub::started(code(panics));
        hub.complete(0, "");
        // Torn down while it holds the lock: that is not what the code does.
        hub.evict();
        let outcome = hub.raise("nothing", "");
        assert_eq!(outcome.actions, []);
        let outcome = hub.raise("end", "");
        assert_eq!(unlocked(&outcome), ["@c@a"]);
        assert!(matches!(outcome.actions[1].kind, ActionKind::Complete(_)), "{outcome:?}");
    }
    // A rule that is broken ends the code there and then.
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let _section = lock(&ctx, &["@c@a"]).await?;
        ctx.abort(FailureDetails::new("E", "stop"));
        Ok("not reached".into())
    }));
    let outcome = hub.complete(0, "");
    assert_eq!(outcome.actions.len(), 1, "{outcome:?}");
    assert_eq!(hub.failure().message, "stop");
}

#[test]
fn the_limit_on_actions_does_not_keep_locks() {
    let mut hub = Hub::new(program(|ctx: ContextHandle| async move {
        let section = lock(&ctx, &["@c@a", "@c@b"]).await?;
        drop(section);
        call(&ctx, "@c@a").await.map(text_of_nothing)
    }));
    hub.actions_max = 2;
    hub.start();
    hub.complete(0, "");
    assert_eq!(hub.failure().error_type, TOO_MANY_ACTIONS);
}

fn text_of_nothing(value: Option<String>) -> String {
    value.unwrap_or_default()
}

#[test]
fn changed_code_is_noticed() {
    let locks = |target: &'static str| {
        program(move |ctx: ContextHandle| async move {
            let _section = lock(&ctx, &[target]).await?;
            Ok(String::new())
        })
    };
    let calls = |operation: &'static str| {
        program(move |ctx: ContextHandle| async move {
            ctx.call_entity("@c@a".into(), operation.into(), None).map_err(broken)?.await.map(text_of_nothing)
        })
    };
    for (old, new) in [(locks("@c@a"), locks("@c@b")), (calls("get"), calls("set"))] {
        let mut hub = Hub::started(old);
        hub.deploy(new);
        hub.raise("nothing", "");
        assert_eq!(hub.failure().error_type, NON_DETERMINISM);
        assert!(hub.failure().message.contains("@c@a"), "{}", hub.failure().message);
    }
}

#[test]
fn what_a_rewind_took_out_is_done_again() {
    let code = program(|ctx: ContextHandle| async move {
        let reads = [try_call(&ctx, "@c@a")?, try_call(&ctx, "@c@b")?];
        let mut all = String::new();
        for read in reads {
            all += &text_of_nothing(read.await?);
        }
        let (_id, locking) = ctx.lock_entities(vec!["@c@a".into()]).map_err(broken)?;
        let (locked, other) = join(locking, activity(&ctx, "a")).await;
        locked?;
        other?;
        Ok(all + &text(call(&ctx, "@c@a").await))
    });
    let mut hub = Hub::started(code);
    hub.complete(0, "1");
    hub.fail(1, "no");
    rewind(&mut hub, &[1]);
    hub.execution = ExecutionId(0xf);
    let outcome = hub.turn(vec![EventKind::ExecutionRewound(ExecutionRewound { reason: None })]);
    assert_eq!(outcome.actions.len(), 1, "{outcome:?}");
    assert!(matches!(outcome.actions[0], Action { id: 1, kind: ActionKind::CallEntity { .. } }));
    hub.complete(1, "2");
    // The same for a request for locks: not granted when what ran beside it failed.
    hub.fail(3, "no");
    let failed = hub.ended.is_some();
    assert!(!failed, "the lock is still waited for");
    rewind(&mut hub, &[2, 3]);
    let outcome = hub.turn(vec![EventKind::ExecutionRewound(ExecutionRewound { reason: None })]);
    let ids: Vec<i32> = outcome.actions.iter().map(|action| action.id).collect();
    assert_eq!(ids, [2, 3], "{outcome:?}");
    hub.complete(2, "");
    hub.complete(3, "");
    hub.complete(4, "3");
    assert_eq!(hub.result(), "123");
}

#[test]
fn a_section_keeps_its_recorded_id() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let section = lock(&ctx, &["@c@a"]).await?;
        ctx.wait_for("end").await?;
        Ok(section.id.clone())
    }));
    let Some(ActionKind::LockEntities { section_id, .. }) = hub.open.get(&0).cloned() else { panic!() };
    hub.complete(0, "");
    // Another execution goes on with the history, as after a rewind.
    hub.execution = ExecutionId(0xf);
    hub.evict();
    let outcome = hub.raise("end", "");
    let ActionKind::UnlockEntity { section_id: left, .. } = &outcome.actions[0].kind else {
        panic!("{outcome:?}")
    };
    assert_eq!((left, hub.result()), (&section_id, section_id.as_str()));
}
