//! What code can ask about itself comes out the same on every replay.

use std::cell::RefCell;
use std::rc::Rc;

use strandline_model::*;
use strandline_replay::*;

use crate::driver::*;

#[test]
fn facts_are_the_same_on_every_replay() {
    let code = program(|ctx: ContextHandle| async move {
        let mut facts = String::new();
        for name in ["a", "b", "c"] {
            let (seed, stream) = ctx.random_stream();
            let facts_now =
                format!("{} {:x} {seed}/{stream} {}\n", ctx.now(), ctx.new_guid(), ctx.history_len());
            facts += &facts_now;
            activity(&ctx, name).await?;
        }
        Ok(facts)
    });
    let mut hub = Hub::started(code);
    hub.advance(1500);
    hub.complete(0, "");
    hub.advance(1);
    hub.complete(1, "");
    hub.complete(2, "");
    let lines: Vec<&str> = hub.result().lines().collect();
    assert_eq!(
        lines[0], "2024-01-02T03:04:05.0000000Z a12393797719525384a429155a59f930 7/0 2",
        "the first GUID of instance abc at this time is the one .NET makes"
    );
    assert!(lines[1].starts_with("2024-01-02T03:04:06.5000000Z "), "{}", lines[1]);
    assert!(lines[1].ends_with(" 7/1 6"), "{}", lines[1]);
    assert!(lines[2].starts_with("2024-01-02T03:04:06.5010000Z "), "{}", lines[2]);
}

#[test]
fn time_never_goes_back() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let before = ctx.now();
        activity(&ctx, "a").await?;
        Ok((ctx.now() >= before).to_string())
    }));
    hub.now = Timestamp::EPOCH;
    hub.complete(0, "");
    assert_eq!(hub.result(), "true");
}

#[test]
fn only_the_newest_segment_is_live() {
    let log: Rc<RefCell<Vec<Vec<bool>>>> = Rc::default();
    let seen = log.clone();
    let mut hub = Hub::new(program(move |ctx: ContextHandle| {
        let log = seen.clone();
        log.borrow_mut().push(Vec::new());
        let note = move |ctx: &ContextHandle| {
            log.borrow_mut().last_mut().expect("begun above").push(ctx.is_replaying());
        };
        async move {
            note(&ctx);
            for name in ["a", "b"] {
                activity(&ctx, name).await?;
                note(&ctx);
            }
            Ok(String::new())
        }
    }));
    hub.double = false;
    hub.start();
    for id in 0..2 {
        hub.evict();
        hub.complete(id, "");
    }
    assert_eq!(*log.borrow(), [vec![false], vec![true, false], vec![true, true, false]]);
}

#[test]
fn a_status_is_set_once_and_can_be_cleared() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        ctx.set_custom_status(Some("1".into()));
        ctx.set_custom_status(Some("2".into()));
        activity(&ctx, "a").await?;
        activity(&ctx, "b").await?;
        ctx.set_custom_status(None);
        Ok(String::new())
    }));
    assert_eq!(hub.status.as_deref(), Some("2"));
    let outcome = hub.complete(0, "");
    assert_eq!(outcome.custom_status, None, "replay does not set it again");
    let outcome = hub.complete(1, "");
    assert_eq!(outcome.custom_status, Some(None));
}

#[test]
fn child_ids_are_those_recorded() {
    let code = program(|ctx: ContextHandle| async move {
        let child = |instance_id: Option<&str>| SubOrchestrationCall {
            instance_id: instance_id.map(str::to_owned),
            name: "child".into(),
            ..Default::default()
        };
        let made = ctx.start_sub_orchestration(child(None)).map_err(broken)?;
        let named = ctx.start_sub_orchestration(child(Some("mine"))).map_err(broken)?;
        ctx.wait_for("go").await?;
        let later = ctx.start_sub_orchestration(child(None)).map_err(broken)?;
        Ok(format!("{made} {named} {later}"))
    });
    let mut hub = Hub::started(code);
    // As after a rewind, which changes the execution id.
    for event in &mut hub.history {
        if let EventKind::SubOrchestrationCreated(created) = std::sync::Arc::make_mut(event).kind_mut()
            && created.instance_id.ends_with(":0000")
        {
            created.instance_id = "recorded".into();
        }
    }
    hub.evict();
    hub.raise("go", "");
    assert_eq!(hub.result(), "recorded mine 0000000000000000000000000000000e:0002");
}

#[test]
fn suspension_is_not_the_codes_business() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        activity(&ctx, "a").await.map(|v| v.unwrap_or_default())
    }));
    let done = hub.done(0, "ok");
    hub.turn(vec![
        EventKind::ExecutionSuspended(ExecutionSuspended { input: None }),
        EventKind::ExecutionResumed(ExecutionResumed { input: None }),
        done,
    ]);
    assert_eq!(hub.result(), "ok");
}

#[test]
fn events_sent_take_ids() {
    let mut hub = Hub::new(program(|ctx: ContextHandle| async move {
        ctx.send_event("other".into(), "hello".into(), Some("1".into()));
        Ok(text(activity(&ctx, "a").await))
    }));
    let outcome = hub.start();
    let sent =
        ActionKind::SendEvent { instance_id: "other".into(), name: "hello".into(), input: Some("1".into()) };
    assert_eq!(outcome.actions[0], Action { id: 0, kind: sent });
    hub.complete(1, "ok");
    assert_eq!(hub.result(), "ok");
}
