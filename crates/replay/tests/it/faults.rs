//! Code that breaks the rules fails its instance and nothing else.

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use strandline_model::*;
use strandline_replay::*;

use crate::driver::*;

#[test]
fn panics_are_failures_of_type_panic() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        activity(&ctx, "a").await?;
        drop(activity(&ctx, "b"));
        panic!("out of {}", "cheese")
    }));
    let outcome = hub.complete(0, "");
    assert_eq!(hub.failure().error_type, PANIC);
    assert_eq!(hub.failure().message, "out of cheese");
    assert_eq!(outcome.actions.len(), 2, "what was decided before stands");
}

#[test]
fn a_panic_before_the_first_poll_is_caught() {
    fn refuse() -> std::future::Ready<Ending> {
        panic!("at once")
    }
    let hub = Hub::started(endings(|_| refuse()));
    assert_eq!(hub.failure().message, "at once");
}

#[test]
fn a_panic_in_a_destructor_is_caught() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in drop")
        }
    }
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let _bomb = Bomb;
        activity(&ctx, "a").await.map(|_| String::new())
    }));
    // Evicted while suspended: the destructor runs during tear-down.
    hub.evict();
    hub.complete(0, "");
    assert_eq!(hub.failure().message, "in drop");
}

#[test]
fn waiting_for_nothing_durable_is_an_error() {
    let hub = Hub::started(program(|_| pending()));
    assert_eq!(hub.failure().error_type, NON_DURABLE_AWAIT);
    assert!(hub.failure().message.contains("awaited something that is not a durable task"));

    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        activity(&ctx, "a").await?;
        let _unawaited = activity(&ctx, "b");
        pending().await
    }));
    hub.complete(0, "");
    assert_eq!(hub.failure().error_type, NON_DURABLE_AWAIT);
}

#[test]
fn channels_inside_one_orchestration_are_fine() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let (sender, receiver) = futures::channel::oneshot::channel();
        let producer = async {
            let value = text(activity(&ctx, "a").await);
            let _ = sender.send(value);
        };
        let (received, ()) = futures::join!(receiver, producer);
        Ok(received.unwrap_or_default())
    }));
    hub.complete(0, "through");
    assert_eq!(hub.result(), "through");
}

fn leaking(slot: Arc<Mutex<Option<Waker>>>) -> Program {
    program(move |ctx: ContextHandle| {
        let slot = slot.clone();
        async move {
            let task = activity(&ctx, "a");
            let outside = poll_fn(move |cx| {
                *slot.lock().unwrap() = Some(cx.waker().clone());
                Poll::<()>::Pending
            });
            futures::future::select(Box::pin(outside), task).await;
            Ok(text(activity(&ctx, "b").await))
        }
    })
}

#[test]
fn a_wake_from_outside_is_an_error() {
    let slot = Arc::new(Mutex::new(None::<Waker>));
    let mut hub = Hub::new(leaking(slot.clone()));
    hub.double = false;
    hub.start();
    assert!(hub.ended.is_none(), "a race with a durable task is not stuck");
    let waker = slot.lock().unwrap().take().expect("polled");
    std::thread::spawn(move || waker.wake()).join().unwrap();
    hub.complete(0, "");
    assert_eq!(hub.failure().error_type, NON_DURABLE_AWAIT);
    assert!(hub.failure().message.contains("woke"), "{}", hub.failure().message);
}

#[test]
fn a_wake_from_another_thread_during_the_turn_is_an_error() {
    let hub = Hub::started(program(|ctx: ContextHandle| async move {
        let _durable = futures::FutureExt::now_or_never(activity(&ctx, "a"));
        poll_fn(|cx| {
            let waker = cx.waker().clone();
            std::thread::spawn(move || waker.wake()).join().unwrap();
            Poll::<()>::Pending
        })
        .await;
        Ok(String::new())
    }));
    assert!(hub.failure().message.contains("woke"), "{}", hub.failure().message);
}

#[test]
fn spinning_is_an_error() {
    let hub = Hub::started(program(|_| {
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }));
    assert_eq!(hub.failure().error_type, NON_DURABLE_AWAIT);
    assert!(hub.failure().message.contains("polled again"));
}

#[test]
fn too_many_actions_fail_even_a_loop_that_never_awaits() {
    let mut hub = Hub::new(program(|ctx: ContextHandle| async move {
        activity(&ctx, "first").await?;
        loop {
            drop(activity(&ctx, "a"));
        }
    }));
    hub.actions_max = 10;
    hub.start();
    let outcome = hub.complete(0, "");
    assert_eq!(hub.failure().error_type, TOO_MANY_ACTIONS);
    assert!(hub.failure().message.contains("10 actions"), "{}", hub.failure().message);
    assert_eq!(outcome.actions.len(), 1, "the turn is void");
    assert_eq!(outcome.actions[0].id, 1);
}

#[test]
fn exactly_as_many_actions_as_allowed_are_fine() {
    let mut hub = Hub::new(program(|ctx: ContextHandle| async move {
        for _ in 0..3 {
            activity(&ctx, "a").await?;
        }
        Ok("ok".into())
    }));
    hub.actions_max = 3;
    hub.start();
    for id in 0..3 {
        hub.complete(id, "");
    }
    assert_eq!(hub.result(), "ok");
}

#[test]
fn retries_count_as_actions() {
    let mut hub = Hub::new(program(|ctx: ContextHandle| async move {
        let policy = RetryPolicy {
            first_interval: std::time::Duration::from_secs(1),
            max_attempts: 100,
            backoff_coefficient: 1.0,
            max_interval: std::time::Duration::from_secs(1),
            timeout: None,
            predicate: None,
        };
        let call = ActivityCall { name: "a".into(), ..Default::default() };
        ctx.call_activity(call, Some(policy)).await.map(|_| String::new())
    }));
    hub.actions_max = 2;
    hub.start();
    hub.fail(0, "x");
    hub.complete(1, "");
    assert_eq!(hub.failure().error_type, TOO_MANY_ACTIONS);
}

#[test]
fn a_custom_status_has_a_limit() {
    let status = |bytes: usize| {
        program(move |ctx: ContextHandle| async move {
            ctx.set_custom_status(Some("x".repeat(bytes)));
            Ok("went on".into())
        })
    };
    let max = limits::CUSTOM_STATUS_BYTES_MAX;
    let hub = Hub::started(status(max));
    assert_eq!(hub.status.as_ref().map(String::len), Some(max));
    assert_eq!(hub.result(), "went on");
    let hub = Hub::started(status(max + 1));
    assert_eq!(hub.failure().error_type, CUSTOM_STATUS_TOO_LONG);
    assert!(hub.failure().message.contains("16385 bytes"));
}

/// A guard as a lock's would be: does things when it is dropped.
struct Guard {
    ctx: ContextHandle,
    log: Rc<RefCell<Vec<bool>>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.log.borrow_mut().push(self.ctx.is_closed());
        self.ctx.send_event("other".into(), "unlock".into(), None);
        drop(activity(&self.ctx, "late"));
        drop(self.ctx.timer(self.ctx.now()));
        self.ctx.set_custom_status(Some("late".into()));
        let _ = self.ctx.new_guid();
    }
}

#[test]
fn destructors_act_in_a_turn_and_do_nothing_in_tear_down() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let seen = log.clone();
    let mut hub = Hub::new(program(move |ctx: ContextHandle| {
        let log = seen.clone();
        async move {
            let guard = Guard { ctx: ctx.clone(), log };
            let _other = ctx.timer(ctx.now());
            activity(&ctx, "a").await?;
            drop(guard);
            let _held = ctx.timer(ctx.now());
            Ok(text(activity(&ctx, "b").await))
        }
    }));
    hub.double = false;
    let outcome = hub.start();
    assert_eq!(outcome.actions.len(), 2);
    hub.evict();
    assert_eq!(*log.borrow(), [true], "torn down, after the core was closed");
    let outcome = hub.complete(1, "");
    assert_eq!(*log.borrow(), [true, false], "dropped by the code");
    let kinds: Vec<_> = outcome.actions.iter().map(|a| (a.id, std::mem::discriminant(&a.kind))).collect();
    // Event, activity, timer and its cancellation, the held timer, activity `b`.
    assert_eq!(kinds.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 3, 4, -1, 5, 6]);
    assert_eq!(hub.status.as_deref(), Some("late"));
    drop(hub);
    assert_eq!(log.borrow().len(), 2);
}

#[test]
fn a_future_that_outlives_its_turn_has_no_effect() {
    type Slot = Rc<RefCell<Option<ContextHandle>>>;
    let slot: Slot = Rc::default();
    let leak = slot.clone();
    let hub = Hub::started(program(move |ctx: ContextHandle| {
        *leak.borrow_mut() = Some(ctx);
        async { Ok(String::new()) }
    }));
    let ctx = slot.borrow_mut().take().unwrap();
    let mut task = Box::pin(activity(&ctx, "late"));
    let mut cx = std::task::Context::from_waker(Waker::noop());
    assert!(task.as_mut().poll(&mut cx).is_pending());
    task.cancel();
    assert_eq!(hub.result(), "");
}
