//! Timers, events, timeouts, continue-as-new.

use strandline::prelude::*;
use strandline_model::{ActionKind, Completion};

use crate::engine::*;

const APPROVED: Event<bool> = Event::named("Approved");

#[activity]
async fn slow() -> Result<()> {
    Ok(())
}

#[orchestrator]
async fn approval(ctx: OrchestrationContext) -> Result<&'static str> {
    ctx.set_custom_status("waiting for approval");
    select! {
        granted = ctx.wait_for(APPROVED) => ensure!(granted?, "rejected"),
        _ = ctx.timer(hours(72)) => bail!("nobody answered"),
    }
    ctx.clear_custom_status();
    Ok("approved")
}

fn start() -> Engine {
    let mut engine = Engine::new(Registry::new().register(approval), approval, ());
    engine.run();
    engine
}

#[test]
fn a_select_is_decided_by_history() {
    let mut engine = start();
    assert_eq!(engine.status.as_deref(), Some("\"waiting for approval\""));
    assert_eq!(engine.raise("approved", "true").output(), "\"approved\"");
    assert_eq!(engine.cancelled(), [0], "the timer");
    assert_eq!(engine.status, None, "taken away");
    assert_eq!(start().raise("Approved", "false").failure().message, "rejected");
    let mut engine = start();
    engine.advance(hours(72));
    assert_eq!(engine.failure().message, "nobody answered");
    assert_eq!(engine.failure().error_type, "Error");
}

#[test]
fn a_payload_of_the_wrong_type_names_the_event() {
    let mut engine = start();
    let failure = engine.raise("Approved", "\"yes\"").failure();
    assert_eq!(failure.error_type, "DeserializationError");
    assert!(failure.message.starts_with("the payload of event 'Approved' is not a `bool`: "));
}

#[test]
fn a_timeout_ends_the_wait_and_leaves_late_events() {
    #[orchestrator]
    async fn patient(ctx: OrchestrationContext) -> Result<(bool, bool)> {
        let late = ctx.timeout(secs(10), ctx.wait_for(APPROVED)).await.unwrap_err();
        assert_eq!(late.message(), "timed out after 10s");
        ctx.timer(secs(10)).await?;
        let second = ctx.timeout(secs(10), ctx.wait_for(APPROVED)).await?;
        Ok((late.is::<TimeoutError>(), second))
    }
    let mut engine = Engine::new(Registry::new().register(patient), patient, ());
    engine.run().advance(secs(15)).raise("APPROVED", "true").advance(secs(10));
    assert_eq!(engine.output(), "[true,true]");
    assert_eq!(engine.cancelled(), [2], "the timer of the wait that was in time");
}

#[test]
fn a_timeout_cancels_everything_inside() {
    #[orchestrator]
    async fn impatient(ctx: OrchestrationContext) -> Result<()> {
        const CHILD: Orchestration<u8, ()> = Orchestration::named("Child");
        let work = async {
            let first = ctx.call(CHILD, 1);
            try_join!(first, ctx.call(CHILD, 2), ctx.timer(days(1)))?;
            Ok(())
        };
        ctx.timeout(secs(1), work).await
    }
    let mut engine = Engine::new(Registry::new().register(impatient), impatient, ());
    engine.run();
    // The timer of the timeout was made first: the work begins when it is polled.
    engine.child_done(2, None).advance(secs(1));
    assert_eq!(engine.failure().error_type, "TimeoutError");
    let mut cancelled = engine.cancelled();
    cancelled.sort_unstable();
    assert_eq!(cancelled, [1, 3]);
}

#[test]
fn cancelling_a_task() {
    #[orchestrator]
    async fn canceller(ctx: OrchestrationContext) -> Result<(bool, bool)> {
        let mut handled = ctx.call(slow.retry_with(|_| async { Ok(true) }), ());
        let mut timer = ctx.timer(days(1));
        handled.cancel();
        timer.cancel();
        let is_cancelled = |error: Error| error.is::<strandline::TaskCanceledError>();
        Ok((is_cancelled(handled.await.unwrap_err()), is_cancelled(timer.await.unwrap_err())))
    }
    let mut engine = Engine::new(Registry::new().register((canceller, slow)), canceller, ());
    assert_eq!(engine.run().output(), "[true,true]");
    assert_eq!(engine.cancelled(), [0, 1]);
}

#[test]
fn continue_as_new_with_options() {
    #[orchestrator]
    async fn count(ctx: OrchestrationContext, n: u8) -> Result<String> {
        if n == 0 {
            ctx.timer(secs(1)).await?;
            return ctx.continue_as_new(1).version("2").drop_events();
        }
        ctx.timer(secs(1)).await?;
        ctx.continue_as_new(n + 1)
    }
    let run = |n| {
        let mut engine = Engine::new(Registry::new().register(count), count, n);
        engine.run().raise("unseen", "1").advance(secs(1));
        engine.ended.take().unwrap()
    };
    match run(0) {
        Completion::ContinuedAsNew { input, version, carryover } => {
            assert_eq!((input.as_deref(), version.as_deref()), (Some("1"), Some("2")));
            assert!(carryover.is_empty());
        }
        other => panic!("{other:?}"),
    }
    match run(5) {
        Completion::ContinuedAsNew { input, version, carryover } => {
            assert_eq!((input.as_deref(), version.as_deref()), (Some("6"), None));
            assert_eq!(carryover.len(), 1);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_error_instead_of_the_next_generation_fails() {
    #[orchestrator]
    async fn wavering(ctx: OrchestrationContext) -> Result<()> {
        let _next: Result<()> = ctx.continue_as_new(());
        bail!("changed my mind")
    }
    let mut engine = Engine::new(Registry::new().register(wavering), wavering, ());
    assert_eq!(engine.run().failure().message, "changed my mind");
}

#[test]
fn events_are_sent_to_instances_only() {
    #[orchestrator]
    async fn sender(ctx: OrchestrationContext, to: String) -> Result<()> {
        ctx.send_event(to, APPROVED, true)
    }
    let mut engine = Engine::new(Registry::new().register(sender), sender, "other".into());
    assert_eq!(engine.run().output(), "null");
    let expected = ActionKind::SendEvent {
        instance_id: "other".into(),
        name: "Approved".into(),
        input: Some("true".into()),
    };
    assert_eq!(engine.actions[0].kind, expected);
    let mut engine = Engine::new(Registry::new().register(sender), sender, "@e@k".into());
    assert_eq!(engine.run().failure().error_type, "InvalidId");
}

#[test]
fn a_status_that_is_too_long_fails_the_instance() {
    #[orchestrator]
    async fn chatty(ctx: OrchestrationContext) -> Result<()> {
        ctx.set_custom_status("x".repeat(16 * 1024));
        Ok(())
    }
    let mut engine = Engine::new(Registry::new().register(chatty), chatty, ());
    assert_eq!(engine.run().failure().error_type, "CustomStatusTooLongError", "the quotes count too");
}
