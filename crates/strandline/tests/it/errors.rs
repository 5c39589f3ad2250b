//! Errors keep their types, texts and causes across activities, orchestrators and the wire.

use std::error::Error as StdError;
use std::fmt;

use strandline::FailureDetails;
use strandline::prelude::*;
use strandline_model::{Completion, Origin};

use crate::engine::*;

#[derive(Debug)]
struct CardDeclined {
    source: std::io::Error,
}

impl fmt::Display for CardDeclined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bank said no")
    }
}

impl StdError for CardDeclined {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.source)
    }
}

#[derive(Debug)]
struct Odd;

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("odd")
    }
}

impl StdError for Odd {}

#[activity]
async fn charge(cents: u32) -> Result<()> {
    let source = std::io::Error::other(Odd);
    Err(CardDeclined { source }).with_context(|| format!("charging {cents} cents"))
}

/// Any error type will do.
#[activity]
async fn plain() -> std::result::Result<(), Odd> {
    Err(Odd)
}

#[orchestrator]
async fn pay(ctx: OrchestrationContext, cents: u32) -> Result<()> {
    ctx.timer(secs(1)).await?;
    let error = ctx.call(charge, cents).await.unwrap_err();
    assert!(error.is::<CardDeclined>() && error.is::<std::io::Error>() && !error.is::<Odd>());
    assert_eq!(error.task_id(), Some(1));
    Err(error.context("paying"))
}

#[test]
fn three_levels_reach_the_client_unchanged() {
    let mut engine = Engine::new(Registry::new().register((charge, pay)), pay, 5);
    engine.run().advance(secs(1));
    let levels: Vec<(&str, &str)> =
        engine.failure().chain().map(|f| (f.error_type.as_str(), f.message.as_str())).collect();
    let expected = [
        ("CardDeclined", "paying"),
        ("CardDeclined", "charging 5 cents"),
        ("CardDeclined", "the bank said no"),
        ("Error", "odd"),
    ];
    assert_eq!(levels, expected);
    assert!(matches!(engine.ended, Some(Completion::Failed { origin: Origin::Task(1), .. })));
}

#[test]
fn any_error_type_can_be_returned() {
    let worker = Registry::new().register(plain).build().unwrap();
    assert_eq!(run_activity(&worker, work("plain", None)), Err(FailureDetails::new("Odd", "odd")));
}

#[test]
fn an_error_of_the_orchestrator_itself_has_no_origin() {
    #[orchestrator]
    async fn own(_ctx: OrchestrationContext) -> Result<()> {
        "x".parse::<u8>()?;
        Ok(())
    }
    let mut engine = Engine::new(Registry::new().register(own), own, ());
    assert_eq!(engine.run().failure().error_type, "ParseIntError");
    assert!(matches!(engine.ended, Some(Completion::Failed { origin: Origin::Code, .. })));
}

#[test]
fn errors_show_their_causes() {
    let error = Error::from(CardDeclined { source: std::io::Error::other("line cut") }).context("paying");
    assert_eq!(error.to_string(), "paying");
    assert_eq!(format!("{error:#}"), "paying: the bank said no: line cut");
    let lines =
        ["CardDeclined: paying", "caused by CardDeclined: the bank said no", "caused by Error: line cut"];
    assert_eq!(format!("{error:?}"), lines.join("\n  "));
    let error = Error::new("PaymentError", "no").non_retriable().context("outer");
    assert!(error.is_non_retriable());
    assert_eq!(error.error_type(), "PaymentError");
}

#[test]
fn conditions_show_themselves() {
    fn check(n: u8) -> Result<u8> {
        ensure!(n.is_multiple_of(2));
        Some(n).filter(|n| *n < 10).context("too big")
    }
    assert_eq!(check(3).unwrap_err().message(), "condition failed: n.is_multiple_of(2)");
    assert_eq!(check(12).unwrap_err().message(), "too big");
    assert_eq!(check(4).unwrap(), 4);
}

#[test]
fn wrong_input_says_what_and_where() {
    let worker = Registry::new().register((charge, pay)).build().unwrap();
    let failure = run_activity(&worker, work("charge", Some("\"x\""))).unwrap_err();
    assert_eq!(failure.error_type, "DeserializationError");
    assert!(failure.is_non_retriable);
    assert_eq!(
        failure.message,
        "the input of activity 'charge' is not a `u32`: invalid type: string \"x\", expected u32 at line 1 column 3"
    );
    let mut engine = Engine::raw(Registry::new().register(pay), "pay", None, Some("{".into()));
    let failure = engine.run().failure();
    assert!(failure.message.starts_with("the input of orchestrator 'pay' is not a `u32`: "));
}

#[test]
fn panics_are_failures() {
    #[activity]
    async fn burst() -> Result<()> {
        panic!("out of {}", "memory")
    }
    let early = activity_fn("early", |_ctx, (): ()| -> std::future::Ready<Result<()>> { panic!("at once") });
    let worker = Registry::new().register((burst, early)).build().unwrap();
    let expected = FailureDetails::new("panic", "out of memory");
    assert_eq!(run_activity(&worker, work("burst", None)), Err(expected));
    let expected = FailureDetails::new("panic", "at once");
    assert_eq!(run_activity(&worker, work("early", None)), Err(expected));
}

#[test]
fn invalid_policies_are_refused_where_they_are_built() {
    let refused = |build: fn() -> RetryPolicy, field: &str| {
        let payload = std::panic::catch_unwind(build).expect_err("refused");
        let text = strandline_replay::panic_text(&*payload);
        assert!(text.starts_with(&format!("RetryPolicy: {field} ")), "{text}");
    };
    refused(|| RetryPolicy::new(secs(0), 3), "first_interval");
    refused(|| RetryPolicy::new(secs(1), 0), "max_attempts");
    refused(|| RetryPolicy::exponential(secs(1)).max_attempts(0), "max_attempts");
    refused(|| RetryPolicy::new(secs(1), 3).backoff_coefficient(0.99), "backoff_coefficient");
    refused(|| RetryPolicy::new(secs(1), 3).backoff_coefficient(f64::NAN), "backoff_coefficient");
    refused(|| RetryPolicy::new(secs(2), 3).max_interval(secs(1)), "max_interval");
    refused(|| RetryPolicy::new(secs(2), 3).timeout(secs(1)), "timeout");
    let _long = RetryPolicy::new(hours(5), 3).max_interval(hours(5)).timeout(hours(5));
}
