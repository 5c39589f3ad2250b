//! Code that changed under a running instance.

use strandline_model::*;
use strandline_replay::*;

use crate::driver::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Activity(&'static str),
    Timer,
    Child(&'static str),
    Send(&'static str),
}

use Step::{Activity, Child, Send, Timer};

/// Does the steps without waiting, then waits for the event `go`, then calls `last`.
fn steps(steps: &'static [Step]) -> Program {
    program(move |ctx: ContextHandle| async move {
        let mut kept = Vec::new();
        for step in steps {
            match step {
                Activity(name) => kept.push(activity(&ctx, name)),
                Timer => kept.push(ctx.timer(ctx.now())),
                Child(name) => {
                    let call = SubOrchestrationCall { name: (*name).into(), ..Default::default() };
                    kept.push(ctx.call_sub_orchestration(call, None));
                }
                Send(name) => ctx.send_event("other".into(), (*name).into(), None),
            }
        }
        ctx.wait_for("go").await?;
        activity(&ctx, "last").await.map(|v| v.unwrap_or_default())
    })
}

/// Runs the old code for a turn, deploys the new code and runs the next turn.
fn deploy(old: &'static [Step], new: &'static [Step]) -> Hub {
    let mut hub = Hub::started(steps(old));
    hub.deploy(steps(new));
    hub.raise("go", "");
    hub
}

fn report(old: &'static [Step], new: &'static [Step]) -> FailureDetails {
    let hub = deploy(old, new);
    let failure = hub.failure().clone();
    assert_eq!(failure.error_type, NON_DETERMINISM, "{old:?} -> {new:?}");
    assert!(failure.is_non_retriable);
    assert!(failure.message.contains(".version()"), "has a hint: {}", failure.message);
    failure
}

#[track_caller]
fn mentions(failure: &FailureDetails, parts: &[&str]) {
    for part in parts {
        assert!(failure.message.contains(part), "'{part}' not in: {}", failure.message);
    }
}

const ALL: [Step; 4] = [Activity("a"), Timer, Child("c"), Send("s")];

#[test]
fn the_same_code_passes_and_names_ignore_ascii_case() {
    const OLD: &[Step] = &[Activity("Pay"), Timer, Child("Kid"), Send("Hi")];
    const NEW: &[Step] = &[Activity("pAY"), Timer, Child("KID"), Send("hi")];
    assert!(deploy(OLD, OLD).ended.is_none());
    assert!(deploy(OLD, NEW).ended.is_none());
}

#[test]
fn renamed() {
    const CASES: [(&[Step], &[Step], &str); 3] = [
        (&[Timer, Activity("a")], &[Timer, Activity("b")], "activity 'a'"),
        (&[Timer, Child("a")], &[Timer, Child("b")], "sub-orchestration 'a'"),
        (&[Timer, Send("a")], &[Timer, Send("b")], "send of event 'a'"),
    ];
    for (old, new, expected) in CASES {
        let failure = report(old, new);
        // OrchestratorStarted, ExecutionStarted, TimerCreated, then the one that differs.
        mentions(&failure, &["different", expected, "'b'", "sequence id 1", "history index 3"]);
        assert_eq!(failure.properties["sequenceId"], "1");
        assert_eq!(failure.properties["historyIndex"], "3");
        assert_eq!(failure.properties["expected"], format!("\"{expected}\""));
    }
}

#[test]
fn another_kind() {
    for old in ALL {
        for new in ALL {
            if old == new {
                continue;
            }
            let (old, new) = (Box::leak(Box::new([old])), Box::leak(Box::new([new])));
            mentions(&report(old, new), &["different", "sequence id 0", "history index 2"]);
        }
    }
}

#[test]
fn reordered() {
    mentions(
        &report(&[Activity("a"), Activity("b")], &[Activity("b"), Activity("a")]),
        &["different", "expected (recorded): activity 'a'; actual: activity 'b'"],
    );
}

#[test]
fn missing() {
    for old in ALL {
        let old: &'static [Step] = Box::leak(Box::new([Activity("a"), old]));
        mentions(&report(old, &[Activity("a")]), &["missing", "actual: nothing", "sequence id 1"]);
    }
}

#[test]
fn surplus() {
    for new in ALL {
        let new: &'static [Step] = Box::leak(Box::new([Activity("a"), new]));
        let failure = report(&[Activity("a")], new);
        mentions(&failure, &["surplus", "expected (recorded): nothing", "sequence id 1"]);
    }
}

#[test]
fn inserted_in_front() {
    mentions(&report(&[Activity("a")], &[Timer, Activity("a")]), &["different", "actual: timer"]);
}

#[test]
fn an_end_that_comes_too_early_or_not_at_all() {
    let short = program(|_| async { Ok("done".to_owned()) });
    let long = program(|ctx: ContextHandle| async move {
        ctx.wait_for("go").await?;
        Ok(text(ctx.wait_for("more").await))
    });
    let mut hub = Hub::started(long.clone());
    hub.deploy(short.clone());
    hub.raise("go", "");
    mentions(hub.failure(), &["surplus end", "the end of the orchestration"]);

    // A finished history checked against new code, as a test of compatibility does.
    let hub = Hub::started(short);
    let mut checked = Hub::new(long).build();
    checked.replay(&hub.history);
    mentions(checked.violation().expect("a mismatch"), &["the end is missing"]);
    let mut checked = hub.build();
    checked.replay(&hub.history);
    assert_eq!(checked.violation(), None);
    assert!(checked.is_over());
}

#[test]
fn the_end_takes_the_id_after_those_recorded() {
    let mut hub = Hub::started(steps(&[Activity("a"), Activity("b")]));
    hub.deploy(steps(&[Timer, Timer, Timer, Timer]));
    let outcome = hub.raise("go", "");
    assert_eq!(outcome.actions.len(), 1, "nothing else is done: {outcome:?}");
    assert_eq!(outcome.actions[0].id, 2);
}

#[test]
fn due_times_and_inputs_are_not_compared() {
    let at = |seconds: i64, input: &'static str| {
        program(move |ctx: ContextHandle| async move {
            let timer = ctx.timer(Timestamp { seconds, nanos: 0 });
            let call = ActivityCall { name: "a".into(), input: Some(input.into()), ..Default::default() };
            let task = ctx.call_activity(call, None);
            timer.await?;
            Ok(text(task.await))
        })
    };
    let mut hub = Hub::started(at(1, "x"));
    hub.deploy(at(2, "y"));
    hub.complete(0, "");
    hub.complete(1, "ok");
    assert_eq!(hub.result(), "ok");
}

#[test]
fn late_and_repeated_completions_are_ignored() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let a = text(activity(&ctx, "a").await);
        let b = text(activity(&ctx, "b").await);
        Ok(a + &b)
    }));
    let again = |task_id, result: &str| {
        EventKind::TaskCompleted(TaskCompleted { task_id, result: Some(result.into()) })
    };
    hub.complete(0, "1");
    hub.turn(vec![again(0, "x"), again(7, "x"), again(-1, "x")]);
    // An event of another kind does not complete it either.
    hub.turn(vec![EventKind::TimerFired(TimerFired { timer_id: 1, fire_at: Timestamp::EPOCH })]);
    hub.turn(vec![again(1, "2"), again(1, "3")]);
    assert_eq!(hub.result(), "12");
}

#[test]
fn what_a_rewind_took_out_is_done_again() {
    let code = program(|ctx: ContextHandle| async move {
        let tasks: Vec<_> = ["a", "b", "c"].map(|name| activity(&ctx, name)).into();
        let results = futures::future::try_join_all(tasks).await?;
        let joined: String = results.into_iter().flatten().collect();
        Ok(joined + &text(activity(&ctx, "d").await))
    });
    for broken in [0, 1, 2] {
        let mut hub = Hub::started(code.clone());
        for id in (0..3).filter(|id| *id != broken) {
            hub.complete(id, &id.to_string());
        }
        hub.fail(broken, "no");
        assert_eq!(hub.failure().message, "no");
        rewind(&mut hub, &[broken]);
        let outcome = hub.turn(vec![]);
        assert_eq!(outcome.actions.len(), 1, "only the failed call: {outcome:?}");
        assert_eq!(outcome.actions[0].id, broken);
        hub.complete(broken, &broken.to_string());
        hub.evict();
        hub.complete(3, "!");
        assert_eq!(hub.result(), "012!");
    }
}

fn rewound() -> EventKind {
    EventKind::ExecutionRewound(ExecutionRewound { reason: None })
}

/// Rewinds an instance of the old code, whose last call failed, with the new code in place.
fn mend(old: &'static [Step], new: &'static [Step]) -> Outcome {
    let mut hub = Hub::started(steps(old));
    hub.raise("go", "");
    let last = old.len() as i32;
    hub.fail(last, "no");
    rewind(&mut hub, &[last]);
    hub.deploy(steps(new));
    hub.turn(vec![rewound()])
}

#[test]
fn after_a_rewind_the_code_may_do_more() {
    let outcome = mend(&[Activity("a"), Timer], &[Activity("a"), Timer, Child("c")]);
    let ids: Vec<i32> = outcome.actions.iter().map(|action| action.id).collect();
    assert_eq!(ids, [2, 3], "the new step, then the one that failed: {outcome:?}");
}

#[test]
fn after_a_rewind_code_that_does_more_goes_on() {
    for evict in [false, true] {
        let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
            let a = text(activity(&ctx, "a").await);
            Err(broken(FailureDetails::new("Bug", a)))
        }));
        hub.complete(0, "1");
        assert_eq!(hub.failure().error_type, "Bug");
        rewind(&mut hub, &[]);
        hub.deploy(program(|ctx: ContextHandle| async move {
            let mut all = String::new();
            for name in ["a", "b", "c"] {
                all += &text(activity(&ctx, name).await);
            }
            Ok(all)
        }));
        hub.turn(vec![rewound()]);
        for (id, result) in [(1, "2"), (2, "3")] {
            if evict {
                hub.evict();
            }
            hub.complete(id, result);
        }
        assert_eq!(hub.result(), "123");
    }
}

#[test]
fn after_a_rewind_the_code_may_part_from_the_history() {
    for (new, from) in [
        (&[Activity("b"), Timer] as &'static [Step], 0),
        (&[Activity("a"), Child("c")], 1),
        // What failed takes the place of the timer.
        (&[Activity("a")], 1),
    ] {
        let outcome = mend(&[Activity("a"), Timer], new);
        let part = Action { id: -1, kind: ActionKind::Part { from } };
        assert_eq!(outcome, Outcome { actions: vec![part], ..Outcome::default() }, "{new:?}");
    }
}

#[test]
fn after_a_rewind_the_code_may_end() {
    let mut hub = Hub::started(steps(&[Activity("a")]));
    hub.raise("go", "");
    hub.fail(1, "no");
    rewind(&mut hub, &[1]);
    hub.deploy(program(|ctx: ContextHandle| async move {
        let kept = activity(&ctx, "a");
        ctx.wait_for("go").await?;
        drop(kept);
        Ok("enough".to_owned())
    }));
    hub.turn(vec![rewound()]);
    assert_eq!(hub.result(), "enough");
}

fn goes_on(hub: &mut Hub) -> Outcome {
    hub.turn(vec![rewound()])
}

#[test]
fn code_that_failed_by_itself_fails_again_after_a_rewind() {
    let wrong = || broken(FailureDetails::new("Wrong", "as before"));
    let returns = program(move |ctx: ContextHandle| async move {
        text(activity(&ctx, "a").await);
        ctx.send_event("other".into(), "sent".into(), None);
        Err(wrong())
    });
    let panics = program(|ctx: ContextHandle| async move {
        text(activity(&ctx, "a").await);
        ctx.send_event("other".into(), "sent".into(), None);
        std::panic::resume_unwind(Box::new("as before"))
    });
    for code in [returns, panics] {
        let mut hub = Hub::started(code);
        assert_eq!(hub.complete(0, "1").actions.len(), 2, "the event and the end");
        for _ in 0..2 {
            rewind(&mut hub, &[]);
            let outcome = goes_on(&mut hub);
            assert_eq!(outcome.actions.len(), 1, "nothing is done twice: {outcome:?}");
            assert_eq!(hub.failure().message, "as before");
        }
    }
}

#[test]
fn mended_code_goes_on_where_the_old_one_failed() {
    let old = program(|ctx: ContextHandle| async move {
        text(activity(&ctx, "a").await);
        ctx.send_event("other".into(), "sent".into(), None);
        Err(broken(FailureDetails::new("Wrong", "a mistake")))
    });
    let mended = program(|ctx: ContextHandle| async move {
        let first = text(activity(&ctx, "a").await);
        ctx.send_event("other".into(), "sent".into(), None);
        Ok(first + &text(activity(&ctx, "b").await))
    });
    let ends = program(|ctx: ContextHandle| async move {
        let first = text(activity(&ctx, "a").await);
        ctx.send_event("other".into(), "sent".into(), None);
        Ok(first)
    });
    let failed = || {
        let mut hub = Hub::started(old.clone());
        hub.complete(0, "1");
        rewind(&mut hub, &[]);
        hub
    };
    let mut hub = failed();
    hub.deploy(mended);
    let outcome = goes_on(&mut hub);
    assert_eq!(outcome.actions.len(), 1, "what comes after the failure: {outcome:?}");
    assert_eq!(outcome.actions[0].id, 2);
    hub.evict();
    hub.complete(2, "2");
    assert_eq!(hub.result(), "12");

    let mut hub = failed();
    hub.deploy(ends);
    goes_on(&mut hub);
    assert_eq!(hub.result(), "1");
}

#[test]
fn without_a_rewind_a_surplus_stays_a_mismatch() {
    let old = program(|ctx: ContextHandle| async move { Ok(text(ctx.wait_for("go").await)) });
    let surplus = program(|ctx: ContextHandle| async move {
        ctx.send_event("other".into(), "sent".into(), None);
        Ok(text(ctx.wait_for("go").await))
    });
    let mut hub = Hub::started(old);
    hub.deploy(surplus);
    hub.double = false;
    hub.raise("go", "1");
    assert_eq!(hub.failure().error_type, NON_DETERMINISM);
}

#[test]
fn what_happened_beside_the_failure_is_not_done_again() {
    let code = program(|ctx: ContextHandle| async move {
        let retry = RetryPolicy {
            first_interval: std::time::Duration::from_millis(1500),
            max_attempts: 4,
            backoff_coefficient: 2.0,
            max_interval: std::time::Duration::from_secs(1),
            timeout: None,
            predicate: None,
        };
        let call = ActivityCall { name: "beside".into(), ..Default::default() };
        drop(ctx.call_activity(call, Some(retry)));
        Ok(activity(&ctx, "b").await?.unwrap_or_default())
    });
    let mut hub = Hub::started(code);
    let both =
        vec![hub.fails(0, FailureDetails::new("No", "beside")), hub.fails(1, FailureDetails::new("No", "b"))];
    let outcome = hub.turn(both);
    assert_eq!(outcome.actions.len(), 2, "a timer and the end: {outcome:?}");
    rewind(&mut hub, &[1]);
    let outcome = goes_on(&mut hub);
    assert_eq!(outcome.actions.len(), 1, "only the failed call: {outcome:?}");
}
